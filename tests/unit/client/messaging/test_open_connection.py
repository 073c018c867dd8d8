"""A delivery is handed over, then saved, then acked; what comes again is acked and not shown; nothing hangs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from google.protobuf.message import Message

from interop_api.v1 import errors_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ConnectionEnded, Recovery, ServerRefusal
from interop_client.messaging.contents import text_content, with_message_secret
from interop_client.messaging.events import (
    ConnectionLost,
    Event,
    Evidence,
    IdentityChanged,
    MessageAwaited,
    OfflineEnd,
    OfflinePreview,
    PreKeysLow,
    ReceiptReceived,
    StanzaRefused,
    TextReceived,
)
from interop_client.signal.content import encode_message, serialize_message
from interop_client.signal.store import CiphertextType
from interop_client.state import ClientState, MemoryStore
from interop_protocol.franking import reporting_token
from tests.unit.client.conftest import ScriptedTransport, Stanza
from tests.unit.client.messaging.conftest import ALICE, BOB, Alice, CheckingStore, bundle_of

M = TypeVar("M", bound=Message)


async def test_a_message_is_handed_over_then_saved_then_acked(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """At the moment of the hand-over nothing is saved; at the moment of saving nothing is acked (MSG-09)."""
    store = CheckingStore(transport)
    saves_at_hand_over: list[int] = []

    async def on_event(event: Event) -> None:
        saves_at_hand_over.append(len(store.acked_before_save))

    async with InteropClient(transport, state, store, ClientOptions(on_event=on_event)) as bob:
        transport.deliver(alice.delivery("Hi"))
        assert (await bob.wait_for(TextReceived)).text == "Hi"
        await transport.until(lambda: transport.acked == [1])
    assert saves_at_hand_over == [0]
    assert store.acked_before_save == [[]]
    assert store.snapshot == state.to_bytes()
    receipt = transport.of_kind("receipt")[0]
    assert (receipt.to_jid, list(receipt.message_ids)) == (ALICE, ["m1"])


@pytest.mark.requirement("ABU-04")
async def test_what_a_message_says_can_be_proved_when_its_token_is_right(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    """A message without a token, and one with another message's, are shown like any other and prove nothing."""
    content = with_message_secret(text_content("Hi"))
    secret = content.message_context_info.message_secret
    plaintext = serialize_message(content)
    token = reporting_token(secret, ALICE, BOB, "m1", plaintext)
    for given in (token, token, b""):
        delivery = alice.delivery_of(content)
        delivery.message.reporting_token = given
        transport.deliver(delivery)
    events = [await bob.wait_for(TextReceived) for _ in range(3)]
    assert [event.text for event in events] == ["Hi"] * 3
    assert [event.evidence for event in events] == [Evidence(plaintext, secret), None, None]


