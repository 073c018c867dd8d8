"""A client's keys move on when the server has confirmed, stay openable until then, and are bounded in number."""

import json
from typing import Any

import pytest
from google.protobuf.message import Message

from interop_api.v1 import prekeys_pb2
from interop_client.errors import Recovery, ServerRefusal
from interop_client.keys.prekeys import OwnPreKeys
from interop_client.signal import PreKeyBundle, SignalState
from interop_client.signal.keys import PreKeyPublic, SignedPreKeyPublic
from interop_client.signal.store import MAX_RETIRED_PREKEYS, MAX_SIGNED_PREKEYS
from interop_client.state import ClientState, DurableState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport

SERVICE = "/interop_api.v1.PreKeyService/"
LOST = ServerRefusal("UNAVAILABLE")
BAD_KEYS = ServerRefusal("KEY_MALFORMED", recovery=Recovery.NEW_KEYS)
FAULT = ServerRefusal("SERVER_FAULT", recovery=Recovery.SAME_AGAIN)
BOB = "100-1@interop"


class Account:
    """Bob's keys, saved, and restored after each crash."""

    def __init__(self, transport: ScriptedTransport) -> None:
        self.transport = transport
        self.store = MemoryStore()
        self.state = ClientState.generate(BOB)
        self.restart(self.state.to_bytes())

    def restart(self, saved: bytes = b"") -> None:
        self.state = ClientState.from_bytes(saved or self.store.snapshot)
        self.own = OwnPreKeys(self.transport, self.state, DurableState(self.state, self.store))

    def answer(self, method: str, outcome: Exception | None) -> None:
        def answer(_: Message) -> Message:
            if outcome is not None:
                raise outcome
            return getattr(prekeys_pb2, f"{method}Response")()  # type: ignore[no-any-return]

        self.transport.answers[SERVICE + method] = answer

    def sent(self, method: str) -> list[Any]:
        return [request for name, request in self.transport.calls if name == SERVICE + method]

    def opens(self, signed: SignedPreKeyPublic | Any, one_time: PreKeyPublic | Any | None = None) -> bool:
        """Says whether a first message is opened that uses these prekeys, by a client that has just restarted."""
        signal, alice = SignalState.from_bytes(self.state.signal.to_bytes()), SignalState.generate()
        keys = signal.publishable
        bundle = PreKeyBundle(
            *(keys.registration_id, 0, keys.identity_key, signed.key_id, signed.public_key, signed.signature),
            one_time and one_time.key_id,
            one_time and one_time.public_key,
        )
        alice.process_bundle(BOB, bundle)
        message = alice.encrypt(BOB, b"Hi")
        return signal.decrypt("alice", message.type, message.body) == b"Hi"


@pytest.fixture
def bob(transport: ScriptedTransport) -> Account:
    return Account(transport)


@pytest.mark.requirement("KEY-11")
@pytest.mark.parametrize("failure", [LOST, BAD_KEYS, FAULT, ServerRefusal("PREKEYS_NOT_SET", recovery=Recovery.NEVER)])
async def test_failed_rotations_forget_no_key_that_the_server_gives_out(bob: Account, failure: ServerRefusal) -> None:
    """Neither the one from before, nor the last one offered: which of them it gives out is not known (KEY-11)."""
    before = bob.state.signal.publishable.signed_prekey
    bob.answer("RotateSignedPreKey", failure)
    for _ in range(3 * MAX_SIGNED_PREKEYS):
        with pytest.raises(ServerRefusal):
            await bob.own.rotate_signed_prekey()
        bob.restart()
    assert bob.state.signal.publishable.signed_prekey == before
    assert bob.opens(before)
    offered = {request.signed_prekey.public_key for request in bob.sent("RotateSignedPreKey")}
    if failure.recovery is not Recovery.NEW_KEYS:
        assert len(offered) == 1, "each attempt offered another key"
        assert bob.opens(bob.sent("RotateSignedPreKey")[-1].signed_prekey)
    assert len(bob.state.signal.to_bytes()) < 3_000

    bob.answer("RotateSignedPreKey", None)
    await bob.own.rotate_signed_prekey()
    bob.restart()
    now = bob.state.signal.publishable.signed_prekey
    assert now.public_key == bob.sent("RotateSignedPreKey")[-1].signed_prekey.public_key != before.public_key
    assert bob.opens(now) and bob.opens(before)


@pytest.mark.requirement("KEY-13")
async def test_refused_keys_forget_no_key_that_the_server_gives_out(bob: Account) -> None:
    """However often the server calls new ones bad."""
    before = bob.state.signal.publishable.signed_prekey
    bob.answer("SetPreKeys", BAD_KEYS)
    for _ in range(3 * MAX_SIGNED_PREKEYS):
        with pytest.raises(ServerRefusal):
            await bob.own.publish(2)
        bob.restart()
    assert bob.opens(before)
    assert len(bob.state.signal.signed_prekeys) <= MAX_SIGNED_PREKEYS
    assert len(bob.state.signal.one_time_prekeys) <= MAX_RETIRED_PREKEYS + 2


