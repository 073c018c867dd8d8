"""A client for hostile traffic and what must come of it: typed refusals; keeps no rule of the protocol by itself."""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self

import grpc
import grpc.aio
import pytest

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2, enlistment_pb2, errors_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions
from interop_client.errors import (
    ServerRefusal,
    refusal_from_login_failure,
    refusal_from_rpc_error,
    refusal_from_stanza_error,
)
from interop_client.signal.store import SignalState
from interop_client.state import ClientState
from interop_protocol.noise import InitiatorHandshake, Transport
from interop_server.core.errors import Reason
from tests.refusals import ABOUT_A_FIELD, UNNAMEABLE, may_rest_on

WAIT_SECONDS = 10.0
"""Longest wait for anything: nothing may hang."""

QUIET = ClientOptions(refill_count=0)
"""A client that does nothing by itself, so that nothing else changes what is stored."""
spare_integrators = itertools.count(999, -1)
"""Integrator ids for messengers beside the test's own."""

_SENTENCE = re.compile(r"[^ ].*[.]", re.DOTALL)
Request = chat_pb2.ConnectRequest | bytes
"""What goes into the chat stream; bytes may be no message at all."""
_Call = grpc.aio.StreamStreamCall[Request, chat_pb2.ConnectResponse]


def check(refusal: ServerRefusal, reason: str) -> None:
    """Asserts that a refusal is the expected one and says which rule was broken and what to do."""
    assert refusal.reason == reason, refusal
    assert may_rest_on(Reason[reason], refusal.requirement), refusal.requirement
    assert _SENTENCE.fullmatch(refusal.advice), refusal.advice
    assert refusal.recovery.name == Reason[reason].recovery.name
    if Reason[reason] in ABOUT_A_FIELD and not re.match(UNNAMEABLE, refusal.advice):
        assert refusal.violations and all(each.field and each.description for each in refusal.violations), refusal


def check_error(error: errors_pb2.Refusal, reason: str) -> None:
    """The same for a refusal that stands in a stanza or in a response."""
    check(refusal_from_stanza_error(error), reason)


@contextmanager
def case(name: object) -> Iterator[None]:
    """Names the row of a table in whatever fails in the block."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case: {name}")
        raise


@contextmanager
def refused(reason: str, name: object = "") -> Iterator[pytest.ExceptionInfo[ServerRefusal]]:
    """Asserts that the block is refused for a reason; gives the refusal, once it is there.

    Args:
        reason: Why.
        name: Of the row of a table.
    """
    with case(name):
        with pytest.raises(ServerRefusal) as raised:
            yield raised
        check(raised.value, reason)


@asynccontextmanager
async def no_trace(admin: AdminClient) -> AsyncIterator[None]:
    """Asserts that the store holds as much after the block as before."""
    before = dict((await admin.get_statistics()).stored)
    assert before
    yield
    after = dict((await admin.get_statistics()).stored)
    assert after == before, f"{before} became {after}"


class RawStream:
    """A chat stream of a connection of its own. An asynchronous context manager: opens and drops it.

    Args:
        address: Of the server's gRPC surface.
        read_seconds: How long to wait for the next message; None for as long as it takes.
        channel: A connection that it shares with others, who close it; None for one of its own.
    """

    def __init__(
        self, address: str, read_seconds: float | None = WAIT_SECONDS, channel: grpc.aio.Channel | None = None
    ) -> None:
        self._read_seconds = read_seconds
        self._is_shared = channel is not None
        # Without a pool of its own, all streams of the process would share one TCP connection.
        self._channel = channel or grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        self._call: _Call = self._channel.stream_stream(
            "/interop_api.v1.ChatService/Connect",
            request_serializer=_serialized,
            response_deserializer=chat_pb2.ConnectResponse.FromString,
        )()
        self.noise: Transport
        """Seals and opens frames; there is none before `shake_hands`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        if not self._is_shared:
            await self._channel.close()

    @property
    def grpc_channel(self) -> grpc.aio.Channel:
        """What the stream goes over: unary calls of the same client too."""
        return self._channel

    async def send(self, *requests: Request) -> None:
        """Sends messages as they are. When the server has ended the stream, `ending` says why."""
        async with asyncio.timeout(WAIT_SECONDS):
            for request in requests:
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await self._call.write(request)

    async def end(self) -> None:
        """Says that nothing more will be sent."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._call.done_writing()

    async def read(self) -> chat_pb2.ConnectResponse:
        """Reads the next message.

        Raises:
            ServerRefusal: The server ended the stream; `OK` when it did so without a refusal.
        """
        async with asyncio.timeout(self._read_seconds):
            try:
                response = await self._call.read()
            except grpc.aio.AioRpcError as error:
                raise refusal_from_rpc_error(error) from error
        if not isinstance(response, chat_pb2.ConnectResponse):
            raise ServerRefusal("OK")
        return response

    async def hello(self, noise: InitiatorHandshake) -> chat_pb2.ServerHello:
        """Sends the first message of the handshake and returns the second."""
        await self.send(hello_request(noise.client_hello()))
        return (await self.read()).handshake.server_hello

    async def shake_hands(self, auth_private_key: bytes, payload: bytes) -> None:
        """Makes a proper handshake with a payload of any kind."""
        noise = InitiatorHandshake(auth_private_key, os.urandom(32))
        noise.read_server_hello(*_parts(await self.hello(noise)))
        static, sealed_payload = noise.client_finish(payload)
        await self.send(finish_request(static, sealed_payload))
        self.noise = noise.split()

    async def log_in(self, auth_private_key: bytes, payload: chat_pb2.LoginPayload) -> stanza_pb2.LoginSuccess:
        """Makes a proper handshake and logs in.

        Raises:
            LoginRefused: The login is refused, in a stanza and in the status of the stream alike.
        """
        await self.shake_hands(auth_private_key, payload.SerializeToString())
        return await self.read_login()

    async def read_login(self) -> stanza_pb2.LoginSuccess:
        """Returns what becomes of the login after a handshake.

        Raises:
            LoginRefused: As `log_in`.
        """
        first = (await self.receive())[0]
        if first.HasField("login_failure"):
            failure = refusal_from_login_failure(first.login_failure)
            ending = await self.ending()
            check(ending, failure.reason)
            assert vars(ending) == vars(refusal_from_stanza_error(first.login_failure.error))
            raise failure
        return first.login_success

    async def seal(self, plaintext: bytes) -> None:
        """Sends a sealed frame with any plaintext."""
        await self.send(chat_pb2.ConnectRequest(sealed=self.noise.encrypt(plaintext)))

    async def send_stanzas(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Sends a batch."""
        await self.seal(stanza_pb2.Batch(stanzas=stanzas).SerializeToString())

    async def receive(self) -> Sequence[stanza_pb2.Stanza]:
        """Returns the stanzas of the next frame."""
        return stanza_pb2.Batch.FromString(self.noise.decrypt((await self.read()).sealed)).stanzas

    async def receive_kind(self, kind: str) -> stanza_pb2.Stanza:
        """Returns the next stanza of a kind, passing over others."""
        while True:
            for stanza in await self.receive():
                if stanza.WhichOneof("kind") == kind:
                    return stanza

    async def ending(self) -> ServerRefusal:
        """Reads to the end of the stream and returns the refusal of its status."""
        try:
            while True:
                await self.read()
        except ServerRefusal as refusal:
            return refusal

    async def check_ends(self, reason: str) -> ServerRefusal:
        """Asserts that the server ends a logged-in stream: a stream error says why, and the status says the same."""
        said = refusal_from_stanza_error((await self.receive_kind("stream_error")).stream_error.error)
        ending = await self.ending()
        check(ending, reason)
        assert vars(ending) == vars(said)
        return ending


