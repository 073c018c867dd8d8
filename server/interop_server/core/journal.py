"""What the server decided, in order, and why; knows no wire format, no file and no reader.

An entry never holds a secret, a token, a key, a ciphertext or anything that a person wrote. Callers give only
addresses, ids, names of rules and numbers.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from interop_server.core.errors import Refusal
from interop_server.core.newest import DEFAULT_NODE, RUN_ID_BYTES, Newest, Origin
from interop_server.core.ports import Clock, Rng

MAX_ENTRIES = 100_000
"""Entries that are kept; policy. Older entries are forgotten."""
MAX_FIELD_CHARACTERS = 320
"""Longest text of a field; policy. Names come from outside."""
MAX_WIDE_CHARACTERS = 80
"""Longest text that is not ASCII, of which each character may take four times the memory."""
REQUEST_ID_BYTES = 8

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

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
MESSAGE = "stanza.message"
"""Action of decisions about a message that was sent. Their subject is its id."""

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
    """What decisions about the same action of the same actor have in common, except the subject."""

    outcome: Outcome
    requirement: str
    cause: str
    detail: str


class Journal(Newest[JournalEntry]):
    """The newest decisions, in memory. Recording must be cheap: every message is recorded.

    Source: SIM-07, OPT-09; clients quote request ids, and the journal explains those refusals.

    Args:
        clock: Gives the time of entries.
        rng: Makes request ids.
        capacity: Most entries that are kept.
        origin: Who decides.
    """

    def __init__(self, clock: Clock, rng: Rng, capacity: int = MAX_ENTRIES, origin: Origin | None = None) -> None:
        origin = origin or Origin()
        super().__init__("journal", JournalEntry._make, capacity, origin)
        self._clock = clock
        self._rng = rng
        self._run = origin.run
        self._unrecorded = 0

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

    def record_all(self, actor: str, action: str, decisions: Iterable[tuple[str, Decision]]) -> None:
        """Records decisions that were made together and are not refusals, each with its subject. See `record`."""
        now_ms, number, entries, fault = self._clock.now_ms(), self._number, self._entries, _FAULT.get()
        for subject, (outcome, requirement, cause, detail) in decisions:
            number += 1
            fields = (number, now_ms, actor, action, subject, outcome, requirement, "", cause, detail, "", fault)
            entries.append(fields)
            if self._readers:
                self._tell(fields)
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
            self._tell(entry)

    def count_naming(self, name: str) -> int:
        """Returns how many kept entries name an actor or subject."""
        return sum(name in (entry.actor, entry.subject) for entry in map(JournalEntry._make, self._entries))

    def find(self, name: str) -> JournalEntry | None:
        """Returns the newest kept refusal of a request id, or else the newest decision about a message of that id."""
        about_message: JournalEntry | None = None
        for entry in map(JournalEntry._make, reversed(self._entries)):
            if entry.request_id == name and entry.outcome == "refused":
                return entry
            if about_message is None and entry.subject == name and entry.action == MESSAGE:
                about_message = entry
        return about_message


def open_journal(clock: Clock, rng: Callable[[str], Rng], node: str = DEFAULT_NODE) -> Journal:
    """Returns the journal of one start of a node.

    Args:
        clock: Gives the time of entries.
        rng: Gives a source of randomness for each purpose.
        node: Name of the server process.
    """
    origin = Origin(node, rng("journal").token_bytes(RUN_ID_BYTES).hex())
    return Journal(clock, rng("request ids"), origin=origin)


def _shortened(text: str) -> str:
    return text[: MAX_FIELD_CHARACTERS if text.isascii() else MAX_WIDE_CHARACTERS]
