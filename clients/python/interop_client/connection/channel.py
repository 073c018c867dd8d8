"""One chat channel over a gRPC stream: handshake, login, then sealed batches; knows nothing of what stanzas mean.

Two kinds of programs terminate Noise and need this: a client that connects itself, and a partner's proxy that holds the
client's auth key and connects on its behalf (PRX-01).

Source: interop_api/v1/chat.proto; CHN-01 to CHN-12.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, chat_pb2_grpc, stanza_pb2
from interop_client.cancellation import is_asked_to_end
from interop_client.connection.outbox import Outbox
from interop_client.errors import (
    ConnectionEnded,
    ended_by,
    refusal_from_login_failure,
    refusal_from_rpc_error,
    refusal_from_stanza_error,
)
from interop_protocol.certificates import CertificateChain, verify_chain
from interop_protocol.noise import InitiatorHandshake, RemoteProtocolError, Transport
from interop_protocol.sizes import PRIVATE_KEY_BYTES

HANDSHAKE_SECONDS = 20.0
"""Longest wait for a login; the observed connect timeout (CHN-01)."""
CLOSE_SECONDS = 2.0
"""Longest wait for the server to end the stream after this end has closed it."""
DEFAULT_KEEPALIVE_SECONDS = 30
"""CHN-12; for a server that names no limit."""
DEFAULT_SILENT_SECONDS = 180
"""CHN-12; for a server that names no limit."""

KEEPALIVE_PING_ID = 0
"""Id of the pings that a channel sends by itself; pings that the application sends have other ids."""

_KEEPALIVE_SHARE = 2 / 3
"""The channel pings after this share of the allowed time, so that pings arrive in time even on a slow network."""

_Call = grpc.aio.StreamStreamCall[chat_pb2.ConnectRequest, chat_pb2.ConnectResponse]


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """The key that a channel proves, and the root that it requires."""

    auth_private_key: bytes = field(repr=False)
    """The client's static key, 32 bytes (CHN-07)."""
    root_public_key: bytes
    """The root that must certify the server's static key, 32 bytes (CHN-04)."""
    now: Callable[[], float] = time.time
    """Unix seconds, for the validity of certificates."""


