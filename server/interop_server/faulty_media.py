"""Blobs that arrive otherwise than they are stored; knows neither gRPC nor HTTP, and leaves the blob as it is."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Protocol

from interop_server.core.fault_rules import SpoilMedia
from interop_server.core.faults import Fired
from interop_server.core.limits import SECOND_MS
from interop_server.core.media.media import Download
from interop_server.core.ports import Clock


class MediaAccess(Protocol):
    """Opens blobs."""

    def open_download(
        self, direct_path: str, offset: int | None, length: int | None
    ) -> AbstractAsyncContextManager[Download]:
        """Opens a blob by path, whole or a range.

        Raises:
            Refusal: See `core.media`. Reading the chunks may raise it too.
        """
        ...


class SpoiledMedia:
    """Opens blobs for one request that a fault meets.

    Args:
        media: Opens them honestly.
        fired: Says what is wrong with them.
        clock: By which they are slow.
    """

    def __init__(self, media: MediaAccess, fired: Fired, clock: Clock) -> None:
        self._media = media
        self._fired = fired
        self._clock = clock

    @asynccontextmanager
    async def open_download(self, direct_path: str, offset: int | None, length: int | None) -> AsyncIterator[Download]:
        """Opens a blob that is spoiled on its way."""
        async with self._media.open_download(direct_path, offset, length) as download:
            yield spoiled(download, self._fired, self._clock)


def spoiled(download: Download, fired: Fired, clock: Clock) -> Download:
    """Returns a download with other bytes, or slower ones. Its length is that of what comes.

    Args:
        download: The honest one.
        fired: Says how; a fault that does something else changes nothing.
        clock: By which it is slow.
    """
    action = fired.action
    if not isinstance(action, SpoilMedia):
        return download
    chunks = download.chunks
    if action.flip_bits:
        chunks = _flipped(chunks, fired, action.flip_bits)
    if action.keep_bytes is not None:
        chunks = _cut(chunks, action.keep_bytes)
    if action.extra_bytes:
        chunks = _lengthened(chunks, action.extra_bytes)
    if action.chunk_delay_ms:
        chunks = _slowed(chunks, action.chunk_delay_ms, clock)
    difference = action.extra_bytes
    length, total = download.length, download.total_bytes
    if length is not None and action.keep_bytes is not None:
        difference += min(length, action.keep_bytes) - length
    return replace(
        download,
        chunks=chunks,
        length=None if length is None else length + difference,
        total_bytes=None if total is None else total + difference,
    )


def flip_bits(data: bytes, fired: Fired, bits: int) -> bytes:
    """Returns bytes with bits turned over, at places that follow from the seed of the fault."""
    size, places, number = 8 * len(data), set[int](), 0
    while len(places) < min(bits, size):
        places.add(fired.drawn(f"bit {number}", size))
        number += 1
    changed = bytearray(data)
    for at in places:
        changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


async def _flipped(chunks: AsyncIterator[bytes], fired: Fired, bits: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield flip_bits(chunk, fired, bits)
        break
    async for chunk in chunks:
        yield chunk


async def _cut(chunks: AsyncIterator[bytes], keep_bytes: int) -> AsyncIterator[bytes]:
    left = keep_bytes
    async for chunk in chunks:
        if left <= 0:
            return
        yield chunk[:left]
        left -= len(chunk)


async def _lengthened(chunks: AsyncIterator[bytes], extra_bytes: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    yield bytes(extra_bytes)


async def _slowed(chunks: AsyncIterator[bytes], delay_ms: int, clock: Clock) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        await clock.sleep(delay_ms / SECOND_MS)
        yield chunk
