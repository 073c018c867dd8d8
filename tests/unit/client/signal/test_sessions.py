"""Sessions: how they begin, what order they bear, what they refuse, and how they survive loss of state."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from interop_client.signal import (
    Ciphertext,
    CiphertextType,
    DuplicateMessage,
    InvalidKey,
    InvalidKeyId,
    InvalidSession,
    InvalidSignature,
    NoSession,
    PreKeyBundle,
    SignalState,
    TooFarInFuture,
    UntrustedIdentity,
)
from interop_client.signal.chain import MAX_FORWARD_JUMP, MAX_SKIPPED_KEYS, ChainKey
from interop_client.signal.messages import PreKeySignalMessage
from interop_client.signal.ratchet import MAX_RECEIVING_CHAINS, DoubleRatchet
from interop_client.signal.session import MAX_ARCHIVED_SESSIONS
from interop_client.signal.store import MAX_SIGNED_PREKEYS
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS, MAX_PREKEY_ID
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL

from .conftest import ALICE, BOB, Pair

TakeBundle = Callable[..., PreKeyBundle]


def to_bob(pair: Pair, plaintext: bytes = b"to bob") -> Ciphertext:
    return pair.alice.encrypt(BOB, plaintext)


def bob_reads(pair: Pair, message: Ciphertext) -> bytes:
    return pair.bob.decrypt(ALICE, message.type, message.body)


def alice_reads(pair: Pair, message: Ciphertext) -> bytes:
    return pair.alice.decrypt(BOB, message.type, message.body)


def take_turns(pair: Pair, count: int) -> None:
    """Both speak in turn, which gives each a new chain each time."""
    for _ in range(count):
        assert alice_reads(pair, pair.bob.encrypt(ALICE, b"tick")) == b"tick"
        assert bob_reads(pair, to_bob(pair, b"tock")) == b"tock"


def test_messages_are_prekey_messages_until_the_other_side_has_answered(take_bundle: TakeBundle) -> None:
    """Otherwise the recipient could not read the second message when the first is lost."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, take_bundle(bob))
    lost, second = alice.encrypt(BOB, b"lost"), alice.encrypt(BOB, b"second")
    assert (lost.type, second.type) == (CiphertextType.PREKEY, CiphertextType.PREKEY)
    assert bob.decrypt(ALICE, second.type, second.body) == b"second"
    answer = bob.encrypt(ALICE, b"answer")
    assert answer.type is CiphertextType.DOUBLE_RATCHET
    alice.decrypt(BOB, answer.type, answer.body)
    assert alice.encrypt(BOB, b"third").type is CiphertextType.DOUBLE_RATCHET
    assert bob.decrypt(ALICE, lost.type, lost.body) == b"lost"


def test_a_one_time_prekey_is_gone_after_the_first_message_that_uses_it(take_bundle: TakeBundle) -> None:
    """A second initiator that was given the same one is told so; only the first one got through (KEY-05)."""
    alice, carol, bob = SignalState.generate(), SignalState.generate(), SignalState.generate()
    bundle = take_bundle(bob)
    alice.process_bundle(BOB, bundle)
    carol.process_bundle(BOB, bundle)
    first, second = alice.encrypt(BOB, b"first"), carol.encrypt(BOB, b"second")
    assert [prekey.key_id for prekey in bob.unused_one_time_prekeys()] == [1]
    bob.decrypt(ALICE, first.type, first.body)
    assert bob.unused_one_time_prekeys() == []
    with pytest.raises(InvalidKeyId, match="one-time prekey 1"):
        bob.decrypt("carol", second.type, second.body)
    assert not bob.has_session("carol")
    assert bob.trusted_identity("carol") is None


