"""A server that does what a test says, behind a client's transport; and one that speaks real Noise over gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import Message

from interop_api.v1 import chat_pb2, chat_pb2_grpc, stanza_pb2
from interop_client.connection.login import CAPABILITIES
from interop_client.errors import ConnectionEnded
from interop_protocol.certificates import Validity, issue_chain
from interop_protocol.noise import ResponderHandshake, Transport

M = TypeVar("M", bound=Message)

Stanza = stanza_pb2.Stanza


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


class ScriptedTransport:
    """A Transport whose other end is the test."""

    def __init__(self, limits: stanza_pb2.ChannelLimits | None = None) -> None:
        self.login = stanza_pb2.LoginSuccess(
            jid="12-1@interop", session_token="t", limits=limits, capabilities=CAPABILITIES
        )
        self.sent: list[Stanza] = []
        self.calls: list[tuple[str, Message]] = []
        self.answers: dict[str, Callable[[Message], Message]] = {}
        self._inbound: asyncio.Queue[Sequence[Stanza] | Exception | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._is_open = False

    async def connect(self) -> stanza_pb2.LoginSuccess:
        self._inbound = asyncio.Queue()
        self._is_open = True
        return self.login

    async def send(self, *stanzas: Stanza) -> None:
        if not self._is_open:
            raise ConnectionEnded("CLOSED")
        self.sent += stanzas
        self._changed.set()

    async def receive(self) -> AsyncIterator[Sequence[Stanza]]:
        while (item := await self._inbound.get()) is not None:
            if isinstance(item, Exception):
                self._is_open = False
                raise item
            yield item

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        self.calls.append((method, request))
        self._changed.set()
        answer: Any = self.answers.get(method, lambda _: response_type())(request)
        return answer

    async def close(self) -> None:
        self._is_open = False
        self._inbound.put_nowait(None)

    def abort(self) -> None:
        self._is_open = False

    def deliver(self, *stanzas: Stanza) -> None:
        """Sends one frame to the client."""
        self._inbound.put_nowait(stanzas)

    def end(self, reason: str) -> None:
        """Ends the channel from the server's side."""
        self._inbound.put_nowait(ConnectionEnded(reason))

    def of_kind(self, kind: str) -> list[Any]:
        """Returns what the client sent of one kind."""
        return [getattr(stanza, kind) for stanza in self.sent if stanza.HasField(kind)]  # type: ignore[arg-type]

    @property
    def acked(self) -> list[int]:
        return [delivery_id for ack in self.of_kind("ack") for delivery_id in ack.delivery_ids]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until what the client sent or called fulfils a condition."""
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def transport() -> ScriptedTransport:
    return ScriptedTransport()


@dataclass
class NoiseServer:
    """A chat service with a certified key; what it says after the handshake is the test's."""

    root: bytes = b"\x01" * 32
    static: bytes = b"\x03" * 32
    certified: bytes = b"\x03" * 32
    """The private half of the key that the certificate names."""
    validity: Validity = field(default_factory=lambda: Validity(0, int(time.time()) + 3600))
    script: Callable[["Peer"], Awaitable[None]] | None = None
    address: str = ""
    payloads: list[chat_pb2.LoginPayload] = field(default_factory=list)
    client_statics: list[bytes] = field(default_factory=list)

    @property
    def chain(self) -> bytes:
        certified = public_key(self.certified)
        return issue_chain(self.root, b"\x02" * 32, certified, self.validity, (bytes(64), bytes(64))).encode()


class Peer:
    """The server's end of one channel, after the handshake."""

    def __init__(self, context: Any, noise: Transport) -> None:
        self.context = context
        self.noise = noise

    async def say(self, *stanzas: Stanza) -> None:
        batch = stanza_pb2.Batch(stanzas=stanzas).SerializeToString()
        await self.context.write(chat_pb2.ConnectResponse(sealed=self.noise.encrypt(batch)))

    async def hear(self) -> Sequence[Stanza] | None:
        """Returns the next frame's stanzas; None when the client has ended the stream."""
        request = await self.context.read()
        if not isinstance(request, chat_pb2.ConnectRequest):
            return None
        return stanza_pb2.Batch.FromString(self.noise.decrypt(request.sealed)).stanzas

    async def welcome(self, **limits: int) -> None:
        login = stanza_pb2.LoginSuccess(
            jid="12-1@interop", session_token="token", limits=stanza_pb2.ChannelLimits(**limits)
        )
        await self.say(Stanza(login_success=login))


class _Chat(chat_pb2_grpc.ChatServiceServicer):
    def __init__(self, server: NoiseServer) -> None:
        self._server = server

    async def Connect(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        server = self._server
        noise = ResponderHandshake(server.static, b"\x04" * 32)
        noise.read_client_hello((await context.read()).handshake.client_hello.ephemeral)
        ephemeral, static, payload = noise.server_hello(server.chain)
        hello = chat_pb2.ServerHello(ephemeral=ephemeral, static_key=static, payload=payload)
        await context.write(chat_pb2.ConnectResponse(handshake=chat_pb2.HandshakeMessage(server_hello=hello)))
        request = await context.read()
        if not isinstance(request, chat_pb2.ConnectRequest):
            return
        finish = request.handshake.client_finish
        server.payloads.append(
            chat_pb2.LoginPayload.FromString(noise.read_client_finish(finish.static_key, finish.payload))
        )
        server.client_statics.append(noise.remote_static)
        assert server.script is not None
        await server.script(Peer(context, noise.split()))


@asynccontextmanager
async def serving(server: NoiseServer) -> AsyncIterator[NoiseServer]:
    """Serves on loopback."""
    listener = grpc.aio.server()
    chat_pb2_grpc.add_ChatServiceServicer_to_server(_Chat(server), listener)  # type: ignore[no-untyped-call, unused-ignore]
    server.address = f"127.0.0.1:{listener.add_insecure_port('127.0.0.1:0')}"
    await listener.start()
    try:
        yield server
    finally:
        await listener.stop(0)
