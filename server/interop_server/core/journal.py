"""What the server decided, in order, and why; knows no wire format, no file and no reader.

An entry never holds a secret, a token, a key, a ciphertext or anything that a person wrote. Callers give only
addresses, ids, names of rules and numbers.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from interop_server.core.errors import Refusal
from interop_server.core.paging import give_token, read_token
from interop_server.core.ports import Clock, Rng

MAX_ENTRIES = 100_000
"""Entries that are kept; policy. Older entries are forgotten."""
MAX_FIELD_CHARACTERS = 320
"""Longest text of a field; policy. Names come from outside."""
MAX_WIDE_CHARACTERS = 80
"""Longest text that is not ASCII, of which each character may take four times the memory."""
REQUEST_ID_BYTES = 8
DEFAULT_NODE = "node-1"
"""Name of a server process unless its operator chooses another."""
RUN_ID_BYTES = 4
"""Length of the id that tells one start of a node from another: each start numbers its entries from 1."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_RESUME = "journal"
"""What its tokens are for."""

Outcome = Literal["accepted", "refused", "dropped", "done"]
"""Accepted, refused, dropped (which looks like accepted to the caller), or done by the server itself."""

ANONYMOUS = "anonymous"
"""Actor of a refusal before the caller is known. Not an address: the same inputs give the same journal."""
OPERATOR = "operator"
"""Actor of admin calls."""
SERVER = "server"
"""Actor of decisions that follow from another actor's action."""
TIMER = "timer"
"""Actor of what the server does when its time has come."""

_FAULT: ContextVar[str] = ContextVar("fault", default="")
"""The fault under which what is going on goes on; empty for what is as it should be."""


@contextmanager
def under_fault(name: str) -> Iterator[None]:
    """Marks every entry that is recorded in the block, and in tasks that it starts, as due to a fault of that name."""
    token = _FAULT.set(name)
    try:
        yield
    finally:
        _FAULT.reset(token)


def is_request_id(text: str) -> bool:
    """Says whether a client may call a request that."""
    return _REQUEST_ID.fullmatch(text) is not None


