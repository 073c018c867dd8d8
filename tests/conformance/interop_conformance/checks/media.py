"""MED: files."""

import hashlib
import os

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.errors import ServerRefusal
from interop_client.media.crypto import MediaType
from interop_client.media.reference import MediaReference
from interop_client.messaging.events import MediaReceived, MediaRetryRequested
from interop_client.messaging.outgoing import SentMessage
from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.files import OddFile, fetched, flipped, send_file, send_file_again, send_odd_file
from interop_conformance.people import Person
from interop_conformance.stage import Stage

SENDS_FILE = "MED-02.sends-file"
SHOWS_FILE = "MED-04.shows-file"
ASKS_AGAIN = "MED-08.asks-for-a-lost-file"
FORCED = (
    "The message names the hash of the blob, and the blob ends with a MAC: without a look at them a file that somebody "
    "has changed is shown as its sender's."
)
SIZES = (1, 15, 16, 17, 32, 1_000_003)
"""Bytes: around the blocks of the cipher, and more than one chunk of any transport."""
LARGE_COPIES, LARGE_PART = 20, 1 << 20
LEAST_DIFFERENT = 8
"""In how many places, at least, two references must differ: two that are drawn by lot differ in more."""
NOWHERE = "/v/t62.7161-24/there-never-was-such-a-blob"
GONE = (404, 410)
BLOCK = 16
"""Of the cipher: bytes."""
SIZE = 1_000
"""Of a file whose length does not matter: bytes."""


@check(
    SENDS_FILE,
    Level.MUST,
    "A file reaches the WhatsApp user as it was.",
    milestone=4,
    features=("media",),
    after=(SENDS,),
)
async def sends_file(stage: Stage) -> None:
    """Through the media proxy, in lengths around a block of the cipher."""
    alice, bob = await stage.pair()
    for size in SIZES:
        await _reaches(alice, bob, os.urandom(size))


