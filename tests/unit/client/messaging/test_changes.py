"""An edit or a deletion that overtakes its message follows it; what is sent again says what is true now."""

import asyncio
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.contents import deletion_content, edit_content, text_content
from interop_client.messaging.events import (
    ChangeRefused,
    DeletionReceived,
    EditReceived,
    MessageAwaited,
    MessageResent,
    TextReceived,
)
from interop_client.messaging.inbox import Answers, Inbox
from interop_client.signal.content import decode_message
from interop_client.state import ClientState
from tests.unit.client.conftest import ScriptedTransport, Stanza
from tests.unit.client.messaging.conftest import ALICE, BOB, TYPES, Alice, Peer, error, retry, say

pytestmark = pytest.mark.requirement("MSG-12")


class Screen:
    """What an application shows that does as the events say."""

    def __init__(self, state: ClientState) -> None:
        self.state = state
        self.texts: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.refused: list[str] = []

    def show(self, stanza: Stanza) -> None:
        inbox = Inbox(self.state)
        opened = inbox.open(stanza, Answers())
        for event in opened.events:
            if isinstance(event, TextReceived):
                self.deleted.discard(event.id)
                self.texts[event.id] = event.text
            elif isinstance(event, EditReceived):
                self.texts[event.target_id] = event.text
            elif isinstance(event, DeletionReceived):
                self.deleted.add(event.target_id)
                self.texts.pop(event.target_id, None)
            elif isinstance(event, ChangeRefused):
                self.refused.append(event.reason)
        inbox.finish(opened)
        self.state = ClientState.from_bytes(self.state.to_bytes())


def written(alice: Alice, *contents: content_pb2.Message) -> list[Stanza]:
    return [alice.delivery_of(content) for content in contents]


def broken(stanza: Stanza) -> Stanza:
    copy = Stanza()
    copy.CopyFrom(stanza)
    copy.message.enc[0].ciphertext = b"3nothing"
    copy.delivery_id += 100
    return copy


def resent(stanza: Stanza) -> Stanza:
    copy = Stanza()
    copy.CopyFrom(stanza)
    copy.message.retry_count = 1
    return copy