class JournalEntry(NamedTuple):
    """One decision. Its fields are those of `JournalEntry` in journal.proto."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    outcome: Outcome
    requirement: str
    reason: str
    cause: str
    detail: str
    request_id: str
    fault: str
    """Name of the fault that it is due to. Such an entry says nothing about the rules."""


class Decision(NamedTuple):
    """What differs between decisions about the same action of the same actor."""

    outcome: Outcome
    subject: str
    requirement: str
    cause: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    read: Callable[[JournalEntry], None]
    failed: Callable[[Exception], None]


class Journal:
    """The newest decisions, in memory. Recording must be cheap: every message is recorded.

    Source: SIM-07, OPT-09; clients quote request ids, and the journal explains those refusals.

    Args:
        clock: Gives the time of entries.
        rng: Makes request ids.
        capacity: Most entries that are kept.
        node: Name of the server process.
        run: Tells this start of the process from others.
    """

    def __init__(
        self, clock: Clock, rng: Rng, capacity: int = MAX_ENTRIES, *, node: str = DEFAULT_NODE, run: str = ""
    ) -> None:
        self._clock = clock
        self._rng = rng
        self.node = node
        """Name of the server process that decides."""
        self._run = run
        self._origin = f"{node}.{run}"
        self._unrecorded = 0
        # Plain tuples of text and numbers, which the garbage collector lets be: a hundred thousand of anything else
        # would make each of its full rounds long, and those fall into the path of messages.
        self._entries: deque[tuple[object, ...]] = deque(maxlen=capacity)
        self._number = 0
        self._readers: list[_Reader] = []

    def record(  # noqa: PLR0913 - one call, not an object, for each message
        self,
        actor: str,
        action: str,
        outcome: Outcome,
        subject: str = "",
        *,
        requirement: str = "",
        cause: str = "",
        detail: str = "",
        request_id: str = "",
        fault: str = "",
    ) -> None:
        """Records a decision that is not a refusal.

        Args:
            actor: Who asked: a JID, `ANONYMOUS`, `OPERATOR`, `SERVER` or `TIMER`.
            action: What was asked, as `Service.Method`, `stanza.kind` or `timer.name`.
            outcome: The outcome.
            subject: What the decision is about, such as a JID or an id.
            requirement: Id of the rule that decided.
            cause: What the actor is not told.
            detail: Anything else, such as a count.
            request_id: Of the call that was decided; empty for what is no call.
            fault: Name of the fault that it is due to; empty for the one that the caller goes on under, if any.
        """
        self._add((actor, action, subject, outcome, requirement, "", cause, detail, request_id, fault or _FAULT.get()))

    def record_all(self, actor: str, action: str, decisions: Iterable[Decision]) -> None:
        """Records decisions that were made together and are not refusals. See `record`."""
        now_ms, number, entries, fault = self._clock.now_ms(), self._number, self._entries, _FAULT.get()
        for outcome, subject, requirement, cause, detail in decisions:
            number += 1
            fields = (number, now_ms, actor, action, subject, outcome, requirement, "", cause, detail, "", fault)
            entries.append(fields)
            if self._readers:
                self._tell(JournalEntry._make(fields))
        self._number = number

    def refuse(self, refusal: Refusal, actor: str, action: str, subject: str = "", *, request_id: str = "") -> Refusal:
        """Records a refusal, unless it stands here already, and gives it its request id; returns it.

        Args:
            refusal: What was refused.
            actor: As in `record`.
            action: As in `record`.
            subject: As in `record`.
            request_id: Of the call that was refused, if the client has chosen one.
        """
        if not refusal.is_recorded:
            refusal.request_id = request_id or self.new_request_id()
            self._add(
                (
                    actor,
                    action,
                    _shortened(subject),
                    "refused",
                    refusal.requirement,
                    refusal.reason.name,
                    refusal.cause,
                    _shortened(refusal.detail),
                    refusal.request_id,
                    refusal.fault or _FAULT.get(),
                )
            )
        return refusal

    def new_request_id(self) -> str:
        """Returns an id for a call that is recorded."""
        return self._rng.token_bytes(REQUEST_ID_BYTES).hex()

    def unrecorded_request_id(self) -> str:
        """Returns an id for a call that is not recorded.

        Draws nothing: how often somebody looks must not change what the same seed gives.
        """
        self._unrecorded += 1
        return f"{self._run:0>{2 * RUN_ID_BYTES}}{self._unrecorded:08x}"

    def _add(self, fields: tuple[str, ...]) -> None:
        self._number += 1
        entry = (self._number, self._clock.now_ms(), *fields)
        self._entries.append(entry)
        if self._readers:
            self._tell(JournalEntry._make(entry))

    def _tell(self, entry: JournalEntry) -> None:
        for reader in tuple(self._readers):
            try:
                reader.read(entry)
            except Exception as error:  # noqa: BLE001 - the failure of a reader is the reader's, not that of the decision
                reader.failed(error)

    def after(self, number: int, limit: int) -> tuple[list[JournalEntry], int]:
        """Returns the oldest kept entries after a number, and how many earlier ones are forgotten."""
        first = self._number - len(self._entries) + 1
        start = min(max(0, number + 1 - first), len(self._entries))
        entries = map(JournalEntry._make, islice(self._entries, start, start + limit))
        return list(entries), max(0, first - number - 1)

    def resume_token(self, number: int) -> str:
        """Returns the token with which a reader resumes after the entry of that number."""
        return give_token(_RESUME, f"{self._origin}.{number}")

    def resume_after(self, token: str) -> int:
        """Returns the number of the entry that a token names; 0 for an empty token, and for a token of another start or
        another node, whose entries are not here.

        A token that no journal gave out is refused: going on from the start would look like an answer to it.

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        if not token:
            return 0
        origin, _, number = read_token(_RESUME, token, "resume_token", "SIM-07").rpartition(".")
        return int(number) if origin == self._origin else 0

    def count_naming(self, name: str) -> int:
        """Returns how many kept entries name an actor or subject."""
        return sum(name in (entry.actor, entry.subject) for entry in map(JournalEntry._make, self._entries))

    def find(self, request_id: str) -> JournalEntry | None:
        """Returns the newest kept refusal of that request id."""
        entries = map(JournalEntry._make, reversed(self._entries))
        found = (entry for entry in entries if entry.request_id == request_id and entry.outcome == "refused")
        return next(found, None)

    def subscribe(
        self, read: Callable[[JournalEntry], None], failed: Callable[[Exception], None]
    ) -> Callable[[], None]:
        """Calls a function with every entry from now on, during the decision: it must return at once.

        Args:
            read: Gets each entry.
            failed: Gets what `read` raises, in its stead; must raise nothing. The decision goes on.

        Returns:
            A function that ends the subscription.
        """
        reader = _Reader(read, failed)
        self._readers.append(reader)
        return lambda: self._readers.remove(reader)


def open_journal(clock: Clock, rng: Callable[[str], Rng], node: str = DEFAULT_NODE) -> Journal:
    """Returns the journal of one start of a node.

    Args:
        clock: Gives the time of entries.
        rng: Gives a source of randomness for each purpose.
        node: Name of the server process.
    """
    return Journal(clock, rng("request ids"), node=node, run=rng("journal").token_bytes(RUN_ID_BYTES).hex())


def _shortened(text: str) -> str:
    return text[: MAX_FIELD_CHARACTERS if text.isascii() else MAX_WIDE_CHARACTERS]
