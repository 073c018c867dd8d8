"""A saved state of either SDK is one of the other's: byte for byte, and the sessions in it go on."""

import base64
import json
import subprocess

import pytest

from interop_client.signal import CiphertextType, PreKeyBundle, SignalState
from tests.node import built_node_client

ALICE, BOB = "12-10000000000001@interop", "491511234567@s.whatsapp.net"

# Reads a state, decrypts a message with it, answers, and says what it has become.
PROGRAM = """
import { SignalState } from "./src/signal/index.js";
const { saved, remote, type, body } = JSON.parse(process.argv[1]);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const text = (value) => Buffer.from(value).toString("base64");
const state = SignalState.fromBytes(bytes(saved));
const again = text(state.toBytes());
const read = text(state.decrypt(remote, type, bytes(body)));
const answer = state.encrypt(remote, Buffer.from("from Node.js"));
console.log(JSON.stringify({ again, read, type: answer.type, body: text(answer.body), after: text(state.toBytes()) }));
"""


def bundle_of(state: SignalState) -> PreKeyBundle:
    published, (one_time, _) = state.publishable, state.generate_one_time_prekeys(2)
    signed = published.signed_prekey
    return PreKeyBundle(
        registration_id=published.registration_id,
        device_id=0,
        identity_key=published.identity_key,
        signed_prekey_id=signed.key_id,
        signed_prekey=signed.public_key,
        signed_prekey_signature=signed.signature,
        one_time_prekey_id=one_time.key_id,
        one_time_prekey=one_time.public_key,
    )


@pytest.mark.parametrize("has_spoken", [False, True], ids=["responder", "initiator"])
def test_node_goes_on_where_python_has_stopped_and_back(has_spoken: bool) -> None:
    """With everything in it that a state can hold: a session pending, keys skipped, prekeys offered and retired."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, bundle_of(bob))
    late, first = alice.encrypt(BOB, b"late"), alice.encrypt(BOB, b"first")
    if has_spoken:  # then the message is of an old session, and a new one is pending
        bob.decrypt(ALICE, first.type, first.body)
        bob.process_bundle(ALICE, bundle_of(alice))
        first = alice.encrypt(BOB, b"first")
    bob.offer_signed_prekey()
    bob.replace_one_time_prekeys(bob.offer_one_time_prekeys(3), [])
    bob.offer_one_time_prekeys(2)
    bob.generate_kem_prekeys(2)
    bob.kem_last_resort()
    bob.kem.seen |= {ALICE, "z", "a"}

    saved = bob.to_bytes()
    ran = in_node(saved, ALICE, first.type, first.body)
    assert octets(ran["again"]) == saved
    assert octets(ran["read"]) == b"first"
    assert alice.decrypt(BOB, CiphertextType(ran["type"]), octets(ran["body"])) == b"from Node.js"

    after = SignalState.from_bytes(octets(ran["after"]))
    assert after.to_bytes() == octets(ran["after"])
    assert after.decrypt(ALICE, late.type, late.body) == b"late"
    answer = alice.encrypt(BOB, b"back in Python")
    assert after.decrypt(ALICE, answer.type, answer.body) == b"back in Python"


def in_node(saved: bytes, remote: str, type: CiphertextType, body: bytes) -> dict[str, str]:
    given = {"saved": text(saved), "remote": remote, "type": type.value, "body": text(body)}
    ran = subprocess.run(
        ("node", "--input-type=module", "--eval", PROGRAM, json.dumps(given)),
        cwd=built_node_client(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, str] = json.loads(ran.stdout)
    return answer


def octets(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()
