"""A server that runs out of disk, of its blob folder or of descriptors loses nothing that was acked, and goes on."""

import asyncio
import hashlib
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interop_api.v1 import media_pb2
from interop_client.errors import ConnectionEnded, ServerRefusal, refusal_from_stanza_error
from interop_protocol.encoding import media_token
from interop_server.core.reasons import Reason
from partner_server import SigningKeys
from tests.chaos.choices import opt_in
from tests.chaos.people import Person
from tests.chaos.stage import Place, Stage, open_stage
from tests.e2e.operator.test_journal_troubles import NOT_SERVING, SERVING, health
from tests.e2e.wire import Wire, message_ids, sealed_message
from tests.invariants import violations

pytestmark = pytest.mark.timeout(300)
TRIES = 12
TRY_SECONDS = 8.0
RECOVERY_SECONDS = 60.0
BLOB_BYTES = 50_000
Scarcity = Callable[[Stage], AbstractContextManager[None]]


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """No file of the server may grow past what the database has now."""
    most = max(path.stat().st_size for path in stage.db.parent.glob(f"{stage.db.name}*") if path.is_file())
    with limited(stage, resource.RLIMIT_FSIZE, min(most, BLOB_BYTES // 2)):
        yield


@contextmanager
def no_descriptors(stage: Stage) -> Iterator[None]:
    """The server may open nothing more, also where something was closed: it may be loading code at the moment."""
    with limited(stage, resource.RLIMIT_NOFILE, 3):
        yield


@contextmanager
def no_blob_folder(stage: Stage) -> Iterator[None]:
    """Uploads have no folder: a file is in its place. Not a mode of the folder, which means nothing to root."""
    folder = stage.db.with_name(f"{stage.db.name}.blobs") / "uploads"
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


@contextmanager
def limited(stage: Stage, which: int, most: int) -> Iterator[None]:
    """Limits a running server."""
    before = resource.prlimit(stage.pid, which)
    resource.prlimit(stage.pid, which, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(stage.pid, which, before)


@dataclass
class Tries:
    """A WhatsApp user who sends messages and uploads blobs, one after the other, and notes what becomes of each."""

    sender: Person
    to: str
    messages: list[str] = field(default_factory=list)
    """Ids of those acked."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Contents of those acked, by path."""
    reasons: list[str] = field(default_factory=list)
    """Why the server did not take the rest."""
    _count: int = 0
    _wire: Wire | None = None

    async def once(self) -> bool:
        """Sends a message and uploads a blob, on the connection that there is; says whether both were taken."""
        self._count += 1
        try:
            async with asyncio.timeout(TRY_SECONDS):
                wire = self._wire or await self._open()
                results = [await self._try(self._send(wire)), await self._try(self._upload())]
        except (ServerRefusal, ConnectionEnded, TimeoutError) as error:
            self.reasons.append(getattr(error, "reason", "nothing came"))
            await self.close()
            return False
        return all(results)

    async def close(self) -> None:
        """Ends the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.__aexit__()

    async def _open(self) -> Wire:
        self._wire = await Wire(self.sender.transport).__aenter__()
        return self._wire

    async def _try(self, call: Awaitable[None]) -> bool:
        try:
            await call
        except ServerRefusal as refusal:
            self.reasons.append(refusal.reason)
            return False
        return True

    async def _send(self, wire: Wire) -> None:
        message_id = f"m{self._count}"
        await wire.send(sealed_message(self.to, message_id, os.urandom(4_000)))
        ack = (await wire.take_until("send_acks"))[-1].send_acks.acks[0]
        if ack.HasField("error"):
            raise refusal_from_stanza_error(ack.error)
        self.messages.append(message_id)

    async def _upload(self) -> None:
        content = os.urandom(BLOB_BYTES)
        grant = await self.sender.call(
            "MediaService/GetMediaConnection",
            media_pb2.GetMediaConnectionRequest(),
            media_pb2.GetMediaConnectionResponse,
        )
        token = media_token(hashlib.sha256(content).digest())
        start = media_pb2.UploadStart(auth=grant.auth, upload_token=token, length=len(content))

        async def requests() -> AsyncIterator[media_pb2.UploadRequest]:
            yield media_pb2.UploadRequest(start=start)
            yield media_pb2.UploadRequest(chunk=content)

        path = (await self.sender.transport.upload(requests())).direct_path
        self.blobs[path] = content


async def download(person: Person, path: str) -> bytes:
    request = media_pb2.DownloadRequest(direct_path=path)
    return b"".join([response.chunk async for response in person.transport.download(request)])


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize("scarcity", [full_disk, no_blob_folder, no_descriptors])
async def test_what_runs_out_costs_nothing_that_was_acked(
    tmp_path: Path, signing_keys: SigningKeys, scarcity: Scarcity
) -> None:
    """1. Something runs out while a user sends and uploads: the server refuses for a reason that it knows.

    2. When it is there again, the server takes both again, without a restart.
    3. After SIGKILL and a restart, what was acked is there, in order, and the database is in order.
    """
    async with open_stage(Place(tmp_path, signing_keys)) as stage:
        stage.expects_faults = True
        await stage.start()
        sender, recipient = await stage.whatsapp_user(), await stage.third_party_user()
        await sender.connect()
        await opt_in(sender)
        tries = Tries(sender, recipient.jid)
        assert await tries.once()
        with scarcity(stage):
            taken = [await tries.once() for _ in range(TRIES)]
        assert not all(taken), "nothing ran out"
        async with asyncio.timeout(RECOVERY_SECONDS):
            while not await tries.once():
                pass
        print(f"{scarcity.__name__}: {taken.count(True)} of {TRIES} taken, {dict(Counter(tries.reasons))}")
        assert {*tries.reasons} <= {*Reason.__members__, "nothing came", "UNAVAILABLE"}
        await tries.close()
        await stage.kill()

        await stage.start()
        await recipient.connect()
        await sender.connect()
        for path, content in tries.blobs.items():
            assert await download(sender, path) == content
        arrived = await received(recipient)
        assert [each for each in arrived if each in tries.messages] == tries.messages
        assert len(arrived) == len(set(arrived))
        assert violations(stage.db) == []
        for person in (sender, recipient):
            await person.close()


@pytest.mark.requirement("SIM-03")
async def test_a_blob_folder_that_fails_is_seen_in_health(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Uploads are refused, messages go on; health says so, the log once and without a traceback; then all is well."""
    async with open_stage(Place(tmp_path, signing_keys)) as stage:
        stage.expects_faults = True
        await stage.start()
        sender, recipient = await stage.whatsapp_user(), await stage.third_party_user()
        await sender.connect()
        await opt_in(sender)
        tries = Tries(sender, recipient.jid)
        assert await tries.once()
        with no_blob_folder(stage):
            for _ in range(3):
                assert not await tries.once()
            assert await health(stage.endpoint.admin, "blobs", "storage", "") == [NOT_SERVING, SERVING, SERVING]
            assert "cannot be used" in (await stage.admin.get_statistics()).troubles["blobs"]
        assert (tries.reasons, len(tries.messages)) == (["STORAGE_UNAVAILABLE"] * 3, 4)
        async with asyncio.timeout(RECOVERY_SECONDS):
            while await health(stage.endpoint.admin, "blobs") != [SERVING]:
                pass
        assert await tries.once()
        await tries.close()
        await sender.close()
    log = (tmp_path / "server.log").read_text()
    assert log.count("cannot be used (") == 1 and "Traceback" not in log


async def received(person: Person) -> list[str]:
    """The ids of all messages that wait for somebody."""
    async with Wire(person.transport) as wire:
        await wire.ask(200)
        return message_ids(await wire.take_until("offline_end"))
