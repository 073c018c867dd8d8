"""Two simulators on one database and one object store, and uploads that hop between them while they are killed."""

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2
from interop_api.v1 import media_pb2 as pb
from interop_client.connection.login import whatsapp_login
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.state import ClientState
from interop_protocol.encoding import media_token
from interop_protocol.endpoint import Endpoint
from interop_server.blobs.object_writer import PIECE_BYTES
from tests.chaos.node import Node
from tests.chaos.people import Broken, is_gone

CHUNK_BYTES = 64 << 10
STALE_SECONDS = 2
"""How long an unfinished upload is kept: so short that sweeps run all the time."""
_LIMITS = {
    "stale_upload_seconds": STALE_SECONDS,
    "upload_auth_seconds": 7 * 86_400,
    "account_uploads": 1_000,
    "address_transfers": 1_000,
}
_BUSY = "UPLOAD_OFFSET_MISMATCH"
_PATIENCE_SECONDS = 8.0
"""How long a step is waited for at which a node is to die; then it is killed anyhow."""


@dataclass(frozen=True)
class Shared:
    """What the nodes share."""

    folder: Path
    store: str
    """The address of the database."""
    blobs: str
    """The URL of the place of the blobs."""
    bus: str
    """The URL of the bus."""
    environment: dict[str, str]

    def node(self, name: str) -> Node:
        """Describes a node."""
        limits = [word for name, value in _LIMITS.items() for word in ("--limit", f"{name}={value}")]
        arguments = (*limits, "--store", self.store, "--blobs", self.blobs, "--bus", self.bus)
        return Node(name, self.folder, arguments, self.environment)


