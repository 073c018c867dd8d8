"""Uploads that are not what they announce: refused with a reason, and no blob of them is ever served."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence

import pytest

from interop_api.v1 import media_pb2
from interop_client.client import InteropClient
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ServerRefusal
from interop_protocol.encoding import media_token
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS, no_trace, refused

SERVICE = "/interop_api.v1.MediaService/"
CONTENT = os.urandom(3_000)
TOKEN = media_token(hashlib.sha256(CONTENT).digest())


class Uploader:
    """A connected account that uploads as it is told to.

    Args:
        client: Whose account it is.
    """

    def __init__(self, client: InteropClient) -> None:
        assert isinstance(client.transport, DirectTransport)
        self.transport = client.transport
        self.auth = ""

    async def grant(self) -> media_pb2.GetMediaConnectionResponse:
        """Gets a permission to upload, which is used from now on."""
        connection = await self.transport.call(
            f"{SERVICE}GetMediaConnection",
            media_pb2.GetMediaConnectionRequest(),
            media_pb2.GetMediaConnectionResponse,
        )
        self.auth = connection.auth
        return connection

    def start(self, content: bytes = CONTENT, **changes: object) -> media_pb2.UploadRequest:
        """Announces a content, with fields changed."""
        token = media_token(hashlib.sha256(content).digest())
        fields: dict[str, object] = {"auth": self.auth, "upload_token": token, "length": len(content), "offset": 0}
        return media_pb2.UploadRequest(start=media_pb2.UploadStart(**(fields | changes)))  # type: ignore[arg-type]

    async def upload(self, *requests: media_pb2.UploadRequest) -> str:
        """Sends these messages and ends the upload; returns the path."""

        async def all_requests() -> AsyncIterator[media_pb2.UploadRequest]:
            for request in requests:
                yield request

        async with asyncio.timeout(WAIT_SECONDS):
            return (await self.transport.upload(all_requests())).direct_path

    async def status(self, token: str = TOKEN, auth: str | None = None) -> media_pb2.GetUploadStatusResponse:
        """Asks how much is stored."""
        request = media_pb2.GetUploadStatusRequest(auth=self.auth if auth is None else auth, upload_token=token)
        return await self.transport.call(f"{SERVICE}GetUploadStatus", request, media_pb2.GetUploadStatusResponse)

    async def refusal(self, *requests: media_pb2.UploadRequest) -> ServerRefusal:
        """Sends these messages and returns why they were refused."""
        try:
            await self.upload(*requests)
        except ServerRefusal as refusal:
            return refusal
        raise AssertionError("the upload was taken")

    async def break_off(
        self,
        start: media_pb2.UploadRequest,
        first: media_pb2.UploadRequest,
        upload_meanwhile: media_pb2.UploadRequest,
    ) -> None:
        """Sends the beginning of an upload, tries another one when the server has that, and drops the stream."""

        async def beginning() -> AsyncIterator[media_pb2.UploadRequest]:
            yield start
            yield first
            await asyncio.Event().wait()

        upload = asyncio.create_task(self.transport.upload(beginning()))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (await self.status(start.start.upload_token)).committed_bytes < len(first.chunk):
                    pass
            await self.upload(upload_meanwhile)
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)


def chunk(data: bytes) -> media_pb2.UploadRequest:
    """A later message."""
    return media_pb2.UploadRequest(chunk=data)


def chunks(*data: bytes) -> Sequence[media_pb2.UploadRequest]:
    """Several."""
    return [chunk(part) for part in data]


async def new_uploader(world: World) -> Uploader:
    """A WhatsApp user with a permission to upload."""
    uploader = Uploader(await world.whatsapp(options=QUIET))
    await uploader.grant()
    return uploader


@pytest.mark.requirement("MED-05", "MED-07")
async def test_what_does_not_hash_to_its_token_is_discarded(world: World) -> None:
    """Other bytes, more of them, or in another order: the next upload starts at 0 (MED-05, MED-07)."""
    alice = await new_uploader(world)
    other, swapped = bytes(len(CONTENT)), (CONTENT[2_000:], CONTENT[:2_000])
    changed = CONTENT[:-1] + bytes((CONTENT[-1] ^ 1,))
    async with no_trace(world.admin):
        for name, requests, reason in (
            ("one byte more", [alice.start(), chunk(CONTENT + b"\0")], "UPLOAD_LENGTH_MISMATCH"),
            ("a chunk more", [alice.start(), *chunks(CONTENT, b"\0")], "UPLOAD_LENGTH_MISMATCH"),
            ("declared shorter", [alice.start(length=1), chunk(CONTENT)], "UPLOAD_LENGTH_MISMATCH"),
            ("declared as nothing", [alice.start(length=0)], "UPLOAD_LENGTH_MISMATCH"),
            ("other bytes", [alice.start(), chunk(other)], "UPLOAD_HASH_MISMATCH"),
            ("a bit changed", [alice.start(), chunk(changed)], "UPLOAD_HASH_MISMATCH"),
            ("the parts in another order", [alice.start(), *chunks(*swapped)], "UPLOAD_HASH_MISMATCH"),
        ):
            with refused(reason, name):
                await alice.upload(*requests)
            status = await alice.status()
            assert (status.committed_bytes, status.direct_path) == (0, ""), name
    assert (await alice.upload(alice.start(), chunk(CONTENT))).startswith("/v/t")


async def test_an_upload_that_ends_early_is_no_blob_yet(world: World) -> None:
    """It is refused, and goes on where it ended: a broken connection can look like that (MED-07)."""
    alice = await new_uploader(world)
    for name, sent, length in (
        ("nothing", 0, 3_000),
        ("a byte short", 2_999, 3_000),
        ("declared longer", 3_000, 3_001),
    ):
        content = os.urandom(length)
        requests = [alice.start(content), *chunks(*([content[:sent]] if sent else []))]
        async with no_trace(world.admin):
            with refused("UPLOAD_LENGTH_MISMATCH", name):
                await alice.upload(*requests)
            status = await alice.status(requests[0].start.upload_token)
            assert (status.committed_bytes, status.direct_path) == (sent, ""), name
        assert await alice.upload(alice.start(content, offset=sent), chunk(content[sent:]))


async def test_an_upload_has_a_start_and_then_chunks(world: World) -> None:
    """Anything else is no upload; an empty chunk is none, nor is one of more than 1 MiB (MED-07)."""
    alice = await new_uploader(world)
    empty = media_pb2.UploadRequest()
    contents = iter([os.urandom((1 << 20) + 1) for _ in range(9)])
    async with no_trace(world.admin):
        for name, requests in (
            ("no message at all", []),
            ("an empty message", [empty]),
            ("a chunk first", [chunk(CONTENT), alice.start()]),
            ("an empty chunk first", [chunk(b"")]),
            ("a second start", [(start := alice.start(next(contents))), start]),
            ("a second start between", [(start := alice.start(next(contents))), chunk(b"content"), start]),
            ("an empty message after the start", [alice.start(next(contents)), empty]),
            ("an empty chunk", [alice.start(next(contents)), chunk(b"")]),
            ("a chunk that is too long", [alice.start(content := next(contents)), chunk(content)]),
        ):
            with refused("REQUEST_MALFORMED", name):
                await alice.upload(*requests)


@pytest.mark.requirement("MED-05")
async def test_a_token_is_a_digest(world: World) -> None:
    """43 characters of base64url, and nothing that could name a file (MED-05)."""
    alice = await new_uploader(world)
    tokens = [
        "",
        "A" * 42,
        "A" * 44,
        "A" * 42 + "B",
        "A" * 42 + "+",
        "../" * 14 + "A",
        "A" * 42 + "é",
        TOKEN + "\0",
        "A" * 9_000,
    ]
    async with no_trace(world.admin):
        for token in tokens:
            with refused("UPLOAD_TOKEN_INVALID", token[:50]):
                await alice.upload(alice.start(upload_token=token), chunk(CONTENT))
            with refused("UPLOAD_TOKEN_INVALID", f"status of {token[:50]}"):
                await alice.status(token)


@pytest.mark.requirement("MED-05")
async def test_a_permission_to_upload_belongs_to_one_account(world: World) -> None:
    """None, a made-up one, another user's: no upload, and no word about what is stored (MED-05)."""
    alice, eve = await new_uploader(world), await new_uploader(world)
    async with no_trace(world.admin):
        for name, auth in (("none", ""), ("made up", "A" * 32), ("another user's", alice.auth), ("long", "x" * 9_000)):
            with refused("UPLOAD_AUTH_INVALID", name):
                await eve.upload(eve.start(auth=auth), chunk(CONTENT))
            with refused("UPLOAD_AUTH_INVALID", f"status, {name}"):
                await eve.status(auth=auth)


