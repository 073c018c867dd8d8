"""What cannot be decrypted is asked for again, and what is asked for is sent again: by itself, within bounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop_api.v1 import errors_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ConnectionEnded
from interop_client.memory import MAX_ASKED
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import (
    IdentityChanged,
    MediaRetryRequested,
    MessageAwaited,
    MessageResent,
    RetryRequested,
    RetryUnanswered,
    TextReceived,
    Typing,
    Undecryptable,
)
from interop_client.messaging.outgoing import MAX_SENT
from interop_client.messaging.retries import ask_again, bundle_of
from interop_client.signal.store import SignalState
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport, Stanza
from tests.unit.client.messaging.conftest import (
    ALICE,
    BOB,
    TAKE_BUNDLES,
    Alice,
    CheckingStore,
    Peer,
    error,
    retry,
    say,
)

pytestmark = pytest.mark.requirement("RCP-03")

STALE: dict[str, Any] = {
    "error": error("DEVICE_LIST_MISMATCH"),
    "device_list_mismatch": stanza_pb2.DeviceListMismatch(phash="2:x", stale=[stanza_pb2.DeviceAddress(jid=ALICE)]),
}
"""How the server refuses a message for a device that its recipient has replaced."""


@pytest.fixture
async def bob(transport: ScriptedTransport, state: ClientState) -> AsyncIterator[InteropClient]:
    async with InteropClient(transport, state, options=ClientOptions(refill_count=0)) as client:
        yield client


def copy(delivery_id: int, *, retry_count: int = 0, message_id: str = "m1", sender: str = ALICE) -> Stanza:
    """A message that nobody can open."""
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"3nothing")
    message = stanza_pb2.Message(id=message_id, enc=[enc], retry_count=retry_count, from_jid=sender)
    return Stanza(message=message, delivery_id=delivery_id)


@pytest.mark.requirement("RCP-04")
async def test_a_message_is_asked_for_five_times_then_given_up(
    transport: ScriptedTransport, state: ClientState
) -> None:
    """Each request leaves before the ack and after the save; from the second on with a prekey of its own (RCP-04)."""
    own = {prekey.key_id for prekey in state.signal.generate_one_time_prekeys(3)}
    store = CheckingStore(transport)
    async with InteropClient(transport, state, store) as bob:
        for count in range(1, 6):
            transport.deliver(copy(count, retry_count=count - 1))
            awaited = await bob.wait_for(MessageAwaited)
            assert awaited == MessageAwaited(ALICE, "m1", count, "InvalidMessage")
            await transport.until(lambda count=count: transport.acked == list(range(1, count + 1)))
            kinds = [stanza.WhichOneof("kind") for stanza in transport.sent[-2:]]
            assert kinds == ["retry_receipt", "ack"]
        assert [len(acked) for acked in store.acked_before_save] == [0, 1, 2, 3, 4]
        asked = transport.of_kind("retry_receipt")
        assert [receipt.retry_count for receipt in asked] == [1, 2, 3, 4, 5]
        assert {(receipt.to_jid, receipt.message_id, receipt.reason) for receipt in asked} == {(ALICE, "m1", 4)}
        assert {receipt.registration_id for receipt in asked} == {state.signal.registration_id}
        assert [receipt.HasField("keys") for receipt in asked] == [False, True, True, True, True]
        for receipt in asked[1:]:
            bundle_of(receipt).verify()
            assert receipt.keys.one_time_prekey_id in state.signal.one_time_prekeys
        assert len({receipt.keys.one_time_prekey for receipt in asked[1:]}) == 4
        assert transport.calls == [], "a prekey was published"

        transport.deliver(copy(6, retry_count=5))
        assert await bob.wait_for(Undecryptable) == Undecryptable(ALICE, "m1", "InvalidMessage")
        await transport.until(lambda: [(n.delivery_id, n.nack_code) for n in transport.of_kind("nack")] == [(6, 487)])
    assert state.signal.one_time_prekeys.keys() == own
    assert state.deliveries.asked == {}


async def test_counts_outlive_the_process(transport: ScriptedTransport, state: ClientState) -> None:
    """A redelivery after a crash is the next request; and what was forgotten is counted on from the copy that came."""
    store = MemoryStore()
    for count in (1, 2):
        restored = ClientState.from_bytes(store.snapshot) if store.snapshot else state
        async with InteropClient(transport, restored, store) as bob:
            transport.deliver(copy(1))
            assert (await bob.wait_for(MessageAwaited)).retry_count == count
            await transport.until(lambda count=count: len(transport.of_kind("retry_receipt")) == count)
    async with InteropClient(transport, state) as bob:
        transport.deliver(copy(9, retry_count=3, message_id="other"))
        assert (await bob.wait_for(MessageAwaited)).retry_count == 4


async def test_two_senders_messages_of_one_id_are_counted_apart(
    transport: ScriptedTransport, bob: InteropClient
) -> None:
    transport.deliver(copy(1), copy(2, sender="other"))
    assert [(await bob.wait_for(MessageAwaited)).retry_count for _ in range(2)] == [1, 1]


async def test_what_comes_in_the_end_is_shown_and_forgotten(
    transport: ScriptedTransport, state: ClientState, bob: InteropClient, alice: Alice
) -> None:
    """Also the prekeys that were given for it and not used."""
    transport.deliver(copy(1), copy(2, retry_count=1))
    awaited = [await bob.wait_for(MessageAwaited) for _ in range(2)]
    assert awaited[-1].retry_count == 2
    await transport.until(lambda: transport.acked == [1, 2])
    assert len(state.signal.one_time_prekeys) == 1
    delivery = alice.delivery("Here it is")
    delivery.message.id, delivery.message.retry_count, delivery.delivery_id = "m1", 2, 3
    transport.deliver(delivery)
    received = await bob.wait_for(TextReceived)
    assert (received.id, received.text, received.retry_count) == ("m1", "Here it is", 2)
    assert state.deliveries.asked == {}
    assert state.signal.one_time_prekeys == {}


async def test_a_key_used_twice_is_a_repetition_only_in_the_same_message(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    """A sender from an old backup uses a key for another message: that one must not be lost (MSG-09)."""
    first = alice.delivery("Hi")
    transport.deliver(first)
    await bob.wait_for(TextReceived)
    other = Stanza()
    other.CopyFrom(first)
    other.delivery_id, other.message.id = 2, "m2"
    transport.deliver(other, first)
    awaited = await bob.wait_for(MessageAwaited)
    assert (awaited.id, awaited.reason) == ("m2", "DuplicateMessage")
    await transport.until(lambda: transport.acked == [1, 2, 1])
    [receipt] = transport.of_kind("retry_receipt")
    assert (receipt.message_id, receipt.reason) == ("m2", stanza_pb2.RETRY_REASON_INVALID_MESSAGE_KEY)


async def test_what_a_retry_cannot_mend_is_given_up_at_once(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    """Content that is none stays none; when the nack is lost, it is not asked for either."""
    broken = alice.delivery("")
    broken.message.enc[0].ciphertext = alice.signal.encrypt(BOB, b"no padding").body
    transport.deliver(broken)
    assert (await bob.wait_for(Undecryptable)).reason == "InvalidContent"
    await transport.until(lambda: {n.delivery_id: n.nack_code for n in transport.of_kind("nack")} == {1: 491})
    transport.deliver(broken)
    await transport.until(lambda: transport.acked == [1])
    assert transport.of_kind("retry_receipt") == []


def test_what_is_remembered_is_bounded(state: ClientState) -> None:
    """A sender of nothing but rubbish fills no disk: the oldest go, with the prekeys that they were given."""
    for number in range(MAX_ASKED + 5):
        for came_with in range(2):
            assert ask_again(state, (ALICE, f"m{number}"), came_with) is not None
    assert len(state.deliveries.asked) == MAX_ASKED
    assert (ALICE, "m4") not in state.deliveries.asked and (ALICE, "m5") in state.deliveries.asked
    assert len(state.signal.one_time_prekeys) == MAX_ASKED
    assert ClientState.from_bytes(state.to_bytes()).deliveries == state.deliveries


# The sender's side.


def bundles_taken(transport: ScriptedTransport) -> int:
    return [method for method, _ in transport.calls].count(TAKE_BUNDLES)


async def test_a_message_that_is_asked_for_is_sent_again_in_a_new_session(
    transport: ScriptedTransport, state: ClientState, peer: Peer
) -> None:
    """Under its id, with the count and the same proof; acked only when it was taken, saved before it left (RCP-04)."""
    store = MemoryStore()
    async with InteropClient(transport, state, store) as bob:
        first = await say(bob, peer, "Hi")
        transport.deliver(retry(first.id))
        assert await bob.wait_for(RetryRequested) == RetryRequested(ALICE, first.id, 1, 7)
        await transport.until(lambda: len(transport.of_kind("message")) == 2)
        saved = store.snapshot
        assert saved == state.to_bytes()
        assert transport.acked == []
        again = await peer.take()
        assert await bob.wait_for(MessageResent) == MessageResent(ALICE, first.id, 1, 2)
        await transport.until(lambda: transport.acked == [50])
    assert (again.id, again.retry_count, again.to_jid, again.type) == (first.id, 1, ALICE, first.type)
    assert again.reporting_token == first.reporting_token
    assert again.enc[0].type == stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE
    assert again.enc[0].registration_id == peer.signal.registration_id
    assert peer.open(again) == "Hi"
    assert bundles_taken(transport) == 2


async def test_a_session_is_made_anew_once_in_an_hour(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Several requests share it; keys that come with a request always make one (RCP-03)."""
    sent = [await say(bob, peer, text) for text in ("one", "two", "three")]
    for number, message in enumerate(sent):
        transport.deliver(retry(message.id, delivery_id=50 + number))
        assert peer.open(await peer.take()) == ("one", "two", "three")[number]
    assert bundles_taken(transport) == 2
    asked = ask_again(peer.state, (BOB, sent[0].id), 1)
    assert asked is not None and asked.HasField("keys")
    delivery = retry(sent[0].id, 2, 60)
    delivery.retry_receipt.keys.CopyFrom(asked.keys)
    delivery.retry_receipt.registration_id = asked.registration_id
    transport.deliver(delivery)
    again = await peer.take()
    assert (again.retry_count, peer.open(again)) == (2, "one")
    assert bundles_taken(transport) == 2
    assert peer.signal.one_time_prekeys == {}, "the prekey that came with the request was not used"
    await transport.until(lambda: transport.acked == [50, 51, 52, 60])


