"""What a failure of the database means to whoever called the store, and to health; knows no table."""

import sqlite3

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import STORAGE, Troubles

_LASTING = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""What no later success undoes."""
_OF_THE_FILE = _LASTING | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""Failures of the file or the disk below it, by primary result code. All others are faults of this program."""


class Faults:
    """Says once what is wrong with the database file, and that it works again.

    Args:
        name: The file, as the operator knows it.
        troubles: Where the present trouble is kept.
    """

    def __init__(self, name: str = "the database", troubles: Troubles | None = None) -> None:
        self._name = name
        self._troubles = troubles or Troubles()
        self._is_gone = False
        self._is_lasting = False
        self._is_failing = False

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed because of the file."""
        return self._is_failing

    def meet(self, error: BaseException) -> BaseException:
        """Returns what the caller gets for an error of its operation.

        An account that has gone is SESSION_DEAD, as at the next call: only its own rows refer to an account. A failure
        of the file is a STORAGE_UNAVAILABLE, whose cause is for the operator. Everything else is returned as it is.
        """
        if not isinstance(error, sqlite3.Error):
            return error
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return _caused(Refusal(Reason.SESSION_DEAD, cause="the account has just ended"), error)
        if code & 0xFF not in _OF_THE_FILE:
            return error
        self._is_failing = True
        self._is_lasting |= code & 0xFF in _LASTING
        self._troubles.meet(STORAGE, f"{self._name} cannot be used ({error}): what needs it is refused.")
        return _caused(Refusal(Reason.STORAGE_UNAVAILABLE, cause=f"the database cannot be used: {error}"), error)

    def end(self) -> None:
        """Notes that something was written."""
        if self._is_failing and not self._is_lasting:
            self._is_failing = False
            self._settle()

    def see(self, is_there: bool) -> None:
        """Notes whether the file is still the one that was opened, under its name."""
        if is_there != self._is_gone:
            return
        self._is_gone = not is_there
        if self._is_gone:
            self._troubles.meet(
                STORAGE, f"{self._name} was deleted or replaced while it is in use: what would be stored is refused."
            )
        self._settle()

    def check(self) -> None:
        """Refuses to store what would be lost.

        Raises:
            Refusal: STORAGE_UNAVAILABLE.
        """
        if self._is_gone:
            raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="the database file is gone")

    def _settle(self) -> None:
        if not self._is_gone and not self._is_failing:
            self._troubles.end(STORAGE)


def _caused(refusal: Refusal, error: sqlite3.Error) -> Refusal:
    refusal.__cause__ = error
    return refusal