class ChatChannel:
    """An open channel. Made by `open`; ends with `close`, or when the server ends it.

    Many tasks may call `send`, one task `receive`.
    """

    def __init__(self, call: _Call, noise: Transport, first: Sequence[stanza_pb2.Stanza]) -> None:
        self._call = call
        self._noise = noise
        self._first: Sequence[stanza_pb2.Stanza] = first[1:]
        self.login = first[0].login_success
        """The server's answer to the login: JID, session token, limits."""
        self._outbox = Outbox(self.login.limits)
        self._is_closing = False
        self._is_receiving = False
        self._heard_at = asyncio.get_running_loop().time()
        self._tasks: tuple[asyncio.Task[None], ...] = (
            asyncio.create_task(self._write(), name=f"chat channel write {self.login.jid}"),
            asyncio.create_task(self._keep_alive(), name=f"chat channel keep-alive {self.login.jid}"),
        )

    @classmethod
    async def open(cls, channel: grpc.aio.Channel, keys: ChannelKeys, payload: chat_pb2.LoginPayload) -> Self:
        """Connects, verifies the server, proves the auth key and logs in.

        Raises:
            LoginRefused: The server does not accept the login.
            ServerRefusal: The server ended the handshake, or cannot be reached.
            CertificateError: The root does not certify the server.
            RemoteProtocolError: The server broke the protocol, or an attacker changed what it sent.
            TimeoutError: No login within `HANDSHAKE_SECONDS`.
        """
        call: _Call = chat_pb2_grpc.ChatServiceStub(channel).Connect()
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                noise = await _shake_hands(call, keys, payload)
                return cls(call, noise, await _log_in(call, noise))
        except grpc.aio.AioRpcError as error:
            raise refusal_from_rpc_error(error) from error
        except BaseException:
            call.cancel()
            raise

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Queues stanzas for sending, in order; waits only while the outbox is full.

        Raises:
            ConnectionEnded: The channel has ended.
            ValueError: A stanza alone is longer than a frame may be.
        """
        await self._outbox.add(*stanzas)

    async def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """Yields the stanzas of each frame. Ends when this end closes the channel.

        Raises:
            ConnectionEnded: The server ended the channel, or it broke.
            RemoteProtocolError: A frame did not authenticate, or is not a batch.
        """
        self._is_receiving = True
        first, self._first = self._first, ()
        try:
            if first:
                yield first
            while (stanzas := await self._next_stanzas()) is not None:
                if not stanzas[-1].HasField("stream_error"):
                    yield stanzas
                    continue
                if len(stanzas) > 1:
                    yield stanzas[:-1]
                refusal = refusal_from_stanza_error(stanzas[-1].stream_error.error)
                raise ended_by(refusal)
        except ConnectionEnded as error:
            self._outbox.end(error)
            raise
        except RemoteProtocolError as error:
            self._outbox.end(ConnectionEnded(error.reason))
            raise
        finally:
            self._is_receiving = False

    async def close(self) -> None:
        """Sends the waiting stanzas, ends the stream and frees its resources. Idempotent; never raises.

        The caller must not cancel a task inside `receive` before: grpc.aio then cancels the call, and waiting stanzas
        are lost.
        """
        self._is_closing = True
        self._outbox.end(ConnectionEnded("CLOSED"))
        if not self._tasks:
            return
        write, keep_alive = self._tasks
        keep_alive.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.wait((write,))
                # The call has a status only after this task or another has read everything that came.
                if not self._is_receiving:
                    await self._drain()
                await self._call.code()
        except TimeoutError:
            pass
        finally:
            write.cancel()
            self._call.cancel()
            await asyncio.gather(write, keep_alive, return_exceptions=True)
            # A task that was cancelled holds the frame in which it was, and that holds this channel: with them the
            # connection to the server would stay until the garbage collector comes.
            self._tasks = ()

    def abort(self) -> None:
        """Drops the stream as a crash would: what waits is not sent. `close` frees its resources."""
        self._is_closing = True
        self._outbox.end(ConnectionEnded("CLOSED"))
        self._call.cancel()

    async def _drain(self) -> None:
        with contextlib.suppress(ConnectionEnded, RemoteProtocolError):
            while await self._next_stanzas() is not None:
                pass

    async def _next_stanzas(self) -> Sequence[stanza_pb2.Stanza] | None:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise ended_by(refusal_from_rpc_error(error)) from error
        except asyncio.CancelledError:
            # grpc.aio raises the same error when this end cancelled the call and when the task is cancelled.
            if is_asked_to_end():
                raise
            if self._is_closing:
                return None
            raise ConnectionEnded("CONNECTION_SILENT", "Nothing came from the server; reconnect.") from None
        if isinstance(response, chat_pb2.ConnectResponse):
            self._heard_at = asyncio.get_running_loop().time()
            return _open_frame(response, self._noise)
        if self._is_closing:
            return None
        raise ConnectionEnded("OK", "The server ended the stream; reconnect.")

    async def _write(self) -> None:
        try:
            while (batch := await self._outbox.next_batch()) is not None:
                await self._call.write(chat_pb2.ConnectRequest(sealed=self._noise.encrypt(batch)))
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            # The stream has ended; the reader finds out why. Here, only refuse further stanzas.
            self._outbox.end(ConnectionEnded("BROKEN", str(error)))

    async def _keep_alive(self) -> None:
        limits = self.login.limits
        interval = (limits.keepalive_seconds or DEFAULT_KEEPALIVE_SECONDS) * _KEEPALIVE_SHARE
        silence = limits.silent_seconds or DEFAULT_SILENT_SECONDS
        ping = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=KEEPALIVE_PING_ID))
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(interval)
                if loop.time() - self._heard_at > silence:
                    self._call.cancel()
                    return
                await self._outbox.add(ping)
        except ConnectionEnded:
            return


async def _shake_hands(call: _Call, keys: ChannelKeys, payload: chat_pb2.LoginPayload) -> Transport:
    noise = InitiatorHandshake(keys.auth_private_key, os.urandom(PRIVATE_KEY_BYTES))
    hello = chat_pb2.ClientHello(ephemeral=noise.client_hello())
    await _write_handshake(call, chat_pb2.HandshakeMessage(client_hello=hello))
    response = await _read(call)
    if response.WhichOneof("frame") != "handshake" or not response.handshake.HasField("server_hello"):
        raise RemoteProtocolError("HANDSHAKE_MALFORMED", "the server did not answer with ServerHello")
    server_hello = response.handshake.server_hello
    chain = noise.read_server_hello(server_hello.ephemeral, server_hello.static_key, server_hello.payload)
    # Before ClientFinish: no login, and so no token, reaches a server that is not certified.
    verify_chain(CertificateChain.decode(chain), keys.root_public_key, noise.remote_static, int(keys.now()))
    static, sealed_payload = noise.client_finish(payload.SerializeToString())
    finish = chat_pb2.ClientFinish(static_key=static, payload=sealed_payload)
    await _write_handshake(call, chat_pb2.HandshakeMessage(client_finish=finish))
    return noise.split()


async def _log_in(call: _Call, noise: Transport) -> Sequence[stanza_pb2.Stanza]:
    stanzas = _open_frame(await _read(call), noise)
    if stanzas[0].HasField("login_failure"):
        raise refusal_from_login_failure(stanzas[0].login_failure)
    if not stanzas[0].HasField("login_success"):
        raise RemoteProtocolError("FRAME_MALFORMED", "the first stanza is not the outcome of the login")
    return stanzas


async def _write_handshake(call: _Call, message: chat_pb2.HandshakeMessage) -> None:
    await call.write(chat_pb2.ConnectRequest(handshake=message))


async def _read(call: _Call) -> chat_pb2.ConnectResponse:
    response: Any = await call.read()
    if not isinstance(response, chat_pb2.ConnectResponse):
        raise ConnectionEnded("OK", "The server ended the stream before the login.")
    return response


def _open_frame(response: chat_pb2.ConnectResponse, noise: Transport) -> Sequence[stanza_pb2.Stanza]:
    if response.WhichOneof("frame") != "sealed":
        raise RemoteProtocolError("FRAME_MALFORMED", "only sealed frames are allowed after the handshake")
    try:
        stanzas = stanza_pb2.Batch.FromString(noise.decrypt(response.sealed)).stanzas
    except DecodeError as error:
        raise RemoteProtocolError("FRAME_MALFORMED", "a frame is not a batch") from error
    if not stanzas:
        raise RemoteProtocolError("FRAME_MALFORMED", "a batch holds no stanza")
    return stanzas
