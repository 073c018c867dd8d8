"""A simulator that keeps its blobs in an object store, or in a folder in the place of one."""

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import obstore
import pytest
import pytest_asyncio
from obstore.store import from_url

from interop_admin.client import AdminClient
from interop_api.v1 import media_pb2
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ServerRefusal
from interop_client.media.crypto import MediaType
from interop_client.media.upload import Blob, encrypted_blob, upload_blob
from interop_client.messaging.events import MediaReceived, TextReceived
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child, simulator
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.e2e.outcomes import refused
from tests.e2e.program import ANY_PORTS, run, running
from tests.evidence import new_journal
from tests.object_stores import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.timeout(180)  # a machine that does more than this takes its time to start so many processes

PIECE_BYTES = 4 << 20
"""What the server stores at once."""
LARGE_BYTES = PIECE_BYTES + 1_500_000
SMALL_BYTES = 200_000


@dataclass
class Kept:
    """Simulators one after the other on one database, with their blobs in one place."""

    folder: Path
    url: str
    environment: dict[str, str]
    state: ClientState = field(default_factory=ClientState.generate)

    def simulator(self, **variables: str) -> Child:
        arguments = ["--journal", str(new_journal()), "--blobs", self.url]
        environment = self.environment | variables
        return simulator(self.folder / "simulator.log", self.folder / "x.db", arguments, environment)

    def paths(self) -> list[str]:
        """What lies there, without the mark that the simulator leaves."""
        found = obstore.list(from_url(self.url, **self._options()))
        return sorted(each["path"] for batch in found for each in batch if each["path"] != "interopsim.txt")

    def _options(self) -> dict[str, object]:
        return {} if self.url.startswith("file") else {"client_options": {"allow_http": True}}

    def file(self, length: int) -> Path:
        """Makes a file that is like no other."""
        path = self.folder / f"{length}.bin"
        path.write_bytes(os.urandom(length))
        return path


