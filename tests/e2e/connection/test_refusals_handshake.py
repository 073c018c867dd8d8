"""Handshakes and logins that are not what the protocol asks for: the stream ends with a reason, nobody is logged in."""

import os
from collections.abc import Callable, Iterable

import pytest

from interop_api.v1 import chat_pb2
from interop_client.connection.login import LoginOptions, third_party_login, whatsapp_login
from interop_client.errors import LoginRefused
from interop_client.state import ClientState
from interop_protocol.noise import ClientFinish, InitiatorHandshake, RemoteProtocolError
from tests.e2e.conftest import World
from tests.e2e.raw import (
    QUIET,
    RawStream,
    case,
    check,
    finish_request,
    flipped,
    hello_request,
    no_trace,
)

PRIME = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
    PRIME,
    PRIME + 1,
]
"""X25519 points with which every shared secret is zero (RFC 7748, section 6.1), the non-canonical ones included."""


def frames() -> dict[str, chat_pb2.ConnectRequest]:
    """Every kind of message that a client can send, each of good form."""
    handshake = chat_pb2.HandshakeMessage
    server_hello = chat_pb2.ServerHello(ephemeral=os.urandom(32), static_key=os.urandom(48), payload=os.urandom(64))
    return {
        "client_hello": hello_request(os.urandom(32)),
        "server_hello": chat_pb2.ConnectRequest(handshake=handshake(server_hello=server_hello)),
        "client_finish": finish_request(os.urandom(48), os.urandom(64)),
        "an empty handshake message": chat_pb2.ConnectRequest(handshake=handshake()),
        "a sealed frame": chat_pb2.ConnectRequest(sealed=os.urandom(64)),
        "an empty sealed frame": chat_pb2.ConnectRequest(sealed=b""),
        "nothing": chat_pb2.ConnectRequest(),
    }


def a_handshake() -> InitiatorHandshake:
    """A client's side, with fresh keys."""
    return InitiatorHandshake(os.urandom(32), os.urandom(32))


@pytest.mark.requirement("CHN-01")
async def test_only_a_client_hello_begins(world: World) -> None:
    """Anything else out of order ends the stream, and so does its end (CHN-01)."""
    async with no_trace(world.admin):
        for name, frame in frames().items():
            if name != "client_hello":
                async with RawStream(world.endpoint.grpc) as stream:
                    with case(name):
                        await stream.send(frame)
                        check(await stream.ending(), "HANDSHAKE_OUT_OF_ORDER")
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.end()
            check(await stream.ending(), "HANDSHAKE_OUT_OF_ORDER")


@pytest.mark.requirement("CHN-01")
async def test_only_a_client_finish_follows_the_server_hello(world: World) -> None:
    """A second hello does not start again (CHN-01)."""
    async with no_trace(world.admin):
        for name, frame in frames().items():
            if name != "client_finish":
                async with RawStream(world.endpoint.grpc) as stream:
                    with case(name):
                        await stream.hello(a_handshake())
                        await stream.send(frame)
                        check(await stream.ending(), "HANDSHAKE_OUT_OF_ORDER")
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.hello(a_handshake())
            await stream.end()
            check(await stream.ending(), "HANDSHAKE_OUT_OF_ORDER")


@pytest.mark.requirement("CHN-01")
async def test_only_sealed_frames_follow_the_login(world: World) -> None:
    """A second handshake on the stream is refused; the end of the stream is no error (CHN-01)."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    for name, frame in frames().items():
        if "sealed" not in name:
            async with RawStream(world.endpoint.grpc) as stream:
                with case(name):
                    await stream.log_in(bob.state.auth_private_key, login_of(world, bob.state))
                    await stream.send(frame)
                    await stream.check_ends("HANDSHAKE_OUT_OF_ORDER")
    async with RawStream(world.endpoint.grpc) as stream:
        await stream.log_in(bob.state.auth_private_key, login_of(world, bob.state))
        await stream.end()
        assert (await stream.ending()).reason == "OK"


async def test_a_client_hello_must_hold_a_useful_key(world: World) -> None:
    """32 bytes, and no point of low order (CHN-03)."""
    keys = [bytes(length) for length in (0, 1, 31, 33, 64, 1 << 20)]
    keys += [number.to_bytes(32, "little") for number in LOW_ORDER]
    keys += [(number + 2**255).to_bytes(32, "little") for number in LOW_ORDER]  # X25519 ignores the top bit
    for key in keys:
        async with RawStream(world.endpoint.grpc) as stream:
            with case(key[:32].hex()):
                await stream.send(hello_request(key))
                check(await stream.ending(), "HANDSHAKE_MALFORMED")


@pytest.mark.requirement("CHN-02")
async def test_a_changed_client_finish_is_refused(world: World) -> None:
    """Each bit of it is authenticated, and its lengths are checked (CHN-02, CHN-03)."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    login = login_of(world, bob.state).SerializeToString()
    async with no_trace(world.admin):
        for name, change, reason in changes():
            async with RawStream(world.endpoint.grpc) as stream:
                with case(name):
                    noise = InitiatorHandshake(bob.state.auth_private_key, os.urandom(32))
                    hello = await stream.hello(noise)
                    noise.read_server_hello(hello.ephemeral, hello.static_key, hello.payload)
                    finish = change(noise.client_finish(login))
                    await stream.send(finish_request(*finish))
                    check(await stream.ending(), reason)
    await bob.connect()