def test_a_bundle_without_a_one_time_prekey_opens_a_session(take_bundle: TakeBundle) -> None:
    """The store of the other side was empty (KEY-06)."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, take_bundle(bob, with_one_time_prekey=False))
    message = alice.encrypt(BOB, b"hello")
    assert bob.decrypt(ALICE, message.type, message.body) == b"hello"


def test_messages_decrypt_in_any_order_and_once(pair: Pair) -> None:
    """Late ones from the chain before are read as well; each a second time is a duplicate."""
    messages = [(b"%d" % n, to_bob(pair, b"%d" % n)) for n in range(20)]
    late = messages.pop(3)
    random.Random(1).shuffle(messages)
    for plaintext, message in messages:
        assert bob_reads(pair, message) == plaintext
    take_turns(pair, 2)
    assert bob_reads(pair, late[1]) == late[0]
    for _, message in [*messages, late]:
        with pytest.raises(DuplicateMessage):
            bob_reads(pair, message)


def test_a_duplicate_of_the_first_message_is_told_as_such(take_bundle: TakeBundle) -> None:
    """Its one-time prekey is gone, but the session that it opened is known by its base key."""
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, take_bundle(bob))
    message = alice.encrypt(BOB, b"hello")
    bob.decrypt(ALICE, message.type, message.body)
    with pytest.raises(DuplicateMessage):
        bob.decrypt(ALICE, message.type, message.body)


def test_a_message_of_a_chain_long_past_fits_no_session(pair: Pair) -> None:
    """Five chains of the other side stay open."""
    late, too_late = to_bob(pair), to_bob(pair)
    take_turns(pair, MAX_RECEIVING_CHAINS - 1)
    assert bob_reads(pair, late) == b"to bob"
    take_turns(pair, 2)
    with pytest.raises(InvalidSession):
        bob_reads(pair, too_late)
    assert len(pair.bob.records[ALICE].current.ratchet.receiving_chains) == MAX_RECEIVING_CHAINS


def lose(pair: Pair, count: int) -> None:
    """Uses up the keys of so many messages to Bob, which never come."""
    for _ in range(count):
        pair.alice.records[BOB].current.ratchet.send()


@pytest.mark.parametrize("missing", [2_100, 20_000, MAX_FORWARD_JUMP])
def test_as_many_messages_may_be_missing_as_a_mailbox_holds(pair: Pair, missing: int) -> None:
    """As in libsignal; the state keeps no more than the newest 2,000 keys for those that may still come."""
    lose(pair, missing - 1)
    late, message = to_bob(pair), to_bob(pair)
    assert bob_reads(pair, message) == b"to bob"
    assert bob_reads(pair, late) == b"to bob"
    skipped = [len(chain.skipped) for chain in pair.bob.records[ALICE].current.ratchet.receiving_chains]
    print(f"{missing} missing: {sum(skipped)} keys kept, a state of {len(pair.bob.to_bytes())} bytes")
    assert sum(skipped) == MAX_SKIPPED_KEYS - 1
    assert len(pair.bob.to_bytes()) < 64 * MAX_SKIPPED_KEYS


def test_a_message_too_far_ahead_is_refused_and_changes_nothing(pair: Pair) -> None:
    """A forged counter must not cost unbounded work."""
    lose(pair, MAX_FORWARD_JUMP)
    last, beyond = to_bob(pair), to_bob(pair)
    before = pair.bob.to_bytes()
    with pytest.raises(TooFarInFuture):
        bob_reads(pair, beyond)
    assert pair.bob.to_bytes() == before
    assert bob_reads(pair, last) == b"to bob"
    assert bob_reads(pair, beyond) == b"to bob"


def test_a_forged_counter_costs_little_more_when_there_are_many_sessions(
    pair: Pair, take_bundle: TakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of forty archived sessions is tried with far fewer missing messages than the current one."""
    for _ in range(MAX_ARCHIVED_SESSIONS):
        pair.alice.process_bundle(BOB, take_bundle(pair.bob))
        assert bob_reads(pair, to_bob(pair)) == b"to bob"
    stranger = SignalState.generate()
    stranger.process_bundle(BOB, take_bundle(pair.bob))
    for _ in range(MAX_FORWARD_JUMP):
        stranger.records[BOB].current.ratchet.send()
    forged = PreKeySignalMessage.decode(stranger.encrypt(BOB, b"x").body).message.encode()
    steps = 0
    advance = ChainKey.next

    def count(key: ChainKey) -> ChainKey:
        nonlocal steps
        steps += 1
        return advance(key)

    monkeypatch.setattr(ChainKey, "next", count)
    with pytest.raises(InvalidSession):
        pair.bob.decrypt(ALICE, CiphertextType.DOUBLE_RATCHET, forged)
    print(f"{steps} steps of chains for one forged message, with {len(pair.bob.records[ALICE].sessions)} sessions")
    assert steps <= MAX_FORWARD_JUMP + 1