def hello_request(ephemeral: bytes) -> chat_pb2.ConnectRequest:
    """The first message of the handshake."""
    hello = chat_pb2.ClientHello(ephemeral=ephemeral)
    return chat_pb2.ConnectRequest(handshake=chat_pb2.HandshakeMessage(client_hello=hello))


def finish_request(static: bytes, payload: bytes) -> chat_pb2.ConnectRequest:
    """The third message of the handshake."""
    finish = chat_pb2.ClientFinish(static_key=static, payload=payload)
    return chat_pb2.ConnectRequest(handshake=chat_pb2.HandshakeMessage(client_finish=finish))


def flipped(data: bytes, at: int = 0) -> bytes:
    """Returns the bytes with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def enlistment(state: ClientState, token: str, **changes: object) -> enlistment_pb2.EnlistRequest:
    """Returns a good enlistment form, with fields changed."""
    keys = state.signal.publishable
    fields: dict[str, object] = {
        "authkey": state.auth_public_key,
        "e_keytype": b"\x05",
        "e_regid": keys.registration_id.to_bytes(4, "big"),
        "e_ident": keys.identity_key,
        "e_skey_id": keys.signed_prekey.key_id.to_bytes(3, "big"),
        "e_skey_val": keys.signed_prekey.public_key,
        "e_skey_sig": keys.signed_prekey.signature,
        "token": token,
        "protocol_version": 1,
    }
    return enlistment_pb2.EnlistRequest(**(fields | changes))  # type: ignore[arg-type]


def one_time_prekeys(count: int, first_id: int = 1) -> list[prekeys_pb2.OneTimePreKey]:
    """Returns one-time prekeys that nobody has the private keys of."""
    return [
        prekeys_pb2.OneTimePreKey(key_id=key_id, public_key=os.urandom(32))
        for key_id in range(first_id, first_id + count)
    ]


def signed_prekey(signal: SignalState, **changes: object) -> prekeys_pb2.SignedPreKey:
    """Returns an account's own signed prekey, with fields changed."""
    own = signal.publishable.signed_prekey
    fields: dict[str, object] = {"key_id": own.key_id, "public_key": own.public_key, "signature": own.signature}
    return prekeys_pb2.SignedPreKey(**(fields | changes))  # type: ignore[arg-type]


def _serialized(request: Request) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


def _parts(hello: chat_pb2.ServerHello) -> tuple[bytes, bytes, bytes]:
    return hello.ephemeral, hello.static_key, hello.payload
