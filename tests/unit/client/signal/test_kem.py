"""Post-quantum prekeys of a device: made and signed, remembered of others, and used for nothing."""

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey

from interop_client.signal import InvalidKey, InvalidSignature, KemPreKeyPublic, PreKeyBundle, SignalState
from interop_client.signal.errors import InvalidSnapshot
from interop_protocol.kem_keys import is_encapsulation_key, verify_kem_prekey
from interop_protocol.sizes import MAX_PREKEY_ID

pytestmark = pytest.mark.requirement("KEY-15")

BOB = "100-1@interop"


def bundle_of(state: SignalState, kem_prekey: KemPreKeyPublic | None, *, withdrawn: bool = False) -> PreKeyBundle:
    keys = state.publishable
    signed = keys.signed_prekey
    ids = (keys.registration_id, 0, keys.identity_key, signed.key_id, signed.public_key, signed.signature)
    return PreKeyBundle(*ids, kem_prekey=kem_prekey, kem_withdrawn=withdrawn)


def test_prekeys_are_made_signed_and_kept_by_their_seeds() -> None:
    """The public half is the seed's, the signature the identity key's, and what is encapsulated for it opens."""
    state = SignalState.generate()
    one_time, last_resort = state.generate_kem_prekeys(2), state.kem_last_resort()
    assert [prekey.key_id for prekey in (*one_time, last_resort)] == [1, 2, 3]
    for prekey in (*one_time, last_resort):
        assert is_encapsulation_key(prekey.public_key)
        assert verify_kem_prekey(state.identity.public_key, prekey.public_key, prekey.signature)
    secret, ciphertext = MLKEM1024PublicKey.from_public_bytes(one_time[1].public_key).encapsulate()
    assert MLKEM1024PrivateKey.from_seed_bytes(state.kem.one_time[2]).decapsulate(ciphertext) == secret
    again = state.kem_last_resort()
    assert (again.key_id, again.public_key) == (last_resort.key_id, last_resort.public_key)


def test_what_was_refused_is_made_anew() -> None:
    """Signed prekey and last resort; who has no last resort gets none by that."""
    state = SignalState.generate()
    state.renew_signed_keys()
    assert (state.publishable.signed_prekey.key_id, state.kem.last_resort) == (2, None)
    before = state.kem_last_resort()
    state.renew_signed_keys()
    assert state.kem_last_resort().public_key != before.public_key
    assert state.publishable.signed_prekey.key_id == 3


@pytest.mark.parametrize("count", [0, -1, 5_001])
def test_a_list_has_1_to_5_000_prekeys(count: int) -> None:
    with pytest.raises(ValueError, match="5000"):
        SignalState.generate().generate_kem_prekeys(count)


def test_the_oldest_private_halves_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message says that a prekey is used up: without a bound they would pile up. Ids begin again at 1."""
    monkeypatch.setattr("interop_client.signal.kem.MAX_KEM_PREKEYS", 3)
    state = SignalState.generate()
    state.kem.next_id = MAX_PREKEY_ID
    state.generate_kem_prekeys(3)
    state.generate_kem_prekeys(2)
    assert list(state.kem.one_time) == [2, 3, 4]


def test_what_was_published_replaces_what_was_before() -> None:
    """In its order; what is named and no longer there does no harm, as of a list that was longer than is kept."""
    kem = SignalState.generate().kem
    seeds = {1: bytes(64), 2: bytes([2]) * 64, 3: bytes([3]) * 64}
    kem.one_time = dict(seeds)
    kem.keep_one_time([3, 9, 1])
    assert list(kem.one_time.items()) == [(3, seeds[3]), (1, seeds[1])]
    kem.keep_one_time([9])
    assert kem.one_time == {}


def test_a_device_knows_which_prekeys_it_can_open() -> None:
    """The last resort must be the current one."""
    kem = SignalState.generate().kem
    assert kem.holds(None, [])
    assert not kem.holds(1, [])
    state = SignalState.generate()
    state.generate_kem_prekeys(2)
    last_resort = state.kem_last_resort().key_id
    assert state.kem.holds(last_resort, [1, 2])
    assert state.kem.holds(last_resort, [2])
    assert not state.kem.holds(last_resort, [2, 9])
    assert not state.kem.holds(None, [1])
    state.renew_signed_keys()
    assert not state.kem.holds(last_resort, [])


def test_everything_is_saved() -> None:
    """Also whose prekeys were seen."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, bundle_of(bob, bob.kem_last_resort()))
    for state in (alice, bob, SignalState.generate()):
        state.generate_kem_prekeys(2)
        restored = SignalState.from_bytes(state.to_bytes())
        assert restored.kem == state.kem
        assert restored.to_bytes() == state.to_bytes()


