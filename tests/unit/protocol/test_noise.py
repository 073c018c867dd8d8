"""The Noise handshake and transport, against an independent implementation and against tampering."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage
from noise.state import SymmetricState

from interop_protocol.noise import (
    PROLOGUE,
    InitiatorHandshake,
    LocalProtocolError,
    RemoteProtocolError,
    ResponderHandshake,
    Transport,
)
from tests.weak_keys import LOW_ORDER

CLIENT_STATIC = bytes(range(32))
CLIENT_EPHEMERAL = bytes(range(32, 64))
SERVER_STATIC = bytes(range(64, 96))
SERVER_EPHEMERAL = bytes(range(96, 128))
CHAIN = b"certificate chain" * 14
LOGIN = b"login"


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def initiator() -> InitiatorHandshake:
    return InitiatorHandshake(CLIENT_STATIC, CLIENT_EPHEMERAL)


def responder() -> ResponderHandshake:
    return ResponderHandshake(SERVER_STATIC, SERVER_EPHEMERAL)


class Ends(NamedTuple):
    client: Transport
    server: Transport


def connect() -> Ends:
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    client.read_server_hello(*server.server_hello(CHAIN))
    server.read_client_finish(*client.client_finish(LOGIN))
    return Ends(client.split(), server.split())


def flip(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "little") ^ 1 << bit).to_bytes(len(value), "little")


class _WithoutEmptyPayload(SymmetricState):
    """The one step in which WhatsApp's handshake is not Noise: what is not sealed is not mixed."""

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        return super().encrypt_and_hash(plaintext) if self.cipher_state.has_key() else plaintext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        return super().decrypt_and_hash(ciphertext) if self.cipher_state.has_key() else ciphertext


def noise_library(static: bytes, *, initiates: bool, as_whatsapp: bool = True) -> NoiseConnection:
    connection = NoiseConnection.from_name(b"Noise_XX_25519_AESGCM_SHA256")
    connection.set_prologue(PROLOGUE)
    if initiates:
        connection.set_as_initiator()
    else:
        connection.set_as_responder()
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.start_handshake()
    if as_whatsapp:
        connection.noise_protocol.handshake_state.symmetric_state.__class__ = _WithoutEmptyPayload
    return connection


def assert_frames_pass(transport: Transport, library: NoiseConnection) -> None:
    for number in range(5):
        frame = b"frame" * number
        assert library.decrypt(transport.encrypt(frame)) == frame
        assert transport.decrypt(bytes(library.encrypt(frame))) == frame


@pytest.mark.requirement("CHN-02")
def test_the_client_side_interoperates_with_an_independent_responder():
    """CHN-02: handshake, payloads and frames agree with another implementation of Noise."""
    client = initiator()
    server = noise_library(SERVER_STATIC, initiates=False)

    assert server.read_message(client.client_hello()) == b""
    hello = bytes(server.write_message(CHAIN))
    assert client.read_server_hello(hello[:32], hello[32:80], hello[80:]) == CHAIN
    assert client.remote_static == public_key(SERVER_STATIC)
    assert server.read_message(b"".join(client.client_finish(LOGIN))) == LOGIN

    assert_frames_pass(client.split(), server)


@pytest.mark.requirement("CHN-02")
def test_the_server_side_interoperates_with_an_independent_initiator():
    """CHN-02: handshake, payloads and frames agree with another implementation of Noise."""
    client = noise_library(CLIENT_STATIC, initiates=True)
    server = responder()

    server.read_client_hello(bytes(client.write_message()))
    assert client.read_message(b"".join(server.server_hello(CHAIN))) == CHAIN
    finish = bytes(client.write_message(LOGIN))
    assert server.read_client_finish(finish[:48], finish[48:]) == LOGIN
    assert server.remote_static == public_key(CLIENT_STATIC)

    assert_frames_pass(server.split(), client)


