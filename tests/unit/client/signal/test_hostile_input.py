"""Bytes that an attacker chose: each is refused with the right error, and no refused message changes the state."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from interop_api.e2ee.v1 import session_pb2
from interop_client.signal import (
    BadMac,
    CiphertextType,
    DuplicateMessage,
    InvalidKey,
    InvalidKeyId,
    InvalidMessage,
    InvalidSession,
    InvalidSnapshot,
    NoSession,
    PreKeyBundle,
    SignalError,
    SignalState,
    TooFarInFuture,
    UntrustedIdentity,
)
from interop_client.signal.keys import KeyPair
from interop_client.signal.messages import MAX_MESSAGE_BYTES, Authentication, Header, PreKeySignalMessage, SignalMessage
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL

from .conftest import ALICE, BOB, Pair

# Where the parts of a SignalMessage lie when its counters are under 128 and its plaintext is short.
VERSION = range(1)
RATCHET_KEY = range(1, 36)
COUNTER = range(37, 38)
PREVIOUS_COUNTER = range(39, 40)
CIPHERTEXT = range(42, 58)
MAC = range(58, 66)


class Altered(NamedTuple):
    """A message with one byte changed, and how."""

    at: int
    bit: int
    body: bytes


def alterations(body: bytes) -> list[Altered]:
    """Every flip of one bit."""
    return [
        Altered(at, bit, body[:at] + bytes((body[at] ^ 1 << bit,)) + body[at + 1 :])
        for at in range(len(body))
        for bit in range(8)
    ]


def refusal(state: SignalState, remote: str, type: CiphertextType, body: bytes) -> type[SignalError] | None:
    """Returns the error with which a message is refused; None when it decrypts."""
    before = state.to_bytes()
    try:
        state.decrypt(remote, type, body)
    except SignalError as error:
        assert state.to_bytes() == before
        return error.__class__
    return None


def test_every_flipped_bit_of_a_message_is_found(pair: Pair) -> None:
    """Whatever region it hits; the second message of a chain, so that its session is known by the ratchet key."""
    first, message = pair.alice.encrypt(BOB, b"first"), pair.alice.encrypt(BOB, b"second")
    pair.bob.decrypt(ALICE, first.type, first.body)
    assert len(message.body) == MAC.stop
    seen = {altered[:2]: refusal(pair.bob, ALICE, message.type, altered.body) for altered in alterations(message.body)}
    assert None not in seen.values()

    def errors(region: range) -> set[type[SignalError] | None]:
        return {error for (at, _), error in seen.items() if at in region}

    assert errors(VERSION) == {InvalidMessage, BadMac}
    assert errors(RATCHET_KEY) <= {InvalidMessage, InvalidKey, InvalidSession}
    assert {error for (at, _), error in seen.items() if at > 3 and at in RATCHET_KEY} == {InvalidSession}
    assert errors(COUNTER) <= {BadMac, DuplicateMessage, InvalidMessage}
    assert errors(PREVIOUS_COUNTER) <= {BadMac, InvalidMessage}
    assert errors(CIPHERTEXT) == {BadMac}
    assert errors(MAC) == {BadMac}
    assert pair.bob.decrypt(ALICE, message.type, message.body) == b"second"


def test_every_flipped_bit_of_a_first_message_is_found_or_has_no_effect(
    take_bundle: Callable[..., PreKeyBundle],
) -> None:
    """In libsignal's format nothing covers the initiator's registration id, nor ids in the outer message as such: what
    decrypts all the same does so to the right plaintext, with the right identity."""
    alice, bob = SignalState.generate(registration_id=5), SignalState.generate()
    alice.process_bundle(BOB, take_bundle(bob))
    message = alice.encrypt(BOB, b"hello")
    decrypted = 0
    for altered in alterations(message.body):
        state = SignalState.from_bytes(bob.to_bytes())
        error = refusal(state, ALICE, message.type, altered.body)
        assert error in {None, BadMac, InvalidMessage, InvalidKey, InvalidKeyId}
        if error is None:
            decrypted += 1
            assert state.trusted_identity(ALICE) == alice.identity.public_key
    assert decrypted < 30


def test_a_flipped_bit_of_a_known_identity_is_told_as_a_change(
    pair: Pair, take_bundle: Callable[..., PreKeyBundle]
) -> None:
    """The identity is compared before anything is computed with it."""
    pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    body = pair.alice.encrypt(BOB, b"hello").body
    at = body.index(pair.alice.identity.public_key)
    altered = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
    assert refusal(pair.bob, ALICE, CiphertextType.PREKEY, altered) is UntrustedIdentity


def test_every_cut_message_is_refused(pair: Pair, take_bundle: Callable[..., PreKeyBundle]) -> None:
    """From nothing at all to one byte missing."""
    message = pair.alice.encrypt(BOB, b"hello")
    for length in range(len(message.body)):
        assert refusal(pair.bob, ALICE, message.type, message.body[:length]) is not None
    pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    first = pair.alice.encrypt(BOB, b"hello")
    for length in range(len(first.body) - 6):
        assert refusal(pair.bob, ALICE, first.type, first.body[:length]) is not None


@pytest.mark.parametrize("version_byte", [0x00, 0x22, 0x23, 0x32, 0x43, 0x44, 0xF3])
@pytest.mark.parametrize("type", CiphertextType)
def test_other_session_versions_are_refused(pair: Pair, version_byte: int, type: CiphertextType) -> None:
    """Older ones are weak, newer ones unknown; retry reason 4."""
    body = pair.alice.encrypt(BOB, b"hello").body
    with pytest.raises(InvalidMessage, match="version") as refused:
        pair.bob.decrypt(ALICE, type, bytes((version_byte,)) + body[1:])
    assert refused.value.retry_reason == 4


def sealed_by_alice(
    pair: Pair, alter: Callable[[bytes], bytes] = lambda covered: covered, padding: bytes = b"\x0b"
) -> bytes:
    """A message with a right MAC over bytes that our own encoder would not write."""
    step = pair.alice.records[BOB].current.ratchet.send()
    keys = step.message_keys
    encryptor = Cipher(AES256(keys.cipher_key), CBC(keys.iv)).encryptor()
    ciphertext = encryptor.update(b"hello".ljust(16, padding)) + encryptor.finalize()
    authentication = Authentication(keys.mac_key, pair.alice.identity.public_key, pair.bob.identity.public_key)
    header = Header(step.ratchet_key, step.counter, step.previous_counter)
    covered = alter(SignalMessage.seal(header, ciphertext, authentication).covered)
    return covered + authentication.mac(covered)


def test_the_version_byte_of_libsignal_and_unknown_fields_are_accepted(pair: Pair) -> None:
    """libsignal writes 0x34 for session version 3, and may add fields; the MAC covers the bytes as received."""
    unknown_field = b"\xfa\x01\x03new"
    body = sealed_by_alice(pair, lambda covered: b"\x34" + covered[1:] + unknown_field)
    assert pair.bob.decrypt(ALICE, CiphertextType.DOUBLE_RATCHET, body) == b"hello"


def test_an_authentic_message_with_broken_padding_is_refused(pair: Pair) -> None:
    """Only the peer itself can make one: no padding oracle, as the MAC is checked first."""
    body = sealed_by_alice(pair, padding=b"\0")
    assert refusal(pair.bob, ALICE, CiphertextType.DOUBLE_RATCHET, body) is InvalidMessage


def encoded(**changes: object) -> bytes:
    fields: dict[str, object] = {"ratchet_key": b"\x05" + bytes(31) + b"\x09", "counter": 0, "ciphertext": bytes(16)}
    present = {name: value for name, value in (fields | changes).items() if value is not None}
    return b"\x33" + session_pb2.SignalMessage(**present).SerializeToString() + bytes(8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ratchet_key": None}, InvalidMessage),
        ({"counter": None}, InvalidMessage),
        ({"ciphertext": None}, InvalidMessage),
        ({"ciphertext": bytes(17)}, InvalidMessage),
        ({"ciphertext": bytes(MAX_MESSAGE_BYTES)}, InvalidMessage),
        ({"ratchet_key": bytes(33)}, InvalidKey),
        ({"ratchet_key": b"\x05" + bytes(31)}, InvalidKey),
        *(({"ratchet_key": b"\x05" + key}, InvalidKey) for key in (*LOW_ORDER, *NOT_CANONICAL)),
        ({"counter": 0xFFFFFFFF}, TooFarInFuture),
        ({}, InvalidSession),
    ],
)
def test_a_forged_message_is_refused_for_what_is_wrong_with_it(
    pair: Pair, changes: dict[str, object], error: type[SignalError]
) -> None:
    """Missing fields, wrong lengths, keys that are none, a counter far ahead, or simply no right MAC."""
    assert refusal(pair.bob, ALICE, CiphertextType.DOUBLE_RATCHET, encoded(**changes)) is error


def test_a_forged_first_message_is_refused_for_what_is_wrong_with_it(
    pair: Pair, take_bundle: Callable[..., PreKeyBundle]
) -> None:
    """Each change of a valid one."""
    pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    valid = session_pb2.PreKeySignalMessage.FromString(pair.alice.encrypt(BOB, b"hello").body[1:])

    def refused(**changes: object) -> type[SignalError] | None:
        proto = session_pb2.PreKeySignalMessage()
        proto.CopyFrom(valid)
        for name, value in changes.items():
            proto.ClearField(name)  # type: ignore[arg-type]
            if value is not None:
                setattr(proto, name, value)
        return refusal(pair.bob, ALICE, CiphertextType.PREKEY, b"\x33" + proto.SerializeToString())

    assert refused(signed_pre_key_id=None) is InvalidMessage
    assert refused(signed_pre_key_id=77) is InvalidKeyId
    assert refused(pre_key_id=0) is InvalidKeyId
    assert refused(pre_key_id=None) is BadMac
    assert refused(base_key=None) is InvalidKey
    for weak in (*LOW_ORDER, *NOT_CANONICAL):
        assert refused(base_key=b"\x05" + weak) is InvalidKey
        assert refused(identity_key=b"\x05" + weak) is InvalidKey
    assert refused(identity_key=None) is InvalidKey
    assert refused(message=None) is InvalidMessage
    assert refused(message=valid.message[:-1]) is not None
    assert refused(registration_id=None) is None


def test_prekey_ids_around_a_known_session_delete_nothing(
    take_bundle: Callable[..., PreKeyBundle],
) -> None:
    """The outer ids are not authenticated: on a session that exists they are not looked at."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, take_bundle(bob))
    first, second = alice.encrypt(BOB, b"first"), alice.encrypt(BOB, b"second")
    bob.decrypt(ALICE, first.type, first.body)
    bob.generate_one_time_prekeys(1)
    parsed = PreKeySignalMessage.decode(second.body)
    proto = session_pb2.PreKeySignalMessage.FromString(second.body[1:])
    (unused,) = bob.unused_one_time_prekeys()
    proto.pre_key_id = unused.key_id
    assert parsed.one_time_prekey_id != unused.key_id
    assert bob.decrypt(ALICE, second.type, b"\x33" + proto.SerializeToString()) == b"second"
    assert bob.unused_one_time_prekeys() == [unused]


