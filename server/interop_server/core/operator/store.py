"""What the operator's rules need of the store; knows no database."""

from typing import Protocol

from interop_server.core.consent.store import OptInStore
from interop_server.core.shared_store import AccountStore, MailboxStore, PartnerStore


class PastStore(Protocol):
    """What the server must remember of its own past."""

    async def take_start_number(self) -> int:
        """Counts a start: 1 for the first start, and no number twice."""
        ...

    async def note_time(self, ms: int, ahead_ms: int) -> None:
        """Remembers the time of the server's clock, or that to which it is about to move, and how far it runs ahead.

        Args:
            ms: The time: no restart leads back behind it.
            ahead_ms: By how much the clock runs ahead of the machine's.
        """
        ...

    async def get_time_ahead_ms(self) -> int:
        """How far the clock ran ahead of the machine's when it was set last; 0 when it stood still or was never set."""
        ...

    async def get_time_floor_ms(self) -> int:
        """The later of the remembered time and the timestamps of stored and sent messages (MSG-14); 0 if none."""
        ...


class StoreForOperator(Protocol):
    """The concerns of the store that this room uses."""

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def mailbox(self) -> MailboxStore: ...

    @property
    def opt_in(self) -> OptInStore: ...

    @property
    def partners(self) -> PartnerStore: ...

    @property
    def past(self) -> PastStore: ...
