"""Reaches the server through the partner's proxy; holds no auth key, speaks no Noise.

Blobs do not go through the proxy: clients move them over HTTP, to and from their own partner's media server and the
simulator's.

Source: PRX-01 to PRX-05; the protocol with the proxy: `proxy_frames`.
"""

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

import aiohttp
import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from interop_api.v1 import stanza_pb2
from interop_client.connection.attempt import Attempt
from interop_client.connection.login import CAPABILITIES
from interop_client.connection.outbox import Outbox
from interop_client.connection.proxy_frames import (
    HEARTBEAT_SECONDS,
    MAX_FRAME_BYTES,
    BatchFrame,
    Ended,
    FrameMalformed,
    Hello,
    RequestFrame,
    ResponseFrame,
    decode_frame,
)
from interop_client.errors import (
    ConnectionEnded,
    LoginRefused,
    Recovery,
    ServerRefusal,
    ended_by,
    recovery_named,
    refusal_from_rpc_error,
)

LOGIN_SECONDS = 30.0
"""Longest wait for the outcome of a login: longer than the proxy waits for WhatsApp."""
CALL_SECONDS = 35.0
"""Longest wait for the answer of a unary call: longer than the proxy waits for WhatsApp."""
CLOSE_SECONDS = 2.0
"""Longest wait for the proxy to confirm that the WebSocket closes."""
MAX_WAITING_FRAMES = 64
"""How many frames may wait for `receive`; beyond that, the client reads from the proxy only while a call waits."""

_BROKEN = (aiohttp.ClientError, ConnectionError)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class ProxyLogin:
    """The user who connects through the proxy."""

    user: str
    """User-visible identifier."""
    jid: str
    """JID that the enlistment returned."""
    get_token: Callable[[], Awaitable[str]]
    """Gets a token from the partner: tokens are short-lived, so each connection asks for a new one."""
    read_receipts: bool = True
    """Whether the user sends and receives read receipts."""
    capabilities: tuple[int, ...] = CAPABILITIES
    """Optional parts of the protocol that the client knows."""