def changes() -> Iterable[tuple[str, Callable[[ClientFinish], tuple[bytes, bytes]], str]]:
    """Yields what happens to a client finish on its way, how, and the reason."""
    authentic, malformed = "HANDSHAKE_AUTHENTICATION_FAILED", "HANDSHAKE_MALFORMED"
    for at in (0, 15, 31, 32, 47):
        yield f"bit of static byte {at}", lambda finish, at=at: (flipped(finish[0], at), finish[1]), authentic
    for at in (0, -17, -1):
        yield f"bit of payload byte {at}", lambda finish, at=at: (finish[0], flipped(finish[1], at)), authentic
    yield "a payload cut off", lambda finish: (finish[0], finish[1][:-1]), authentic
    yield "no payload", lambda finish: (finish[0], b""), authentic
    yield "a payload without its tag", lambda finish: (finish[0], finish[1][:15]), authentic
    yield "made with other keys", lambda finish: (os.urandom(48), finish[1]), authentic
    yield "a static key cut off", lambda finish: (finish[0][:-1], finish[1]), malformed
    yield "a static key and more", lambda finish: (finish[0] + b"\0", finish[1]), malformed
    yield "an unsealed static key", lambda finish: (finish[0][:32], finish[1]), malformed
    yield "no static key", lambda finish: (b"", finish[1]), malformed
    yield "nothing", lambda finish: (b"", b""), malformed


@pytest.mark.requirement("CHN-02")
async def test_a_changed_server_hello_is_noticed(world: World) -> None:
    """By the client at once; one that goes on all the same has another transcript than the server (CHN-02)."""
    for field in ("ephemeral", "static_key", "payload"):
        async with RawStream(world.endpoint.grpc) as stream:
            with case(field):
                noise = a_handshake()
                hello = await stream.hello(noise)
                setattr(hello, field, flipped(getattr(hello, field)))
                with pytest.raises(RemoteProtocolError, match="HANDSHAKE_AUTHENTICATION_FAILED"):
                    noise.read_server_hello(hello.ephemeral, hello.static_key, hello.payload)
                other = a_handshake()
                async with RawStream(world.endpoint.grpc) as second:
                    other_hello = await second.hello(other)
                    other.read_server_hello(other_hello.ephemeral, other_hello.static_key, other_hello.payload)
                    await stream.send(finish_request(*other.client_finish(b"")))
                    check(await stream.ending(), "HANDSHAKE_AUTHENTICATION_FAILED")


async def test_a_changed_client_hello_is_noticed(world: World) -> None:
    """Both sides then have different secrets: the client notices first (CHN-02)."""
    async with RawStream(world.endpoint.grpc) as stream:
        noise = a_handshake()
        await stream.send(hello_request(flipped(noise.client_hello())))
        hello = (await stream.read()).handshake.server_hello
        with pytest.raises(RemoteProtocolError, match="HANDSHAKE_AUTHENTICATION_FAILED"):
            noise.read_server_hello(hello.ephemeral, hello.static_key, hello.payload)


def login_of(world: World, state: ClientState, **changes: object) -> chat_pb2.LoginPayload:
    """Returns a good login of a third-party user, with fields changed."""
    login = third_party_login(state.jid, world.partner.issue_token("bob"))
    for name, value in changes.items():
        setattr(login, name, value)
    return login


async def check_login(world: World, private_key: bytes, payload: bytes, reason: str, code: int) -> None:
    """Asserts that a login is refused, in a stanza that names reason and code and in the status of the stream."""
    async with RawStream(world.endpoint.grpc) as stream:
        with pytest.raises(LoginRefused) as raised:
            await stream.shake_hands(private_key, payload)
            await stream.read_login()
        check(raised.value, reason)
        assert raised.value.code == code


