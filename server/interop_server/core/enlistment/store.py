"""What the rules about enlistment need of the store: concerns that all rooms share; knows no database."""

from typing import Protocol

from interop_server.core.shared_store import AccountStore, PartnerStore


class StoreForEnlistment(Protocol):
    """The concerns of the store that this room uses."""

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def partners(self) -> PartnerStore: ...
