"""What a failure of the server means to whoever called the store, and to health; knows no table."""

import asyncpg

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import STORAGE, Troubles

_STATES_OF_THE_SERVER = ("08", "25006", "25P03", "28", "3D", "53", "55P03", "57", "58", "F0", "XX")
"""SQLSTATEs that tell of the server or the way to it, by their first letters. All others are faults of this program.

Connection, read only, timed out, not let in, gone, out of room, locked, shut down, disk, configuration, damaged.
"""
_STATES_TO_TRY_AGAIN = ("40001", "40P01")
"""A transaction that another one was in the way of: it left nothing, and can run again."""


def is_loss(error: BaseException) -> bool:
    """Says whether an error means that the connection cannot be used any more."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(("08", "57P", "25P03", "58", "XX"))
    if isinstance(error, ValueError):
        return False  # what asyncpg cannot encode is one of its interface errors, too: a fault of this program
    return isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError))


def is_to_try_again(error: BaseException) -> bool:
    """Says whether a transaction failed because of another one, and left nothing."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _STATES_TO_TRY_AGAIN


def is_of_server(error: BaseException) -> bool:
    """Says whether an error tells of the server or the way to it, and not of a fault of this program."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith((*_STATES_OF_THE_SERVER, *_STATES_TO_TRY_AGAIN))
    return is_loss(error)


def sentence_of(error: BaseException) -> str:
    """Returns what an error says, on one line, without the punctuation at its end."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text[:300]


class NotWritable(Exception):
    """The database can be reached, but this process may not write to it; the message says why."""


class Faults:
    """Says once what is wrong with the database, and that it works again.

    Args:
        name: The database, as the operator knows it; without a password.
        troubles: Where the present trouble is kept.
    """

    def __init__(self, name: str = "the database", troubles: Troubles | None = None) -> None:
        self._name = name
        self._troubles = troubles or Troubles()
        self._is_failing = False

    @property
    def is_failing(self) -> bool:
        """Whether the database could not be written when it was last tried."""
        return self._is_failing

    def meet(self, error: BaseException) -> BaseException:
        """Returns what the caller gets for an error of its operation.

        An account that has gone is SESSION_DEAD, as at the next call: only its own rows refer to an account. A failure
        of the server is a STORAGE_UNAVAILABLE, whose cause is for the operator. Everything else is returned as it is.
        """
        if isinstance(error, asyncpg.ForeignKeyViolationError):
            return _caused(Refusal(Reason.SESSION_DEAD, cause="the account has just ended"), error)
        if not is_of_server(error) and not isinstance(error, NotWritable):
            return error
        sentence = sentence_of(error)
        if not is_to_try_again(error):
            self._is_failing = True
            self._troubles.meet(STORAGE, f"{self._name} cannot be used ({sentence}): what needs it is refused.")
        return _caused(Refusal(Reason.STORAGE_UNAVAILABLE, cause=f"the database cannot be used: {sentence}"), error)

    def end(self) -> None:
        """Notes that something was written."""
        if self._is_failing:
            self._is_failing = False
            self._troubles.end(STORAGE)


def _caused(refusal: Refusal, error: BaseException) -> Refusal:
    refusal.__cause__ = error
    return refusal
