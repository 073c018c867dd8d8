"""What a node is about to tell the others: gathered while an announcement is on its way, sent as few; knows no bus."""

from collections.abc import Iterator
from itertools import islice

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.model import PreKeyCounts, PreKeyKind

MOST_WAKES, MOST_OTHERS = 10_000, 1_000
"""What one announcement has at most: NATS takes a megabyte by default."""
_MOST_WAITING = 10_000
"""Indicators and notices that wait for the bus at most: what is more is not sent. Nobody is without for that."""


class Outgoing:
    """What waits to be told, each thing once."""

    def __init__(self) -> None:
        self.look = False
        """Whether others must look at what connections the database has."""
        self._wakes: dict[int, None] = {}
        self._shown: list[bus_pb2.ShownIndicator] = []
        self._few: dict[int, bus_pb2.FewPreKeys] = {}
        self._enough: dict[int, bus_pb2.EnoughPreKeys] = {}

    def __bool__(self) -> bool:
        return bool(self.look or self._wakes or self._shown or self._few or self._enough)

    def wake(self, account_id: int) -> None:
        """Has the mailbox of an account be looked at where it is connected."""
        self._wakes[account_id] = None

    def show(self, shown: bus_pb2.ShownIndicator) -> bool:
        """Has an indicator be shown; False when too much waits."""
        if len(self._shown) >= _MOST_WAITING:
            return False
        self._shown.append(shown)
        return True

    def few_prekeys(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Has an account be told that few prekeys are left."""
        notice = bus_pb2.FewPreKeys(account_id=account_id, one_time=counts.one_time, kem=counts.kem, few=_kinds_to(few))
        if len(self._few) < _MOST_WAITING:
            self._few[account_id] = notice

    def enough_prekeys(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        """Has an account be told again when few prekeys are left."""
        if len(self._enough) < _MOST_WAITING:
            self._enough[account_id] = bus_pb2.EnoughPreKeys(account_id=account_id, enough=_kinds_to(kinds))

    def take(self) -> Iterator[bus_pb2.Announcement]:
        """Takes all that waits, in announcements without sender and number."""
        look, self.look = self.look, False
        wakes, self._wakes = iter(self._wakes), {}
        shown, self._shown = iter(self._shown), []
        few, self._few = iter(self._few.values()), {}
        enough, self._enough = iter(self._enough.values()), {}
        while True:
            announcement = bus_pb2.Announcement(
                look=look,
                wakes=islice(wakes, MOST_WAKES),
                shown=islice(shown, MOST_OTHERS),
                few_prekeys=islice(few, MOST_OTHERS),
                enough_prekeys=islice(enough, MOST_OTHERS),
            )
            if not announcement.ByteSize():
                return
            yield announcement
            look = False


def _kinds_to(kinds: frozenset[PreKeyKind]) -> bus_pb2.PreKeyKinds:
    return bus_pb2.PreKeyKinds(one_time=PreKeyKind.ONE_TIME in kinds, kem=PreKeyKind.KEM in kinds)


def kinds_from(kinds: bus_pb2.PreKeyKinds) -> frozenset[PreKeyKind]:
    """Returns the kinds of prekeys that a message names."""
    named = ((PreKeyKind.ONE_TIME, kinds.one_time), (PreKeyKind.KEM, kinds.kem))
    return frozenset(kind for kind, is_named in named if is_named)