@pytest.fixture(params=["file", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """In each of both places."""
    if request.param == "file":
        return Kept(tmp_path, (tmp_path / "blobs").as_uri(), {})
    server: S3Server = request.getfixturevalue("s3_server")
    server.tell(monkeypatch)
    return Kept(tmp_path, f"s3://{server.new_bucket()}/worlds/one", server.environment())


def endpoint_of(child: Child) -> Endpoint:
    return Endpoint.from_ready_line(json.dumps(dict(child.ready)))


def direct(client: WhatsAppClient) -> DirectTransport:
    assert isinstance(client.transport, DirectTransport)
    return client.transport


async def connected(stack: AsyncExitStack, child: Child, state: ClientState) -> WhatsAppClient:
    """The person of that state, connected to this simulator."""
    async with AdminClient(endpoint_of(child).admin) as admin:
        if not state.jid:
            state.jid = await admin.put_whatsapp_user("+4915112345678", state.auth_public_key)
    client = WhatsAppClient.direct(endpoint_of(child), state)
    stack.push_async_callback(client.close)
    await client.connect()
    return client


async def content_at(child: Child, path: str, ranged: str = "") -> bytes:
    """Downloads a blob, or a range of it."""
    headers = {"Range": f"bytes={ranged}"} if ranged else {}
    url = f"{child.ready['http']}{path}"
    async with aiohttp.ClientSession(auto_decompress=False) as http, http.get(url, headers=headers) as answer:
        assert answer.status == (206 if ranged else 200)
        return await answer.read()


@pytest_asyncio.fixture
async def child(kept: Kept) -> AsyncIterator[Child]:
    """A simulator there."""
    async with kept.simulator() as child:
        yield child


@pytest.mark.requirement("MED-04")
async def test_a_document_goes_through_an_object_store(
    kept: Kept, child: Child, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """Up in pieces, whole to its reader, and in ranges across the pieces; a reset leaves nothing of it (MED-04)."""
    document = kept.file(LARGE_BYTES)
    async with open_world(endpoint_of(child), signing_keys, tmp_path / "partner") as world:
        alice, bob = await world.whatsapp(), await world.third_party("bob")
        await alice.send_document(bob.jid, document, mimetype="application/pdf")
        media = (await bob.wait_for(MediaReceived)).media
        await bob.download(media, tmp_path / "read")
        assert (tmp_path / "read").read_bytes() == document.read_bytes()

        blob = await content_at(child, media.direct_path)
        assert hashlib.sha256(blob).digest() == media.encrypted.ciphertext_sha256
        for first, last in ((0, 0), (PIECE_BYTES - 5, PIECE_BYTES + 5), (1, len(blob) - 2), (len(blob) - 1,) * 2):
            assert await content_at(child, media.direct_path, f"{first}-{last}") == blob[first : last + 1]
        assert len(kept.paths()) == 1 and kept.paths()[0].startswith("blobs/")

        other = kept.url.replace("/one", "/two").replace("/blobs", "/blobs-two")
        theirs = Kept(kept.folder, other, {})
        obstore.put(from_url(other, **theirs._options(), **({"mkdir": True} if "file" in other else {})), "b", b"mine")
        async with AdminClient(endpoint_of(child).admin) as admin:
            await admin.reset()
        assert kept.paths() == [] and theirs.paths() == ["b"]
        assert child.ready["blobs"] == kept.url


@pytest.mark.requirement("MED-07")
@pytest.mark.parametrize(
    ("kept", "length", "point"),
    [
        ("file", LARGE_BYTES, "object.touch:1"),
        ("file", LARGE_BYTES, "object.piece:1"),
        ("file", LARGE_BYTES, "object.compose:1"),
        ("file", LARGE_BYTES, "object.answer:1"),
        ("file", SMALL_BYTES, "object.whole:1"),
        ("file", SMALL_BYTES, "object.tidy:1"),
        ("s3", LARGE_BYTES, "object.compose:1"),
        ("s3", LARGE_BYTES, "object.tidy:1"),
    ],
    indirect=["kept"],
)
async def test_an_upload_outlives_the_node_that_took_it(kept: Kept, length: int, point: str) -> None:
    """Killed at each step: the next node goes on where it says, with no byte that it had acknowledged sent again."""
    async with AsyncExitStack() as stack, encrypted_blob(kept.file(length), MediaType.DOCUMENT) as blob:
        async with kept.simulator(INTEROPSIM_CRASH_AT=point) as child:
            client = await connected(stack, child, kept.state)
            with pytest.raises(ServerRefusal):
                await upload_blob(direct(client), blob)
            assert await child.wait() == -signal.SIGKILL
        stored = sum(piece_bytes(kept))
        async with kept.simulator() as child:
            client = await connected(stack, child, kept.state)
            sent: list[int] = []
            path = await upload_blob(direct(client), blob, lambda done, _: sent.append(done))
            assert sum(1 for _ in sent) == 0 or sent[0] > stored
            assert hashlib.sha256(await content_at(child, path)).digest() == blob.encrypted.ciphertext_sha256
            assert await status_of(client, blob) == (blob.encrypted.ciphertext_length, path)


def piece_bytes(kept: Kept) -> Iterator[int]:
    """Sizes of what is stored of unfinished uploads."""
    for batch in obstore.list(from_url(kept.url, **kept._options()), "uploads"):
        yield from (each["size"] for each in batch)


async def status_of(client: WhatsAppClient, blob: Blob) -> tuple[int, str]:
    from interop_protocol.encoding import media_token

    service = "/interop_api.v1.MediaService"
    connection = await client.transport.call(
        f"{service}/GetMediaConnection", media_pb2.GetMediaConnectionRequest(), media_pb2.GetMediaConnectionResponse
    )
    status = await client.transport.call(
        f"{service}/GetUploadStatus",
        media_pb2.GetUploadStatusRequest(
            auth=connection.auth, upload_token=media_token(blob.encrypted.ciphertext_sha256)
        ),
        media_pb2.GetUploadStatusResponse,
    )
    return status.committed_bytes, status.direct_path


@pytest.mark.requirement("SIM-03")
async def test_without_its_object_store_a_simulator_carries_messages(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Uploads and downloads are refused, its trouble is told, and it ends by itself when the store is back (SIM-03)."""
    server = S3Server(tmp_path / "requests")
    server.start()
    try:
        kept = Kept(tmp_path, f"s3://{server.new_bucket()}/world", server.environment())
        async with (
            kept.simulator() as child,
            open_world(endpoint_of(child), signing_keys, tmp_path / "partner") as world,
        ):
            alice, bob = await world.whatsapp(), await world.third_party("bob")
            document = kept.file(SMALL_BYTES)
            await alice.send_document(bob.jid, document)
            media = (await bob.wait_for(MediaReceived)).media
            server.kill()

            assert await refused(bob.download(media, tmp_path / "read")) == "STORAGE_UNAVAILABLE"
            assert await refused(alice.send_document(bob.jid, kept.file(SMALL_BYTES + 1))) == "STORAGE_UNAVAILABLE"
            await alice.send_text(bob.jid, "Hello all the same")
            assert (await bob.wait_for(TextReceived)).text == "Hello all the same"
            troubles = await troubles_of(world.admin)
            assert list(troubles) == ["blobs"] and f"{kept.url} cannot be used" in troubles["blobs"]

            server.start()
            async with asyncio.timeout(30):
                while await troubles_of(world.admin):
                    pass
            await bob.download(media, tmp_path / "read")
            assert (tmp_path / "read").read_bytes() == document.read_bytes()
            await alice.send_document(bob.jid, kept.file(SMALL_BYTES + 2))
            await bob.wait_for(MediaReceived)
        assert SECRET_KEY not in (tmp_path / "simulator.log").read_text()
    finally:
        server.close()


async def troubles_of(admin: AdminClient) -> dict[str, str]:
    return dict((await admin.get_statistics()).troubles)


def _unreachable(_: Callable[[], S3Server]) -> tuple[str, dict[str, str]]:
    return "s3://bucket/prefix", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def _no_bucket(server: Callable[[], S3Server]) -> tuple[str, dict[str, str]]:
    return "s3://no-such-bucket/prefix", server().environment()


def _a_file(_: Callable[[], S3Server]) -> tuple[str, dict[str, str]]:
    return f"file://{Path(__file__).resolve()}", {}


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (_unreachable, "s3://bucket/prefix cannot be used for blobs: it cannot be reached."),
        (_no_bucket, "s3://no-such-bucket/prefix cannot be used for blobs: there is no such bucket."),
        (_a_file, "cannot be used for blobs: File exists."),
    ],
)
async def test_a_place_that_cannot_be_used_is_told_at_the_start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[Callable[[], S3Server]], tuple[str, dict[str, str]]],
    sentence: str,
) -> None:
    """In a sentence, with status 2, and no secret in what is printed."""
    url, environment = place(lambda: request.getfixturevalue("s3_server"))
    for name, value in ({"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY} | environment).items():
        monkeypatch.setenv(name, value)
    ended = await run(tmp_path, "up", *ANY_PORTS, "--blobs", url)
    assert (ended.code, ended.stdout) == (2, "")
    assert sentence in ended.stderr and "Traceback" not in ended.stderr
    assert SECRET_KEY not in ended.stderr and ACCESS_KEY not in ended.stderr


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://key:hush@bucket/prefix", "has no user, password, port, query or fragment"),
        ("s3://bucket/prefix?sig=hush", "has no user, password, port, query or fragment"),
        ("https://bucket.example/hush", "name a URL such as s3://bucket/prefix"),
        ("s3:///prefix", "name a bucket, as in s3://bucket/prefix"),
        ("gs://bucket/a/../hush", "a prefix is words of letters"),
        ("file://elsewhere/folder", "name a folder by its whole path"),
        ("file:///", "name a folder by its whole path"),
        ("file:///a/../b", "names no folder"),
        ("file:///a%0Ab", "names no folder"),
        ("s3://[", "that is no URL"),
    ],
)
async def test_what_is_no_place_for_blobs_is_told(tmp_path: Path, url: str, sentence: str) -> None:
    """Before anything is started; what may be a secret is not repeated."""
    ended = await run(tmp_path, "up", *ANY_PORTS, "--blobs", url)
    assert (ended.code, ended.stdout) == (2, "")
    assert sentence in ended.stderr and "hush" not in ended.stderr


@pytest.fixture
def without_obstore(tmp_path: Path) -> Path:
    """Where an interpreter looks first, so that it finds no obstore."""
    folder = tmp_path / "first"
    folder.mkdir()
    missing = "raise ModuleNotFoundError(\"No module named 'obstore'\", name='obstore')\n"
    (folder / "obstore.py").write_text(missing)
    return folder


async def test_a_missing_extra_is_told_with_what_installs_it(tmp_path: Path, without_obstore: Path) -> None:
    """With status 2."""
    async with running(tmp_path, "up", *ANY_PORTS, "--blobs", "s3://bucket", path=without_obstore) as program:
        ended = await program.end()
    assert (ended.code, ended.stdout) == (2, "")
    assert "needs obstore, which is not installed: pip install 'interopsim[cluster]'" in ended.stderr


async def test_a_plain_start_needs_no_extra(tmp_path: Path, without_obstore: Path) -> None:
    """It starts where there is no obstore, and hence loads none."""
    async with running(tmp_path, "up", *ANY_PORTS, path=without_obstore) as program:
        assert "blobs" not in await program.ready_line()
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0