@pytest.mark.requirement("CHN-06")
async def test_a_login_must_be_one(world: World) -> None:
    """It parses, names product and mode, and has what belongs to them and nothing else (CHN-06)."""
    bob, alice = world.device("bob", QUIET), await world.whatsapp_device(QUIET)
    await bob.enlist(world.partner.issue_token("bob"))

    def third_party(**changes: object) -> bytes:
        return login_of(world, bob.state, **changes).SerializeToString()

    def whatsapp(**changes: object) -> bytes:
        login = whatsapp_login(alice.jid)
        for name, value in changes.items():
            setattr(login, name, value)
        return login.SerializeToString()

    without_data = login_of(world, bob.state)
    without_data.ClearField("interop_data")
    with_data = whatsapp_login(alice.jid)
    with_data.interop_data.CopyFrom(login_of(world, bob.state).interop_data)
    payloads = {
        "nothing": b"",
        "garbage": b"\xff\xff\xff\xff",
        "a text": b"let me in, please",
        "cut off": third_party()[:-3],
        "a megabyte of zeros": bytes(1 << 20),
        "product not said": third_party(product=chat_pb2.PRODUCT_WHATSAPP),
        "an unknown product": third_party(product=1),
        "a product of the future": third_party(product=2**31 - 1),
        "mode not said": third_party(connection_mode=chat_pb2.CONNECTION_MODE_UNSPECIFIED),
        "an unknown mode": third_party(connection_mode=3),
        "a phone number with product INTEROP": third_party(username=4_915_112_345_678),
        "product INTEROP without its data": without_data.SerializeToString(),
        "product WHATSAPP with the other's data": with_data.SerializeToString(),
        "no phone number": whatsapp(username=0),
        "a phone number of 16 digits": whatsapp(username=10**15),
        "the largest phone number": whatsapp(username=2**64 - 1),
        "an address in direct mode": third_party(client_ip="8.8.8.8"),
        "a text that is no UTF-8": third_party() + b"\xda\x3e\x02\xff\xfe",
    }
    async with no_trace(world.admin):
        for name, payload in payloads.items():
            private_key = alice.state.auth_private_key if "phone" in name else bob.state.auth_private_key
            with case(name):
                await check_login(world, private_key, payload, "LOGIN_MALFORMED", 400)
    await bob.connect()


@pytest.mark.requirement("CHN-07")
async def test_a_login_needs_the_account_and_its_key(world: World) -> None:
    """A valid token with another key fails, and so does an account that is not (any more) there (CHN-07, CHN-10)."""
    bob, carol, alice = world.device("bob", QUIET), world.device("carol", QUIET), await world.whatsapp_device(QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    await carol.enlist(world.partner.issue_token("carol"))
    own, others = bob.state.auth_private_key, carol.state.auth_private_key
    deleted = await world.third_party("dave", QUIET)
    await deleted.delete_account()
    good = login_of(world, bob.state)

    def account(number: int) -> bytes:
        login = chat_pb2.LoginPayload()
        login.CopyFrom(good)
        login.interop_data.account_id = number
        return login.SerializeToString()

    mismatch, unknown = "AUTH_KEY_MISMATCH", "NOT_ENLISTED"
    gone = third_party_login(deleted.jid, world.partner.issue_token("dave"))
    async with no_trace(world.admin):
        for name, key, payload, reason in (
            ("another user's key", others, good.SerializeToString(), mismatch),
            ("a fresh key", os.urandom(32), good.SerializeToString(), mismatch),
            ("a WhatsApp user's account", own, whatsapp_login(alice.jid).SerializeToString(), mismatch),
            ("account 0", own, account(0), unknown),
            ("account 1", own, account(1), unknown),
            ("the largest account", own, account(2**64 - 1), unknown),
            ("a deleted account", deleted.state.auth_private_key, gone.SerializeToString(), unknown),
            ("a number of nobody", own, whatsapp_login("4915100000000@s.whatsapp.net").SerializeToString(), unknown),
        ):
            with case(name):
                await check_login(world, key, payload, reason, 401)
        with case("another user's account"):
            payload = account(int(carol.jid.partition("-")[2].partition("@")[0]))
            await check_login(world, others, payload, "TOKEN_SUBJECT_MISMATCH", 401)


@pytest.mark.requirement("ENL-15")
async def test_an_old_client_must_be_updated(world: World) -> None:
    """Before anything else is looked at (ENL-15)."""
    bob, alice = world.device("bob", QUIET), await world.whatsapp_device(QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    options = LoginOptions(protocol_version=0)
    for state, login in (
        (bob.state, third_party_login(bob.jid, world.partner.issue_token("bob"), options)),
        (alice.state, whatsapp_login(alice.jid, options)),
    ):
        payload = login.SerializeToString()
        await check_login(world, state.auth_private_key, payload, "PROTOCOL_VERSION_TOO_OLD", 405)


@pytest.mark.requirement("PRX-01", "PRX-02")
async def test_a_proxy_must_be_allowed_and_say_for_whom(world: World) -> None:
    """By the partner's agreement, with a public address; WhatsApp's own clients have no proxy (PRX-01, PRX-02)."""
    bob, alice = world.device("bob", QUIET), await world.whatsapp_device(QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    key = bob.state.auth_private_key
    proxy = chat_pb2.CONNECTION_MODE_PROXY
    for address in (
        "",
        "nonsense",
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "8.8.8.8:443",
        " 8.8.8.8",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "8.8.8.8\n",
        "8" * 1_000,
    ):
        login = login_of(world, bob.state, connection_mode=proxy, client_ip=address).SerializeToString()
        with case(repr(address[:20])):
            await check_login(world, key, login, "CLIENT_ADDRESS_INVALID", 400)
    own = whatsapp_login(alice.jid, LoginOptions(client_ip="8.8.8.8")).SerializeToString()
    await check_login(world, alice.state.auth_private_key, own, "PROXY_NOT_ALLOWED", 403)
    partner = await world.register()
    partner.proxy_allowed = False
    await world.admin.put_partner(partner)
    login = login_of(world, bob.state, connection_mode=proxy, client_ip="8.8.8.8").SerializeToString()
    await check_login(world, key, login, "PROXY_NOT_ALLOWED", 403)
