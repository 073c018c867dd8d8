"""The optional proxy: one connection to WhatsApp per client WebSocket; sees no plaintext and keeps nothing.

It holds the users' chat-channel auth keys and speaks Noise for them, so a client needs only a WebSocket. The clients
encrypt the content of a batch. The proxy buffers nothing for an offline client: WhatsApp's mailbox does that. Neither
direction has a queue here: the proxy reads each side only as fast as the other side accepts. Blobs do not go through
the proxy: clients move them over HTTP. `interop_client.connection.proxy_frames` describes the protocol with the client.

Source: PRX-01 to PRX-06.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.connection.proxy_frames import (
    HEARTBEAT_SECONDS,
    MAX_CLIENT_FRAME_BYTES,
    BatchFrame,
    Ended,
    FrameMalformed,
    Hello,
    RequestFrame,
    decode_frame,
)
from interop_client.errors import ConnectionEnded, LoginRefused, ServerRefusal
from interop_protocol.certificates import CertificateError
from interop_protocol.endpoint import ServerAddress
from interop_protocol.jid import JidError
from interop_protocol.noise import RemoteProtocolError
from partner_server.authkeys import AuthKeys
from partner_server.forwarded import ClientAddressUnknown, client_ip_of
from partner_server.tokens import TokenIssuer, TokenRefused
from partner_server.upstream import Upstream

HELLO_SECONDS = 10.0
"""Longest wait for a client's hello."""
CLOSE_SECONDS = 2.0
"""Longest wait until a client has received the reason of the end, and again until it confirms the close."""
MAX_CONNECTIONS = 1_000
"""How many clients may be connected at a time."""
MAX_CALLS = 16
"""How many unary calls of one client may be in progress; beyond that, the proxy does not read its WebSocket."""

_log = logging.getLogger(__name__)


class _Refused(Exception):
    """The proxy itself refuses a client."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.ended = Ended(reason, advice)


class Proxy:
    """Accepts clients' WebSockets.

    Args:
        issuer: Verifies the tokens that this partner issued to its users.
        auth_keys: Prove to WhatsApp which user connects.
        get_endpoint: Returns WhatsApp's current addresses; None until they are set.
        now: Seconds since the UNIX epoch.
    """

    def __init__(
        self,
        issuer: TokenIssuer,
        auth_keys: AuthKeys,
        get_endpoint: Callable[[], ServerAddress | None],
        now: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._auth_keys = auth_keys
        self._get_endpoint = get_endpoint
        self._now = now
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serves one client from its hello to its end: `WebSocket /proxy`."""
        if len(self._sockets) >= MAX_CONNECTIONS:
            raise web.HTTPServiceUnavailable(text="too many clients")
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_CLIENT_FRAME_BYTES, compress=False
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            ended = await self._serve(socket, request)
            if ended is not None:
                _log.info("a proxied connection ended: %s", ended.reason)
                await _say_ended(socket, ended, WSCloseCode.OK)
        finally:
            self._sockets.discard(socket)
        return socket

    async def stop(self) -> None:
        """Ends all connections."""
        ended = Ended("PROXY_STOPPING", "Reconnect with back-off.")
        await asyncio.gather(
            *(_say_ended(socket, ended, WSCloseCode.GOING_AWAY) for socket in tuple(self._sockets)),
        )

    async def _serve(self, socket: web.WebSocketResponse, request: web.Request) -> Ended | None:
        try:
            hello = await _read_hello(socket)
            payload = self._login_of(hello, request)
            auth_key = await asyncio.to_thread(self._auth_keys.get, hello.user)
            upstream = await self._open_upstream(auth_key, payload)
        except _Refused as refused:
            return refused.ended
        except (ServerRefusal, ConnectionEnded, CertificateError, RemoteProtocolError, TimeoutError) as error:
            return _ended_by_login(error)
        return await _Relay(socket, upstream).run()

    def _login_of(self, hello: Hello, request: web.Request) -> chat_pb2.LoginPayload:
        try:
            # WhatsApp verifies the token too, but this proxy uses its own auth key, so it must know for which user.
            self._issuer.verify_token(hello.token, hello.user, self._now())
            known = [chat_pb2.Capability.ValueType(number) for number in hello.capabilities]
            options = LoginOptions(
                read_receipts=hello.read_receipts, client_ip=client_ip_of(request), capabilities=known
            )
            return third_party_login(hello.jid, hello.token, options)
        except TokenRefused as error:
            raise _Refused("PROXY_TOKEN_REFUSED", f"Get a new token: {error}.") from error
        except ClientAddressUnknown as error:
            raise _Refused("PROXY_CLIENT_ADDRESS_UNKNOWN", str(error)) from error
        except JidError as error:
            raise _Refused("PROXY_HELLO_REFUSED", "Send the JID that the enlistment returned.") from error

    async def _open_upstream(self, auth_key: X25519PrivateKey | None, payload: chat_pb2.LoginPayload) -> Upstream:
        if auth_key is None:
            raise _Refused("PROXY_AUTH_KEY_MISSING", "Enlist with the key of GET /proxy/authkey first.")
        endpoint = self._get_endpoint()
        if endpoint is None:
            raise _Refused("PROXY_SIMULATOR_UNKNOWN", "Tell the proxy where the simulator is: POST /admin/simulator.")
        return await Upstream.open(endpoint, auth_key.private_bytes_raw(), payload)