async def test_deliveries_of_one_frame_share_save_and_ack(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    store = CheckingStore(transport)
    async with InteropClient(transport, state, store) as bob:
        transport.deliver(*(alice.delivery(str(number)) for number in range(50)))
        texts = [(await bob.wait_for(TextReceived)).text for _ in range(50)]
        await transport.until(lambda: len(transport.acked) == 50)
    assert texts == [str(number) for number in range(50)]
    assert len(store.acked_before_save) == 1
    assert len(transport.of_kind("ack")) == len(transport.of_kind("receipt")) == 1


async def test_a_redelivery_after_a_lost_ack_is_acked_and_not_shown(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """Bob's process ends after the save and before the ack; the one after it starts from what was saved.

    It sends the receipt again, which may have been lost with the ack.
    """
    store = MemoryStore()
    delivery = alice.delivery("Hi")
    async with InteropClient(transport, state, store) as bob:
        transport.deliver(delivery)
        await bob.wait_for(TextReceived)
        await transport.until(lambda: transport.acked == [1])
    transport.sent.clear()
    async with InteropClient(transport, ClientState.from_bytes(store.snapshot), store) as bob:
        transport.deliver(delivery, alice.delivery("Again"))
        assert (await bob.wait_for(TextReceived)).text == "Again"
        await transport.until(lambda: transport.acked == [1, 2])
    assert [list(receipt.message_ids) for receipt in transport.of_kind("receipt")] == [["m1", "m2"]]


async def test_a_crash_before_the_save_brings_the_message_again(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    before, delivery = state.to_bytes(), alice.delivery("Hi")
    async with InteropClient(transport, state) as bob:
        transport.deliver(delivery)
        await bob.wait_for(TextReceived)
    async with InteropClient(transport, ClientState.from_bytes(before)) as bob:
        transport.deliver(delivery)
        assert (await bob.wait_for(TextReceived)).text == "Hi"


async def disk_is_full() -> None:
    raise OSError("disk full")


async def what_it_waits_for_is_cancelled() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await task


@pytest.mark.parametrize(
    ("fail", "said"), [(disk_is_full, "disk full"), (what_it_waits_for_is_cancelled, "waited for was cancelled")]
)
async def test_an_app_that_fails_gets_nothing_acked_and_must_start_from_what_is_saved(
    transport: ScriptedTransport,
    state: ClientState,
    alice: Alice,
    caplog: pytest.LogCaptureFixture,
    fail: Callable[[], Awaitable[None]],
    said: str,
) -> None:
    """Whatever it lets out, a cancellation of its own among it: otherwise nobody would hear that nothing comes."""

    async def on_event(event: Event) -> None:
        await fail()

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event))
    await bob.connect()
    transport.deliver(alice.delivery("Hi"))
    assert (await bob.wait_for(ConnectionLost)).reason == "CLIENT_FAULT"
    assert transport.acked == []
    with pytest.raises(ConnectionEnded, match="CLIENT_FAULT"):
        await bob.connect()
    await bob.close()
    assert said in caplog.text


@pytest.mark.parametrize(
    "enc",
    [
        [],
        [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_SENDER_KEY, ciphertext=b"x")],
        [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE, ciphertext=b"x")],
    ],
)
async def test_a_message_that_cannot_be_read_is_asked_for(
    bob: InteropClient, transport: ScriptedTransport, enc: list[stanza_pb2.Enc]
) -> None:
    message = stanza_pb2.Message(id="m1", enc=enc, from_jid=ALICE)
    transport.deliver(Stanza(message=message, delivery_id=7))
    assert await bob.wait_for(MessageAwaited) == MessageAwaited(ALICE, "m1", 1, "InvalidMessage")
    await transport.until(lambda: transport.acked == [7])
    assert transport.of_kind("nack") == transport.of_kind("receipt") == []
    assert [receipt.reason for receipt in transport.of_kind("retry_receipt")] == [4]


async def test_a_message_of_a_lost_session_is_asked_for(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice
) -> None:
    """Alice's messages before Bob's first answer could begin a session; a later one cannot."""
    alice.signal.records[BOB].current.pending = None
    transport.deliver(alice.delivery("Hi"))
    assert (await bob.wait_for(MessageAwaited)).reason == "NoSession"
    await transport.until(lambda: [receipt.reason for receipt in transport.of_kind("retry_receipt")] == [1])


async def test_the_backlog_is_asked_for_200_at_a_time(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice
) -> None:
    """450 wait: three requests, each when the part before has been opened and acked (MSG-08)."""

    def asked() -> list[int]:
        return [batch.count for batch in transport.of_kind("offline_batch")]

    transport.deliver(Stanza(offline_preview=stanza_pb2.OfflinePreview(messages=450)))
    for number, part in enumerate((200, 200, 50), start=1):
        await transport.until(lambda number=number: len(asked()) == number)  # type: ignore[misc]
        acked = len(transport.acked)
        transport.deliver(*(alice.delivery("Hi", offline=True) for _ in range(part)))
        await transport.until(lambda acked=acked, part=part: len(transport.acked) == acked + part)  # type: ignore[misc]
    transport.deliver(Stanza(offline_end=stanza_pb2.OfflineEnd(count=450)))
    assert await bob.wait_for(OfflineEnd) == OfflineEnd(450)
    assert asked() == [200, 200, 200]
    assert await bob.wait_for(OfflinePreview) == OfflinePreview(450, 0, 0)
    texts = [await bob.wait_for(TextReceived) for _ in range(450)]
    assert all(text.offline for text in texts)


async def test_an_empty_backlog_is_not_asked_for(bob: InteropClient, transport: ScriptedTransport) -> None:
    transport.deliver(Stanza(offline_preview=stanza_pb2.OfflinePreview()), Stanza(offline_end=stanza_pb2.OfflineEnd()))
    await bob.wait_for(OfflineEnd)
    assert transport.of_kind("offline_batch") == []


