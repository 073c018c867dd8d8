"""The server's side of the Noise handshake, from a stream to a login; knows no stanza but the login's outcome."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2
from interop_protocol.noise import RemoteProtocolError, ResponderHandshake, Transport
from interop_protocol.sizes import PRIVATE_KEY_BYTES
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_rules import Chain
from interop_server.core.limits import Limits
from interop_server.core.model import Login
from interop_server.core.ports import Rng
from interop_server.core.trace import ChannelTrace
from interop_server.rpc.calls import Context
from interop_server.rpc.convert.login import login_from
from interop_server.rpc.wire import see_handshake, see_login


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server's Noise key pair and its certificates (CHN-04)."""

    static_private_key: bytes
    """32 bytes, X25519."""
    certificate_chain: bytes
    """In the form of ServerHello's payload."""


class Identities(Protocol):
    """What the server says that it is."""

    @property
    def identity(self) -> ServerIdentity:
        """The right one."""
        ...

    def untrusted(self, chain: Chain) -> ServerIdentity:
        """Returns one that no client should trust."""
        ...


@dataclass(frozen=True, slots=True)
class Handshaken:
    """A finished handshake. The login is a refusal when its payload was invalid."""

    transport: Transport
    login: Login | Refusal


async def shake_hands(
    context: Context, identity: ServerIdentity, rng: Rng, limits: Limits, wire: ChannelTrace
) -> Handshaken:
    """Runs the handshake on a new stream (CHN-01 to CHN-06).

    Raises:
        Refusal: HANDSHAKE_OUT_OF_ORDER, HANDSHAKE_MALFORMED, HANDSHAKE_AUTHENTICATION_FAILED or HANDSHAKE_TIMEOUT.
    """
    try:
        async with asyncio.timeout(limits.handshake_seconds):
            return await _shake_hands(context, identity, rng, wire)
    except TimeoutError as error:
        raise Refusal(Reason.HANDSHAKE_TIMEOUT, retry_after_ms=limits.reconnect_ms) from error
    except RemoteProtocolError as error:
        raise Refusal(Reason[error.reason]) from error


async def _shake_hands(context: Context, identity: ServerIdentity, rng: Rng, wire: ChannelTrace) -> Handshaken:
    noise = ResponderHandshake(identity.static_private_key, rng.token_bytes(PRIVATE_KEY_BYTES))
    first = await _read(context, "client_hello", wire)
    noise.read_client_hello(first.client_hello.ephemeral)
    ephemeral, static, payload = noise.server_hello(identity.certificate_chain)
    hello = chat_pb2.ServerHello(ephemeral=ephemeral, static_key=static, payload=payload)
    answer = chat_pb2.HandshakeMessage(server_hello=hello)
    if wire.trace.is_on:
        see_handshake(wire, "to_client", answer)
    await context.write(chat_pb2.ConnectResponse(handshake=answer))
    finish = (await _read(context, "client_finish", wire)).client_finish
    login_payload = noise.read_client_finish(finish.static_key, finish.payload)
    if wire.trace.is_on:
        see_login(wire, login_payload)
    transport = noise.split()
    try:
        return Handshaken(transport, login_from(login_payload, noise.remote_static))
    except Refusal as refusal:
        return Handshaken(transport, refusal)


async def _read(context: Context, expected: str, wire: ChannelTrace) -> chat_pb2.HandshakeMessage:
    try:
        request = await context.read()
    except DecodeError as error:
        raise Refusal(Reason.HANDSHAKE_MALFORMED, f"expected {expected}") from error
    if not isinstance(request, chat_pb2.ConnectRequest):
        raise Refusal(Reason.HANDSHAKE_OUT_OF_ORDER, f"the stream ended before {expected}")
    if wire.trace.is_on and request.HasField("handshake"):
        see_handshake(wire, "to_server", request.handshake)
    if request.WhichOneof("frame") != "handshake" or request.handshake.WhichOneof("message") != expected:
        raise Refusal(Reason.HANDSHAKE_OUT_OF_ORDER, f"expected {expected}")
    return request.handshake
