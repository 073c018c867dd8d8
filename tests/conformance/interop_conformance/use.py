"""What of the contract a client was seen to use: the calls that it made, the stanzas that it sent and took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from interop_api.admin.v1alpha1 import journal_pb2
from interop_conformance.record import Stanza

_NOT_ITS_OWN = frozenset({"client_closed"})
"""Stanzas on a client's channel that its messenger's proxy sends."""
_WITH_EVENTS = "notification"


@dataclass(frozen=True, slots=True)
class Use:
    """What a client used, as a simulator saw it."""

    calls: set[str] = field(default_factory=set)
    """What the simulator accepted of it, as the journal calls it: `Service.Method` for calls."""
    sent: set[str] = field(default_factory=set)
    """Kinds of what it sent over the chat channel, as `TraceEntry.kind`."""
    taken: set[str] = field(default_factory=set)
    """Kinds of what it was sent there; of notifications also each event, as in `notification.prekeys_low`."""

    def add(self, journal: Iterable[journal_pb2.JournalEntry], wire: Iterable[Stanza]) -> None:
        """Adds what stands in the journal and on the wire of its accounts. What a fault did does not count."""
        for entry in journal:
            if entry.outcome == journal_pb2.JOURNAL_OUTCOME_ACCEPTED and not entry.fault:
                self.calls.add(entry.action)
        for stanza in wire:
            if not stanza.is_from_client:
                self.taken.add(stanza.kind)
                if stanza.kind == _WITH_EVENTS:
                    events = (name for name, value in stanza.fields.items() if isinstance(value, dict))
                    self.taken.update(f"{_WITH_EVENTS}.{event}" for event in events)
            elif stanza.kind not in _NOT_ITS_OWN:
                self.sent.add(stanza.kind)

    def as_lists(self) -> Mapping[str, Sequence[str]]:
        """Returns it for a report."""
        return {"calls": sorted(self.calls), "sent": sorted(self.sent), "taken": sorted(self.taken)}
