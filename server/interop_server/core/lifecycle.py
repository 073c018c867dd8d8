"""The end of accounts, and what is swept away with time; knows no timer."""

from dataclasses import dataclass
from typing import Protocol

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.model import Account
from interop_server.core.ports import AccountStore, BlobStore, Clock, Connections, MediaStore, RoutingStore


class LifecycleStore(AccountStore, RoutingStore, MediaStore, Protocol):
    """What the lifecycle needs of the store."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Deletes accounts and what has expired. Source: LIF-03, MSG-07, MED-07."""

    store: LifecycleStore
    blobs: BlobStore
    connections: Connections
    clock: Clock
    limits: Limits

    async def delete_account(self, account: Account) -> None:
        """Deletes a third-party account and ends its connection (LIF-03).

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER.
        """
        if account.is_whatsapp:
            raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER)
        await self.store.delete_account(account.account_id)
        self.connections.end(account.account_id, Reason.NOT_ENLISTED)

    async def sweep(self) -> None:
        """Deletes mailbox items, blobs and unfinished uploads whose time has passed (MSG-07, MED-07).

        What a blob was stays known until its metadata goes too, so that its path answers "expired" and not "unknown".
        """
        now_ms = self.clock.now_ms()
        await self.store.delete_expired(now_ms - self.limits.mailbox_ms)
        for blob in await self.store.list_expired_media(now_ms):
            await self.blobs.delete(blob.sha256.hex())
        await self.blobs.delete_stale_uploads(now_ms - self.limits.stale_upload_seconds * SECOND_MS)
