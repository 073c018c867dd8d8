"""Replays what is about Signal sessions, from both sides."""

from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interop_client.signal import CiphertextType, InvalidKey, InvalidSignature, PreKeyBundle, SignalError, SignalState
from interop_client.signal.chain import MessageKeys
from interop_client.signal.keys import KeyPair, SignedPreKey
from interop_client.signal.messages import PreKeySignalMessage, SignalMessage
from interop_client.signal.session import SessionRecord
from interop_client.signal.x3dh import initiator_root_key, responder_root_key
from tests.vectors.documents import Vector
from tests.vectors.fixed import Given
from tests.vectors.made.ratchet import ERRORS
from tests.vectors.made.sessions import read_session, show
from tests.vectors.replays.reading import octets, optional_octets

PEER = "the other party"


def agreement(vector: Vector) -> None:
    """Begins the session, and answers it."""
    _initiate(vector)
    _respond(vector)


def _initiate(vector: Vector) -> None:
    bundle = _bundle(vector)
    bundle.verify()
    identity, base = (_pair(vector, name) for name in ("initiator_identity_private_key", "base_private_key"))
    assert identity.public_key == octets(vector, "initiator_identity_key")
    assert base.public_key == octets(vector, "base_key")
    assert initiator_root_key(identity, base, bundle) == octets(vector, "root_key")
    agreed = HKDF(algorithm=SHA256(), length=32, salt=bytes(32), info=b"WhisperText").derive(octets(vector, "secret"))
    assert agreed == octets(vector, "root_key")
    state = SignalState(vector["initiator_registration_id"], identity, {})
    state.entropy = drawn = Given(base.private_key, octets(vector, "first_ratchet_private_key"))
    state.process_bundle(PEER, bundle)
    assert drawn.is_used_up()
    ciphertext = state.encrypt(PEER, octets(vector, "plaintext"))
    assert (ciphertext.type, ciphertext.body) == (CiphertextType.PREKEY, octets(vector, "message"))
    assert show(state.records[PEER].current, state) == vector["initiator_session"]


def _respond(vector: Vector) -> None:
    identity, signed = (_pair(vector, name) for name in ("responder_identity_private_key", "signed_prekey_private_key"))
    single = optional_octets(vector, "one_time_prekey_private_key")
    single_pair = None if single is None else KeyPair.from_private(single)
    assert identity.public_key == octets(vector, "responder_identity_key")
    assert signed.public_key == octets(vector, "signed_prekey")
    assert (single_pair and single_pair.public_key) == optional_octets(vector, "one_time_prekey")
    keys = octets(vector, "initiator_identity_key"), octets(vector, "base_key")
    assert responder_root_key(identity, signed, single_pair, *keys) == octets(vector, "root_key")
    prekey = SignedPreKey(vector["signed_prekey_id"], signed, octets(vector, "signed_prekey_signature"))
    state = SignalState(vector["responder_registration_id"], identity, {prekey.key_id: prekey})
    if single is not None:
        state.one_time_prekeys[vector["one_time_prekey_id"]] = single
    state.entropy = Given(octets(vector, "responder_ratchet_private_key"))
    plaintext = state.decrypt(PEER, CiphertextType.PREKEY, octets(vector, "message"))
    assert plaintext == octets(vector, "plaintext")
    assert state.one_time_prekeys == {}
    assert show(state.records[PEER].current, state) == vector["responder_session"]


def _pair(vector: Vector, name: str) -> KeyPair:
    return KeyPair.from_private(octets(vector, name))


def _bundle(vector: Vector) -> PreKeyBundle:
    return PreKeyBundle(
        registration_id=vector["responder_registration_id"],
        device_id=0,
        identity_key=octets(vector, "responder_identity_key"),
        signed_prekey_id=vector["signed_prekey_id"],
        signed_prekey=octets(vector, "signed_prekey"),
        signed_prekey_signature=octets(vector, "signed_prekey_signature"),
        one_time_prekey_id=vector["one_time_prekey_id"],
        one_time_prekey=optional_octets(vector, "one_time_prekey"),
    )


