"""Uploads, downloads and the media proxy: what is allowed and where bytes come from; knows no HTTP and no file.

The server moves ciphertext only: no call here takes or returns a key (MED-01).
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from interop_protocol.encoding import decode_base64url, encode_base64url
from interop_protocol.sizes import SHA256_BYTES
from interop_server.core.consent.optin import require_whatsapp
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, SECOND_MS, Limits
from interop_server.core.media.allowance import Allowance
from interop_server.core.media.grants import Grants
from interop_server.core.media.store import StoreForMedia
from interop_server.core.media.strays import Strays, blob_name
from interop_server.core.model import Account, MediaBlob, PartnerStatus
from interop_server.core.ports import BlobStore, BlobWriter, Clock, PartnerMediaSource, Rng
from interop_server.core.ratelimit import SharedRate
from interop_server.core.sweeps import Sweep

UPLOAD_PREFIX = "/v/t"
PROXY_PREFIX = "/interop/whatsapp/download/"
_STORAGE_REFERENCE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,255}")
_PATH_BYTES = 24
_PATH_CHARACTERS = 32
"""Of `_PATH_BYTES` in base64url."""
_CHECK_CHARACTERS = 8
_INTEGRATOR = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(slots=True)
class _SweptUntil:
    """How far the sweep of blobs has come."""

    until_ms: int = 0
    """Blobs that expired earlier are already deleted."""
    last: str = ""
    """And of those that expired just then, the ones with a path up to this."""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What a client declares before it uploads (MED-07)."""

    auth: str
    token: str
    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Download:
    """A blob, or a range of one, that is being downloaded."""

    total_bytes: int | None
    """Length of the whole blob; None when a partner's server does not say."""
    offset: int
    length: int | None
    """How many bytes follow; None when unknown."""
    chunks: AsyncIterator[bytes]


class Upload:
    """One upload in progress: receives chunks, then is finished or suspended."""

    def __init__(
        self, media: "Media", account: Account, request: UploadRequest, writer: BlobWriter, allowance: Allowance
    ) -> None:
        self._media = media
        self._account = account
        self._request = request
        self._writer = writer
        self._allowance = allowance

    async def write(self, chunk: bytes | memoryview) -> None:
        """Appends a chunk.

        Raises:
            Refusal: UPLOAD_LENGTH_MISMATCH when the chunk exceeds the declared length; the upload is discarded.
        """
        if self._writer.committed_bytes + len(chunk) > self._request.length:
            await self._discard()
            raise Refusal(Reason.UPLOAD_LENGTH_MISMATCH, f"more than the declared {self._request.length} bytes came")
        await self._writer.write(chunk)

    async def finish(self) -> str:
        """Checks length and hash, makes the blob durable and returns its path.

        Raises:
            Refusal: UPLOAD_LENGTH_MISMATCH, and the received bytes are kept for a resumption; or UPLOAD_HASH_MISMATCH,
                and the upload is discarded.
        """
        written, length = self._writer.committed_bytes, self._request.length
        if written < length:
            # A connection that breaks can look exactly like a stream that the uploader ended too early.
            await self.suspend()
            raise Refusal(Reason.UPLOAD_LENGTH_MISMATCH, f"{written} bytes came instead of the declared {length}")
        sha256 = parse_upload_token(self._request.token)
        if await self._writer.sha256() != sha256:
            await self._discard()
            raise Refusal(Reason.UPLOAD_HASH_MISMATCH)
        return await self._media.keep(self._account, sha256, length, self._writer)

    async def suspend(self) -> None:
        """Keeps the received bytes for a resumption."""
        await self._writer.suspend()
        await self._allowance.settle(self._writer.committed_bytes - self._request.offset)

    async def _discard(self) -> None:
        await self._writer.discard()
        await self._allowance.settle(None)