@check(
    "MED-02.sends-empty-file",
    Level.SHOULD,
    "A file of no bytes reaches the WhatsApp user, too.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def sends_empty_file(stage: Stage) -> None:
    """Its blob is one block of padding."""
    alice, bob = await stage.pair()
    await _reaches(alice, bob, b"")


@check(
    "MED-02.sends-large-file",
    Level.MUST,
    "A file of 20 MiB reaches the WhatsApp user as it was.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
    seconds=90.0,
)
async def sends_large_file(stage: Stage) -> None:
    """Twenty times the same MiB."""
    stage.patience *= 3
    alice, bob = await stage.pair()
    await _reaches(alice, bob, os.urandom(LARGE_PART), LARGE_COPIES)


@check(
    "MED-02.describes-its-file",
    Level.SHOULD,
    "Type and caption of a file reach the WhatsApp user.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def describes_its_file(stage: Stage) -> None:
    """As the user has chosen them."""
    alice, bob = await stage.pair()
    command = pb.SendMediaCommand(to_jid=alice.jid, content=b"GIF89a", mimetype="image/gif", caption="Grüße 🐈")
    await bob.do(send_media=command)
    media = (await alice.receives(MediaReceived)).media
    got = (media.mimetype, media.name)
    stage.expect(got == ("image/gif", "Grüße 🐈"), "image/gif, 'Grüße 🐈'", got)


@check(
    "MED-02.names-the-partner-s-path",
    Level.MUST,
    "The message names the file by messenger and storage reference.",
    milestone=4,
    features=("media",),
    after=(SENDS,),
)
async def names_the_partner_s_path(stage: Stage) -> None:
    """`/interop/whatsapp/download/{integrator}/{storage_reference}/`; nothing else would be fetched."""
    alice, bob = await stage.pair()
    media = await _sent(alice, bob, os.urandom(100))
    prefix = f"/interop/whatsapp/download/{stage.integrator}/"
    stage.expect(media.direct_path.startswith(prefix), f"a path under {prefix}", media.direct_path)


@check(
    "MED-01.messenger-keeps-ciphertext",
    Level.MUST,
    "What the messenger keeps of a file holds nothing of what is in it.",
    milestone=4,
    features=("media",),
    after=(SENDS,),
)
async def messenger_keeps_ciphertext(stage: Stage) -> None:
    """Nowhere among its files."""
    alice, bob = await stage.pair()
    canary = os.urandom(16)
    await _sent(alice, bob, canary * 64)
    files = [path.read_bytes() for path in stage.hosted()]
    stage.expect(files, "the messenger keeps the file", "it keeps none")
    stage.expect(not any(canary in each for each in files), "ciphertext", "the file, as anybody can read it")


@check(
    "MED-01.key-of-its-own",
    Level.MUST,
    "Each file has a media key of its own.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def key_of_its_own(stage: Stage) -> None:
    """Also when it is the same file."""
    alice, bob = await stage.pair()
    keys = {(await _sent(alice, bob, b"the same")).media_key for _ in range(3)}
    stage.expect(len(keys) == 3, "three media keys", len(keys))


@check(
    "MED-03.reference-cannot-be-guessed",
    Level.SHOULD,
    "Where a file is kept cannot be guessed from where another is, nor from what is in it.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def reference_cannot_be_guessed(stage: Stage) -> None:
    """The same file three times: two references differ in many places."""
    alice, bob = await stage.pair()
    references = [_reference(await _sent(alice, bob, b"the same")) for _ in range(3)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        places = _differences(references[one], references[other])
        expected = f"references that differ in {LEAST_DIFFERENT} places or more"
        stage.expect(places >= LEAST_DIFFERENT, expected, f"{references[one]} and {references[other]}")


@check(
    "MED-02.no-message-without-its-file",
    Level.SHOULD,
    "When the messenger does not take the file, no message names it, and the client says so.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def no_message_without_its_file(stage: Stage) -> None:
    """The messenger answers 404 where the client puts it."""
    alice, bob = await stage.alice(), await stage.device(media_url=f"{stage.partner.base_url}/nowhere")
    await bob.enlist()
    await bob.connect()
    await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=5))
    result = await bob.ask(send_media=pb.SendMediaCommand(to_jid=alice.jid, content=b"GIF89a", mimetype="image/gif"))
    if result.HasField("sent"):
        name = result.sent.message_id
        await bob.shows("error_shown", lambda each: each.message_id == name, "that the file was not sent")
    await bob.send(alice.jid, "Did you see it?")
    await alice.reads("Did you see it?")
    stage.expect(len(alice.messages) == 1, "the text alone", f"{len(alice.messages)} messages")


@check(
    SHOWS_FILE,
    Level.MUST,
    "A file of a WhatsApp user is shown as it was.",
    milestone=4,
    features=("media",),
    after=(SHOWS,),
)
async def shows_file(stage: Stage) -> None:
    """Fetched from WhatsApp's store, in lengths around a block of the cipher."""
    alice, bob = await stage.pair()
    for size in SIZES:
        content = os.urandom(size)
        await _is_shown(bob, await send_file(alice, bob.jid, content), content)


@check(
    "MED-04.shows-empty-file",
    Level.SHOULD,
    "A file of no bytes is shown, too.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def shows_empty_file(stage: Stage) -> None:
    """Its blob is one block of padding."""
    alice, bob = await stage.pair()
    await _is_shown(bob, await send_file(alice, bob.jid, b""), b"")


@check(
    "MED-04.shows-what-it-is-called",
    Level.SHOULD,
    "Name and type of a file are shown as its sender has said.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def shows_what_it_is_called(stage: Stage) -> None:
    """Of a document."""
    alice, bob = await stage.pair()
    await send_file(alice, bob.jid, b"%PDF-", "Grüße aus Köln.pdf", "application/pdf")
    shown = await bob.shows("media_shown")
    for got, wanted in ((shown.name, "Grüße aus Köln.pdf"), (shown.mimetype, "application/pdf")):
        stage.expect(got in ("", wanted), wanted, got)


@check(
    "MED-06.each-kind-has-its-keys",
    Level.SHOULD,
    "Pictures, films, recordings and documents are shown: each kind has keys of its own.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def each_kind_has_its_keys(stage: Stage) -> None:
    """One of each."""
    alice, bob = await stage.pair()
    for media_type in (MediaType.IMAGE, MediaType.VIDEO, MediaType.AUDIO, MediaType.DOCUMENT):
        content = os.urandom(SIZE)
        await _is_shown(bob, await send_odd_file(alice, bob.jid, OddFile(content, media_type)), content)


@check(
    "MED-06.other-bytes-are-not-shown",
    Level.MUST,
    "A file of which one bit is another is not shown.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
    forced_by=FORCED,
)
async def other_bytes_are_not_shown(stage: Stage) -> None:
    """At its beginning, in its middle, and in its MAC."""
    await _is_never_shown(stage, *(OddFile(os.urandom(SIZE), spoil=flipped(place)) for place in (0, SIZE // 2, -1)))


@check(
    "MED-06.other-length-is-not-shown",
    Level.MUST,
    "A file that was cut off, or goes on, is not shown.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
    forced_by=FORCED,
)
async def other_length_is_not_shown(stage: Stage) -> None:
    """By whole blocks of the cipher."""
    shorter = OddFile(os.urandom(SIZE), spoil=lambda blob: blob[:-BLOCK])
    longer = OddFile(os.urandom(SIZE), spoil=lambda blob: blob + bytes(BLOCK))
    await _is_never_shown(stage, shorter, longer)


@check(
    "MED-06.wrong-mac-is-not-shown",
    Level.SHOULD,
    "A file whose MAC is wrong is not shown, although its hash is right.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def wrong_mac_is_not_shown(stage: Stage) -> None:
    """Its sender has made the hash of what lies there."""
    await _is_never_shown(stage, OddFile(os.urandom(SIZE), spoil=flipped(-1), is_hashed=True))


@check(
    "MED-06.other-content-is-not-shown",
    Level.SHOULD,
    "A file that is another than the message says is not shown, although its blob is right.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def other_content_is_not_shown(stage: Stage) -> None:
    """The hash of its content is another."""
    await _is_never_shown(stage, OddFile(os.urandom(SIZE), content_sha256=os.urandom(32)))


@check(
    ASKS_AGAIN,
    Level.SHOULD,
    "When a file is gone from WhatsApp's store, the client asks its sender for it, and shows it when it comes.",
    milestone=4,
    features=("media",),
    after=(SHOWS_FILE,),
)
async def asks_for_a_lost_file(stage: Stage) -> None:
    """The server answers 404; the sender uploads the file again under the same id."""
    alice, bob = await stage.pair()
    content = os.urandom(SIZE)
    lost = await send_odd_file(alice, bob.jid, OddFile(content, path=NOWHERE))
    request = await alice.receives(
        MediaRetryRequested, lambda each: each.message_id == lost.id, "a request for the file"
    )
    stage.expect(request.status in GONE, "status 404 or 410", request.status)
    await send_file_again(alice, request, content)
    await _is_shown(bob, lost, content)


@check(
    "MED-08.sends-a-lost-file-again",
    Level.SHOULD,
    "When the WhatsApp user asks for a file that is gone, the client uploads it again for the same message.",
    milestone=4,
    features=("media",),
    after=(SENDS_FILE,),
)
async def sends_a_lost_file_again(stage: Stage) -> None:
    """The messenger has lost it."""
    alice, bob = await stage.pair()
    content = os.urandom(SIZE)
    await bob.do(send_media=pb.SendMediaCommand(to_jid=alice.jid, content=content, mimetype="image/png"))
    first = await alice.receives(MediaReceived)
    for path in stage.hosted():
        path.unlink()
    gone = ServerRefusal("BLOB_NOT_FOUND")
    await alice.does("ask for the file", alice.client.request_media_again(first, gone))
    again = await alice.receives(MediaReceived, lambda each: each.id == first.id, "the file again")
    got = await fetched(alice, again.media)
    stage.expect(got == content, "the same file", f"{len(got):,} other bytes")


async def _is_never_shown(stage: Stage, *files: OddFile) -> None:
    """Sends wrong files, and then two right ones: once these are shown, a wrong one would have been."""
    alice, bob = await stage.pair()
    wrong = [(await send_odd_file(alice, bob.jid, file)).id for file in files]
    for _ in range(2):
        content = os.urandom(SIZE)
        await _is_shown(bob, await send_file(alice, bob.jid, content), content)
    shown = bob.shown("media_shown", lambda each: each.message_id in wrong)
    stage.expect(not shown, "none of the wrong files is shown", f"{len(shown)} of {len(wrong)} are")


async def _reaches(alice: Person, bob: Device, content: bytes, copies: int = 1) -> None:
    media = await _sent(alice, bob, content, copies)
    got, wanted = await fetched(alice, media), content * copies
    if got != wanted:
        raise NotSo(f"the file of {len(wanted):,} bytes reaches the WhatsApp user", f"{len(got):,} other bytes")


async def _sent(alice: Person, bob: Device, content: bytes, copies: int = 1) -> MediaReference:
    """Has Bob send a file, and returns what Alice is told of it."""
    command = pb.SendMediaCommand(to_jid=alice.jid, content=content, copies=copies, mimetype="image/png")
    message_id = (await bob.do(send_media=command)).message_id
    return (await alice.receives(MediaReceived, lambda each: each.id == message_id, "the message of the file")).media


async def _is_shown(bob: Device, sent: SentMessage, content: bytes) -> None:
    shown = await bob.shows(
        "media_shown", lambda each: each.message_id == sent.id, f"the file of {len(content):,} bytes"
    )
    got, wanted = (shown.sha256, shown.size_bytes), (hashlib.sha256(content).digest(), len(content))
    if got != wanted:
        raise NotSo(
            f"a file of {wanted[1]:,} bytes, {wanted[0].hex()[:16]}…", f"{got[1]:,} bytes, {got[0].hex()[:16]}…"
        )


def _reference(media: MediaReference) -> str:
    return media.direct_path.rstrip("/").rpartition("/")[2]


def _differences(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))