def test_a_noise_library_that_mixes_the_empty_first_payload_fails_at_the_second_message():
    """WhatsApp leaves that step out, so off-the-shelf Noise is refused rather than half understood."""
    client = initiator()
    server = noise_library(SERVER_STATIC, initiates=False, as_whatsapp=False)
    server.read_message(client.client_hello())
    hello = bytes(server.write_message(CHAIN))
    with pytest.raises(RemoteProtocolError) as caught:
        client.read_server_hello(hello[:32], hello[32:80], hello[80:])
    assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"


@pytest.mark.requirement("CHN-06")
def test_both_sides_prove_their_static_keys_and_exchange_payloads():
    """CHN-06, CHN-07: the client sees the chain, the server the login, and each the other's key."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    hello = server.server_hello(CHAIN)
    assert (len(hello.ephemeral), len(hello.static_ciphertext)) == (32, 48)
    assert client.read_server_hello(*hello) == CHAIN
    assert server.read_client_finish(*client.client_finish(LOGIN)) == LOGIN
    assert client.remote_static == public_key(SERVER_STATIC)
    assert server.remote_static == public_key(CLIENT_STATIC)


@pytest.mark.parametrize("field", range(3))
def test_no_part_of_the_server_hello_may_change(field: int):
    """A flipped bit in the ephemeral key, the sealed key or the sealed chain is noticed by the client."""
    for bit in range(0, 8 * 32, 7):
        client, server = initiator(), responder()
        server.read_client_hello(client.client_hello())
        parts = list(server.server_hello(CHAIN))
        parts[field] = flip(parts[field], bit)
        with pytest.raises(RemoteProtocolError) as caught:
            client.read_server_hello(*parts)
        assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"


def test_the_bit_that_x25519_ignores_is_in_the_transcript():
    """An ephemeral key that differs only there gives the same secret, but another handshake hash."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    ephemeral, static, payload = server.server_hello(CHAIN)
    with pytest.raises(RemoteProtocolError) as caught:
        client.read_server_hello(flip(ephemeral, 255), static, payload)
    assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"


def test_a_changed_client_hello_is_noticed_by_the_client():
    """The server cannot know, but what it answers no longer fits."""
    for bit in range(0, 256, 5):
        client, server = initiator(), responder()
        server.read_client_hello(flip(client.client_hello(), bit))
        with pytest.raises(RemoteProtocolError) as caught:
            client.read_server_hello(*server.server_hello(CHAIN))
        assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"


@pytest.mark.parametrize("field", range(2))
def test_no_part_of_the_client_finish_may_change(field: int):
    """A flipped bit in the sealed key or the sealed login is noticed by the server, which then knows no client."""
    for bit in range(0, 8 * (16 + len(LOGIN)), 5):
        client, server = initiator(), responder()
        server.read_client_hello(client.client_hello())
        client.read_server_hello(*server.server_hello(CHAIN))
        parts = list(client.client_finish(LOGIN))
        parts[field] = flip(parts[field], bit)
        with pytest.raises(RemoteProtocolError) as caught:
            server.read_client_finish(*parts)
        assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"
        with pytest.raises(LocalProtocolError):
            _ = server.remote_static


def test_a_recorded_client_finish_does_not_log_in_again():
    """A replay meets another server ephemeral key and fails."""
    client, server = initiator(), responder()
    hello = client.client_hello()
    server.read_client_hello(hello)
    client.read_server_hello(*server.server_hello(CHAIN))
    finish = client.client_finish(LOGIN)

    again = ResponderHandshake(SERVER_STATIC, bytes(range(128, 160)))
    again.read_client_hello(hello)
    again.server_hello(CHAIN)
    with pytest.raises(RemoteProtocolError):
        again.read_client_finish(*finish)


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_a_low_order_key_is_refused_where_it_arrives(point: bytes):
    """A peer cannot force an all-zero secret: not with an ephemeral key, nor with a sealed static one."""
    with pytest.raises(RemoteProtocolError, match="low order") as caught:
        responder().read_client_hello(point)
    assert caught.value.reason == "HANDSHAKE_MALFORMED"

    client = initiator()
    client.client_hello()
    with pytest.raises(RemoteProtocolError, match="low order"):
        client.read_server_hello(point, bytes(48), bytes(16))


