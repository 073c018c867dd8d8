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
        """Remembers a time that the server's clock has shown, and how far it runs ahead of the machine's clock.

        A time before the remembered one changes only how far it runs ahead.
        """
        ...

    async def get_time_ahead_ms(self) -> int:
        """How far the clock ran ahead of the machine's when it was set last; 0 when it stood still or was never set."""
        ...

    async def get_time_floor_ms(self) -> int:
        """The latest of the remembered time and the timestamps of stored and sent messages (MSG-14); 0 if none."""
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