@pytest.mark.requirement("KEY-03")
async def test_prekeys_of_a_lost_answer_are_offered_again(bob: Account) -> None:
    """The server may have them: they stay openable, are not made anew each time, and count as published once it has."""
    for method, publish in (("SetPreKeys", bob.own.publish), ("AddOneTimePreKeys", bob.own.add)):
        bob.answer(method, LOST)
        for _ in range(3):
            with pytest.raises(ServerRefusal):
                await publish(5)
        bob.answer(method, None)
        await publish(7)
        offers = [[key.key_id for key in request.one_time_prekeys] for request in bob.sent(method)]
        assert offers[0] == offers[1] == offers[2] == offers[3][:5]
        assert len(set(offers[3])) == 7
        signed = bob.state.signal.publishable.signed_prekey
        assert all(bob.opens(signed, key) for key in bob.sent(method)[-1].one_time_prekeys)
    assert len(bob.state.signal.one_time_prekeys) == 14
    assert bob.state.signal.offered_one_time_prekeys == []


@pytest.mark.requirement("KEY-03")
async def test_publishing_often_leaves_few_private_keys(bob: Account) -> None:
    """300 times 100: those published, and a bounded number of those before; the state stays small."""
    await bob.own.publish(100)
    first = bob.sent("SetPreKeys")[-1].one_time_prekeys
    after_one = len(bob.state.to_bytes())
    sizes = []
    for _ in range(299):
        await bob.own.publish(100)
        sizes.append(len(bob.store.snapshot))
    signal = bob.state.signal
    print(f"bytes of the state: {after_one} after 1 publication, {max(sizes)} at most in 299 more")
    assert len(signal.one_time_prekeys) == 100 + MAX_RETIRED_PREKEYS
    assert max(sizes) < 4 * after_one
    published = bob.sent("SetPreKeys")
    assert all(bob.opens(signal.publishable.signed_prekey, key) for key in published[-1].one_time_prekeys[::20])
    assert all(bob.opens(signal.publishable.signed_prekey, key) for key in published[-2].one_time_prekeys[::20])
    assert first[0].key_id not in signal.one_time_prekeys


@pytest.mark.requirement("KEY-15")
async def test_published_kem_prekeys_replace_those_before(transport: ScriptedTransport) -> None:
    """No session uses them, so none is kept that the server does not have."""
    state = ClientState.generate(BOB)
    own = OwnPreKeys(transport, state, DurableState(state, None), kem_count=3)
    for _ in range(5):
        await own.publish(1)
    assert len(state.signal.kem.one_time) == 3


@pytest.mark.requirement("RCP-04")
async def test_prekeys_for_single_senders_do_not_retire(bob: Account) -> None:
    """They came with a request to send again, and serve until it has been answered."""
    [private] = bob.state.signal.generate_one_time_prekeys(1)
    bob.state.deliveries.ask_again(("alice", "m1"), 1).prekey_ids.append(private.key_id)
    for _ in range(5):
        await bob.own.publish(100)
    assert private.key_id in bob.state.signal.one_time_prekeys
    assert private.key_id not in bob.state.signal.retired_one_time_prekeys


def test_a_state_of_the_first_release_is_read() -> None:
    """Its current signed prekey is taken for the one that the server gives out."""
    signal = SignalState.generate()
    signal.rotate_signed_prekey()
    document = json.loads(signal.to_bytes())
    for name in list(document):
        if name.startswith(("offered", "retired", "confirmed")):
            del document[name]
    restored = SignalState.from_bytes(json.dumps(document).encode())
    assert restored.to_bytes() == signal.to_bytes()
    assert restored.confirmed_signed_prekey_id == 2


@pytest.mark.requirement("KEY-03")
async def test_what_was_used_takes_no_place_among_the_private_keys_that_are_kept(bob: Account) -> None:
    """Of prekeys that are published no more, those that no message has used: as many as have a place."""
    signal = bob.state.signal
    await bob.own.publish(MAX_RETIRED_PREKEYS)
    used = list(signal.one_time_prekeys)[MAX_RETIRED_PREKEYS // 2 :]  # the newest: the oldest go first anyway
    await bob.own.publish(10)
    signal.delete_one_time_prekeys(used)
    for count in (20, 30):
        await bob.own.publish(count)
    assert len(signal.one_time_prekeys) == MAX_RETIRED_PREKEYS - len(used) + 10 + 20 + 30