def test_a_low_order_static_key_is_refused_though_it_is_sealed_well():
    """Both ends check the key that comes out of a valid ciphertext."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    client.read_server_hello(*server.server_hello(CHAIN))
    sealed = client._symmetric.encrypt_and_hash(bytes(32))
    with pytest.raises(RemoteProtocolError, match="low order") as caught:
        server.read_client_finish(sealed, bytes(16))
    assert caught.value.reason == "HANDSHAKE_MALFORMED"


@pytest.mark.parametrize("length", [0, 31, 33, 4096])
def test_an_ephemeral_key_of_wrong_length_is_malformed(length: int):
    """Both ends count before they compute."""
    client = initiator()
    client.client_hello()
    reads: list[Callable[[], object]] = [
        lambda: responder().read_client_hello(bytes(length)),
        lambda: client.read_server_hello(bytes(length), bytes(48), bytes(16)),
    ]
    for read in reads:
        with pytest.raises(RemoteProtocolError, match=f"{length} bytes instead of 32") as caught:
            read()
        assert caught.value.reason == "HANDSHAKE_MALFORMED"


@pytest.mark.parametrize("length", [0, 47, 49, 4096])
def test_a_sealed_static_key_of_wrong_length_is_malformed(length: int):
    """Both ends count before they compute."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    hello = server.server_hello(CHAIN)
    reads: list[Callable[[], object]] = [
        lambda: client.read_server_hello(hello.ephemeral, bytes(length), hello.payload_ciphertext),
        lambda: server.read_client_finish(bytes(length), bytes(16)),
    ]
    for read in reads:
        with pytest.raises(RemoteProtocolError, match=f"{length} bytes instead of 48") as caught:
            read()
        assert caught.value.reason == "HANDSHAKE_MALFORMED"


@pytest.mark.parametrize("length", [0, 15])
def test_a_payload_shorter_than_its_tag_does_not_authenticate(length: int):
    """It is no crash either."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    hello = server.server_hello(CHAIN)
    with pytest.raises(RemoteProtocolError) as caught:
        client.read_server_hello(hello.ephemeral, hello.static_ciphertext, bytes(length))
    assert caught.value.reason == "HANDSHAKE_AUTHENTICATION_FAILED"


def _client_steps() -> dict[str, Callable[[], object]]:
    client, server = initiator(), responder()
    server.read_client_hello(initiator().client_hello())
    hello = server.server_hello(CHAIN)
    return {
        "client_hello": client.client_hello,
        "read_server_hello": lambda: client.read_server_hello(*hello),
        "client_finish": lambda: client.client_finish(LOGIN),
        "split": client.split,
    }


def _server_steps() -> dict[str, Callable[[], object]]:
    client, server = initiator(), responder()
    peer = responder()
    peer.read_client_hello(client.client_hello())
    client.read_server_hello(*peer.server_hello(CHAIN))
    finish = client.client_finish(LOGIN)
    return {
        "read_client_hello": lambda: server.read_client_hello(public_key(CLIENT_EPHEMERAL)),
        "server_hello": lambda: server.server_hello(CHAIN),
        "read_client_finish": lambda: server.read_client_finish(*finish),
        "split": server.split,
    }


@pytest.mark.parametrize("steps_of", [_client_steps, _server_steps], ids=["client", "server"])
@pytest.mark.parametrize("done", range(5))
def test_only_the_due_step_may_be_taken(steps_of: Callable[[], dict[str, Callable[[], object]]], done: int):
    """After any number of steps each other one is the caller's mistake, and does no harm to the due one."""
    steps = steps_of()
    names = list(steps)
    for name in names[:done]:
        steps[name]()
    due = names[done] if done < len(names) else "nothing"
    for name in names:
        if name != due:
            with pytest.raises(LocalProtocolError, match=f"{name} was called, but {due} is due"):
                steps[name]()
    for name in names[done:]:
        steps[name]()