async def test_few_prekeys_are_refilled_once(transport: ScriptedTransport, state: ClientState) -> None:
    """Their private halves are saved before the public ones leave (KEY-09)."""
    store = MemoryStore()
    published = {prekey.key_id for prekey in state.signal.generate_one_time_prekeys(3)}
    async with InteropClient(transport, state, store, ClientOptions(refill_count=5)) as bob:
        low = stanza_pb2.Notification(prekeys_low=stanza_pb2.PreKeysLow(count=3))
        transport.deliver(Stanza(notification=low))
        assert (await bob.wait_for(PreKeysLow)).count == 3
        await transport.until(lambda: len(transport.calls) == 2)
    (counted, _), (method, request) = transport.calls
    assert counted == "/interop_api.v1.PreKeyService/CountOneTimePreKeys"
    assert method == "/interop_api.v1.PreKeyService/AddOneTimePreKeys"
    assert isinstance(request, prekeys_pb2.AddOneTimePreKeysRequest)
    saved = ClientState.from_bytes(store.snapshot).signal.one_time_prekeys
    assert {prekey.key_id for prekey in request.one_time_prekeys} == set(saved) - published
    assert transport.acked == []


async def test_the_first_prekeys_are_not_published_behind_the_application(transport: ScriptedTransport) -> None:
    """A client that has published none is told so at every login: that alone adds none (KEY-09)."""
    count = prekeys_pb2.CountOneTimePreKeysResponse(count=20)
    transport.answers["/interop_api.v1.PreKeyService/CountOneTimePreKeys"] = lambda _: count
    async with InteropClient(transport, ClientState.generate(), MemoryStore()) as bob:
        low = Stanza(notification=stanza_pb2.Notification(prekeys_low=stanza_pb2.PreKeysLow(count=0)))
        transport.deliver(low)
        await bob.wait_for(PreKeysLow)
        await bob.publish_prekeys(20)
    assert "/interop_api.v1.PreKeyService/AddOneTimePreKeys" not in [method for method, _ in transport.calls]


