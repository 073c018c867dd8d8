"""The end of accounts, and what is swept away with time; knows no timer."""

from typing import Protocol

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, SECOND_MS, Limits
from interop_server.core.messaging.mailbox import kept_since_ms
from interop_server.core.model import Account
from interop_server.core.ports import BlobStore, Clock, Connections
from interop_server.core.stores import AccountStore, MediaStore, RoutingStore
from interop_server.core.sweeps import Sweep


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
        """Blobs that expired earlier are gone already."""

    async def delete_account(self, account: Account) -> None:
        """Deletes a third-party account and ends its connection (LIF-03).

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER.
        """
        if account.is_whatsapp:
            raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER)
        await self._store.delete_account(account.account_id)
        self._connections.end(account.account_id, Reason.NOT_ENLISTED)

    def sweeps(self) -> tuple[Sweep, ...]:
        """What goes with time (MSG-07, MED-07).

        That a blob was there stays known as long again as it was kept, so that its path answers "expired" and not
        "unknown" (MED-04).
        """
        media_ms = self._limits.media_days * DAY_MS
        upload_ms = self._limits.stale_upload_seconds * SECOND_MS
        return (
            Sweep("mailbox_items", "MSG-07", self._limits.mailbox_ms, self._next_item_due_ms, self._sweep_mailbox),
            Sweep("sent_messages", "MSG-04", self._limits.sent_message_ms, self._next_sent_due_ms, self._sweep_sent),
            Sweep("blobs", "MED-07", media_ms, self._next_blob_due_ms, self._sweep_blobs),
            Sweep("blob_traces", "MED-04", 2 * media_ms, self._next_trace_due_ms, self._sweep_traces),
            Sweep("unfinished_uploads", "MED-07", upload_ms, self._next_upload_due_ms, self._sweep_uploads),
        )

    async def _next_item_due_ms(self) -> int | None:
        return _after(await self._store.oldest_timestamp_ms(), self._limits.mailbox_ms)

    async def _sweep_mailbox(self, now_ms: int) -> int:
        return await self._store.delete_expired(kept_since_ms(now_ms, self._limits))

    async def _next_sent_due_ms(self) -> int | None:
        return _after(await self._store.oldest_sent_ms(), self._limits.sent_message_ms)

    async def _sweep_sent(self, now_ms: int) -> int:
        return await self._store.delete_sent(now_ms - self._limits.sent_message_ms + 1)

    async def _next_blob_due_ms(self) -> int | None:
        return await self._store.next_media_expiry(self._swept_until_ms)

    async def _sweep_blobs(self, now_ms: int) -> int:
        expired = await self._store.list_expired_media(self._swept_until_ms, now_ms + 1)
        for blob in expired:
            known = await self._store.get_media_by_sha256(blob.sha256)
            if known is not None and known.expires_at_ms <= now_ms:  # or else somebody has just uploaded it again
                await self._blobs.delete(blob.sha256.hex())
        self._swept_until_ms = now_ms + 1
        return len(expired)

    async def _next_trace_due_ms(self) -> int | None:
        return _after(await self._store.next_media_expiry(0), self._limits.media_days * DAY_MS)

    async def _sweep_traces(self, now_ms: int) -> int:
        return await self._store.delete_media(now_ms - self._limits.media_days * DAY_MS + 1)

    async def _next_upload_due_ms(self) -> int | None:
        return _after(await self._blobs.oldest_upload_ms(), self._limits.stale_upload_seconds * SECOND_MS)

    async def _sweep_uploads(self, now_ms: int) -> int:
        return await self._blobs.delete_stale_uploads(now_ms - self._limits.stale_upload_seconds * SECOND_MS + 1)


def _after(time_ms: int | None, delay_ms: int) -> int | None:
    return None if time_ms is None else time_ms + delay_ms