class _Relay:
    """Relays frames in both directions between a client and its connection to WhatsApp, until one of them ends."""

    def __init__(self, socket: web.WebSocketResponse, upstream: Upstream) -> None:
        self._socket = socket
        self._upstream = upstream
        self._calls: set[asyncio.Task[None]] = set()
        self._call_slots = asyncio.Semaphore(MAX_CALLS)

    async def run(self) -> Ended | None:
        """Relays until one side ends, and then ends the other; None when the client has left."""
        tasks = (asyncio.create_task(self._from_whatsapp()), asyncio.create_task(self._from_client()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next((ended for ended in (task.result() for task in tasks if task in done) if ended), None)
        finally:
            # First, since a cancelled read would break the stream before `client_closed` is sent on it.
            await self._upstream.close()
            everything = {*tasks, *self._calls}
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _from_whatsapp(self) -> Ended | None:
        success = stanza_pb2.Stanza(login_success=self._upstream.login_success())
        try:
            await self._send(success)
            async for stanzas in self._upstream.chat.receive():
                await self._send(*stanzas)
        except ConnectionError:
            return None  # the client has left
        except (ConnectionEnded, RemoteProtocolError) as error:
            return _ended_by(error)
        return None

    async def _send(self, *stanzas: stanza_pb2.Stanza) -> None:
        batch = stanza_pb2.Batch(stanzas=stanzas).SerializeToString()
        await self._socket.send_bytes(BatchFrame(batch).encode())

    async def _from_client(self) -> Ended | None:
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    raise FrameMalformed("after the hello, only binary frames are allowed")
                await self._take(message.data)
        except (FrameMalformed, DecodeError) as error:
            return Ended("PROXY_FRAME_MALFORMED", str(error))
        except ConnectionEnded as error:
            return _ended_by(error)
        return None

    async def _take(self, encoded: bytes) -> None:
        frame = decode_frame(encoded)
        if isinstance(frame, RequestFrame):
            await self._call_slots.acquire()
            task = asyncio.create_task(self._call(frame))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        elif isinstance(frame, BatchFrame):
            await self._relay_batch(frame.batch)
        else:
            raise FrameMalformed("a client answers no calls")

    async def _relay_batch(self, batch: bytes) -> None:
        stanzas = stanza_pb2.Batch.FromString(batch).stanzas
        try:
            await self._upstream.chat.send(*stanzas)
        except ValueError as error:
            raise FrameMalformed(str(error)) from error

    async def _call(self, frame: RequestFrame) -> None:
        try:
            response = await self._upstream.call(frame)
            with suppress(ConnectionError):  # the client has left
                await self._socket.send_bytes(response.encode())
        finally:
            self._call_slots.release()


async def _read_hello(socket: web.WebSocketResponse) -> Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise FrameMalformed("the first frame must be a text frame")
        return Hello.decode(message.data)
    except FrameMalformed as error:
        raise _Refused("PROXY_HELLO_REFUSED", f"Send a hello: {error}.") from error
    except TimeoutError:
        raise _Refused("PROXY_HELLO_REFUSED", "Send a hello at once.") from None


async def _say_ended(socket: web.WebSocketResponse, ended: Ended, code: int) -> None:
    with suppress(ConnectionError, TimeoutError):  # the client has left, or does not listen
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.send_str(ended.encode())
    await socket.close(code=code)


def _ended_by(error: ConnectionEnded | RemoteProtocolError) -> Ended:
    if isinstance(error, ConnectionEnded):
        return Ended(
            error.reason,
            error.advice,
            error.requirement,
            request_id=error.request_id,
            recovery=error.recovery.value,
        )
    return Ended(error.reason)


def _ended_by_login(error: Exception) -> Ended:
    if isinstance(error, LoginRefused):
        facts = (error.requirement, error.retry_after_ms, error.code, error.expires_after_seconds, error.request_id)
        return Ended(error.reason, error.advice, *facts, sub_code=error.sub_code, recovery=error.recovery.value)
    if isinstance(error, ServerRefusal):
        delay_ms, recovery = error.retry_after_ms, error.recovery.value
        return Ended(
            error.reason,
            error.advice,
            error.requirement,
            delay_ms,
            request_id=error.request_id,
            recovery=recovery,
        )
    if isinstance(error, ConnectionEnded):
        return _ended_by(error)
    if isinstance(error, CertificateError | RemoteProtocolError):
        return Ended("PROXY_UPSTREAM_NOT_TRUSTED", f"WhatsApp's end of the handshake is wrong ({error.reason}).")
    return Ended("PROXY_UPSTREAM_TIMEOUT", "WhatsApp did not answer in time; reconnect with back-off.")
