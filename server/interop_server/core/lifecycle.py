"""The end of accounts, and what is swept away with time; knows no timer."""

from typing import Protocol

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, SECOND_MS, Limits
from interop_server.core.model import Account
from interop_server.core.ports import AccountStore, BlobStore, Clock, Connections, MediaStore, RoutingStore


class LifecycleStore(AccountStore, RoutingStore, MediaStore, Protocol):
    """What the lifecycle needs of the store."""


class Lifecycle:
    """Deletes accounts and what has expired. Source: LIF-03, MSG-07, MED-07."""

    def __init__(
        self, store: LifecycleStore, blobs: BlobStore, connections: Connections, clock: Clock, limits: Limits
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._connections = connections
        self._clock = clock
        self._limits = limits
        self._swept_until_ms = 0

    async def delete_account(self, account: Account) -> None:
        """Deletes a third-party account and ends its connection (LIF-03).

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER.
        """
        if account.is_whatsapp:
            raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER)
        await self._store.delete_account(account.account_id)
        self._connections.end(account.account_id, Reason.NOT_ENLISTED)

    async def sweep(self) -> None:
        """Deletes mailbox items, blobs and unfinished uploads whose time has passed (MSG-07, MED-07).

        That a blob was there stays known as long again as it was kept, so that its path answers "expired" and not
        "unknown" (MED-04).
        """
        now_ms = self._clock.now_ms()
        await self._store.delete_expired(now_ms - self._limits.mailbox_ms)
        for blob in await self._store.list_expired_media(self._swept_until_ms, now_ms):
            known = await self._store.get_media_by_sha256(blob.sha256)
            if known is not None and known.expires_at_ms < now_ms:  # or else somebody has just uploaded it again
                await self._blobs.delete(blob.sha256.hex())
        self._swept_until_ms = now_ms
        await self._store.delete_media(now_ms - self._limits.media_days * DAY_MS)
        await self._blobs.delete_stale_uploads(now_ms - self._limits.stale_upload_seconds * SECOND_MS)