def test_a_failed_step_ends_the_handshake():
    """After a refused message nothing is due any more, not even the same message sent well."""
    client, server = initiator(), responder()
    server.read_client_hello(client.client_hello())
    hello = server.server_hello(CHAIN)
    with pytest.raises(RemoteProtocolError):
        client.read_server_hello(hello.ephemeral, hello.static_ciphertext, flip(hello.payload_ciphertext, 0))
    with pytest.raises(LocalProtocolError, match="nothing is due"):
        client.read_server_hello(*hello)
    with pytest.raises(LocalProtocolError, match="nothing is due"):
        client.client_finish(LOGIN)


def test_the_remote_static_key_is_not_shown_before_it_is_proved():
    """What is not authenticated yet must not be compared with anything."""
    for handshake in (initiator(), responder()):
        with pytest.raises(LocalProtocolError, match="not proved"):
            _ = handshake.remote_static


@pytest.mark.parametrize("role", [InitiatorHandshake, ResponderHandshake])
@pytest.mark.parametrize("lengths", [(31, 32), (32, 33)])
def test_a_private_key_of_wrong_length_is_a_value_error(
    role: type[InitiatorHandshake | ResponderHandshake], lengths: tuple[int, int]
):
    """Private keys come from this end."""
    with pytest.raises(ValueError, match="32 bytes"):
        role(bytes(lengths[0]), bytes(lengths[1]))


@pytest.mark.requirement("CHN-05")
def test_frames_pass_in_both_directions_under_different_keys():
    """CHN-05: the first frames of the two directions share plaintext and counter, not ciphertext."""
    client, server = connect()
    from_client, from_server = client.encrypt(b"batch"), server.encrypt(b"batch")
    assert from_client != from_server
    assert server.decrypt(from_client) == b"batch"
    assert client.decrypt(from_server) == b"batch"


def test_equal_frames_never_look_alike():
    """CHN-05: the counter moves with each frame."""
    client, server = connect()
    frames = [client.encrypt(b"") for _ in range(100)]
    assert len(set(frames)) == 100
    assert [server.decrypt(frame) for frame in frames] == [b""] * 100


def test_a_frame_repeated_reordered_reflected_or_cut_does_not_open():
    """The refusal changes nothing: the frame that is due still opens."""
    client, server = connect()
    first, second, third = (client.encrypt(text) for text in (b"1", b"2", b"3"))
    assert server.decrypt(first) == b"1"
    for wrong in (first, third, server.encrypt(b"2"), second[:-1], second + b"\0", b"", bytes(15), flip(second, 3)):
        with pytest.raises(RemoteProtocolError) as caught:
            server.decrypt(wrong)
        assert caught.value.reason == "FRAME_AUTHENTICATION_FAILED"
    assert server.decrypt(second) == b"2"


def test_an_independent_peer_refuses_what_was_changed():
    """The oracle agrees on what is authentic, not only on what is readable."""
    client = initiator()
    server = noise_library(SERVER_STATIC, initiates=False)
    server.read_message(client.client_hello())
    hello = bytes(server.write_message(CHAIN))
    client.read_server_hello(hello[:32], hello[32:80], hello[80:])
    server.read_message(b"".join(client.client_finish(LOGIN)))
    with pytest.raises(NoiseInvalidMessage):
        server.decrypt(flip(client.split().encrypt(b"frame"), 0))


@pytest.mark.requirement("CHN-05")
def test_no_counter_comes_twice():
    """CHN-05: the last frame before 2^32 passes, and then both ends refuse to go on."""
    client, server = connect()
    for state in (client._sending, server._receiving):
        state._counter = 2**32 - 2
    assert server.decrypt(client.encrypt(b"last")) == b"last"
    with pytest.raises(LocalProtocolError, match="counter exhausted"):
        client.encrypt(b"one more")
    with pytest.raises(LocalProtocolError, match="counter exhausted"):
        server.decrypt(bytes(32))


@pytest.mark.requirement("CHN-05")
def test_the_nonce_is_eight_zero_bytes_and_a_big_endian_counter():
    """CHN-05: an independent AES-GCM with that nonce opens frame number 258."""
    client, server = connect()
    for _ in range(258):
        client.encrypt(b"")
    sealed = client.encrypt(b"frame")
    nonce = bytes(8) + bytes((0, 0, 1, 2))
    assert server._receiving._aead.decrypt(nonce, sealed, None) == b"frame"