@pytest.mark.requirement("MED-07")
async def test_a_blob_has_a_largest_size(world: World) -> None:
    """One byte over the limit is refused before any byte comes (MED-07)."""
    alice = await new_uploader(world)
    limit = (await alice.grant()).max_blob_bytes
    async with no_trace(world.admin):
        for length in (limit + 1, 2**63, 2**64 - 1):
            with refused("BLOB_TOO_LARGE", length):
                await alice.upload(alice.start(length=length), chunk(CONTENT))


async def test_third_party_users_do_not_upload_here(world: World) -> None:
    """Their blobs stay on their messenger's own server (MED-02)."""
    bob = Uploader(await world.third_party("bob", QUIET))
    await bob.grant()
    async with no_trace(world.admin):
        with refused("CALLER_NOT_WHATSAPP_USER"):
            await bob.upload(bob.start(), chunk(CONTENT))


@pytest.mark.requirement("MED-07")
async def test_an_interrupted_upload_goes_on_where_it_stopped(world: World) -> None:
    """Exactly there; from anywhere else it is refused, and what is stored stays (MED-07)."""
    alice = await new_uploader(world)
    content = os.urandom(3 << 20)
    first, token = content[: 1 << 20], media_token(hashlib.sha256(content).digest())

    def start(offset: int) -> media_pb2.UploadRequest:
        return alice.start(content, offset=offset)

    with refused("UPLOAD_OFFSET_MISMATCH", "a new upload starts at 0"):
        await alice.upload(start(1), chunk(first))
    with refused("UPLOAD_OFFSET_MISMATCH", "while it is under way"):
        await alice.break_off(start(0), chunk(first), upload_meanwhile=start(0))
    while "right now" in (await alice.refusal(start(len(first) + 1))).advice:
        pass  # the server is still putting the broken upload away
    for offset in (0, len(first) - 1, len(first) + 1, len(content), 2**63):
        with refused("UPLOAD_OFFSET_MISMATCH", offset):
            await alice.upload(start(offset), chunk(first))
    assert (await alice.status(token)).committed_bytes == len(first)
    path = await alice.upload(start(len(first)), *chunks(content[1 << 20 : 2 << 20], content[2 << 20 :]))
    parts = [part.chunk async for part in alice.transport.download(media_pb2.DownloadRequest(direct_path=path))]
    assert b"".join(parts) == content


async def test_what_is_there_need_not_be_uploaded_again(world: World) -> None:
    """Not by whoever has uploaded it: the path comes at once, whatever is sent (MED-07)."""
    alice = await new_uploader(world)
    path = await alice.upload(alice.start(), chunk(CONTENT))
    assert await alice.upload(alice.start(), chunk(CONTENT)) == path
    assert (await alice.status()).direct_path == path
