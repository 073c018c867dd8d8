"""The ratchet against what others published or sent: a vector of libsignal, conversations recorded with its port."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop_client.signal import CiphertextType, DuplicateMessage, PreKeyBundle, SignalState
from interop_client.signal.chain import ChainKey, MessageKeys
from interop_client.signal.keys import KeyPair
from interop_client.signal.x3dh import initiator_root_key, responder_root_key
from interop_protocol.xeddsa_keys import verify_signed_prekey

RECORDINGS = sorted((Path(__file__).parents[3] / "data" / "signal").glob("*.json"))


def test_a_chain_derives_the_keys_of_libsignals_vector() -> None:
    """The vector is that of libsignal's ChainKeyTest."""
    chain_key = ChainKey(bytes.fromhex("8ab72d6f4cc5ac0d387eaf463378ddb28edd07385b1cb01250c715982e7ad48f"))
    keys = MessageKeys.expand(chain_key.message_secret())
    assert keys.cipher_key.hex() == "bf51e9d75e0e31031051f82a2491ffc084fa298b7793bd9db620056febf45217"
    assert keys.mac_key.hex() == "c6c77d6a73a354337a56435e34607dfe48e3ace14e77314dc6abc172e7a7030b"
    next_key = chain_key.next()
    assert next_key.key.hex() == "28e8f8fee54b801eef7c5cfb2f17f32c7b334485bbb70fac6ec10342a246d15d"
    assert next_key.counter == 1


@pytest.mark.parametrize("with_one_time_prekey", [True, False])
def test_both_sides_of_x3dh_compute_the_same_root_key(
    take_bundle: Callable[..., PreKeyBundle], with_one_time_prekey: bool
) -> None:
    """A bundle without a one-time prekey is as good, with one Diffie-Hellman less."""
    alice, bob = SignalState.generate(), SignalState.generate()
    bundle = take_bundle(bob, with_one_time_prekey)
    base_key = KeyPair.from_private(bytes(range(32)))
    one_time_prekey = KeyPair.from_private(bob.one_time_prekeys[1]) if with_one_time_prekey else None
    assert initiator_root_key(alice.identity, base_key, bundle) == responder_root_key(
        bob.identity,
        bob.signed_prekeys[1].key_pair,
        one_time_prekey,
        alice.identity.public_key,
        base_key.public_key,
    )


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_conversation_with_libsignals_javascript_port_replays(path: Path) -> None:
    """Messages of the port decrypt, once; ours come out byte for byte as the port accepted them."""
    recording = json.loads(path.read_text())
    state = SignalState.generate(recording["registration_id"], _recorded_entropy(recording["seed"]))
    decrypted = 0
    for step in recording["script"]:
        match step["do"]:
            case "process_bundle":
                state.process_bundle("peer", _bundle(step["bundle"]))
            case "generate_one_time_prekeys":
                state.generate_one_time_prekeys(step["count"])
            case "encrypt":
                ours = state.encrypt("peer", bytes.fromhex(step["plaintext"]))
                assert (ours.type.value, ours.body.hex()) == (step["type"], step["body"])
            case "decrypt":
                theirs = CiphertextType(step["type"]), bytes.fromhex(step["body"])
                assert state.decrypt("peer", *theirs).hex() == step["plaintext"]
                with pytest.raises(DuplicateMessage):
                    state.decrypt("peer", *theirs)
                decrypted += 1
    assert decrypted >= 5


def test_the_ports_signature_verifies_as_ours() -> None:
    """The port signs its signed prekey with an XEdDSA implementation of its own."""
    (bundle,) = (
        step["bundle"]
        for path in RECORDINGS
        for step in json.loads(path.read_text())["script"]
        if step["do"] == "process_bundle"
    )
    keys = [bytes.fromhex(bundle[name]) for name in ("identity_key", "signed_prekey", "signed_prekey_signature")]
    assert verify_signed_prekey(*keys)


def _recorded_entropy(seed: int) -> Callable[[int], bytes]:
    requests = 0

    def entropy(count: int) -> bytes:
        nonlocal requests
        requests += 1
        return hashlib.shake_256(f"{seed}/{requests}".encode()).digest(count)

    return entropy


def _bundle(recorded: dict[str, Any]) -> PreKeyBundle:
    fields: dict[str, Any] = {
        name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in recorded.items()
    }
    return PreKeyBundle(**fields)