class ProxyTransport:
    """A client behind its partner's proxy: one WebSocket for chat and calls. A `Transport`.

    Args:
        url: The proxy's WebSocket, such as `http://127.0.0.1:8080/proxy`.
        login: The user who connects.
        client_ip: Sent as `Forwarded: for=` (RFC 7239). A real proxy gets it from its load balancer, which alone knows
            the client's address. Empty: the proxy uses the address that the WebSocket comes from.
    """

    def __init__(self, url: str, login: ProxyLogin, client_ip: str = "") -> None:
        self._url = url
        self._login = login
        self._headers = {"Forwarded": f"for={_forwarded_node(client_ip)}"} if client_ip else {}
        self._connection: _Connection | None = None
        self._attempt: Attempt[stanza_pb2.LoginSuccess] = Attempt()

    async def connect(self) -> stanza_pb2.LoginSuccess:
        """Opens the chat channel, after closing any open one. See Transport.

        Raises:
            LoginRefused: The server does not accept the login.
            ServerRefusal: The server or the proxy ended the handshake, or cannot be reached.
            TimeoutError: The login took too long.
            ConnectionEnded: CLOSED: `close`, or another call of this, came meanwhile.
        """
        return await self._attempt.make(self._connect())

    async def _connect(self) -> stanza_pb2.LoginSuccess:
        await self._close_connection()
        login = self._login
        hello = Hello(login.user, await login.get_token(), login.jid, login.read_receipts, login.capabilities)
        self._attempt.check()
        self._connection = await _Connection.open(self._url, self._headers, hello)
        return self._connection.login

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Queues stanzas for sending. See Transport."""
        await self._open_connection.send(stanzas)

    def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """Yields the stanzas of each frame. See Transport."""
        return self._open_connection.receive()

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        """Makes a unary call. See Transport."""
        if self._connection is None:
            raise ServerRefusal("PROXY_NOT_CONNECTED", advice="Connect first: the proxy calls in the session only.")
        response = await self._connection.call(method, request.SerializeToString())
        try:
            return response_type.FromString(response)
        except DecodeError as error:
            raise ServerRefusal("PROXY_FRAME_MALFORMED", advice="The response is not such a message.") from error

    def abort(self) -> None:
        """Drops the channel. See Transport."""
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """Ends the channel and frees its resources. See Transport."""
        await self._attempt.end()
        await self._close_connection()

    async def _close_connection(self) -> None:
        connection = self._connection
        if connection is not None:
            await connection.close()
            if self._connection is connection:  # else an attempt that began meanwhile has opened another
                self._connection = None

    @property
    def _open_connection(self) -> "_Connection":
        if self._connection is None:
            raise ConnectionEnded("CLOSED", "Connect first.")
        return self._connection


class _Connection:
    """One WebSocket after its login. One task reads it, and separates batches from answers to calls."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, first: bytes) -> None:
        stanzas = stanza_pb2.Batch.FromString(first).stanzas
        if not stanzas or not stanzas[0].HasField("login_success"):
            raise FrameMalformed("the first stanza is not the success of a login")
        self.login = stanzas[0].login_success
        self._http = http
        self._socket = socket
        self._waiting: deque[Sequence[stanza_pb2.Stanza]] = deque([stanzas[1:]] if stanzas[1:] else [])
        self._calls: dict[int, asyncio.Future[ResponseFrame]] = {}
        self._call_ids = itertools.count(1)
        self._end: ConnectionEnded | None = None
        self._is_closing = False
        self._closing: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._outbox = Outbox(self.login.limits)
        self._reader = asyncio.create_task(self._read(), name=f"proxy connection read {self.login.jid}")
        self._writer = asyncio.create_task(self._write(), name=f"proxy connection write {self.login.jid}")

    @classmethod
    async def open(cls, url: str, headers: dict[str, str], hello: Hello) -> "_Connection":
        http = websocket_session()
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                socket = await http.ws_connect(
                    url,
                    headers=headers,
                    max_msg_size=MAX_FRAME_BYTES,
                    heartbeat=HEARTBEAT_SECONDS,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                )
                try:
                    await socket.send_str(hello.encode())
                    return cls(http, socket, await _read_login(socket))
                except BaseException:
                    await socket.close()
                    raise
        except (*_BROKEN, UnicodeError) as error:  # the latter for a URL that names no host
            await http.close()
            raise ServerRefusal("UNAVAILABLE", advice="The proxy cannot be reached.") from error
        except (FrameMalformed, DecodeError) as error:
            await http.close()
            raise ServerRefusal("PROXY_FRAME_MALFORMED", advice=str(error)) from error
        except BaseException:
            await http.close()
            raise

    async def send(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        await self._outbox.add(*stanzas)

    async def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._end is not None)
                if not self._waiting:
                    break
                stanzas = self._waiting.popleft()
                self._changed.notify_all()
            yield stanzas
        if self._end is not None and not self._is_closing:
            raise self._end

    async def call(self, method: str, request: bytes) -> bytes:
        call_id = next(self._call_ids) % (1 << 32)
        answer: asyncio.Future[ResponseFrame] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = answer
        try:
            async with asyncio.timeout(CALL_SECONDS):
                async with self._changed:
                    self._changed.notify_all()
                if self._end is not None:
                    raise self._end
                await self._socket.send_bytes(RequestFrame(call_id, method, request).encode())
                response = await answer
        except ConnectionEnded as error:
            raise _session_dead() from error
        except _BROKEN as error:
            raise ServerRefusal("UNAVAILABLE", advice="The connection to the proxy broke.") from error
        except TimeoutError:
            raise ServerRefusal("DEADLINE_EXCEEDED", advice="The proxy did not answer in time.") from None
        finally:
            del self._calls[call_id]
        if response.code:
            raise _refusal_from_response(response)
        return response.body

    def abort(self) -> None:
        self._is_closing = True
        self._outbox.end(ConnectionEnded("CLOSED"))
        tcp = self._socket.get_extra_info("socket")
        if tcp is not None:
            with suppress(OSError):
                tcp.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Goes on to its end when it is cancelled, which a later call waits for: whoever receives depends on it."""
        self._is_closing = True
        self._outbox.end(ConnectionEnded("CLOSED"))
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"proxy connection close {self.login.jid}")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.wait((self._writer,), timeout=CLOSE_SECONDS)
        self._writer.cancel()
        self._reader.cancel()
        await asyncio.gather(self._writer, self._reader, return_exceptions=True)
        with suppress(*_BROKEN):
            await self._socket.close()
        await self._http.close()

    async def _write(self) -> None:
        # A broken socket also ends the reader, which reports why.
        with suppress(*_BROKEN):
            while (batch := await self._outbox.next_batch()) is not None:
                await self._socket.send_bytes(BatchFrame(batch).encode())

    async def _read(self) -> None:
        end = ConnectionEnded("CLOSED")
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    ended = Ended.decode(message.data)
                    end = ended_by(_refusal_from_ended(ended))
                    return
                await self._take(decode_frame(message.data))
            end = ConnectionEnded("BROKEN", "The proxy ended the connection without a reason; reconnect.")
        except (FrameMalformed, DecodeError, TypeError) as error:
            end = ConnectionEnded("PROXY_FRAME_MALFORMED", str(error))
        finally:
            await self._finish(end)

    async def _take(self, frame: BatchFrame | RequestFrame | ResponseFrame) -> None:
        if isinstance(frame, ResponseFrame):
            answer = self._calls.get(frame.call_id)
            if answer is not None and not answer.done():
                answer.set_result(frame)
            return
        if isinstance(frame, RequestFrame):
            raise FrameMalformed("a proxy makes no calls")
        stanzas = stanza_pb2.Batch.FromString(frame.batch).stanzas
        async with self._changed:
            # The task that empties the queue may be waiting for a call whose answer comes after this batch.
            await self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING_FRAMES or self._calls)
            self._waiting.append(stanzas)
            self._changed.notify_all()

    async def _finish(self, end: ConnectionEnded) -> None:
        self._end = end
        self._outbox.end(end)
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(end)
        async with self._changed:
            self._changed.notify_all()


def websocket_session() -> aiohttp.ClientSession:
    """Opens a session for a WebSocket that follows no redirect: the hello holds a token, which is for one place."""

    async def refuse(*_: object) -> None:
        raise aiohttp.ClientError("the server redirects")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return aiohttp.ClientSession(trace_configs=[trace])


async def _read_login(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        raise _refusal_from_ended(Ended.decode(message.data))
    if message.type is not aiohttp.WSMsgType.BINARY:
        raise ServerRefusal("UNAVAILABLE", advice="The proxy closed the connection.")
    frame = decode_frame(message.data)
    if not isinstance(frame, BatchFrame):
        raise FrameMalformed("the first frame is not a batch")
    return frame.batch


def _session_dead() -> ServerRefusal:
    """The server's refusal of calls in an ended session; made here, since the proxy can no longer ask the server."""
    advice = "The connection of this session has ended: connect again."
    return ServerRefusal("SESSION_DEAD", "CHN-01", advice, 1_000, code=401, recovery=Recovery.RECONNECT)


def _refusal_from_ended(ended: Ended) -> ServerRefusal:
    refusal = ServerRefusal(
        ended.reason,
        ended.requirement,
        ended.advice,
        ended.retry_after_ms,
        ended.request_id,
        code=ended.login_code or 0,
        recovery=recovery_named(ended.recovery),
    )
    if ended.login_code is None:
        return refusal
    return LoginRefused(refusal, ended.expires_after_seconds, ended.sub_code)


def _refusal_from_response(response: ResponseFrame) -> ServerRefusal:
    codes = {code.value[0]: code for code in grpc.StatusCode}
    with suppress(DecodeError):
        message = status_pb2.Status.FromString(response.body).message
        trailer = grpc.aio.Metadata(("grpc-status-details-bin", response.body))
        code = codes.get(response.code, grpc.StatusCode.UNKNOWN)
        return refusal_from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailer, message))
    return ServerRefusal("PROXY_FRAME_MALFORMED", advice="The proxy's answer to a refused call is not a Status.")


def _forwarded_node(client_ip: str) -> str:
    address = ip_address(client_ip)
    return f'"[{address}]"' if isinstance(address, IPv6Address) else str(address)
