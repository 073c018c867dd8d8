"""A channel trusts only a certified server, tells it nothing before, and ends with a reason."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from interop_api.v1 import chat_pb2, errors_pb2, stanza_pb2
from interop_client.connection.channel import KEEPALIVE_PING_ID, ChannelKeys, ChatChannel
from interop_client.connection.login import third_party_login
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ConnectionEnded, LoginRefused, Recovery, ServerRefusal
from interop_protocol.certificates import CertificateError, Validity
from interop_protocol.endpoint import ServerAddress
from interop_protocol.noise import RemoteProtocolError
from tests.unit.client.conftest import NoiseServer, Peer, Stanza, public_key, serving

AUTH_KEY = b"\x05" * 32
PAYLOAD = third_party_login("12-34@interop", "a.b.c")


@asynccontextmanager
async def open_channel(server: NoiseServer, root: bytes = b"\x01" * 32) -> AsyncIterator[ChatChannel]:
    async with serving(server), grpc.aio.insecure_channel(server.address) as channel:
        chat = await ChatChannel.open(channel, ChannelKeys(AUTH_KEY, public_key(root)), PAYLOAD)
        try:
            yield chat
        finally:
            await chat.close()


def ping(number: int) -> Stanza:
    return Stanza(ping=stanza_pb2.Ping(id=number))


def scripted(script: Callable[[Peer], Awaitable[None]]) -> NoiseServer:
    return NoiseServer(script=script)


async def until_closed(peer: Peer) -> list[int]:
    """Returns the ids of the pings that came until the client ended the stream, without those it sent by itself."""
    heard: list[int] = []
    while (stanzas := await peer.hear()) is not None:
        heard += [stanza.ping.id for stanza in stanzas if stanza.ping.id != KEEPALIVE_PING_ID]
    return heard


async def test_a_login_proves_the_auth_key_and_carries_the_payload() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(max_batch_stanzas=7)
        await until_closed(peer)

    server = scripted(script)
    async with open_channel(server) as chat:
        assert (chat.login.session_token, chat.login.limits.max_batch_stanzas) == ("token", 7)
    assert server.payloads == [PAYLOAD]
    assert server.client_statics == [public_key(AUTH_KEY)]


@pytest.mark.requirement("CHN-04")
@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (NoiseServer(root=b"\x09" * 32), "WRONG_ROOT"),
        (NoiseServer(certified=b"\x09" * 32), "WRONG_LEAF_KEY"),
        (NoiseServer(validity=Validity(0, 1)), "EXPIRED"),
        (NoiseServer(validity=Validity(1 << 40, 1 << 41)), "NOT_YET_VALID"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_server_that_is_not_certified_gets_no_login(server: NoiseServer, reason: str) -> None:
    """The token is in the login: whoever has no certificate for its key never sees one (CHN-04)."""
    with pytest.raises(CertificateError) as caught:
        async with open_channel(server):
            pass
    assert caught.value.reason == reason
    assert server.payloads == []


async def test_a_refused_login_tells_its_code() -> None:
    async def script(peer: Peer) -> None:
        error = errors_pb2.Refusal(
            reason=errors_pb2.ERROR_REASON_TOKEN_EXPIRED,
            requirement="ENL-05",
            code=401,
            recovery=errors_pb2.RECOVERY_NEW_TOKEN,
        )
        await peer.say(Stanza(login_failure=stanza_pb2.LoginFailure(error=error)))

    with pytest.raises(LoginRefused) as caught:
        async with open_channel(scripted(script)):
            pass
    assert (caught.value.reason, caught.value.code, caught.value.requirement) == ("TOKEN_EXPIRED", 401, "ENL-05")
    assert caught.value.recovery is Recovery.NEW_TOKEN


async def test_a_first_stanza_that_is_no_outcome_breaks_the_protocol() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(ping(1))

    with pytest.raises(RemoteProtocolError, match="not the outcome"):
        async with open_channel(scripted(script)):
            pass


async def test_nobody_there_is_a_refusal() -> None:
    async with serving(NoiseServer()) as server:
        pass
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(ServerRefusal, match="UNAVAILABLE"):
            await ChatChannel.open(channel, ChannelKeys(AUTH_KEY, bytes(32)), PAYLOAD)


async def test_what_was_sent_before_the_close_arrives() -> None:
    heard: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.welcome(max_batch_stanzas=10)
        heard.set_result(await until_closed(peer))

    async with open_channel(scripted(script)) as chat:
        await chat.send(*map(ping, range(1, 31)))
        await chat.close()
        assert await heard == list(range(1, 31))
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await chat.send(ping(31))


async def test_receiving_ends_without_an_error_when_this_end_closes() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say(ping(1), ping(2))
        await until_closed(peer)

    async with open_channel(scripted(script)) as chat:
        frames = chat.receive()
        assert [stanza.ping.id for stanza in await anext(frames)] == [1, 2]
        reading = asyncio.ensure_future(anext(frames, None))
        await asyncio.sleep(0)
        await chat.close()
        assert await reading is None


async def test_stanzas_in_the_frame_of_the_login_are_not_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(Stanza(login_success=stanza_pb2.LoginSuccess()), ping(1))
        await until_closed(peer)

    async with open_channel(scripted(script)) as chat:
        assert [stanza.ping.id for stanza in await anext(chat.receive())] == [1]


async def test_a_stream_error_ends_the_channel_with_its_reason() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        error = errors_pb2.Refusal(reason=errors_pb2.ERROR_REASON_CONNECTION_REPLACED)
        await peer.say(ping(1), Stanza(stream_error=stanza_pb2.StreamError(error=error)))

    async with open_channel(scripted(script)) as chat:
        frames = chat.receive()
        assert [stanza.ping.id for stanza in await anext(frames)] == [1]
        with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
            await anext(frames)
        with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
            await chat.send(ping(2))


async def test_a_stream_that_just_ends_is_no_clean_close() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()

    async with open_channel(scripted(script)) as chat:
        with pytest.raises(ConnectionEnded) as caught:
            await anext(chat.receive())
        assert caught.value.reason == "OK"


@pytest.mark.parametrize("sealed", [b"", b"x" * 40])
async def test_a_frame_that_does_not_authenticate_ends_the_channel(sealed: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.context.write(chat_pb2.ConnectResponse(sealed=sealed))
        await until_closed(peer)

    async with open_channel(scripted(script)) as chat:
        with pytest.raises(RemoteProtocolError, match="FRAME_AUTHENTICATION_FAILED"):
            await anext(chat.receive())
        with pytest.raises(ConnectionEnded, match="FRAME_AUTHENTICATION_FAILED"):
            await chat.send(ping(1))


async def test_an_empty_batch_ends_the_channel() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say()
        await until_closed(peer)

    async with open_channel(scripted(script)) as chat:
        with pytest.raises(RemoteProtocolError, match="FRAME_MALFORMED"):
            await anext(chat.receive())


@pytest.mark.requirement("CHN-12")
async def test_a_quiet_client_pings_by_itself() -> None:
    """With a second allowed between signs of life, a sign comes before (CHN-12)."""
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.welcome(keepalive_seconds=1, silent_seconds=60)
        stanzas = await peer.hear()
        assert stanzas is not None
        heard.set_result(stanzas[0].ping.id)
        await until_closed(peer)

    async with open_channel(scripted(script)):
        assert await asyncio.wait_for(heard, 5) == KEEPALIVE_PING_ID


async def test_a_silent_server_is_given_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(keepalive_seconds=1, silent_seconds=1)
        await peer.hear()
        await asyncio.Event().wait()

    async with open_channel(scripted(script)) as chat:
        with pytest.raises(ConnectionEnded, match="CONNECTION_SILENT"):
            await asyncio.wait_for(anext(chat.receive()), 10)


async def test_a_transport_connects_again_and_asks_for_a_new_login_each_time() -> None:
    logins = 0

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await until_closed(peer)

    async def log_in() -> chat_pb2.LoginPayload:
        nonlocal logins
        logins += 1
        return third_party_login("12-34@interop", f"token {logins}")

    async with serving(scripted(script)) as server:
        transport = DirectTransport(ServerAddress(server.address, public_key(server.root)), AUTH_KEY, log_in)
        with pytest.raises(ConnectionEnded, match="Connect first"):
            await transport.send(ping(1))
        for _ in range(2):
            assert (await transport.connect()).session_token == "token"
        await transport.close()
        await transport.close()
        tokens = [payload.interop_data.token for payload in server.payloads]
        assert tokens == [b"token 1", b"token 2"]
