"""The deletion of an account by its user; knows no wire format."""

from dataclasses import dataclass

from interop_server.core.connection.store import StoreForConnection
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account
from interop_server.core.ports import Connections


@dataclass(frozen=True, slots=True)
class AccountDeletion:
    """Deletes third-party accounts. Source: LIF-03."""

    store: StoreForConnection
    connections: Connections

    async def delete(self, account: Account) -> None:
        """Deletes a third-party account and ends its connection (LIF-03).

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER.
        """
        if account.is_whatsapp:
            raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER, requirement="LIF-03")
        await self.store.accounts.delete(account.account_id)
        self.connections.end(account.account_id, Reason.NOT_ENLISTED)
