"""A delivery is finished when its handler is: until then it comes again, and from then on it is not shown again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from interop_api.v1 import prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ServerRefusal
from interop_client.media.crypto import EncryptedMedia, MediaType
from interop_client.media.reference import MediaReference
from interop_client.messaging.contents import media_content
from interop_client.messaging.events import (
    DigestRequested,
    Event,
    IdentityChanged,
    MediaReceived,
    MessageAwaited,
    MessageHeld,
    PreKeysCompared,
    TextReceived,
    Undecryptable,
)
from interop_client.messaging.inbox import MAX_HELD, Answers, Inbox
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport, Stanza
from tests.unit.client.messaging.conftest import ALICE, BOB, Alice

pytestmark = pytest.mark.requirement("MSG-09")


class Application:
    """Notes the texts that it has finished, and may do something of its own on each first."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.work: Callable[[TextReceived], Awaitable[None]] | None = None
        self.client: InteropClient | None = None

    async def on_event(self, event: Event) -> None:
        if isinstance(event, TextReceived):
            if self.work is not None:
                await self.work(event)
            self.texts.append(event.text)

    @property
    def options(self) -> ClientOptions:
        return ClientOptions(on_event=self.on_event)


def identity_changed(delivery_id: int) -> Stanza:
    changed = stanza_pb2.Notification(identity_changed=stanza_pb2.IdentityChanged(jid=ALICE))
    return Stanza(notification=changed, delivery_id=delivery_id)