def refused_bundle(vector: Vector) -> None:
    """Takes the bundle, and begins no session."""
    reasons = {InvalidKey: "INVALID_KEY", InvalidSignature: "INVALID_SIGNATURE"}
    state = SignalState(1, KeyPair.from_private(b"\1" * 32), {})
    try:
        state.process_bundle(PEER, _bundle(vector))
        reason = None
    except (InvalidKey, InvalidSignature) as error:
        reason = reasons[type(error)]
    assert vector["reason"] == reason
    assert not state.has_session(PEER)


def ratchet_step(vector: Vector) -> None:
    """Does one step, from the session before it."""
    message_type, body = CiphertextType(vector["message_type"]), octets(vector, "message")
    _same_message(vector, message_type, body)
    state, drawn = _device(vector)
    session = state.records[PEER].current
    assert show(session, state) == vector["state_before"]
    if vector["action"] == "encrypt":
        assert session.ratchet.sending_chain is not None
        assert session.ratchet.sending_chain.message_secret() == octets(vector, "message_secret")
        ciphertext = state.encrypt(PEER, octets(vector, "plaintext"))
        assert (ciphertext.type, ciphertext.body) == (message_type, body)
        assert (vector["error"], vector["retry_reason"]) == (None, None)
    else:
        assert vector["action"] == "decrypt"
        _decrypt(vector, state, message_type, body)
    assert drawn.is_used_up()
    assert show(state.records[PEER].current, state) == vector["state_after"]
    _same_keys(vector)


def _device(vector: Vector) -> tuple[SignalState, Given]:
    before = vector["state_before"]
    identity = KeyPair.from_private(bytes.fromhex(before["local_identity_private_key"]))
    assert identity.public_key.hex() == before["local_identity_key"]
    session = read_session(before)
    new = optional_octets(vector, "new_ratchet_private_key")
    drawn = Given() if new is None else Given(new)
    records = {PEER: SessionRecord(session.remote_identity, [session])}
    return SignalState(before["local_registration_id"], identity, {}, records=records, entropy=drawn), drawn


def _decrypt(vector: Vector, state: SignalState, message_type: CiphertextType, body: bytes) -> None:
    outcome: tuple[Any, ...]
    message = _inner(message_type, body)
    try:
        step = state.records[PEER].current.ratchet.step(message.header.ratchet_key, message.header.counter)
        message_secret = step.chain_step.secret
    except SignalError:
        message_secret = None
    assert optional_octets(vector, "message_secret") == message_secret
    try:
        outcome = (state.decrypt(PEER, message_type, body).hex(), None, None)
    except SignalError as error:
        outcome = (None, ERRORS[type(error).__name__], error.retry_reason)
    assert (vector["plaintext"], vector["error"], vector["retry_reason"]) == outcome


def _same_message(vector: Vector, message_type: CiphertextType, body: bytes) -> None:
    message = _inner(message_type, body)
    assert message.encode() == octets(vector, "signal_message")
    assert message.header.ratchet_key == octets(vector, "ratchet_key")
    assert message.header.counter == vector["counter"]
    assert message.header.previous_counter == vector["previous_counter"]
    assert message.ciphertext == octets(vector, "ciphertext")
    assert message.mac == octets(vector, "mac")
    actor = vector["actor"]
    assert vector["name"].endswith(f"-{actor}-{vector['action']}s-{vector['message_id']}")


def _inner(message_type: CiphertextType, body: bytes) -> SignalMessage:
    if message_type is CiphertextType.PREKEY:
        return PreKeySignalMessage.decode(body).message
    return SignalMessage.decode(body)


def _same_keys(vector: Vector) -> None:
    message_secret = optional_octets(vector, "message_secret")
    keys = None if message_secret is None else MessageKeys.expand(message_secret)
    shown = tuple(optional_octets(vector, name) for name in ("cipher_key", "mac_key", "iv"))
    assert shown == ((None, None, None) if keys is None else (keys.cipher_key, keys.mac_key, keys.iv))
