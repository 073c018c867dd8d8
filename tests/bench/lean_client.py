"""A client that does as little as one can: handshake, frames, batches; knows no Signal session and no retry.

What it costs is taken from the server, which shares its cores; so it is not `interop_client`.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import grpc.aio

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_protocol.noise import InitiatorHandshake, Transport
from tests.bench.bare_client import CHANNEL_OPTIONS
from tests.bench.raw_call import RawCall
from tests.bench.report import WrongAnswer

_CONNECT = "/interop_api.v1.ChatService/Connect"
_Call = grpc.aio.StreamStreamCall[bytes, bytes] | RawCall


@dataclass(frozen=True, slots=True)
class Account:
    """What a client logs in with."""

    auth_private_key: bytes = field(repr=False)
    """32 bytes, X25519."""
    payload: chat_pb2.LoginPayload = field(repr=False)


class LeanClient:
    """One logged-in chat channel on a connection of its own. Made by `log_in`; not for use by several readers."""

    def __init__(self, channel: grpc.aio.Channel, call: _Call, noise: Transport) -> None:
        self.channel = channel
        """For calls beside the chat channel."""
        self.jid = ""
        self.metadata: tuple[tuple[str, str], ...] = ()
        """Authorises unary calls."""
        self._call = call
        self._noise = noise
        self._writing = asyncio.Lock()

    @classmethod
    async def log_in(cls, address: str, account: Account, *, raw: bool = False) -> Self:
        """Connects, shakes hands, logs in, and reads up to the end of an empty backlog.

        Args:
            address: Of the server.
            account: Who logs in.
            raw: Whether the chat channel is a `RawCall`, for load; else it is one of grpc.aio, for all else.

        Raises:
            WrongAnswer: The server does not accept the login.
        """
        channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        call: _Call = await RawCall.open(address, _CONNECT) if raw else channel.stream_stream(_CONNECT)()
        client = cls(channel, call, await _shake_hands(call, account))
        first = await client.receive()
        if not first[0].HasField("login_success"):
            raise WrongAnswer(f"login: {first[0]}")
        client.jid = first[0].login_success.jid
        client.metadata = (("authorization", f"Bearer {first[0].login_success.session_token}"),)
        while not any(stanza.HasField("offline_end") for stanza in first):
            first = await client.receive()
        return client

    async def send(self, stanzas: Iterable[stanza_pb2.Stanza]) -> int:
        """Sends one frame and returns its size in bytes."""
        async with self._writing:  # frames go out in the order of sealing, and grpc.aio takes one write at a time
            sealed = self._noise.encrypt(stanza_pb2.Batch(stanzas=stanzas).SerializeToString())
            await self._call.write(chat_pb2.ConnectRequest(sealed=sealed).SerializeToString())
        return len(sealed)

    async def receive(self) -> Sequence[stanza_pb2.Stanza]:
        """Returns the stanzas of the next frame.

        Raises:
            WrongAnswer: The server ended the stream.
        """
        response = await _next(self._call)
        stanzas = stanza_pb2.Batch.FromString(self._noise.decrypt(response.sealed)).stanzas
        if stanzas[-1].HasField("stream_error"):
            raise WrongAnswer(f"the server ended a chat channel: {stanzas[-1].stream_error.error.reason}")
        return stanzas

    async def close(self) -> None:
        """Ends the connection."""
        if isinstance(self._call, RawCall):
            self._call.close()
        else:
            self._call.cancel()
        await self.channel.close()


async def _next(call: _Call) -> chat_pb2.ConnectResponse:
    response = await call.read()
    if not isinstance(response, bytes):
        raise WrongAnswer("the server ended a chat channel")
    return chat_pb2.ConnectResponse.FromString(response)


async def _say(call: _Call, message: chat_pb2.HandshakeMessage) -> None:
    await call.write(chat_pb2.ConnectRequest(handshake=message).SerializeToString())


async def _shake_hands(call: _Call, account: Account) -> Transport:
    noise = InitiatorHandshake(account.auth_private_key, os.urandom(32))
    hello = chat_pb2.ClientHello(ephemeral=noise.client_hello())
    await _say(call, chat_pb2.HandshakeMessage(client_hello=hello))
    answer = (await _next(call)).handshake.server_hello
    noise.read_server_hello(answer.ephemeral, answer.static_key, answer.payload)
    static, payload = noise.client_finish(account.payload.SerializeToString())
    finish = chat_pb2.ClientFinish(static_key=static, payload=payload)
    await _say(call, chat_pb2.HandshakeMessage(client_finish=finish))
    return noise.split()