@pytest.mark.requirement("RCP-04")
async def test_a_request_that_comes_again_is_answered_once(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """However often the server delivers it: it is acked, and no storm comes of it. A later request is answered."""
    sent = await say(bob, peer, "Hi")
    transport.deliver(*(retry(sent.id, delivery_id=50 + number) for number in range(20)))
    assert peer.open(await peer.take()) == "Hi"
    await transport.until(lambda: transport.acked == list(range(50, 70)))
    assert len(transport.of_kind("message")) == 2
    transport.deliver(retry(sent.id, 2, 70))
    assert (await peer.take()).retry_count == 2


async def test_keys_of_another_identity_get_nothing(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Whoever else answers for Alice does not learn what was written to her (T5)."""
    sent = await say(bob, peer, "For you alone")
    mallory = ClientState.generate(ALICE)
    asked = ask_again(mallory, (BOB, sent.id), 1)
    assert asked is not None
    delivery = retry(sent.id, 2)
    delivery.retry_receipt.keys.CopyFrom(asked.keys)
    transport.deliver(delivery)
    assert await bob.wait_for(RetryUnanswered) == RetryUnanswered(ALICE, sent.id, "UntrustedIdentity")
    await transport.until(lambda: transport.acked == [50])
    assert len(transport.of_kind("message")) == 1


async def test_a_request_for_what_was_said_to_somebody_else_is_not_answered(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Nor one for what nobody has said; the server forwards none, and the client does not rely on it."""
    sent = await say(bob, peer, "Hi")
    eve = retry(sent.id)
    eve.retry_receipt.from_jid = "31600000000@s.whatsapp.net"
    transport.deliver(eve, retry("made-up", delivery_id=51))
    answers = [await bob.wait_for(RetryUnanswered) for _ in range(2)]
    assert [answer.reason for answer in answers] == ["CONTENT_UNKNOWN"] * 2
    await transport.until(lambda: transport.acked == [50, 51])
    assert len(transport.of_kind("message")) == 1


async def test_the_application_finds_what_is_not_kept(
    transport: ScriptedTransport, state: ClientState, peer: Peer
) -> None:
    """It is asked only then."""
    asked: list[tuple[str, str]] = []

    async def find_sent(to: str, message_id: str) -> Any:
        asked.append((to, message_id))
        return text_content("From the archive")

    options = ClientOptions(refill_count=0, find_sent=find_sent)
    async with InteropClient(transport, state, options=options) as bob:
        sent = await say(bob, peer, "Kept")
        transport.deliver(retry(sent.id), retry("old", delivery_id=51))
        assert [peer.open(await peer.take()) for _ in range(2)] == ["Kept", "From the archive"]
        assert asked == [(ALICE, "old")]


class Outcome(BaseException):
    """As test frameworks end a test with."""


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("the archive is on fire"),
        ConnectionEnded("CLOSED", "That of the archive, which is on fire."),
        asyncio.CancelledError("on fire"),
        Outcome("on fire"),
    ],
)
async def test_an_application_that_fails_to_find_ends_nothing(
    transport: ScriptedTransport,
    state: ClientState,
    peer: Peer,
    caplog: pytest.LogCaptureFixture,
    failure: BaseException,
) -> None:
    """Its error is logged, its request is not acked and comes again; the next one is answered."""

    async def find_sent(to: str, message_id: str) -> Any:
        raise failure

    options = ClientOptions(refill_count=0, find_sent=find_sent)
    async with asyncio.timeout(5), InteropClient(transport, state, options=options) as bob:
        sent = await say(bob, peer, "Kept")
        transport.deliver(retry("old"), retry(sent.id, delivery_id=51))
        assert peer.open(await peer.take()) == "Kept"
        await transport.until(lambda: transport.acked == [51])
    assert "on fire" in caplog.text


