"""What the rules about connections and ends need of the store: concerns that all rooms share; knows no database."""

from typing import Protocol

from interop_server.core.shared_store import AccountStore, MailboxStore


class StoreForConnection(Protocol):
    """The concerns of the store that this room uses."""

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def mailbox(self) -> MailboxStore: ...
