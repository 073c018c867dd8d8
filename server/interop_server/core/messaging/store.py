"""What the rules about messages need of the store: concerns that lower rooms describe; knows no database."""

from typing import Protocol

from interop_server.core.abuse.store import NewChatStore
from interop_server.core.consent.store import ChatStore, StoreForRoutes
from interop_server.core.shared_store import MailboxStore, SentMessageStore


class StoreForMessaging(StoreForRoutes, Protocol):
    """The concerns of the store that this room uses."""

    @property
    def chats(self) -> ChatStore: ...

    @property
    def mailbox(self) -> MailboxStore: ...

    @property
    def new_chats(self) -> NewChatStore: ...

    @property
    def sent(self) -> SentMessageStore: ...
