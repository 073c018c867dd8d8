"""What the rules about consent need of the store; knows no database."""

from collections.abc import Sequence
from typing import Protocol

from interop_server.core.messages import Chat, MailboxItem, RequestAnswer, RouteFacts
from interop_server.core.model import (
    Account,
    InboxMode,
    InteropSettings,
    PingBounds,
    PingFacts,
    PingFate,
    ReachabilitySettings,
)
from interop_server.core.shared_store import AccountStore, PartnerStore


class PingsUsedUp(Exception):
    """A sender has sent as many reachability pings as the limits allow (OPT-12).

    Args:
        first_at_ms: When the ping was sent that must stop counting before the sender may send another.
    """

    def __init__(self, first_at_ms: int) -> None:
        super().__init__(first_at_ms)
        self.first_at_ms = first_at_ms


class RouteStore(Protocol):
    """The facts that decide whether a sender may reach a recipient.

    Both calls only read. Calls that wait at the same time are answered in one query.
    """

    async def get_facts(self, sender: Account, jids: Sequence[str]) -> dict[str, RouteFacts]:
        """Facts of the existing accounts among the JIDs, by JID, as seen from the sender."""
        ...

    async def look_up(self, sender: Account, users: Sequence[tuple[int, str]]) -> list[RouteFacts | None]:
        """The same for accounts named by (integrator, external_id), one for each; None where no account exists.

        Costs the same for each of them: it does not count waiting items, so the mailbox figures are 0 (OPT-09).
        """
        ...


class OptInStore(Protocol):
    """WhatsApp users' choices about third-party chats.

    Opting in for a partner answers the reachability pings of its users: `put` and `put_enabled` end those too.
    """

    async def get(self, account_id: int) -> InteropSettings: ...

    async def put_terms(self, account_id: int, *, accepted: bool, now_ms: int) -> None:
        """Records terms shown (accepted False) or accepted (True)."""
        ...

    async def put(self, account_id: int, integrators: Sequence[int]) -> None:
        """Turns third-party chats on for exactly these partners."""
        ...

    async def delete(self, account_id: int, integrators: Sequence[int]) -> None: ...

    async def put_enabled(self, account_id: int, enabled: bool) -> None: ...

    async def put_inbox_mode(self, account_id: int, inbox_mode: InboxMode) -> None: ...


class ChatStore(Protocol):
    """Chats between WhatsApp users and third-party users. `MailboxStore.put` opens them."""

    async def list_page(self, account_id: int, before: tuple[int, str] | None, limit: int) -> list[Chat]:
        """A WhatsApp user's chats, newest message first, then by JID; `before` is (last_message_at_ms, peer_jid)."""
        ...

    async def delete(self, account_id: int, peer_jid: str) -> None:
        """Removes a chat from the list. The state of the first contact is kept (OPT-14)."""
        ...

    async def put_answers(self, answers: Sequence[RequestAnswer]) -> None:
        """Changes the state of first contacts; without a chat between the two users, nothing changes.

        A trusted-contact mark is put if it ends later than the earlier one; then its notification goes into the mailbox
        of the third-party user. Otherwise neither is put.
        """
        ...


class ReachabilityStore(Protocol):
    """Reachability pings, and which of them WhatsApp users let through."""

    async def get(self, account_id: int) -> ReachabilitySettings: ...

    async def put(self, account_id: int, settings: ReachabilitySettings) -> None: ...

    async def get_ping_facts(self, sender: Account, phone_number: str) -> PingFacts:
        """Facts of the WhatsApp user with a number, as seen from the sender; same work without such a user (OPT-11)."""
        ...

    async def put_ping(
        self, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
    ) -> PingFate:
        """Counts a ping, and delivers its notification if there is one and the bounds allow it.

        A dropped ping is counted and kept like a delivered one, but without its recipient. A delivered ping also writes
        the notification into the recipient's mailbox.

        Raises:
            PingsUsedUp: The sender has sent as many as the bounds allow. Nothing changed.
        """
        ...

    async def oldest_ping_ms(self) -> int | None:
        """When the oldest kept ping was sent."""
        ...

    async def delete_expired_pings(self, before_ms: int, most: int) -> int:
        """Forgets pings that were sent before that, and returns how many."""
        ...


class StoreForRoutes(Protocol):
    """Which concerns of the store decide whether one account may reach another; rooms above this one use it too."""

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def opt_in(self) -> OptInStore: ...

    @property
    def routes(self) -> RouteStore: ...


class StoreForConsent(StoreForRoutes, Protocol):
    """The concerns of the store that this room uses."""

    @property
    def chats(self) -> ChatStore: ...

    @property
    def partners(self) -> PartnerStore: ...

    @property
    def reachability(self) -> ReachabilityStore: ...