def test_keys_of_missing_messages_are_bounded_and_the_oldest_go_first(pair: Pair) -> None:
    """A chain keeps 2,000 of them."""
    messages = [to_bob(pair) for _ in range(MAX_SKIPPED_KEYS + 12)]
    bob_reads(pair, messages[MAX_SKIPPED_KEYS])
    bob_reads(pair, messages[-1])
    (chain,) = [chain for chain in pair.bob.records[ALICE].current.ratchet.receiving_chains if chain.skipped]
    assert len(chain.skipped) == MAX_SKIPPED_KEYS
    with pytest.raises(DuplicateMessage):
        bob_reads(pair, messages[9])
    assert bob_reads(pair, messages[10]) == b"to bob"


def test_keys_of_missing_messages_are_bounded_however_many_sessions_there_are(
    pair: Pair, take_bundle: TakeBundle
) -> None:
    """The archived ones keep 2,000 together, the newest: all are saved with every delivery, whoever it is from."""
    early, late = list[Ciphertext](), list[Ciphertext]()
    for _ in range(MAX_ARCHIVED_SESSIONS):
        pair.alice.process_bundle(BOB, take_bundle(pair.bob))
        early.append(to_bob(pair))
        lose(pair, MAX_SKIPPED_KEYS - 2)
        late.append(to_bob(pair))
        assert bob_reads(pair, to_bob(pair)) == b"to bob"
    record = pair.bob.records[ALICE]
    skipped = [len(chain.skipped) for each in record.sessions for chain in each.ratchet.receiving_chains]
    print(
        f"{sum(skipped)} keys of missing messages in {len(record.sessions)} sessions, {len(pair.bob.to_bytes())} bytes"
    )
    assert sum(skipped) == 2 * MAX_SKIPPED_KEYS
    assert bob_reads(pair, early[-1]) == bob_reads(pair, late[-2]) == b"to bob"
    with pytest.raises(DuplicateMessage):
        bob_reads(pair, early[0])


def test_without_a_session_nothing_is_encrypted_or_decrypted(pair: Pair) -> None:
    """Neither for a stranger, nor after the session was deleted, nor before the initiator has spoken."""
    message = to_bob(pair)
    pair.bob.delete_session(ALICE)
    pair.bob.delete_session("stranger")
    assert not pair.bob.has_session(ALICE)
    for remote in (ALICE, "stranger"):
        with pytest.raises(NoSession):
            pair.bob.encrypt(remote, b"")
        with pytest.raises(NoSession):
            pair.bob.decrypt(remote, message.type, message.body)
    with pytest.raises(NoSession):
        DoubleRatchet.respond(bytes(32), pair.bob.identity).send()
    assert pair.bob.trusted_identity(ALICE) == pair.alice.identity.public_key


def test_both_sides_begin_at_the_same_time_and_come_to_agree(take_bundle: TakeBundle) -> None:
    """First messages that cross open two sessions; all messages are read, and both sides end with the same one."""
    pair = Pair(SignalState.generate(), SignalState.generate())
    pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    pair.bob.process_bundle(ALICE, take_bundle(pair.alice))
    crossing = to_bob(pair, b"a"), pair.bob.encrypt(ALICE, b"b")
    assert bob_reads(pair, crossing[0]) == b"a"
    assert alice_reads(pair, crossing[1]) == b"b"
    assert bob_reads(pair, to_bob(pair, b"a2")) == b"a2"
    assert alice_reads(pair, pair.bob.encrypt(ALICE, b"b2")) == b"b2"
    current = [pair.alice.records[BOB].current, pair.bob.records[ALICE].current]
    assert current[0].base_key == current[1].base_key
    take_turns(pair, 3)
    assert to_bob(pair).type is CiphertextType.DOUBLE_RATCHET


def test_a_new_session_archives_the_one_before_which_still_decrypts(pair: Pair, take_bundle: TakeBundle) -> None:
    """One side began again while a message of the old session was on its way."""
    under_way = pair.bob.encrypt(ALICE, b"old session")
    pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    anew = to_bob(pair, b"new session")
    assert anew.type is CiphertextType.PREKEY
    assert bob_reads(pair, anew) == b"new session"
    assert alice_reads(pair, under_way) == b"old session"
    assert len(pair.alice.records[BOB].sessions) == 2
    take_turns(pair, 2)


def test_archived_sessions_are_bounded(pair: Pair, take_bundle: TakeBundle) -> None:
    """The oldest is forgotten; a message of it fits none."""
    under_way = pair.bob.encrypt(ALICE, b"old session")
    for _ in range(MAX_ARCHIVED_SESSIONS + 1):
        pair.alice.process_bundle(BOB, take_bundle(pair.bob))
    assert len(pair.alice.records[BOB].sessions) == MAX_ARCHIVED_SESSIONS + 1
    with pytest.raises(InvalidSession):
        alice_reads(pair, under_way)