@dataclass(frozen=True, slots=True)
class Media:
    """Uploads, downloads and the media proxy. Source: MED-01 to MED-07."""

    store: StoreForMedia
    blobs: BlobStore
    partner_media: PartnerMediaSource
    clock: Clock
    rng: Rng
    limits: Limits
    upload_rate: SharedRate
    _grants: Grants = field(init=False)
    _swept: _SweptUntil = field(init=False, default_factory=_SweptUntil)
    _strays: Strays = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_grants", Grants(self.store, self.clock, self.rng, self.limits))
        object.__setattr__(self, "_strays", Strays(self.store, self.blobs))

    async def grant_upload(self, account: Account) -> str:
        """Returns a short-lived permission to upload, which every node knows (MED-05)."""
        return await self._grants.give(account)

    async def upload_status(self, account: Account, auth: str, token: str) -> tuple[int, str]:
        """Returns how many bytes of the caller's upload are stored, and its path when it is complete (MED-07).

        Raises:
            Refusal: UPLOAD_AUTH_INVALID or UPLOAD_TOKEN_INVALID.
        """
        await self._grants.check(account, auth)
        sha256 = parse_upload_token(token)
        blob = await self._live_blob(account, sha256)
        if blob is not None:
            return blob.length, blob.direct_path
        return await self.blobs.committed_bytes(blob_name(account.account_id, sha256)), ""

    async def start_upload(self, account: Account, request: UploadRequest) -> Upload | str:
        """Opens an upload, or returns the path at once when the caller has already uploaded the blob.

        Nothing here depends on what others upload: who knows a hash need not know the blob.

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER, UPLOAD_AUTH_INVALID, UPLOAD_TOKEN_INVALID, BLOB_TOO_LARGE,
                UPLOAD_LENGTH_MISMATCH, UPLOAD_OFFSET_MISMATCH or RATE_LIMITED.
        """
        require_whatsapp(account, "MED-04")
        await self._grants.check(account, request.auth)
        sha256 = parse_upload_token(request.token)
        if request.length > self.limits.max_blob_bytes:
            raise Refusal(Reason.BLOB_TOO_LARGE, f"the limit is {self.limits.max_blob_bytes} bytes")
        if request.length < 1:
            raise Refusal(Reason.UPLOAD_LENGTH_MISMATCH, "declare a length of 1 byte or more")
        name = blob_name(account.account_id, sha256)
        async with self.blobs.hold(name):  # its file must not be deleted between the look and the new expiry
            if await self._live_blob(account, sha256) is not None:
                return await self.register(account, sha256, request.length)
        allowance = Allowance(self.upload_rate, account.account_id)
        await allowance.take(request.length - request.offset)
        try:
            writer = await self._writer_at(name, request.offset)
        except BaseException:
            await allowance.settle(None)
            raise
        return Upload(self, account, request, writer, allowance)

    async def _writer_at(self, name: str, offset: int) -> BlobWriter:
        try:
            writer = await self.blobs.open_writer(name)
        except BlockingIOError as error:
            raise Refusal(Reason.UPLOAD_OFFSET_MISMATCH, "you are uploading this blob right now") from error
        committed = writer.committed_bytes
        if committed != offset:
            # Nothing is kept of what has not begun: a file for each hash that somebody names would be many.
            await (writer.suspend() if committed else writer.discard())
            raise Refusal(Reason.UPLOAD_OFFSET_MISMATCH, f"{committed} bytes are stored, the upload starts at {offset}")
        return writer

    async def keep(self, account: Account, sha256: bytes, length: int, writer: BlobWriter) -> str:
        """Makes an upload durable and gives it a path, which it returns; no sweep comes between the two."""
        async with self.blobs.hold(blob_name(account.account_id, sha256)):
            self._strays.may_be_some = True  # if it ends before there is a row
            await writer.commit()
            return await self.register(account, sha256, length)

    async def register(self, account: Account, sha256: bytes, length: int) -> str:
        """Gives an account's stored blob a path, or extends the life of its present one; returns the path."""
        now_ms = self.clock.now_ms()
        blob = MediaBlob(
            direct_path=new_direct_path(self.rng),
            sha256=sha256,
            length=length,
            owner_id=account.account_id,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + self.limits.media_days * DAY_MS,
        )
        return (await self.store.media.put(blob)).direct_path

    @asynccontextmanager
    async def open_download(self, direct_path: str, offset: int | None, length: int | None) -> AsyncIterator[Download]:
        """Opens a whole blob or a range of it, by a path of either kind.

        Args:
            direct_path: `/v/t…` or `/interop/whatsapp/download/{integrator}/{storage_reference}/`.
            offset: First byte wanted; None for the start.
            length: How many bytes; None for the rest of the blob.

        Raises:
            Refusal: BLOB_NOT_FOUND, BLOB_EXPIRED, RANGE_INVALID, STORAGE_REFERENCE_INVALID,
                PARTNER_MEDIA_UNAVAILABLE or BLOB_TOO_LARGE. The last two also occur while the chunks are read.
        """
        if is_proxied(direct_path):
            media_url, reference = await self._partner_place(direct_path)
            async with self.partner_media.fetch(media_url, reference, offset or 0, length) as fetched:
                remaining = None if fetched.total_bytes is None else fetched.total_bytes - fetched.offset
                if remaining is not None and length is not None:
                    remaining = min(remaining, length)
                yield Download(fetched.total_bytes, fetched.offset, remaining, fetched.chunks)
            return
        blob = await self.store.media.get(direct_path) if direct_path.startswith(UPLOAD_PREFIX) else None
        if blob is None:
            raise Refusal(Reason.BLOB_EXPIRED if was_given_out(direct_path) else Reason.BLOB_NOT_FOUND)
        reader = None if blob.expires_at_ms <= self.clock.now_ms() else await self.blobs.open_reader(name_of(blob))
        if reader is None:
            raise Refusal(Reason.BLOB_EXPIRED)
        start, count = check_range(reader.length, offset, length)
        yield Download(reader.length, start, count, reader.chunks(start, count))

    def sweeps(self) -> tuple[Sweep, ...]:
        """Blobs, their traces, unfinished uploads, and blobs that never got a path (MED-07).

        The trace of a blob is kept for as long again as the blob was. A blob without a path is as old as its upload,
        and goes when that would have gone.
        """
        blobs, media_ms = self.blobs, self.limits.media_days * DAY_MS
        upload_ms = self.limits.stale_upload_seconds * SECOND_MS
        return (
            Sweep("blobs", "MED-07", 0, self._next_expiry_ms, self._delete_blobs, media_ms),
            Sweep("blob_traces", "MED-04", media_ms, self._first_expiry_ms, self._forget_blobs, 2 * media_ms),
            Sweep("unfinished_uploads", "MED-07", upload_ms, blobs.oldest_upload_ms, blobs.delete_stale_uploads),
            self._strays.sweep(upload_ms),
        )

    async def _first_expiry_ms(self) -> int | None:
        return await self.store.media.next_expiry_ms(0)

    async def _next_expiry_ms(self) -> int | None:
        return await self.store.media.next_expiry_ms(self._swept.until_ms)

    async def _delete_blobs(self, before_ms: int, most: int) -> int:
        # What another node has deleted already is passed over, and not told once more.
        taken, swept = 0, self._swept
        while not taken:
            expired = await self.store.media.list_expired((swept.until_ms, swept.last), before_ms, most)
            for blob in expired:
                taken += await self._delete_expired(blob, before_ms)
            is_last = len(expired) < most
            last = (before_ms, "") if is_last else (expired[-1].expires_at_ms, expired[-1].direct_path)
            swept.until_ms, swept.last = max(last, (swept.until_ms, swept.last))  # the sweep of traces comes here, too
            if is_last:
                break
        return taken

    async def _delete_expired(self, blob: MediaBlob, before_ms: int) -> bool:
        async with self.blobs.hold(name_of(blob)):
            known = await self.store.media.get_own(blob.owner_id, blob.sha256)
            if known is None or known.expires_at_ms >= before_ms:  # it was uploaded again
                return False
            # What was stored later is of an upload that went on because this node has lost its hold unknowingly.
            return await self.blobs.delete(name_of(blob), known.expires_at_ms)

    async def _forget_blobs(self, before_ms: int, most: int) -> int:
        # The bytes first, which no sweep may have reached yet: without the row nothing would lead to them.
        while await self._delete_blobs(before_ms, most):
            pass
        return await self.store.media.delete_expired(before_ms, most)

    async def _partner_place(self, direct_path: str) -> tuple[str, str]:
        integrator, slash, rest = direct_path.removeprefix(PROXY_PREFIX).partition("/")
        reference = rest.removesuffix("/")
        if not slash or not _INTEGRATOR.fullmatch(integrator) or not _STORAGE_REFERENCE.fullmatch(reference):
            raise Refusal(Reason.STORAGE_REFERENCE_INVALID)
        partner = await self.store.partners.get(int(integrator))
        if partner is None or partner.status is not PartnerStatus.ACTIVE or not partner.media_url:
            raise Refusal(Reason.BLOB_NOT_FOUND, "the path names no partner that hosts media")
        return partner.media_url, reference

    async def _live_blob(self, account: Account, sha256: bytes) -> MediaBlob | None:
        blob = await self.store.media.get_own(account.account_id, sha256)
        if blob is None or blob.expires_at_ms <= self.clock.now_ms():
            return None
        return blob if await self.blobs.open_reader(name_of(blob)) is not None else None