@dataclass
class Hopper:
    """Somebody who uploads one blob after the other, at whatever nodes chance has it, connected to one at a time.

    Args:
        nodes: The nodes.
        state: Who.
        rng: Chooses.
    """

    nodes: list[Node]
    state: ClientState
    rng: random.Random
    paths: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    """Path and length of each blob that was acked, by hash."""
    seen: Counter[str] = field(default_factory=Counter)
    """What happened on the way."""
    is_ending: bool = False
    _there: "tuple[Endpoint, DirectTransport] | None" = None
    """Where it is connected."""
    _auth: str = ""

    async def work(self) -> None:
        """Uploads until it is told to end, and then ends what it has begun."""
        while not self.is_ending:
            large = self.rng.random() < 0.15
            length = self.rng.randint(1, 2 * PIECE_BYTES if large else 300_000)
            await self._upload(self.rng.randbytes(length))

    async def check(self, sha256: bytes, node: Node) -> None:
        """A node has the blob, whole and in parts, under the one path."""
        path, length = self.paths[sha256]
        await self._connect(node)
        try:
            if (known := (await self._status(sha256)).direct_path) != path:
                raise Broken(f"a blob of {length} bytes is {path}, and {known!r} at another node")
            whole = await self._download(pb.DownloadRequest(direct_path=path))
            first, count = self.rng.randrange(length), self.rng.randint(1, length)
            part = await self._download(pb.DownloadRequest(direct_path=path, offset=first, length=count))
        except (ConnectionEnded, ServerRefusal) as error:
            if is_gone(error):
                raise
            raise Broken(f"a blob of {length} bytes that was acked cannot be had: {error!r}") from error
        if hashlib.sha256(whole).digest() != sha256 or part != whole[first : first + count]:
            raise Broken(f"a blob of {length} bytes came down with other bytes than went up")

    async def close(self) -> None:
        """Ends the connection."""
        there, self._there = self._there, None
        if there is not None:
            await there[1].close()

    async def _upload(self, content: bytes) -> None:
        sha256, is_abandoned = hashlib.sha256(content).digest(), self.rng.random() < 0.1
        while True:
            try:
                if sha256 in self.paths:
                    return await self.check(sha256, self.rng.choice(self._up()))
                if is_abandoned and self.rng.random() < 0.5:
                    return None
                await self._connect(self.rng.choice(self._up()))
                status = await self._status(sha256)
                if status.direct_path:
                    self._note(sha256, status.direct_path, len(content))
                else:
                    await self._go_on(content, status.committed_bytes)
            except (ConnectionEnded, ServerRefusal) as error:
                if not is_gone(error) and error.reason != _BUSY:
                    raise Broken(f"an upload was refused that must go on: {error!r}") from error
                self.seen["busy" if error.reason == _BUSY else "gone"] += 1
                if error.reason != _BUSY:
                    await self.close()

    async def _go_on(self, content: bytes, offset: int) -> None:
        """Sends some of what is missing, or all of it, perhaps to both nodes at once."""
        rest, chance = len(content) - offset, self.rng.random()
        if chance < 0.3 and rest > 1:
            await self._break_off(content, offset, self.rng.randint(1, rest - 1))
        elif chance < 0.5:
            await self._send_at_once(content, offset)
        else:
            await self._send(content, offset, rest)

    async def _break_off(self, content: bytes, offset: int, count: int) -> None:
        """Ends a stream too early: what came is kept, and another node knows it at once."""
        began = time.monotonic()
        try:
            await self._send(content, offset, count)
        except ServerRefusal as refusal:
            if refusal.reason != "UPLOAD_LENGTH_MISMATCH":
                raise
        self.seen["broken off"] += 1
        await self._connect(self.rng.choice(self._up()))
        stored = (await self._status(hashlib.sha256(content).digest())).committed_bytes
        if stored != offset + count and time.monotonic() - began < STALE_SECONDS:
            raise Broken(f"{offset + count} bytes were stored, and another node has {stored}")

    async def _send_at_once(self, content: bytes, offset: int) -> None:
        """Goes on at another node while a stream is under way, as somebody does whose connection is lost."""
        assert self._there is not None
        former, self._there = self._there, None
        is_under_way, rest = asyncio.Event(), len(content) - offset
        first = asyncio.create_task(self._send(content, offset, rest, former[1], is_under_way))
        under_way = asyncio.create_task(is_under_way.wait())
        await asyncio.wait([first, under_way], return_when=asyncio.FIRST_COMPLETED)
        under_way.cancel()
        try:
            await self._connect(self.rng.choice(self._up()))
            await self._send(content, offset, rest)
            self.seen["overtaken"] += 1
        finally:
            await asyncio.gather(first, return_exceptions=True)
            await former[1].close()
        first.result()

    async def _send(
        self,
        content: bytes,
        offset: int,
        count: int,
        transport: DirectTransport | None = None,
        is_under_way: asyncio.Event | None = None,
    ) -> None:
        sha256 = hashlib.sha256(content).digest()
        start = pb.UploadStart(auth=self._auth, upload_token=media_token(sha256), length=len(content), offset=offset)

        async def requests() -> AsyncIterator[pb.UploadRequest]:
            yield pb.UploadRequest(start=start)
            for at in range(offset, offset + count, CHUNK_BYTES):
                yield pb.UploadRequest(chunk=content[at : min(at + CHUNK_BYTES, offset + count)])
                if is_under_way is not None:
                    is_under_way.set()

        answer = await (transport or self._transport).upload(requests())
        self._note(sha256, answer.direct_path, len(content))

    async def _status(self, sha256: bytes) -> pb.GetUploadStatusResponse:
        service = "/interop_api.v1.MediaService"
        if not self._auth:  # once, at one of the nodes, for all
            asked = pb.GetMediaConnectionRequest()
            granted = await self._transport.call(f"{service}/GetMediaConnection", asked, pb.GetMediaConnectionResponse)
            self._auth = granted.auth
        request = pb.GetUploadStatusRequest(auth=self._auth, upload_token=media_token(sha256))
        return await self._transport.call(f"{service}/GetUploadStatus", request, pb.GetUploadStatusResponse)

    async def _download(self, request: pb.DownloadRequest) -> bytes:
        return b"".join([response.chunk async for response in self._transport.download(request)])

    async def _connect(self, node: Node) -> None:
        """Connects to this life of a node, unless that is where the person is already."""
        if self._there is not None and self._there[0] == node.endpoint:
            return
        await self.close()

        async def log_in() -> chat_pb2.LoginPayload:
            return whatsapp_login(self.state.jid)

        endpoint = node.endpoint
        transport = DirectTransport(endpoint, self.state.auth_private_key, log_in)
        try:
            await transport.connect()
        except BaseException:
            await transport.close()
            raise
        self._there = endpoint, transport
        self.seen["hops"] += 1

    def _up(self) -> list[Node]:
        return [node for node in self.nodes if node.is_up]

    @property
    def _transport(self) -> DirectTransport:
        if self._there is None:
            raise ConnectionEnded("UNAVAILABLE", "There is no connection.")
        return self._there[1]

    def _note(self, sha256: bytes, path: str, length: int) -> None:
        before, _ = self.paths.setdefault(sha256, (path, length))
        if before != path:
            raise Broken(f"one upload got two paths, {before} and {path}")


async def hoppers(nodes: list[Node], rng: random.Random, count: int) -> list[Hopper]:
    """Registers people."""
    found = []
    async with AdminClient(nodes[0].endpoint.admin) as admin:
        for number in range(count):
            state = ClientState.generate()
            state.jid = await admin.put_whatsapp_user(f"+4915112345{number:03}", state.auth_public_key)
            found.append(Hopper(nodes, state, random.Random(rng.getrandbits(64))))
    return found


async def kill_in_turn(nodes: list[Node], points: Sequence[str]) -> Counter[str]:
    """Kills one node again and again, at each place that is told, then the next; says how often one died just there.

    Args:
        nodes: They live. One at a time is down.
        points: Where; as many for each node.
    """
    died = Counter[str]()
    for number, node in enumerate(nodes):
        for point in points[number :: len(nodes)]:
            await node.kill()
            await node.start(point)
            died[point.partition(":")[0] if await node.died(_PATIENCE_SECONDS) else "by chance"] += 1
        await node.kill()
        await node.start()
    return died