@given(body=st.binary(max_size=200), type=st.sampled_from(CiphertextType), with_version=st.booleans())
def test_random_bytes_raise_only_typed_errors(body: bytes, type: CiphertextType, with_version: bool) -> None:
    """Nothing else ever leaves `decrypt`."""
    with pytest.raises((InvalidMessage, InvalidKey, InvalidKeyId, NoSession)):
        LONELY.decrypt(ALICE, type, b"\x33" * with_version + body)


LONELY = SignalState.generate(entropy=lambda count: b"\x07" * count)


@pytest.mark.parametrize(
    "saved",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"version":2}',
        b'{"version":1}',
        b"\xff",
        LONELY.to_bytes()[:-1],
        LONELY.to_bytes().replace(b'"records":{}', b'"records":{"x":[]}'),
        LONELY.to_bytes().replace(b'"records":{}', b'"records":[]'),
        LONELY.to_bytes().replace(b'"identity":"', b'"identity":"AA'),
        LONELY.to_bytes().split(b'"signed_prekeys"')[0] + b'"signed_prekeys":[]}',
    ],
)
def test_a_damaged_snapshot_is_refused(saved: bytes) -> None:
    """With a typed error, never half a state."""
    with pytest.raises(InvalidSnapshot):
        SignalState.from_bytes(saved)


def test_a_key_pair_hides_its_private_half() -> None:
    """A state in a log or a traceback must not give it away."""
    key_pair = KeyPair.from_private(bytes(range(32)))
    assert repr(bytes(range(32)))[2:-1] not in repr(LONELY) + repr(key_pair)
    assert "private_key" not in repr(key_pair)
    with pytest.raises(InvalidKey):
        KeyPair.from_private(bytes(31))
