"""Blobs without a row, as a kill between the two leaves them: finds and deletes them; knows no path and no expiry."""

import hashlib

from interop_server.core.limits import DAY_MS
from interop_server.core.media.store import StoreForMedia
from interop_server.core.ports import BlobStore
from interop_server.core.sweeps import STEP, Sweep


class Strays:
    """Blobs that no row names: nobody has a path to them.

    To find them takes a look at every blob and every row. So it is done after a start, and then once a day if something
    was uploaded, or may have been at another node.
    """

    def __init__(self, store: StoreForMedia, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs
        self.may_be_some = True
        """False when there is certainly none: nothing was stored since all were looked at."""

    def sweep(self, kept_ms: int) -> Sweep:
        """Returns the sweep that deletes them so long after they were stored (MED-07)."""
        return Sweep("stray_blobs", "MED-07", kept_ms, self._oldest_ms, self._delete, max(kept_ms, DAY_MS))

    async def _oldest_ms(self) -> int | None:
        if not self.may_be_some and not self._blobs.is_shared:
            return None
        self.may_be_some = False  # before looking: an upload that ends meanwhile sets it again
        try:
            strays = await self._find()
        except BaseException:
            self.may_be_some = True
            raise
        self.may_be_some |= bool(strays)
        return min(strays.values(), default=None)

    async def _delete(self, before_ms: int, most: int) -> int:
        old = [(name, stored_ms) for name, stored_ms in (await self._find()).items() if stored_ms < before_ms]
        taken = 0
        for name, stored_ms in old[:most]:
            async with self._blobs.hold(name):
                taken += await self._blobs.delete(name, stored_ms + 1)
        return taken

    async def _find(self) -> dict[str, int]:
        # Blobs before rows: whatever is not held then, and gets a row at all, has it already.
        strays, after = await self._blobs.list_stored(), (-1, b"")
        while strays and (keys := await self._store.media.list_keys(after, STEP)):
            for owner_id, sha256 in keys:
                strays.pop(blob_name(owner_id, sha256), None)
            after = keys[-1]
        return strays


def blob_name(owner_id: int, sha256: bytes) -> str:
    """Returns the name of an account's blob in the blob store: 64 hexadecimal digits.

    It is the account's own, so that nobody blocks, spoils or finds out about what somebody else uploads.
    """
    return hashlib.sha256(owner_id.to_bytes(8, "big") + sha256).hexdigest()
