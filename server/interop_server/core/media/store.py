"""What the rules about media need of the store; knows no database and no blob."""

from typing import Protocol

from interop_server.core.model import MediaBlob
from interop_server.core.shared_store import PartnerStore, SecretStore


class MediaStore(Protocol):
    """What is known about uploaded blobs."""

    async def put(self, blob: MediaBlob) -> MediaBlob:
        """Adds a blob; if its owner has one with this hash, extends its expiry and returns it with its own path."""
        ...

    async def get(self, direct_path: str) -> MediaBlob | None: ...

    async def get_own(self, owner_id: int, sha256: bytes) -> MediaBlob | None:
        """The blob with this hash that the account has uploaded; others' are none."""
        ...

    async def list_keys(self, after: tuple[int, bytes], most: int) -> list[tuple[int, bytes]]:
        """Owner and hash of the first blobs after those two of another one, in their order."""
        ...

    async def list_expired(self, after: tuple[int, str], before_ms: int, most: int) -> list[MediaBlob]:
        """The first of the blobs that expire before a time, by expiry and path, after those two of another blob."""
        ...

    async def next_expiry_ms(self, from_ms: int) -> int | None:
        """The earliest expiry of a blob from that time on; None without such a blob."""
        ...

    async def delete_expired(self, before_ms: int, most: int) -> int:
        """Forgets blobs whose expiry lies before that, and returns how many."""
        ...


class StoreForMedia(Protocol):
    """The concerns of the store that this room uses."""

    @property
    def media(self) -> MediaStore: ...

    @property
    def partners(self) -> PartnerStore: ...

    @property
    def secrets(self) -> SecretStore: ...