@pytest.mark.parametrize("is_asked_for", [True, False], ids=["asked for", "not heard of"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_changes_in_any_order_come_to_the_same(
    state: ClientState, alice: Alice, order: tuple[int, ...], *, is_asked_for: bool
) -> None:
    """A text, an edit and a newer edit; the client restarts after each. The newer edit came second to the sender."""
    text, edit, newer = written(
        alice, text_content("Helo"), edit_content(BOB, "m1", "Hello", 5), edit_content(BOB, "m1", "Hello!", 6)
    )
    screen = Screen(state)
    if is_asked_for:
        screen.show(broken(text))
    # What comes out of order was sent again.
    for index in order:
        screen.show(resent([text, edit, newer][index]))
    assert screen.texts == {"m1": "Hello!"}


@pytest.mark.parametrize("is_asked_for", [True, False], ids=["asked for", "not heard of"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_deletion_holds_whenever_it_comes(
    state: ClientState, alice: Alice, order: tuple[int, ...], *, is_asked_for: bool
) -> None:
    text, edit, deletion = written(
        alice, text_content("Helo"), edit_content(BOB, "m1", "Hello", 5), deletion_content(BOB, "m1")
    )
    screen = Screen(state)
    if is_asked_for:
        screen.show(broken(text))
    for index in order:
        screen.show([text, edit, deletion][index])
    assert (screen.texts.keys() - {"m1"}, screen.deleted) == (set(), {"m1"})
    assert not screen.texts


@settings(max_examples=50)
@given(order=st.permutations(range(8)), asked=st.sets(st.sampled_from((0, 1, 2))))
def test_changes_of_several_messages_do_not_mix(order: list[int], asked: set[int]) -> None:
    """Three texts, two edited, one of these deleted, one left alone, one change of a text that never comes."""
    state = ClientState.generate(BOB)
    contents = [text_content(str(number)) for number in range(3)]
    contents += [edit_content(BOB, "m1", "one", 5), edit_content(BOB, "m2", "two", 5), deletion_content(BOB, "m2")]
    contents += [edit_content(BOB, "m1", "uno", 6), deletion_content(BOB, "never")]
    stanzas = written(Alice(state), *contents)
    screen = Screen(state)
    for index in asked:
        screen.show(broken(stanzas[index]))
    for index in order:
        screen.show(resent(stanzas[index]))
    assert screen.texts == {"m1": "uno", "m3": "2"}
    assert screen.state.deliveries.changes.keys() == {(ALICE, "never")}


async def test_a_change_waits_until_its_message_comes(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """It is acked, kept, not told, and then told after the message, with its own id and time."""
    text, edit = written(alice, text_content("Helo"), edit_content(BOB, "m1", "Hello", 5))
    async with InteropClient(transport, state, options=ClientOptions(refill_count=0)) as bob:
        transport.deliver(broken(text), edit)
        await bob.wait_for(MessageAwaited)
        await transport.until(lambda: transport.acked == [101, 2])
        with pytest.raises(TimeoutError):
            await bob.wait_for(lambda event: True, 0)
        transport.deliver(resent(text))
        first, second = [await bob.wait_for(lambda event: True) for _ in range(2)]
    assert isinstance(first, TextReceived) and first.text == "Helo"
    assert isinstance(second, EditReceived) and (second.id, second.text, second.timestamp_ms) == ("m2", "Hello", 1)
    assert state.deliveries.changes == {}


def test_an_edit_of_what_never_comes_is_refused(state: ClientState, alice: Alice) -> None:
    """It may be of a text that is long gone: the application is told at once."""
    screen = Screen(state)
    screen.show(*written(alice, edit_content(BOB, "never", "Hello", 5)))
    assert screen.refused == ["TOO_LATE"]


# The sender's side.


async def change(bob: InteropClient, peer: Peer, content: content_pb2.Message) -> stanza_pb2.Message:
    sending = asyncio.create_task(bob.send_message(ALICE, content))
    message = await peer.take()
    await sending
    return message


def opened(peer: Peer, message: stanza_pb2.Message) -> content_pb2.Message:
    enc = message.enc[0]
    content = decode_message(peer.signal.decrypt(BOB, TYPES[enc.type], enc.ciphertext))
    content.ClearField("message_context_info")
    return content


async def asked_again(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer, message_id: str, count: int = 1
) -> Any:
    transport.deliver(retry(message_id, count))
    message = await peer.take()
    await bob.wait_for(MessageResent)
    assert message.id == message_id
    return opened(peer, message)


async def test_an_edited_text_is_sent_again_as_it_is_now(
    transport: ScriptedTransport, state: ClientState, peer: Peer
) -> None:
    """So is an edit that a newer one has overtaken; and a text that the application found in its archive."""

    async def find_sent(to: str, message_id: str) -> Any:
        return text_content("From the archive")

    async with InteropClient(transport, state, options=ClientOptions(find_sent=find_sent)) as bob:
        sent = await say(bob, peer, "Helo")
        first = await change(bob, peer, edit_content(ALICE, sent.id, "Hello", 5))
        second = await change(bob, peer, edit_content(ALICE, sent.id, "Hello!", 6))
        await change(bob, peer, edit_content(ALICE, "old", "New words", 7))
        assert (await asked_again(transport, bob, peer, sent.id)).conversation == "Hello!"
        for edit in (first, second):
            again = await asked_again(transport, bob, peer, edit.id)
            assert again.protocol_message.edited_message.conversation == "Hello!"
            assert again.protocol_message.key.id == sent.id
        assert (await asked_again(transport, bob, peer, "old")).conversation == "New words"


async def test_a_deleted_text_is_never_sent_again(transport: ScriptedTransport, bob: InteropClient, peer: Peer) -> None:
    """What is sent under its id, and under its edit's, is the deletion, after which nobody asks any more."""
    sent = await say(bob, peer, "Never mind")
    edit = await change(bob, peer, edit_content(ALICE, sent.id, "Never ever mind", 5))
    await change(bob, peer, deletion_content(ALICE, sent.id))
    for message_id, count in ((sent.id, 1), (edit.id, 1), (sent.id, 2)):
        assert await asked_again(transport, bob, peer, message_id, count) == deletion_content(ALICE, sent.id)


async def test_a_change_that_the_server_refused_changes_nothing(
    transport: ScriptedTransport, bob: InteropClient, peer: Peer
) -> None:
    sent = await say(bob, peer, "Hello")
    sending = asyncio.create_task(bob.send_deletion(ALICE, sent.id))
    await peer.take(error=error("MAILBOX_FULL"))
    with pytest.raises(ServerRefusal, match="MAILBOX_FULL"):
        await sending
    assert (await asked_again(transport, bob, peer, sent.id)).conversation == "Hello"


async def test_a_deletion_that_comes_instead_of_its_text_is_shown(state: ClientState, alice: Alice) -> None:
    """The sender no longer has the text that was asked for."""
    screen = Screen(state)
    deletion = alice.delivery_of(deletion_content(BOB, "m1"))
    screen.show(broken(deletion))
    screen.show(resent(deletion))
    assert screen.deleted == {"m1"}
    assert state.deliveries.changes == {}