def name_of(blob: MediaBlob) -> str:
    """Returns the name of a blob in the blob store."""
    return blob_name(blob.owner_id, blob.sha256)


def new_direct_path(rng: Rng) -> str:
    """Returns a path for a blob. It ends in check digits: see `was_given_out`."""
    name = encode_base64url(rng.token_bytes(_PATH_BYTES))
    return f"{UPLOAD_PREFIX}{name}{_path_check(name)}"


def is_proxied(direct_path: str) -> bool:
    """Says whether a partner's media server sends what a path leads to (MED-02)."""
    return direct_path.startswith(PROXY_PREFIX)


def was_given_out(direct_path: str) -> bool:
    """Says whether a path is one of `new_direct_path`, so that what is not there any more is expired, however long ago,
    and not unknown (MED-04). The check digits are no secret: whoever makes up a path learns nothing by this answer."""
    name, check = direct_path.removeprefix(UPLOAD_PREFIX)[:_PATH_CHARACTERS], direct_path[-_CHECK_CHARACTERS:]
    return (
        direct_path == f"{UPLOAD_PREFIX}{name}{check}" and len(name) == _PATH_CHARACTERS and check == _path_check(name)
    )


def _path_check(name: str) -> str:
    return encode_base64url(hashlib.sha256(f"blob\0{name}".encode()).digest())[:_CHECK_CHARACTERS]


def parse_upload_token(token: str) -> bytes:
    """Returns the SHA-256 that an upload token encodes, without padding (MED-05).

    Raises:
        Refusal: UPLOAD_TOKEN_INVALID.
    """
    if "=" in token:
        raise Refusal(Reason.UPLOAD_TOKEN_INVALID, "leave out the padding")
    try:
        return decode_base64url(token, SHA256_BYTES)
    except ValueError as error:
        raise Refusal(Reason.UPLOAD_TOKEN_INVALID) from error


def check_range(total: int, offset: int | None, length: int | None) -> tuple[int, int]:
    """Returns the first byte and the number of bytes of a range within a blob (MED-04).

    Raises:
        Refusal: RANGE_INVALID when the range lies outside the blob.
    """
    start = offset or 0
    if start >= total or length == 0:
        raise Refusal(Reason.RANGE_INVALID, f"the blob has {total} bytes")
    return start, min(total - start, total if length is None else length)