def test_a_side_that_lost_its_state_can_begin_again_with_the_same_identity(pair: Pair, take_bundle: TakeBundle) -> None:
    """Its old session fits nothing any more; its prekey message replaces it."""
    lost = SignalState.from_bytes(pair.alice.to_bytes())
    lost.delete_session(BOB)
    lost.process_bundle(BOB, take_bundle(pair.bob))
    fresh = Pair(lost, pair.bob)
    assert bob_reads(fresh, to_bob(fresh, b"again")) == b"again"
    take_turns(fresh, 2)


def test_a_saved_state_is_the_same_state(pair: Pair) -> None:
    """Saved and restored between any two calls, with messages missing and a session pending."""
    for turn in range(6):
        pair = Pair(SignalState.from_bytes(pair.alice.to_bytes()), SignalState.from_bytes(pair.bob.to_bytes()))
        skipped, message = to_bob(pair), to_bob(pair, b"%d" % turn)
        saved = pair.bob.to_bytes()
        pair = Pair(SignalState.from_bytes(pair.alice.to_bytes()), SignalState.from_bytes(saved))
        assert pair.bob.to_bytes() == saved
        assert bob_reads(pair, message) == b"%d" % turn
        pair = Pair(pair.alice, SignalState.from_bytes(pair.bob.to_bytes()))
        assert bob_reads(pair, skipped) == b"to bob"
        alice_reads(pair, pair.bob.encrypt(ALICE, b"turn"))


def test_a_changed_identity_is_refused_until_it_is_accepted(pair: Pair, take_bundle: TakeBundle) -> None:
    """In a fetched bundle as in a prekey message; accepting it forgets the sessions bound to the old one (KEY-17)."""
    reinstalled = SignalState.generate()
    with pytest.raises(UntrustedIdentity) as refusal:
        pair.bob.process_bundle(ALICE, take_bundle(reinstalled))
    assert refusal.value.remote == ALICE
    assert refusal.value.known == pair.alice.identity.public_key
    assert refusal.value.presented == reinstalled.identity.public_key
    reinstalled.process_bundle(BOB, take_bundle(pair.bob))
    message = reinstalled.encrypt(BOB, b"new phone")
    before = pair.bob.to_bytes()
    with pytest.raises(UntrustedIdentity):
        pair.bob.decrypt(ALICE, message.type, message.body)
    assert pair.bob.to_bytes() == before

    pair.bob.accept_identity(ALICE, refusal.value.presented)
    assert not pair.bob.has_session(ALICE)
    assert pair.bob.decrypt(ALICE, message.type, message.body) == b"new phone"
    pair.bob.accept_identity(ALICE, refusal.value.presented)
    assert pair.bob.has_session(ALICE)


@pytest.mark.parametrize("key", [b"", b"x", bytes(31), bytes(33), "x" * 32])
def test_what_is_no_identity_key_is_not_accepted(pair: Pair, key: Any) -> None:
    """The state would be saved with it and never be read again, with all keys in it: nothing changes."""
    before = pair.bob.to_bytes()
    with pytest.raises(ValueError, match="32 bytes"):
        pair.bob.accept_identity(ALICE, key)
    assert pair.bob.to_bytes() == before


@pytest.mark.parametrize("remote", [7, None, ("12", "interop"), b"12@interop"])
def test_what_is_no_name_of_a_party_is_not_accepted(pair: Pair, remote: Any) -> None:
    """It would be saved as another name, or not at all."""
    before = pair.bob.to_bytes()
    for key in (bytes(32), None):
        with pytest.raises(ValueError, match="name of a party"):
            pair.bob.accept_identity(remote, key)
    assert pair.bob.to_bytes() == before


def test_no_session_begins_with_what_is_no_name_of_a_party(pair: Pair, take_bundle: TakeBundle) -> None:
    """Such as bytes, which a request to the server takes for a text: the state could never be saved again."""
    bundle, before = take_bundle(SignalState.generate()), pair.bob.to_bytes()
    remote: Any = b"12-34@interop"
    with pytest.raises(ValueError, match="name of a party"):
        pair.bob.process_bundle(remote, bundle)
    assert pair.bob.to_bytes() == before


@pytest.mark.parametrize("registration_id", [-1, 0, 1 << 32])
def test_a_state_begins_with_a_registration_id_in_range(registration_id: int) -> None:
    """A negative one would be saved and never be read again; the others fit nowhere else."""
    with pytest.raises(ValueError, match="is not 1 to"):
        SignalState.generate(registration_id)