async def test_a_crash_while_the_handler_works_brings_the_message_again(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """Also when something else saved the state meanwhile: here, new prekeys; the message key is used up by then."""
    store, application = MemoryStore(), Application()
    delivery = alice.delivery("Hi")
    snapshots: list[bytes] = []

    async def publish(_: TextReceived) -> None:
        assert application.client is not None
        await application.client.publish_prekeys(3)
        snapshots.append(store.snapshot)

    application.work = publish
    async with InteropClient(transport, state, store, application.options) as bob:
        application.client = bob
        transport.deliver(delivery)
        await bob.wait_for(TextReceived)
    [crashed] = snapshots
    again = Application()
    async with InteropClient(transport, ClientState.from_bytes(crashed), MemoryStore(), again.options) as bob:
        transport.deliver(delivery, alice.delivery("Next"))
        assert [(await bob.wait_for(TextReceived)).text for _ in range(2)] == ["Hi", "Next"]
    assert again.texts == ["Hi", "Next"]
    assert bob.state.deliveries.opened == {}


async def test_a_finished_message_is_not_shown_again_after_an_identity_change(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """The ack is lost, then the sessions go: what was finished is known all the same."""
    store = MemoryStore()
    first, second = alice.delivery("Hi"), alice.delivery("You there?")
    async with InteropClient(transport, state, store) as bob:
        transport.deliver(first, second)
        await bob.wait_for(TextReceived)
        transport.deliver(identity_changed(3))
        await bob.wait_for(IdentityChanged)
        await transport.until(lambda: transport.acked == [1, 2, 3])
    transport.sent.clear()
    application = Application()
    async with InteropClient(transport, ClientState.from_bytes(store.snapshot), options=application.options) as bob:
        transport.deliver(first, second, identity_changed(3))
        renewed = Alice(bob.state)
        renewed.skip(9)
        transport.deliver(renewed.delivery("New phone"))
        await transport.until(lambda: transport.acked == [1, 2, 3, 10])
    assert application.texts == ["New phone"]
    assert transport.of_kind("retry_receipt") == transport.of_kind("nack") == []


async def test_a_repeated_notice_of_an_identity_change_does_not_end_the_new_session(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """The key that came after it stays pinned: whoever repeats a notice gains nothing."""
    async with InteropClient(transport, state) as bob:
        transport.deliver(identity_changed(1))
        alice.skip(1)
        transport.deliver(alice.delivery("Hi"))
        await bob.wait_for(TextReceived)
        await bob.wait_for(IdentityChanged)
        transport.deliver(identity_changed(1))
        await transport.until(lambda: transport.acked == [1, 2, 1])
        assert state.signal.trusted_identity(ALICE) == alice.signal.identity.public_key
        assert state.signal.has_session(ALICE)


async def test_a_message_that_was_asked_for_and_came_is_not_asked_for_again(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """The copy that could not be opened comes again after the good one, since its ack was lost."""
    broken = alice.delivery("Hi")
    good = Stanza()
    good.CopyFrom(broken)
    good.delivery_id, good.message.retry_count = 2, 1
    broken.message.enc[0].ciphertext = b"3nothing"
    application = Application()
    async with InteropClient(transport, state, options=application.options) as bob:
        transport.deliver(broken)
        await bob.wait_for(MessageAwaited)
        transport.deliver(good, broken, good)
        await transport.until(lambda: transport.acked == [1, 2, 1, 2])
    assert application.texts == ["Hi"]
    assert len(transport.of_kind("retry_receipt")) == 1


def copies_of_a_file(alice: Alice) -> list[Stanza]:
    """A file, and the same twice more, as its sender uploads it again when it is asked to."""
    reference = MediaReference(
        MediaType.DOCUMENT, "/v/t1", bytes(32), EncryptedMedia(bytes(32), 5, bytes(32)), "text/plain", "a.txt"
    )
    copies = [alice.delivery_of(media_content(reference)) for _ in range(3)]
    for number, copy in enumerate(copies):
        copy.message.id, copy.message.type, copy.message.retry_count = "m1", stanza_pb2.MESSAGE_TYPE_MEDIA, number
    return copies


@pytest.mark.requirement("MED-08")
async def test_a_file_that_was_uploaded_again_is_shown_again(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """Each copy once, also when this client has given up asking; the first is not shown after a later one."""
    copies = copies_of_a_file(alice)
    async with InteropClient(transport, state) as bob:
        transport.deliver(copies[1], copies[1], copies[0], copies[2], copies[2])
        assert [(await bob.wait_for(MediaReceived)).retry_count for _ in range(2)] == [1, 2]
        await transport.until(lambda: transport.acked == [2, 2, 1, 3, 3])
        with pytest.raises(TimeoutError):
            await bob.wait_for(MediaReceived, 0)


@pytest.mark.requirement("MED-08")
async def test_a_file_whose_ack_was_lost_is_not_asked_for_twice(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """The copy that comes again was shown; the one that was asked for is, when it comes, and then no other."""
    copies = copies_of_a_file(alice)
    gone = ServerRefusal("BLOB_NOT_FOUND")
    async with InteropClient(transport, state) as bob:
        transport.deliver(copies[0])
        for number in range(2):
            shown = await bob.wait_for(MediaReceived)
            assert shown.retry_count == number
            assert await bob.request_media_again(shown, gone)
            transport.deliver(*copies[: number + 1], copies[number + 1])
        assert (await bob.wait_for(MediaReceived)).retry_count == 2
        await transport.until(lambda: transport.acked == [1, 1, 2, 1, 2, 3])
        with pytest.raises(TimeoutError):
            await bob.wait_for(lambda event: isinstance(event, MediaReceived | MessageAwaited), 0)
    assert [receipt.retry_count for receipt in transport.of_kind("retry_receipt")] == [1, 2]


CRASHES = ("crash while the handler works", "crash before the save", "crash before the acks")


@settings(max_examples=50)
@given(steps=st.lists(st.sampled_from(("message", "identity change", *CRASHES)), max_size=16))
def test_each_text_is_finished_once_whatever_crashes(steps: list[str]) -> None:
    """No ack ever arrives, so the server delivers all again after each crash; another task saves at the worst time."""
    state = ClientState.generate(BOB)
    alice, mailbox, texts, finished = Alice(state), list[Stanza](), list[str](), list[str]()
    saved = state.to_bytes()
    for number, step in enumerate([*steps, CRASHES[2], CRASHES[2]]):
        if step == "message":
            texts.append(str(number))
            mailbox.append(alice.delivery(texts[-1]))
        elif step == "identity change":
            mailbox.append(identity_changed(1_000 + number))
        else:
            restored = ClientState.from_bytes(saved)
            shown = shown_until(step, Inbox(restored), mailbox)
            if step != CRASHES[1]:
                saved = restored.to_bytes()
                finished += shown
    assert finished == texts
    assert ClientState.from_bytes(saved).deliveries.opened == {}


def shown_until(crash: str, inbox: Inbox, mailbox: list[Stanza]) -> list[str]:
    """Opens the mailbox up to a crash, and returns the texts that the handler finished."""
    shown: list[str] = []
    for stanza in mailbox:
        opened = inbox.open(stanza, Answers())
        new = [event.text for event in opened.events if isinstance(event, TextReceived)]
        if new and crash == CRASHES[0]:
            break
        inbox.finish(opened)
        shown += new
    return shown


# An identity key that nobody has accepted.


def presented_by(alice: Alice, delivery_id: int) -> MessageHeld:
    return MessageHeld(ALICE, f"m{delivery_id}", alice.signal.identity.public_key)


async def test_a_message_under_another_identity_waits_for_the_decision(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    """Neither acked nor nacked nor asked for again, while others go on; accepting opens all that waited, in order."""
    transport.deliver(alice.delivery("Hi"))
    await bob.wait_for(TextReceived)
    renewed = Alice(bob.state)
    renewed.skip(10)
    transport.deliver(renewed.delivery("New phone"), renewed.delivery("Me again"), alice.delivery("Old phone"))
    assert [await bob.wait_for(MessageHeld) for _ in range(2)] == [presented_by(renewed, 11), presented_by(renewed, 12)]
    assert (await bob.wait_for(TextReceived)).text == "Old phone"
    await transport.until(lambda: transport.acked == [1, 2])
    await bob.accept_identity(ALICE, renewed.signal.identity.public_key)
    assert [(await bob.wait_for(TextReceived)).text for _ in range(2)] == ["New phone", "Me again"]
    await transport.until(lambda: transport.acked == [1, 2, 11, 12])
    assert transport.of_kind("nack") == transport.of_kind("retry_receipt") == []


async def test_a_decision_outlives_the_connection(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """What waits comes again with the next connection, also when later deliveries were finished meanwhile."""
    store = MemoryStore()
    renewed = Alice(state)
    renewed.skip(10)
    held = renewed.delivery("New phone")
    async with InteropClient(transport, state, store) as bob:
        transport.deliver(alice.delivery("Hi"), held)
        await bob.wait_for(MessageHeld)
        alice.skip(20)
        transport.deliver(alice.delivery("Later"))
        await transport.until(lambda: transport.acked == [1, 22])
    async with InteropClient(transport, ClientState.from_bytes(store.snapshot), store) as bob:
        transport.deliver(held)
        assert await bob.wait_for(MessageHeld) == presented_by(renewed, 11)
        await bob.accept_identity(ALICE)
        assert (await bob.wait_for(TextReceived)).text == "New phone"


async def test_a_late_notice_of_the_change_opens_what_waited(
    transport: ScriptedTransport, bob: InteropClient, alice: Alice
) -> None:
    """The server says that the key has changed: nobody has to decide any more (KEY-17)."""
    renewed = Alice(bob.state)
    renewed.skip(10)
    transport.deliver(alice.delivery("Hi"), renewed.delivery("New phone"), identity_changed(30))
    await bob.wait_for(IdentityChanged)
    assert [(await bob.wait_for(TextReceived)).text for _ in range(2)] == ["Hi", "New phone"]
    await transport.until(lambda: transport.acked == [1, 30, 11])


async def test_what_the_user_refuses_is_dropped(transport: ScriptedTransport, bob: InteropClient, alice: Alice) -> None:
    """The server forgets it, and the known key stays the known key."""
    renewed = Alice(bob.state)
    renewed.skip(10)
    transport.deliver(alice.delivery("Hi"), renewed.delivery("It is me"))
    await bob.wait_for(MessageHeld)
    await bob.refuse_identity(ALICE)
    await transport.until(lambda: [(n.delivery_id, n.nack_code) for n in transport.of_kind("nack")] == [(11, 500)])
    assert bob.state.signal.trusted_identity(ALICE) == alice.signal.identity.public_key


@pytest.mark.parametrize(("in_flight", "most"), [(0, MAX_HELD), (20, 10)])
async def test_what_waits_leaves_room_for_others(state: ClientState, in_flight: int, most: int) -> None:
    """Half of what the server may have in flight, and no more than 256: the rest is refused and told, as it was."""
    transport = ScriptedTransport(stanza_pb2.ChannelLimits(max_unacked_deliveries=in_flight))
    alice, renewed = Alice(state), Alice(state)
    renewed.skip(10)
    async with InteropClient(transport, state) as bob:
        transport.deliver(alice.delivery("Hi"))
        await bob.wait_for(TextReceived)
        for _ in range(most):
            transport.deliver(renewed.delivery("New phone"))
            await bob.wait_for(MessageHeld)
        transport.deliver(renewed.delivery("One more"), alice.delivery("Still here"))
        assert (await bob.wait_for(Undecryptable)).reason == "UntrustedIdentity"
        assert (await bob.wait_for(TextReceived)).text == "Still here"


def test_a_message_without_a_delivery_id_is_known_when_it_comes_with_one(state: ClientState, alice: Alice) -> None:
    """A message is known by its sender and id. What has no delivery id is never acked."""
    inbox, answers, delivery = Inbox(state), Answers(), alice.delivery("Hi")
    unnamed = Stanza(message=delivery.message)
    opened = inbox.open(unnamed, answers)
    assert len(opened.events) == 1
    inbox.finish(opened)
    for again in (unnamed, delivery):
        assert inbox.open(again, answers).events == ()
    acks = [list(stanza.ack.delivery_ids) for stanza in answers.stanzas() if stanza.HasField("ack")]
    assert acks == [[delivery.delivery_id]]


DIGEST = "/interop_api.v1.PreKeyService/GetKeyDigest"
ASKED_TO_COMPARE = Stanza(
    notification=stanza_pb2.Notification(digest_requested=stanza_pb2.DigestRequested()), delivery_id=7
)


async def close_in_the_handler(bob: InteropClient, transport: ScriptedTransport) -> None:
    await bob.close()


async def refuse(bob: InteropClient, transport: ScriptedTransport) -> None:
    """The server has more to do."""
    transport.answers[DIGEST] = busy


def busy(_: Message) -> Message:
    raise ServerRefusal("RATE_LIMITED")


@pytest.mark.requirement("KEY-10")
@pytest.mark.parametrize("break_off", [close_in_the_handler, refuse])
async def test_a_request_to_compare_keys_comes_again_until_they_are_compared(
    transport: ScriptedTransport,
    state: ClientState,
    break_off: Callable[[InteropClient, ScriptedTransport], Awaitable[None]],
) -> None:
    """The server makes it once: acked before, it would be lost with the connection, or with what kept it from that."""
    handled, acked = asyncio.Event(), list[list[int]]()

    async def on_event(event: Event) -> None:
        if isinstance(event, DigestRequested) and not handled.is_set():
            await break_off(bob, transport)
            handled.set()

    def compare(_: Message) -> Message:
        acked.append(transport.acked)
        return prekeys_pb2.GetKeyDigestResponse()

    bob = InteropClient(transport, state, MemoryStore(), ClientOptions(refill_count=1, on_event=on_event))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(ASKED_TO_COMPARE)
        await handled.wait()
        await bob.connect()
        transport.answers[DIGEST] = compare
        transport.deliver(ASKED_TO_COMPARE)
        await bob.wait_for(PreKeysCompared)
        await transport.until(lambda: transport.acked == [7])
        await bob.close()
    assert acked == [[]]
