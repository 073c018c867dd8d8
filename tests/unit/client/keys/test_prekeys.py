"""An account's own prekeys: made anew when the server refuses them, refilled and repaired with patience."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from interop_api.v1 import prekeys_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ConnectionEnded, Recovery, ServerRefusal
from interop_client.keys import prekeys
from interop_client.keys.prekeys import OwnPreKeys
from interop_client.messaging.events import PqDowngrade
from interop_client.signal import MissingKemPreKey, SignalState, UntrustedIdentity
from interop_client.state import ClientState, DurableState, MemoryStore
from interop_protocol.digest import key_digest
from tests.unit.client.conftest import ScriptedTransport

SERVICE = "/interop_api.v1.PreKeyService/"
BAD_KEYS = ServerRefusal("KEY_MALFORMED", recovery=Recovery.NEW_KEYS)
FAULT = ServerRefusal("SERVER_FAULT", recovery=Recovery.SAME_AGAIN)
BANNED = ServerRefusal("BANNED", code=406, recovery=Recovery.NEVER)
PEER = "491511234567@s.whatsapp.net"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prekeys, "RETRY_SECONDS", (0.0, 0.0))


@pytest.fixture
def state() -> ClientState:
    return ClientState.generate("100-1@interop")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def own(transport: ScriptedTransport, state: ClientState, store: MemoryStore) -> OwnPreKeys:
    return OwnPreKeys(transport, state, DurableState(state, store))


def answers(*outcomes: Message | Exception) -> Callable[[Message], Message]:
    """Answers one call after the other; the last outcome holds for all further ones."""
    left = list(outcomes)

    def answer(_: Message) -> Message:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


def called(transport: ScriptedTransport, method: str) -> list[Any]:
    return [request for name, request in transport.calls if name == SERVICE + method]


SET = prekeys_pb2.SetPreKeysResponse()


@pytest.mark.requirement("KEY-13")
async def test_keys_that_the_server_calls_bad_are_made_anew(
    own: OwnPreKeys, transport: ScriptedTransport, store: MemoryStore
) -> None:
    """When told to, the signed prekey and the one-time prekeys are other ones, saved before they leave (KEY-13)."""
    transport.answers[SERVICE + "SetPreKeys"] = answers(BAD_KEYS, SET)
    await own.publish(3)
    refused, taken = called(transport, "SetPreKeys")
    assert taken.identity_key == refused.identity_key
    assert taken.signed_prekey.public_key != refused.signed_prekey.public_key
    ids = {prekey.key_id for prekey in taken.one_time_prekeys}
    assert len(ids) == 3
    assert ids.isdisjoint(prekey.key_id for prekey in refused.one_time_prekeys)
    saved = ClientState.from_bytes(store.snapshot).signal
    assert ids <= set(saved.one_time_prekeys)
    assert saved.publishable.signed_prekey.public_key == taken.signed_prekey.public_key


@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [
        (BAD_KEYS, 2),
        (ServerRefusal("IDENTITY_KEY_MISMATCH", recovery=Recovery.ENLIST), 1),
        (BANNED, 1),
        (ServerRefusal("UNAVAILABLE"), 1),
    ],
)
async def test_what_new_keys_cannot_help_is_told(
    own: OwnPreKeys, transport: ScriptedTransport, refusal: ServerRefusal, attempts: int
) -> None:
    """Keys are made anew once, and only when they are what is wrong (KEY-13)."""
    transport.answers[SERVICE + "SetPreKeys"] = answers(refusal)
    with pytest.raises(ServerRefusal) as caught:
        await own.publish(3)
    assert caught.value is refusal
    assert len(called(transport, "SetPreKeys")) == attempts


async def test_prekeys_that_the_server_knows_already_are_replaced_with_all_others(
    own: OwnPreKeys, transport: ScriptedTransport
) -> None:
    """A state that is older than what the server holds has lost private halves: everything is published anew."""
    transport.answers[SERVICE + "AddOneTimePreKeys"] = answers(
        ServerRefusal("PREKEY_REUSED", recovery=Recovery.NEW_KEYS)
    )
    await own.add(4)
    [added] = called(transport, "AddOneTimePreKeys")
    [published] = called(transport, "SetPreKeys")
    assert len(published.one_time_prekeys) == 4
    assert {key.key_id for key in published.one_time_prekeys}.isdisjoint(key.key_id for key in added.one_time_prekeys)


async def test_prekeys_that_cannot_be_added_for_another_reason_are_not_replaced(
    own: OwnPreKeys, transport: ScriptedTransport
) -> None:
    transport.answers[SERVICE + "AddOneTimePreKeys"] = answers(
        ServerRefusal("PREKEYS_NOT_SET", recovery=Recovery.NEVER)
    )
    with pytest.raises(ServerRefusal, match="PREKEYS_NOT_SET"):
        await own.add(4)
    assert not called(transport, "SetPreKeys")


@pytest.mark.requirement("KEY-13")
async def test_upkeep_waits_for_trouble_to_pass(own: OwnPreKeys, transport: ScriptedTransport) -> None:
    """After a fault of the server it tries again, and ends with the trouble if that does not end (KEY-13)."""
    none_left = prekeys_pb2.CountOneTimePreKeysResponse(count=0)
    transport.answers[SERVICE + "CountOneTimePreKeys"] = answers(FAULT, FAULT, none_left)
    await own.publish(1)
    await own.refill(5)
    assert len(called(transport, "CountOneTimePreKeys")) == 3
    [added] = called(transport, "AddOneTimePreKeys")
    assert len(added.one_time_prekeys) == 5

    transport.answers[SERVICE + "CountOneTimePreKeys"] = answers(FAULT)
    with pytest.raises(ServerRefusal) as caught:
        await own.refill(5)
    assert caught.value is FAULT
    assert len(called(transport, "CountOneTimePreKeys")) == 6


async def test_upkeep_does_not_insist_on_what_was_refused(own: OwnPreKeys, transport: ScriptedTransport) -> None:
    """Trouble of another kind does not pass by waiting."""
    await own.publish(1)
    transport.answers[SERVICE + "CountOneTimePreKeys"] = answers(
        ServerRefusal("SESSION_DEAD", recovery=Recovery.RECONNECT)
    )
    with pytest.raises(ServerRefusal, match="SESSION_DEAD"):
        await own.refill(5)
    assert len(called(transport, "CountOneTimePreKeys")) == 1


@pytest.mark.parametrize("is_added", [False, True])
@pytest.mark.parametrize("count", [-1, -20_000, 20_001, 1.5, "5"])
async def test_a_count_out_of_range_is_refused_before_anything_is_made(
    own: OwnPreKeys, transport: ScriptedTransport, state: ClientState, store: MemoryStore, count: int, is_added: bool
) -> None:
    """Also where prekeys wait to be offered once more, of which a negative count would take the first few."""
    state.signal.offer_one_time_prekeys(3)
    before = state.to_bytes()
    with pytest.raises(ValueError, match=f"{count} is not . to 20000 prekeys"):
        await (own.add(count) if is_added else own.publish(count))
    assert (transport.calls, store.snapshot, state.to_bytes()) == ([], b"", before)


async def test_none_are_added_but_none_may_be_published(own: OwnPreKeys, transport: ScriptedTransport) -> None:
    """Identity and signed prekey do without one-time prekeys; to add none would change nothing."""
    with pytest.raises(ValueError, match="0 is not 1 to"):
        await own.add(0)
    await own.publish(0)
    [published] = called(transport, "SetPreKeys")
    assert not published.one_time_prekeys


def held(signal: SignalState, **changes: Any) -> prekeys_pb2.GetKeyDigestResponse:
    """What the server answers when it holds all keys of a state, but for the changes."""
    keys, one_time = signal.publishable, signal.unused_one_time_prekeys()
    signed = keys.signed_prekey
    fields: dict[str, Any] = {
        "registration_id": keys.registration_id,
        "identity_key": keys.identity_key,
        "signed_prekey_id": signed.key_id,
        "one_time_prekey_ids": [prekey.key_id for prekey in one_time],
        "digest": key_digest(keys.identity_key, signed.public_key, signed.signature, one_time),
    }
    return prekeys_pb2.GetKeyDigestResponse(**(fields | changes))


@pytest.mark.requirement("KEY-10")
@pytest.mark.parametrize(
    ("changes", "are_intact"),
    [
        ({}, True),
        ({"registration_id": 1}, False),
        ({"signed_prekey_id": 99}, False),
        ({"digest": bytes(20)}, False),
        ({"one_time_prekey_ids": [1]}, False),
    ],
)
async def test_keys_are_compared_by_their_digest(
    own: OwnPreKeys, transport: ScriptedTransport, state: ClientState, changes: dict[str, Any], are_intact: bool
) -> None:
    """Whatever differs, all keys are published anew, once (KEY-10)."""
    await own.publish(3)
    transport.answers[SERVICE + "GetKeyDigest"] = answers(held(state.signal, **changes))
    assert await own.repair(3) is are_intact
    assert len(called(transport, "SetPreKeys")) == (1 if are_intact else 2)


async def test_keys_that_the_server_does_not_have_are_published(own: OwnPreKeys, transport: ScriptedTransport) -> None:
    """Nothing to compare with is a difference too (KEY-10)."""
    transport.answers[SERVICE + "GetKeyDigest"] = answers(ServerRefusal("PREKEYS_NOT_SET", recovery=Recovery.NEVER))
    assert not await own.repair(3)
    assert len(called(transport, "SetPreKeys")) == 1
    transport.answers[SERVICE + "GetKeyDigest"] = answers(ServerRefusal("SESSION_DEAD", recovery=Recovery.RECONNECT))
    with pytest.raises(ServerRefusal, match="SESSION_DEAD"):
        await own.repair(3)


def bundle_of(signal: SignalState) -> prekeys_pb2.TakePreKeyBundlesResponse:
    keys = signal.publishable
    bundle = prekeys_pb2.PreKeyBundle(
        registration_id=keys.registration_id,
        identity_key=keys.identity_key,
        signed_prekey=prekeys_pb2.SignedPreKey(
            key_id=keys.signed_prekey.key_id,
            public_key=keys.signed_prekey.public_key,
            signature=keys.signed_prekey.signature,
        ),
    )
    result = prekeys_pb2.PreKeyBundleResult(jid=PEER, bundles=[bundle])
    return prekeys_pb2.TakePreKeyBundlesResponse(results=[result])


@pytest.mark.requirement("KEY-14")
async def test_a_bundle_that_waits_for_the_persons_decision_is_not_taken_again(
    transport: ScriptedTransport, state: ClientState
) -> None:
    """A peer has a new identity: however often a message is tried, it costs them one prekey (KEY-14)."""
    state.signal.accept_identity(PEER, bytes(32))
    transport.answers[SERVICE + "TakePreKeyBundles"] = answers(bundle_of(SignalState.generate()))
    client = InteropClient(transport, state)
    for _ in range(3):
        with pytest.raises(UntrustedIdentity):
            await client.send_text(PEER, "Hi")
    await client.accept_identity(PEER)
    with pytest.raises(ConnectionEnded):  # no more than the connection is missing now
        await client.send_text(PEER, "Hi")
    assert state.signal.has_session(PEER)
    assert len(called(transport, "TakePreKeyBundles")) == 1


@pytest.fixture
def own_kem(transport: ScriptedTransport, state: ClientState, store: MemoryStore) -> OwnPreKeys:
    return OwnPreKeys(transport, state, DurableState(state, store), kem_count=4)


@pytest.mark.requirement("KEY-15")
async def test_kem_prekeys_are_published_when_asked_for(
    own: OwnPreKeys, own_kem: OwnPreKeys, transport: ScriptedTransport, store: MemoryStore
) -> None:
    """With a last-resort one, saved before they leave; without being asked for there are none (KEY-15)."""
    await own.publish(1)
    await own_kem.publish(1)
    without, published = called(transport, "SetPreKeys")
    assert not without.HasField("kem_prekeys")
    saved = ClientState.from_bytes(store.snapshot).signal.kem
    assert [prekey.key_id for prekey in published.kem_prekeys.one_time] == list(saved.one_time)
    assert len(saved.one_time) == 4
    assert saved.last_resort is not None
    assert published.kem_prekeys.last_resort.key_id == saved.last_resort[0]


@pytest.mark.requirement("KEY-13", "KEY-15")
async def test_refused_kem_prekeys_are_made_anew(own_kem: OwnPreKeys, transport: ScriptedTransport) -> None:
    """A last resort that was withdrawn once is never taken again: another one is made (KEY-13)."""
    transport.answers[SERVICE + "SetPreKeys"] = answers(ServerRefusal("PREKEY_REUSED", recovery=Recovery.NEW_KEYS), SET)
    await own_kem.publish(1)
    refused, taken = called(transport, "SetPreKeys")
    assert refused.kem_prekeys.last_resort.public_key != taken.kem_prekeys.last_resort.public_key


@pytest.mark.requirement("KEY-15")
@pytest.mark.parametrize(
    ("left", "kem_left", "added"),
    [(0, 0, ["AddOneTimePreKeys", "AddKemPreKeys"]), (50, 0, ["AddKemPreKeys"]), (0, 50, ["AddOneTimePreKeys"])],
)
async def test_each_kind_is_refilled_when_few_are_left(
    own_kem: OwnPreKeys, transport: ScriptedTransport, left: int, kem_left: int, added: list[str]
) -> None:
    """The last resort stays as it is (KEY-15)."""
    await own_kem.publish(1)
    counts = prekeys_pb2.CountOneTimePreKeysResponse(count=left, kem_count=kem_left)
    transport.answers[SERVICE + "CountOneTimePreKeys"] = answers(counts)
    before = len(transport.calls)
    await own_kem.refill(3)
    methods = [name.removeprefix(SERVICE) for name, _ in transport.calls[before:]]
    assert methods == ["CountOneTimePreKeys", *added]
    for request in called(transport, "AddKemPreKeys"):
        assert len(request.kem_prekeys.one_time) == 4
        assert not request.kem_prekeys.HasField("last_resort")


async def test_kem_prekeys_are_not_published_behind_the_application(
    own: OwnPreKeys, own_kem: OwnPreKeys, transport: ScriptedTransport
) -> None:
    """Whoever has published none is not short of them (KEY-15)."""
    await own.publish(1)
    await own_kem.refill(3)
    assert not called(transport, "AddKemPreKeys")


@pytest.mark.requirement("KEY-10", "KEY-15")
async def test_kem_prekeys_are_compared_too(
    own: OwnPreKeys, own_kem: OwnPreKeys, transport: ScriptedTransport, state: ClientState
) -> None:
    """By their ids: one that is unknown here, or another last resort, or none at all is a difference (KEY-10)."""
    await own_kem.publish(1)
    assert state.signal.kem.last_resort is not None
    last_resort = state.signal.kem.last_resort[0]
    for changes, are_intact in (
        ({"kem_last_resort_id": last_resort, "kem_prekey_ids": [1, 2]}, True),
        ({"kem_last_resort_id": last_resort, "kem_prekey_ids": []}, True),
        ({"kem_last_resort_id": last_resort, "kem_prekey_ids": [99]}, False),
        ({"kem_last_resort_id": 99, "kem_prekey_ids": [1, 2]}, False),
        ({}, False),
    ):
        transport.answers[SERVICE + "GetKeyDigest"] = answers(held(state.signal, **changes))  # type: ignore[arg-type]
        assert await own_kem.are_intact() is are_intact, changes
    assert await own.are_intact()


@pytest.mark.requirement("KEY-16")
async def test_a_downgrade_is_told_and_refused_if_wanted(transport: ScriptedTransport, state: ClientState) -> None:
    """By default the client goes on and tells; otherwise the person decides, and the bundle is not taken twice."""
    state.signal.kem.seen.add(PEER)
    transport.answers[SERVICE + "TakePreKeyBundles"] = answers(bundle_of(SignalState.generate()))
    strict = InteropClient(transport, state, options=ClientOptions(refuses_pq_downgrade=True))
    for _ in range(2):
        with pytest.raises(MissingKemPreKey):
            await strict.send_text(PEER, "Hi")
        assert await strict.wait_for(PqDowngrade) == PqDowngrade(PEER)
    assert not state.signal.has_session(PEER)
    assert len(called(transport, "TakePreKeyBundles")) == 1
    await strict.accept_pq_downgrade(PEER)
    assert state.signal.has_session(PEER)
    assert not state.signal.kem.seen

    state.signal.delete_session(PEER)
    state.signal.accept_identity(PEER)
    state.signal.kem.seen.add(PEER)
    lenient = InteropClient(transport, state)
    with pytest.raises(ConnectionEnded):
        await lenient.send_text(PEER, "Hi")
    assert await lenient.wait_for(PqDowngrade) == PqDowngrade(PEER)
    assert state.signal.has_session(PEER)
    await lenient.accept_pq_downgrade(PEER)
