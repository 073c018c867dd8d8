"""A dishonest server: files."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interop_client.connection.transport import DirectTransport
from interop_client.media.crypto import MAC_BYTES, EncryptedMedia, MediaType
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, encrypted_blob, upload_blob
from interop_client.messaging.contents import media_content
from interop_conformance.attack import attack, score, settle, warnings
from interop_conformance.check import Level, NotSo, Score
from interop_conformance.checks.media import SHOWS_FILE
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

CONTENT = bytes(range(256)) * 40
"""A file that is longer than one block of anything."""
Change = Callable[[bytes], bytes]
"""Makes other bytes of a blob."""


class _Stored(EncryptedMedia):
    """The description of any bytes, of a length of their own, for the server that stores them."""

    @property
    def ciphertext_length(self) -> int:
        return self.plaintext_length


def _as_it_is(blob: bytes) -> bytes:
    return blob


def _flipped(at: int) -> Change:
    return lambda blob: bytes(byte ^ 1 if number == at % len(blob) else byte for number, byte in enumerate(blob))


async def _send_file(alice: Person, bob: Device, content: bytes, change: Change = _as_it_is) -> str:
    """Has Alice send a file with a blob that is not as she says, as if the server had changed it; returns the id."""
    with TemporaryDirectory(prefix="interopsim-") as folder:
        path = Path(folder) / "file"
        await asyncio.to_thread(path.write_bytes, content)
        async with encrypted_blob(path, MediaType.IMAGE) as blob:
            stored = change(await asyncio.to_thread(blob.path.read_bytes))
            await asyncio.to_thread(blob.path.write_bytes, stored)
            where = await alice.does("upload a file", upload_blob(_uploads(alice), _described(blob, stored)))
            reference = MediaReference(MediaType.IMAGE, where, blob.media_key, blob.encrypted, "image/png")
    sent = await alice.does("send a file", alice.client.send_message(bob.jid, media_content(reference)))
    return sent.id


def _uploads(alice: Person) -> DirectTransport:
    assert isinstance(alice.client.transport, DirectTransport)
    return alice.client.transport


def _described(blob: Blob, stored: bytes) -> Blob:
    return replace(blob, encrypted=_Stored(b"", len(stored), hashlib.sha256(stored).digest()))


async def _shown_right(bob: Device, content: bytes, message_ids: Iterable[str], told: int) -> None:
    """Waits until something was shown about each file, if anything is, and looks that no file is another one."""

    def done() -> bool:
        shown = {each.message_id for each in bob.shown("media_shown")}
        return len(shown & set(message_ids)) + warnings(bob) - told >= len(set(message_ids))

    with suppress(NotSo):  # a client may also pass over what is not right, and say nothing
        await bob.sees(done, "a file, or a warning")
    _expect_right(bob, content, message_ids)


def _expect_right(bob: Device, content: bytes, message_ids: Iterable[str]) -> None:
    digest = hashlib.sha256(content).digest()
    for file in bob.shown("media_shown", lambda each: each.message_id in message_ids):
        if file.sha256 != digest:
            raise NotSo("no file but the one that was sent", f"another one of {file.size_bytes} bytes is shown")


async def _spoil(stage: Stage, changes: Iterable[Change]) -> Score:
    """Sends a file several times, each time with another change of its blob; then one as it is."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    told = warnings(bob)
    sent = [await _send_file(alice, bob, CONTENT, change) for change in changes]
    await _shown_right(bob, CONTENT, sent, told)
    right = await _send_file(alice, bob, CONTENT)
    await bob.shows("media_shown", lambda each: each.message_id == right, "a file that is as it was sent")
    _expect_right(bob, CONTENT, [*sent, right])
    await settle(stage, alice, bob)
    return score(bob, told)


@attack(
    "MED-01.dishonest-bits",
    Level.MUST,
    "A file whose encrypted bytes were changed is not shown.",
    features=("media",),
    milestone=4,
    after=(SENDS, SHOWS, SHOWS_FILE),
)
async def bits(stage: Stage) -> Score:
    """One bit: at the beginning, in the middle, at the end of the text, in the MAC."""
    return await _spoil(stage, [_flipped(at) for at in (0, 5_000, -MAC_BYTES - 20, -1)])


@attack(
    "MED-01.dishonest-length",
    Level.MUST,
    "A file of which bytes are missing, or to which some were added, is not shown as another one.",
    features=("media",),
    milestone=4,
    after=(SENDS, SHOWS, SHOWS_FILE),
)
async def length(stage: Stage) -> Score:
    """Its end is missing, or its beginning, or nearly all; or something follows."""
    cuts: list[Change] = [lambda blob, cut=cut: blob[cut] for cut in _CUTS]  # type: ignore[misc]
    added: list[Change] = [lambda blob: blob + bytes(1), lambda blob: blob + bytes(16)]
    return await _spoil(stage, [*cuts, *added])


_CUTS = (slice(0, -1), slice(0, -16), slice(0, 4_096), slice(16, None), slice(0, MAC_BYTES), slice(0, 1))


@attack(
    "MED-01.dishonest-swap",
    Level.MUST,
    "The blob of another file is not shown in the place of the one that was sent.",
    features=("media",),
    milestone=4,
    after=(SENDS, SHOWS, SHOWS_FILE),
)
async def swap(stage: Stage) -> Score:
    """It is encrypted, too, as long, and under another key; or it is not encrypted at all."""
    with TemporaryDirectory(prefix="interopsim-") as folder:
        path = Path(folder) / "file"
        await asyncio.to_thread(path.write_bytes, CONTENT[::-1])
        async with encrypted_blob(path, MediaType.IMAGE) as blob:
            other = await asyncio.to_thread(blob.path.read_bytes)
    return await _spoil(stage, [lambda _: other, lambda blob: b"GIF89a".ljust(len(blob), b"x")])


async def _misserve(stage: Stage, *spoilt: dict[str, Any]) -> Score:
    """Serves blobs in bad ways, one after the other; then a file as it should be."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    told = warnings(bob)
    for number, media in enumerate(spoilt):
        fault = await stage.add_fault(f"media{number}", {"call": "http.upload"}, spoil_media=media)
        await _shown_right(bob, CONTENT, [await _send_file(alice, bob, CONTENT)], warnings(bob))
        await stage.clear_fault(fault)
    right = await _send_file(alice, bob, CONTENT)
    await bob.shows("media_shown", lambda each: each.message_id == right, "a file that is as it was sent")
    await settle(stage, alice, bob)
    return score(bob, told)


@attack(
    "MED-04.dishonest-status",
    Level.SHOULD,
    "An error of the server, or nothing, in the place of a file is not shown as the file.",
    features=("media",),
    milestone=4,
    after=(SENDS, SHOWS, SHOWS_FILE),
    is_alone=True,
)
async def status(stage: Stage) -> Score:
    """500; and 200 without a body."""
    return await _misserve(stage, {"http_status": 500}, {"keep_bytes": 0})


@attack(
    "MED-04.dishonest-slowness",
    Level.SHOULD,
    "A file that comes in slow pieces is shown as it is, or not at all.",
    features=("media",),
    milestone=4,
    after=(SENDS, SHOWS, SHOWS_FILE),
    is_alone=True,
)
async def slowness(stage: Stage) -> Score:
    """With a pause before each piece."""
    return await _misserve(stage, {"chunk_delay_ms": 100})
