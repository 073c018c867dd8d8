"""The store as a whole: everything that outlives the process, concern by concern; knows no database.

Each concern is an interface beside its rules: in the `store.py` of a room, or in `shared_store.py` when several rooms
share it. An engine, a folder of `interop_server.storage`, implements all of them.

What holds for every call:

- It is one transaction, unless it says otherwise. When it returns, it happened completely and is durable; otherwise it
  did not happen at all.
- A call that writes to several concerns belongs to the concern that owns its rule, and says what else it writes.
- It sees every call that returned before it was made. Calls under way at the same time run in any order, except where a
  concern says more.
- What expires is deleted with `most` rows at once: a sweep takes as many steps as it needs, and lets others in between.
- `get` never changes state, `take` consumes, `put` inserts or replaces, `add` fails when present, `delete` is
  idempotent. `list_all` and `list_…` return what there is, which may be nothing.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from interop_server.core.abuse.store import (
    AuditStore,
    BlocklistStore,
    NewChatStore,
    PendingChallenges,
    ReportStore,
    StandingStore,
)
from interop_server.core.consent.store import ChatStore, OptInStore, ReachabilityStore, RouteStore
from interop_server.core.keys.store import PreKeyStore
from interop_server.core.media.store import MediaStore
from interop_server.core.operator.store import PastStore
from interop_server.core.ratelimit import Buckets
from interop_server.core.shared_store import AccountStore, MailboxStore, PartnerStore, SecretStore, SentMessageStore


@dataclass(frozen=True, eq=False)
class Store(ABC):
    """All concerns. A rule takes those that it needs: see, for example, `StoreForMessaging`."""

    partners: PartnerStore
    accounts: AccountStore
    prekeys: PreKeyStore
    opt_in: OptInStore
    routes: RouteStore
    chats: ChatStore
    reachability: ReachabilityStore
    mailbox: MailboxStore
    sent: SentMessageStore
    media: MediaStore
    blocklist: BlocklistStore
    new_chats: NewChatStore
    standing: StandingStore
    reports: ReportStore
    audit: AuditStore
    past: PastStore
    secrets: SecretStore

    @property
    def buckets(self) -> Buckets | None:
        """Where rates are counted that all nodes of a world share; None for a process that is alone, and counts."""
        return None

    @property
    def challenges(self) -> PendingChallenges | None:
        """Where challenges wait that any node of a world takes the answer to; None for a process that is alone."""
        return None

    @abstractmethod
    async def count_rows(self) -> dict[str, int]:
        """Rows by table."""

    @abstractmethod
    async def check(self) -> None:
        """Finds out whether the database is still in its place, and, if it has failed, whether it works again."""

    @abstractmethod
    async def close(self) -> None:
        """Finishes the calls in progress, and closes the database."""