async def test_a_new_identity_of_a_peer_ends_the_session_with_them(
    bob: InteropClient, transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    transport.deliver(alice.delivery("Hi"))
    await bob.wait_for(TextReceived)
    changed = stanza_pb2.Notification(identity_changed=stanza_pb2.IdentityChanged(jid=ALICE))
    transport.deliver(Stanza(notification=changed, delivery_id=9))
    assert await bob.wait_for(IdentityChanged) == IdentityChanged(ALICE)
    assert not state.signal.has_session(ALICE)
    await transport.until(lambda: transport.acked == [1, 9])
    renewed = Alice(state)
    renewed.skip(9)
    transport.deliver(renewed.delivery("New phone"))
    assert (await bob.wait_for(TextReceived)).text == "New phone"


async def test_receipts_and_refusals_are_told(bob: InteropClient, transport: ScriptedTransport) -> None:
    receipt = stanza_pb2.Receipt(
        type=stanza_pb2.RECEIPT_TYPE_READ, message_ids=["a", "b"], timestamp_ms=5, from_jid=ALICE
    )
    error = errors_pb2.Refusal(
        reason=errors_pb2.ERROR_REASON_CALLS_NOT_SUPPORTED,
        advice="Write.",
        request_id="00ff",
        recovery=errors_pb2.RECOVERY_NEVER,
    )
    transport.deliver(
        Stanza(receipt=receipt, delivery_id=3),
        Stanza(stanza_refused=stanza_pb2.StanzaRefused(id="call", error=error, kind="call_offer")),
        Stanza(),
    )
    assert await bob.wait_for(ReceiptReceived) == ReceiptReceived(ALICE, True, ("a", "b"), 5)
    refused = StanzaRefused("call", "call_offer", "CALLS_NOT_SUPPORTED", "Write.", "00ff", Recovery.NEVER)
    assert await bob.wait_for(StanzaRefused) == refused
    await transport.until(lambda: transport.acked == [3])


async def test_a_sent_message_is_saved_before_it_leaves(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """What was saved already encrypts with another key than the one that left."""
    store = MemoryStore()
    state.signal.process_bundle(ALICE, bundle_of(alice.signal))
    async with InteropClient(transport, state, store) as bob:
        sending = asyncio.create_task(bob.send_text(ALICE, "Hi"))
        await transport.until(lambda: bool(transport.of_kind("message")))
        message = transport.of_kind("message")[0]
        restored = ClientState.from_bytes(store.snapshot)
        again = restored.signal.encrypt(ALICE, encode_message(text_content("Hi")))
        assert again.body != message.enc[0].ciphertext
        assert restored.take_message_id() != message.id
        transport.deliver(
            Stanza(send_acks=stanza_pb2.SendAcks(acks=[stanza_pb2.SendAck(id=message.id, timestamp_ms=9)]))
        )
        sent = await sending
    assert (sent.id, sent.timestamp_ms) == (message.id, 9)
    assert message.type == stanza_pb2.MESSAGE_TYPE_TEXT
    plaintext = alice.signal.decrypt(BOB, CiphertextType.PREKEY, message.enc[0].ciphertext)
    assert b"Hi" in plaintext


async def test_a_message_does_not_leave_when_it_cannot_be_saved(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    class FullDisk:
        def save(self, snapshot: bytes) -> None:
            raise OSError(28, "No space left on device")

    state.signal.process_bundle(ALICE, bundle_of(alice.signal))
    async with InteropClient(transport, state, FullDisk()) as bob:
        with pytest.raises(OSError, match="No space"):
            await bob.send_text(ALICE, "Hi")
    assert transport.sent == []


async def test_a_refused_message_raises_why(transport: ScriptedTransport, bob: InteropClient, alice: Alice) -> None:
    bob.state.signal.process_bundle(ALICE, bundle_of(alice.signal))
    sending = asyncio.create_task(bob.send_text(ALICE, "Hi"))
    await transport.until(lambda: bool(transport.of_kind("message")))
    error = errors_pb2.Refusal(reason=errors_pb2.ERROR_REASON_MAILBOX_FULL, retry_after_ms=60_000)
    ack = stanza_pb2.SendAck(id=transport.of_kind("message")[0].id, error=error)
    transport.deliver(Stanza(send_acks=stanza_pb2.SendAcks(acks=[ack])))
    with pytest.raises(ServerRefusal) as caught:
        await sending
    assert (caught.value.reason, caught.value.retry_after_ms) == ("MAILBOX_FULL", 60_000)


async def test_several_first_messages_to_a_peer_share_one_bundle(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    bundle = bundle_of(alice.signal)
    method = "/interop_api.v1.PreKeyService/TakePreKeyBundles"
    signed = prekeys_pb2.SignedPreKey(
        key_id=bundle.signed_prekey_id, public_key=bundle.signed_prekey, signature=bundle.signed_prekey_signature
    )
    answer = prekeys_pb2.PreKeyBundle(
        registration_id=bundle.registration_id, identity_key=bundle.identity_key, signed_prekey=signed
    )
    result = prekeys_pb2.PreKeyBundleResult(jid=ALICE, bundles=[answer])
    transport.answers[method] = lambda _: prekeys_pb2.TakePreKeyBundlesResponse(results=[result])
    sends = [asyncio.create_task(bob.send_text(ALICE, str(number))) for number in range(5)]
    await transport.until(lambda: len(transport.of_kind("message")) == 5)
    acks = [stanza_pb2.SendAck(id=message.id) for message in transport.of_kind("message")]
    transport.deliver(Stanza(send_acks=stanza_pb2.SendAcks(acks=acks)))
    await asyncio.gather(*sends)
    assert [call[0] for call in transport.calls] == [method]


async def test_the_end_of_the_connection_is_told_to_all_who_wait(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    bob.state.signal.process_bundle(ALICE, bundle_of(alice.signal))
    sending, pinging = asyncio.create_task(bob.send_text(ALICE, "Hi")), asyncio.create_task(bob.ping())
    await transport.until(lambda: len(transport.sent) == 2)
    transport.end("CONNECTION_REPLACED")
    for waiting in (sending, pinging):
        with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
            await waiting
    assert (await bob.wait_for(ConnectionLost)).reason == "CONNECTION_REPLACED"
    with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
        await bob.ping()


async def test_a_client_connects_again_and_goes_on(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    transport.end("SERVER_DRAINING")
    assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
    await bob.connect()
    transport.deliver(alice.delivery("Back"))
    assert (await bob.wait_for(TextReceived)).text == "Back"


async def test_answers_come_through_while_nobody_takes_events(
    transport: ScriptedTransport, state: ClientState, alice: Alice, caplog: pytest.LogCaptureFixture
) -> None:
    """With a full queue deliveries wait, unacked, which is logged once; a ping is still answered."""
    async with InteropClient(transport, state, options=ClientOptions(event_capacity=2)) as bob:
        transport.deliver(*(alice.delivery(str(number)) for number in range(5)))
        pinging = asyncio.create_task(bob.ping())
        await transport.until(lambda: bool(transport.of_kind("ping")))
        transport.deliver(Stanza(pong=stanza_pb2.Pong(id=transport.of_kind("ping")[0].id)))
        await pinging
        assert transport.acked == []
        taken = [event.text async for event in _first(bob, 5)]
    assert taken == [str(number) for number in range(5)]
    assert caplog.text.count("no more is delivered until the application takes one of 2 events") == 1


async def _first(client: InteropClient, count: int) -> AsyncIterator[TextReceived]:
    for _ in range(count):
        yield await client.wait_for(TextReceived)


async def test_a_client_whose_events_nobody_takes_can_be_closed(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    bob = InteropClient(transport, state, options=ClientOptions(event_capacity=1))
    await bob.connect()
    transport.deliver(*(alice.delivery(str(number)) for number in range(5)))
    await bob.wait_for(TextReceived)
    async with asyncio.timeout(5):
        await bob.close()
    with pytest.raises(ConnectionEnded):
        await bob.wait_for(ConnectionLost)


async def test_a_server_that_ignores_missing_acks_is_left(state: ClientState, alice: Alice) -> None:
    transport = ScriptedTransport(stanza_pb2.ChannelLimits(max_unacked_deliveries=10))
    async with InteropClient(transport, state, options=ClientOptions(event_capacity=1)) as bob:
        transport.deliver(*(alice.delivery("x") for _ in range(80)))
        assert (await bob.wait_for(ConnectionLost)).reason == "TOO_MANY_DELIVERIES"


async def test_an_answer_that_names_nobody_is_refused(transport: ScriptedTransport, bob: InteropClient) -> None:
    """With a reason, as whatever a server answers."""
    for asking in (bob.send_text(ALICE, "Hi"), bob.take_prekey_bundle(ALICE), bob.resolve("alice")):
        with pytest.raises(ServerRefusal, match="ANSWER_MALFORMED"):
            await asking


async def test_a_server_that_refuses_without_end_fills_no_memory(
    transport: ScriptedTransport, state: ClientState
) -> None:
    """As many refusals are kept as events may wait; who waits for one gets one."""
    bob = InteropClient(transport, state, options=ClientOptions(event_capacity=3))
    await bob.connect()
    refused = [Stanza(stanza_refused=stanza_pb2.StanzaRefused(id=str(number))) for number in range(100)]
    waiting = asyncio.create_task(bob.wait_for(lambda event: isinstance(event, StanzaRefused) and event.id == "50"))
    await asyncio.sleep(0)
    transport.deliver(*refused)
    await waiting
    await bob.close()
    assert [event.id async for event in bob.events() if isinstance(event, StanzaRefused)] == ["0", "1", "2"]


@pytest.mark.requirement("RCP-02")
async def test_read_receipts_are_grouped_by_sender(bob: InteropClient, transport: ScriptedTransport) -> None:
    messages = [
        TextReceived(sender, f"{sender}{number}", 1, "", "", False, text="", reply_to=None)
        for number in range(300)
        for sender in (ALICE, "other")
    ]
    await bob.mark_read(*messages)
    receipts = transport.of_kind("receipt")
    assert [(receipt.to_jid, len(receipt.message_ids)) for receipt in receipts] == [
        (ALICE, 256), (ALICE, 44), ("other", 256), ("other", 44),
    ]  # fmt: skip
    assert all(receipt.type == stanza_pb2.RECEIPT_TYPE_READ for receipt in receipts)


@pytest.mark.requirement("KEY-09")
async def test_a_notice_that_comes_during_the_upkeep_is_not_lost(state: ClientState) -> None:
    """The count was asked for before prekeys were used up again, of which the server tells once only."""
    count = "/interop_api.v1.PreKeyService/CountOneTimePreKeys"
    notice = Stanza(notification=stanza_pb2.Notification(prekeys_low=stanza_pb2.PreKeysLow(count=9)))
    heard = asyncio.Semaphore(0)

    class Transport(ScriptedTransport):
        async def call(self, method: str, request: Message, response_type: type[M]) -> M:
            answer = await super().call(method, request, response_type)
            if [name for name, _ in self.calls].count(count) == 1:
                self.deliver(notice)
                await heard.acquire()
            return answer

    async def on_event(event: Event) -> None:
        if isinstance(event, PreKeysLow) and transport.calls:
            heard.release()

    transport = Transport()
    state.signal.offer_one_time_prekeys(1)
    transport.answers[count] = lambda _: prekeys_pb2.CountOneTimePreKeysResponse(count=100)
    async with InteropClient(transport, state, options=ClientOptions(on_event=on_event)):
        transport.deliver(notice)
        await transport.until(lambda: [name for name, _ in transport.calls].count(count) == 2)
