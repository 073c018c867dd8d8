"""The faults that are ordered now: which of them meets what passes an edge, and how often; carries out nothing.

Source: SIM-01. The rules stay honest: what a fault does is done where the server meets others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from interop_protocol.jid import JidError, parse_jid
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_checks import MAX_FAULTS, REQUIREMENT, checked_all
from interop_server.core.fault_rules import ANY_STANZA, Action, Catalogue, Direction, FaultRule, word_of
from interop_server.core.journal import ANONYMOUS, Journal
from interop_server.core.model import ConnectionMode

MAX_REMEMBERED = 1_000
"""Names of faults that were cleared before they had done anything; policy."""


class Event(NamedTuple):
    """Something that passes an edge of the server."""

    name: str
    """Of a call, as the journal has it, or of a kind of stanza."""
    direction: Direction
    is_stanza: bool = False
    actor: str = ""
    """JID; empty before the caller is known."""
    peers: Sequence[str] = ()
    """JIDs of those whom it is about."""
    integrator: int = 0
    """Of a request to a partner's server."""
    mode: ConnectionMode | None = None
    requirement: str = ""
    """On which an answer rests that is a refusal."""


class Fired(NamedTuple):
    """A fault that meets an event."""

    rule: FaultRule
    number: int
    """How often it has, from 1."""

    @property
    def action(self) -> Action:
        """What is to be done."""
        return self.rule.action

    @property
    def name(self) -> str:
        """Of the rule."""
        return self.rule.name

    def drawn(self, purpose: str, below: int) -> int:
        """Returns a number that follows from the seed of the rule and from how often it has fired."""
        return self.rule.drawn(purpose, self.number, below)


@dataclass(slots=True)
class Ordered:
    """A fault with what became of it."""

    rule: FaultRule
    matched: int = 0
    """How often something fitted."""
    fired: int = 0
    """How often it was done."""


class Faults:
    """The faults of one server, in the order in which they were added. All of it is in memory.

    Args:
        journal: Says what they do.
        catalogue: Returns what there is on the edges.
    """

    def __init__(self, journal: Journal, catalogue: Callable[[], Catalogue]) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._ordered: dict[str, Ordered] = {}
        self._idle: dict[str, None] = {}
        self.is_on = False
        """Whether there is any: all that is asked where there is none."""

    def add(self, rules: Sequence[FaultRule]) -> list[FaultRule]:
        """Adds faults, all or none, and returns them with the names that they have.

        Raises:
            Refusal: REQUEST_MALFORMED, ALREADY_REGISTERED or TOO_MANY_ITEMS; fields begin with `faults[n]`.
        """
        added = checked_all(rules, self._catalogue(), self._ordered)
        if len(self._ordered) + len(added) > MAX_FAULTS:
            detail = f"there are {len(self._ordered)} faults, and at most {MAX_FAULTS}: clear some first"
            raise Refusal(Reason.TOO_MANY_ITEMS, detail, field="faults", requirement=REQUIREMENT)
        self._ordered |= {rule.name: Ordered(rule) for rule in added}
        self.is_on = True
        return list(added)

    def ordered(self) -> list[Ordered]:
        """Returns all faults, in the order in which they were added."""
        return list(self._ordered.values())

    def named(self, name: str) -> Ordered:
        """Returns a fault.

        Raises:
            Refusal: NOT_REGISTERED.
        """
        if name not in self._ordered:
            detail = "there is no fault of this name: `interopsim faults list` shows all"
            raise Refusal(Reason.NOT_REGISTERED, detail, field="name", requirement=REQUIREMENT)
        return self._ordered[name]

    def stands(self, rule: FaultRule) -> bool:
        """Says whether a fault has not been cleared."""
        return rule.name in self._ordered and self._ordered[rule.name].rule is rule

    def clear(self, names: Sequence[str]) -> list[Ordered]:
        """Removes faults, all without names, and returns what became of them.

        Raises:
            Refusal: NOT_REGISTERED; then nothing is removed.
        """
        cleared = [self.named(name) for name in dict.fromkeys(names)] if names else self.ordered()
        for each in cleared:
            del self._ordered[each.rule.name]
            if not each.fired and len(self._idle) < MAX_REMEMBERED:
                self._idle[each.rule.name] = None
            elif each.fired:
                self._idle.pop(each.rule.name, None)
        self.is_on = bool(self._ordered)
        return cleared

    def never_fired(self) -> list[str]:
        """Returns the names of the faults that have done nothing since the start, also of those that were cleared."""
        fired = {name for name, each in self._ordered.items() if each.fired}
        idle = dict.fromkeys(name for name, each in self._ordered.items() if not each.fired)
        return [name for name in {**self._idle, **idle} if name not in fired]

    def meet(self, event: Event) -> Fired | None:
        """Returns the first fault that something meets now, and records it. Every fault that fits counts it."""
        found: Fired | None = None
        for each in self._ordered.values():
            if not _fits(each.rule, event):
                continue
            each.matched += 1
            if found is None and self._is_due(each):
                each.fired += 1
                found = Fired(each.rule, each.fired)
        if found is not None:
            self._record(found, event)
        return found

    def _is_due(self, each: Ordered) -> bool:
        rule = each.rule
        if each.matched < rule.match.nth or (rule.times is not None and each.fired >= rule.times):
            return False
        return rule.drawn("chance", each.matched, 100) < rule.chance_percent

    def _record(self, fired: Fired, event: Event) -> None:
        kind = "stanza" if event.is_stanza else "call"
        way = event.direction.name.lower().replace("_", " ")
        self._journal.record(
            event.actor or ANONYMOUS,
            f"fault.{word_of(fired.action)}",
            "done",
            event.peers[0] if len(event.peers) == 1 else "",
            detail=f"{kind} {event.name} {way}",
            fault=fired.name,
        )


def _fits(rule: FaultRule, event: Event) -> bool:
    match = rule.match
    name = match.stanza if event.is_stanza else match.call
    return (
        (name == event.name or (event.is_stanza and name == ANY_STANZA))
        and rule.direction is event.direction
        and match.actor in ("", event.actor)
        and (not match.peer or match.peer in event.peers)
        and match.mode in (None, event.mode)
        and match.requirement in ("", event.requirement)
        and (not match.integrator or match.integrator in _integrators(event))
    )


def _integrators(event: Event) -> set[int]:
    found = {event.integrator}
    for jid in (event.actor, *event.peers):
        try:
            found.add(parse_jid(jid).integrator)
        except JidError:
            continue
    return found