async def test_the_newest_512_are_kept(transport: ScriptedTransport, bob: InteropClient, peer: Peer) -> None:
    sent = [await say(bob, peer, str(number)) for number in range(MAX_SENT + 1)]
    transport.deliver(retry(sent[0].id), retry(sent[1].id, delivery_id=51))
    assert (await bob.wait_for(RetryUnanswered)).id == sent[0].id
    assert peer.open(await peer.take()) == "1"


async def test_a_resend_that_is_refused_is_told(transport: ScriptedTransport, bob: InteropClient, peer: Peer) -> None:
    """For good: acked. For a while: it is not, and so the request comes again with the next connection (MSG-11)."""
    sent = await say(bob, peer, "Hi")
    transport.deliver(retry(sent.id))
    await peer.take(error=error("RECIPIENT_NOT_REACHABLE"))
    assert (await bob.wait_for(RetryUnanswered)).reason == "RECIPIENT_NOT_REACHABLE"
    await transport.until(lambda: transport.acked == [50])
    transport.deliver(retry(sent.id, delivery_id=51))
    await peer.take(error=error("MAILBOX_FULL", recovery=errors_pb2.RECOVERY_SAME_AGAIN))
    transport.deliver(retry(sent.id, delivery_id=52))
    await peer.take()
    await bob.wait_for(MessageResent)
    await transport.until(lambda: transport.acked == [50, 52])