def test_accepting_whatever_identity_comes_next_pins_that_one(pair: Pair, take_bundle: TakeBundle) -> None:
    """The same for a person who accepts before the new key was seen."""
    pair.bob.accept_identity(ALICE)
    assert pair.bob.trusted_identity(ALICE) is None
    reinstalled = SignalState.generate()
    pair.bob.process_bundle(ALICE, take_bundle(reinstalled))
    assert pair.bob.trusted_identity(ALICE) == reinstalled.identity.public_key
    with pytest.raises(UntrustedIdentity):
        pair.bob.process_bundle(ALICE, take_bundle(pair.alice))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"signed_prekey_signature": bytes(64)}, InvalidSignature),
        ({"signed_prekey_signature": b""}, InvalidSignature),
        ({"signed_prekey": bytes(31) + b"\x09"}, InvalidSignature),
        ({"signed_prekey": bytes(31)}, InvalidKey),
        ({"identity_key": bytes(33)}, InvalidKey),
        ({"one_time_prekey": bytes(32)}, InvalidKey),
        ({"one_time_prekey": b""}, InvalidKey),
        *(
            ({field: key}, InvalidKey)
            for field in ("identity_key", "signed_prekey", "one_time_prekey")
            for key in (*LOW_ORDER, *NOT_CANONICAL)
        ),
        ({"one_time_prekey": None}, InvalidKey),
        ({"one_time_prekey_id": None}, InvalidKey),
    ],
)
def test_a_broken_bundle_is_refused_and_changes_nothing(
    take_bundle: TakeBundle, change: dict[str, bytes | None], error: type[Exception]
) -> None:
    """The server could have put its own keys there (threat T5)."""
    alice = SignalState.generate()
    before = alice.to_bytes()
    with pytest.raises(error):
        alice.process_bundle(BOB, replace(take_bundle(SignalState.generate()), **change))  # type: ignore[arg-type]
    assert alice.to_bytes() == before


def test_a_rotated_signed_prekey_serves_until_a_bound(take_bundle: TakeBundle) -> None:
    """First messages made with an older bundle are read while its signed prekey is kept (KEY-11)."""
    bob = SignalState.generate()
    senders = [SignalState.generate(), SignalState.generate()]
    for sender in senders:
        sender.process_bundle(BOB, take_bundle(bob))
    for expected_id in range(2, MAX_SIGNED_PREKEYS + 1):
        assert bob.rotate_signed_prekey().key_id == expected_id
    assert bob.publishable.signed_prekey.key_id == MAX_SIGNED_PREKEYS
    message = senders[0].encrypt(BOB, b"in time")
    assert bob.decrypt("in time", message.type, message.body) == b"in time"
    bob.rotate_signed_prekey()
    message = senders[1].encrypt(BOB, b"too late")
    with pytest.raises(InvalidKeyId, match="signed prekey 1"):
        bob.decrypt("too late", message.type, message.body)


def test_prekey_ids_begin_again_after_the_last_and_pass_over_those_in_use() -> None:
    """Ids have three bytes (KEY-02)."""
    state = SignalState.generate()
    assert [prekey.key_id for prekey in state.generate_one_time_prekeys(2)] == [1, 2]
    state.next_one_time_prekey_id = MAX_PREKEY_ID
    made = state.generate_one_time_prekeys(2)
    assert [prekey.key_id for prekey in made] == [MAX_PREKEY_ID, 3]
    assert {prekey.key_id for prekey in state.unused_one_time_prekeys()} == {1, 2, 3, MAX_PREKEY_ID}
    assert made[0] in state.unused_one_time_prekeys()
    for count in (0, MAX_ONE_TIME_PREKEYS + 1):
        with pytest.raises(ValueError, match="prekeys"):
            state.generate_one_time_prekeys(count)


def test_what_is_published_holds_no_type_bytes() -> None:
    """The interop server's wire has raw keys; registration ids use all 32 bits, but not zero (KEY-02)."""
    assert SignalState.generate(7).publishable.registration_id == 7
    published = SignalState.generate(entropy=lambda count: b"\xff" * count).publishable
    assert published.registration_id == 1 + 0xFFFFFFFF % 0xFFFFFFFF
    assert len(published.identity_key) == len(published.signed_prekey.public_key) == 32
    assert len(published.signed_prekey.signature) == 64
    assert published.signed_prekey.key_id == 1