def test_a_state_that_an_earlier_release_saved_is_read() -> None:
    """Version 1 knew no KEM prekeys: there are none, and everything else is there."""
    state = SignalState.generate()
    document = json.loads(state.to_bytes())
    del document["kem"]
    with pytest.raises(InvalidSnapshot):
        SignalState.from_bytes(json.dumps(document).encode())
    document["version"] = 1
    restored = SignalState.from_bytes(json.dumps(document).encode())
    assert restored == state
    document["version"] = 3
    with pytest.raises(InvalidSnapshot, match="version"):
        SignalState.from_bytes(json.dumps(document).encode())


@pytest.mark.requirement("KEY-16")
def test_a_prekey_that_was_seen_is_missed() -> None:
    """Not from who never had one; not forgotten with the session, nor with the identity (KEY-16)."""
    alice, bob = SignalState.generate(), SignalState.generate()
    without, with_kem = bundle_of(bob, None), bundle_of(bob, bob.kem_last_resort())
    assert not alice.is_pq_downgrade(BOB, without)
    assert alice.is_pq_downgrade(BOB, bundle_of(bob, None, withdrawn=True))
    alice.process_bundle(BOB, without)
    assert not alice.is_pq_downgrade(BOB, without)
    alice.process_bundle(BOB, with_kem)
    assert not alice.is_pq_downgrade(BOB, with_kem)
    assert alice.is_pq_downgrade(BOB, without)
    assert not alice.is_pq_downgrade("100-2@interop", without)
    alice.delete_session(BOB)
    alice.accept_identity(BOB)
    assert alice.is_pq_downgrade(BOB, without)


@pytest.mark.requirement("KEY-16")
def test_a_prekey_that_the_identity_key_did_not_sign_spoils_the_bundle() -> None:
    """Nothing of such a bundle is used, and it counts for nothing."""
    alice, bob, mallory = SignalState.generate(), SignalState.generate(), SignalState.generate()
    good = bob.kem_last_resort()
    for bad, error in (
        (mallory.kem_last_resort(), InvalidSignature),
        (replace(good, signature=bytes(64)), InvalidSignature),
        (replace(good, signature=good.signature[1:]), InvalidSignature),
        (replace(good, public_key=mallory.kem_last_resort().public_key), InvalidSignature),
        (replace(good, public_key=good.public_key[1:]), InvalidKey),
    ):
        with pytest.raises(error):
            alice.process_bundle(BOB, bundle_of(bob, bad))
    assert not alice.has_session(BOB)
    assert not alice.is_pq_downgrade(BOB, bundle_of(bob, None))


def test_no_session_depends_on_it() -> None:
    """The same randomness makes the same first message with and without a KEM prekey: the agreement is X3DH."""
    bob = SignalState.generate()
    alice = SignalState.generate().to_bytes()
    bodies = []
    for kem_prekey in (None, bob.kem_last_resort()):
        state = SignalState.from_bytes(alice, entropy=lambda length: bytes(range(length)))
        state.process_bundle(BOB, bundle_of(bob, kem_prekey))
        bodies.append(state.encrypt(BOB, b"Hello").body)
    assert bodies[0] == bodies[1]