async def test_without_a_bundle_the_session_that_there_is_must_do(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Bundles are limited (KEY-14); if the session is of no use, keys come with the next request."""
    sent = await say(bob, peer, "Hi")

    def refuse(_: Any) -> prekeys_pb2.TakePreKeyBundlesResponse:
        result = prekeys_pb2.PreKeyBundleResult(jid=ALICE, error=error("RATE_LIMITED", retry_after_ms=5))
        return prekeys_pb2.TakePreKeyBundlesResponse(results=[result])

    transport.answers[TAKE_BUNDLES] = refuse
    transport.deliver(retry(sent.id))
    assert peer.open(await peer.take()) == "Hi"


@pytest.mark.requirement("MSG-05")
async def test_a_stale_device_gets_a_new_session_once(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Two messages at once share the new session; one that is refused again is the caller's problem (MSG-05)."""
    first = await say(bob, peer, "Hi")
    assert first.enc[0].registration_id == peer.signal.registration_id
    peer.signal.registration_id += 1
    sending = [asyncio.create_task(bob.send_text(ALICE, text)) for text in ("one", "two")]
    refused = [await peer.take(**STALE) for _ in sending]
    taken = [await peer.take() for _ in sending]
    assert [message.id for message in taken] == [message.id for message in refused]
    assert {message.enc[0].registration_id for message in taken} == {peer.signal.registration_id}
    assert [message.retry_count for message in taken] == [0, 0]
    assert [peer.open(message) for message in taken] == ["one", "two"]
    assert [(await sent).id for sent in sending] == [message.id for message in taken]
    assert bundles_taken(transport) == 2
    sent = asyncio.create_task(bob.send_text(ALICE, "three"))
    await peer.take(**STALE)
    await peer.take(**STALE)
    with pytest.raises(Exception, match="DEVICE_LIST_MISMATCH"):
        await sent


@pytest.mark.requirement("MSG-05")
async def test_a_notice_of_the_new_device_may_come_before_the_answer_to_a_message(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """The notice ends the session that the message used, so there is none when its answer says that it was stale."""
    await say(bob, peer, "Hi")
    sending = asyncio.create_task(bob.send_text(ALICE, "You there?"))
    await transport.until(lambda: len(transport.of_kind("message")) == 2)
    peer.signal = SignalState.generate()
    changed = stanza_pb2.Notification(identity_changed=stanza_pb2.IdentityChanged(jid=ALICE))
    transport.deliver(Stanza(notification=changed, delivery_id=60))
    await bob.wait_for(IdentityChanged)
    refused = await peer.take(**STALE)
    taken = await peer.take()
    assert taken.id == refused.id == (await sending).id
    assert peer.open(taken) == "You there?"


@pytest.mark.requirement("MED-08")
async def test_a_request_for_a_file_is_the_applications(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    """Nothing is sent by itself: only the application has the file (MED-08)."""
    transport.deliver(*[retry("m1", 2, media_status=410)] * 3)
    assert await bob.wait_for(MediaRetryRequested) == MediaRetryRequested(ALICE, "m1", 2, 410)
    await transport.until(lambda: set(transport.acked) == {50} and len(transport.acked) == 3)
    assert transport.of_kind("message") == []
    with pytest.raises(TimeoutError):  # the application is told once
        await bob.wait_for(MediaRetryRequested, 0)


async def test_a_backlog_of_nothing_but_requests_is_fetched(transport: ScriptedTransport, bob: InteropClient) -> None:
    """It is announced apart from messages and receipts (MSG-08)."""
    transport.deliver(Stanza(offline_preview=stanza_pb2.OfflinePreview(retry_receipts=1)))
    await transport.until(lambda: [batch.count for batch in transport.of_kind("offline_batch")] == [200])


@pytest.mark.requirement("MSG-13")
async def test_typing_is_told_while_there_is_room(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """It is no delivery, and of no use later (MSG-13)."""
    typing = stanza_pb2.Typing(state=stanza_pb2.TYPING_STATE_RECORDING, expires_after_seconds=9, from_jid=ALICE)
    async with InteropClient(transport, state, options=ClientOptions(event_capacity=2)) as bob:
        transport.deliver(*[Stanza(typing=typing)] * 3, Stanza(typing=typing, delivery_id=0))
        pinging = asyncio.create_task(bob.ping())
        await transport.until(lambda: bool(transport.of_kind("ping")))
        transport.deliver(Stanza(pong=stanza_pb2.Pong(id=transport.of_kind("ping")[0].id)))
        await pinging
        told = [await bob.wait_for(Typing, 0) for _ in range(2)]
        assert told == [Typing(ALICE, "RECORDING", 9)] * 2
        with pytest.raises(TimeoutError):
            await bob.wait_for(Typing, 0)
        await bob.send_typing(ALICE)
        [sent] = transport.of_kind("typing")
        assert (sent.to_jid, sent.state) == (ALICE, stanza_pb2.TYPING_STATE_COMPOSING)
