"""Broken sessions mend themselves: nobody but the two clients does anything, and every message arrives in the end."""

import asyncio
import random

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.messaging.events import (
    Event,
    MessageAwaited,
    MessageResent,
    RetryRequested,
    RetryUnanswered,
    TextReceived,
    Undecryptable,
)
from interop_client.state import ClientState
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message

pytestmark = pytest.mark.requirement("RCP-03")

Pair = tuple[InteropClient, InteropClient]


async def pair(world: World) -> Pair:
    """Alice of WhatsApp and Bob of the messenger, each of whom has written to the other."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await talk(alice, bob, "first")
    await talk(bob, alice, "first")
    return alice, bob


async def talk(sender: InteropClient, recipient: InteropClient, *texts: str) -> None:
    """Sends texts, and sees that each arrives once, under its id."""
    sent = {(await sender.send_text(recipient.jid, text)).id: text for text in texts}
    arrived = [await recipient.wait_for(TextReceived) for _ in sent]
    assert {event.id: event.text for event in arrived} == sent
    assert {event.sender for event in arrived} == {sender.jid}


async def restored(client: InteropClient, backup: bytes, world: World) -> InteropClient:
    """The same account, gone back to an old backup: in a new process, as far as keys and sessions go."""
    await client.close()
    again = type(client)(client.transport, ClientState.from_bytes(backup), options=QUIET)
    world.close_later(again)
    await again.connect()
    return again


async def nothing_left(*clients: InteropClient) -> None:
    """Checks that nothing waits for anybody, and that nobody has given up on anything."""
    for client in clients:
        await client.ping()
        with pytest.raises(TimeoutError):
            await client.wait_for(lambda event: isinstance(event, TextReceived | Undecryptable), 0)


@pytest.mark.requirement("RCP-04")
@pytest.mark.parametrize("who", ["recipient", "sender"])
@pytest.mark.parametrize("since", ["b", "a", "bbaa", "aabbb", "abababababababab"])
async def test_somebody_goes_back_to_an_old_backup(world: World, who: str, since: str) -> None:
    """However far the keys have moved on since; afterwards both ways work as before (RCP-03, RCP-04).

    1. Alice (`a`) and Bob (`b`) write to each other, in this order.
    2. Bob goes back to how he was before: he will use keys a second time, and others' keys are ahead of his.
    3. He writes, or is written to, first.
    """
    alice, bob = await pair(world)
    backup = bob.state.to_bytes()
    for writer in since:
        await (talk(alice, bob, "since then") if writer == "a" else talk(bob, alice, "since then"))
    bob = await restored(bob, backup, world)
    sender, recipient = (alice, bob) if who == "recipient" else (bob, alice)
    await talk(sender, recipient, "one", "two", "three")
    await talk(recipient, sender, "four", "five")
    await talk(sender, recipient, "six")
    await nothing_left(alice, bob)


async def test_both_go_back_to_old_backups(world: World) -> None:
    """Of different times, and both write at once."""
    alice, bob = await pair(world)
    backup_of_bob = bob.state.to_bytes()
    await talk(bob, alice, "a", "b")
    await talk(alice, bob, "c")
    backup_of_alice = alice.state.to_bytes()
    await talk(bob, alice, "d")
    await talk(alice, bob, "e", "f")
    alice, bob = await restored(alice, backup_of_alice, world), await restored(bob, backup_of_bob, world)
    sent = [(await sender.send_text(to, "mended")).id for sender, to in ((alice, bob.jid), (bob, alice.jid))]
    assert [(await bob.wait_for(TextReceived)).id, (await alice.wait_for(TextReceived)).id] == sent
    await talk(alice, bob, "g", "h")
    await talk(bob, alice, "i")
    await nothing_left(alice, bob)


async def test_a_sender_who_uses_keys_a_second_time_is_asked_for_the_message(world: World) -> None:
    """Bob goes back by one message: his next has that one's key. It is new, and must not be taken for a repetition."""
    alice, bob = await pair(world)
    backup = bob.state.to_bytes()
    await talk(bob, alice, "before")
    bob = await restored(bob, backup, world)
    await talk(bob, alice, "after")
    awaited = await alice.wait_for(MessageAwaited)
    assert (awaited.reason, awaited.retry_count) == ("DuplicateMessage", 1)
    await nothing_left(alice, bob)


async def test_a_first_message_for_a_lost_one_time_prekey(world: World) -> None:
    """Bob has lost the private halves: the second request brings a prekey that the server never had (RCP-03)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    published = {prekey.public_key for prekey in bob.state.signal.unused_one_time_prekeys()}
    bob.state.signal.one_time_prekeys.clear()
    sent = await alice.send_text(bob.jid, "Hello")
    received = await bob.wait_for(TextReceived)
    assert (received.id, received.text, received.retry_count) == (sent.id, "Hello", 2)
    awaited = [await bob.wait_for(MessageAwaited) for _ in range(2)]
    assert [(event.id, event.retry_count, event.reason) for event in awaited] == [
        (sent.id, 1, "InvalidKeyId"),
        (sent.id, 2, "InvalidKeyId"),
    ]
    requested = [await alice.wait_for(RetryRequested) for _ in range(2)]
    assert [(event.sender, event.retry_count, event.reason) for event in requested] == [
        (bob.jid, 1, 3),
        (bob.jid, 2, 3),
    ]
    resent = [await alice.wait_for(MessageResent) for _ in range(2)]
    assert [(event.to_jid, event.id, event.retry_count) for event in resent] == [
        (bob.jid, sent.id, 1),
        (bob.jid, sent.id, 2),
    ]
    assert not published & {prekey.public_key for prekey in bob.state.signal.unused_one_time_prekeys()}
    assert bob.state.signal.one_time_prekeys == {}, "a prekey that was made for the retry is left"
    await nothing_left(alice, bob)


async def test_a_message_without_a_session_is_asked_for_once(world: World) -> None:
    """One request is enough when the server still has good prekeys; the proof of what it says comes along (ABU-04)."""
    alice, bob = await pair(world)
    bob.state.signal.delete_session(alice.jid)
    sent = await alice.send_text(bob.jid, "Hello")
    received = await bob.wait_for(TextReceived)
    assert (received.id, received.retry_count) == (sent.id, 1)
    assert received.evidence is not None
    assert received.timestamp_ms >= sent.timestamp_ms
    await nothing_left(alice, bob)


async def test_whoever_asks_while_the_sender_is_away_gets_it_later(world: World) -> None:
    """The request waits in the sender's mailbox, and the resend in the recipient's (RCP-03)."""
    alice, bob = await pair(world)
    await bob.close()
    sent = [(await alice.send_text(bob.jid, text)).id for text in ("one", "two", "three")]
    await alice.close()
    bob.state.signal.delete_session(alice.jid)
    await bob.connect()
    for _ in sent:
        await bob.wait_for(MessageAwaited)
    await bob.ping()
    await bob.close()
    await alice.connect()
    for _ in sent:
        await alice.wait_for(MessageResent)
    await alice.close()
    await bob.connect()
    arrived = [await bob.wait_for(TextReceived) for _ in sent]
    assert [(event.id, event.text) for event in arrived] == list(zip(sent, ("one", "two", "three"), strict=True))


async def test_what_is_not_kept_is_found_by_the_application(world: World) -> None:
    """Alice's process is another one since she wrote; without the application she says that she cannot answer."""
    kept = {}

    async def find_sent(to: str, message_id: str) -> object:
        return kept.get((to, message_id))

    alice, bob = await pair(world)
    for options, answer in (
        (QUIET, RetryUnanswered),
        (ClientOptions(refill_count=0, find_sent=find_sent), MessageResent),
    ):
        await bob.close()
        sent = await alice.send_text(bob.jid, "Do you remember?")
        kept[bob.jid, sent.id] = sent.content
        await alice.close()
        alice = type(alice)(alice.transport, ClientState.from_bytes(alice.state.to_bytes()), options=options)
        world.close_later(alice)
        bob.state.signal.delete_session(alice.jid)
        await bob.connect()
        await bob.wait_for(MessageAwaited)
        await alice.connect()
        answered = await alice.wait_for(answer)
        assert (answered.to_jid, answered.id) == (bob.jid, sent.id)
    received = await bob.wait_for(TextReceived)
    assert (received.id, received.text) == (sent.id, "Do you remember?")
    assert received.evidence is not None


@pytest.mark.requirement("RCP-04", "MSG-10")
async def test_after_five_requests_a_client_gives_up(world: World) -> None:
    """Whatever Alice sends, nobody can open: Bob asks five times, from the second on with keys, then nacks (RCP-04)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    async with Wire(alice.transport) as wire:
        await wire.take_until("offline_end")
        for count in range(6):
            message = sealed_message(bob.jid, "m1")
            message.message.retry_count = count
            await wire.send(message)
            if count == 5:
                break
            receipt = (await wire.take_until("retry_receipt"))[-1].retry_receipt
            assert (receipt.message_id, receipt.retry_count) == ("m1", count + 1)
            assert receipt.HasField("keys") == (count > 0)
            assert receipt.registration_id == bob.state.signal.registration_id
        given_up = await bob.wait_for(Undecryptable)
        assert (given_up.sender, given_up.id) == (alice.jid, "m1")
        await bob.ping()
        assert not any(stanza.HasField("retry_receipt") for stanza in await wire.ping())
    assert bob.state.signal.one_time_prekeys.keys() <= set(range(1, 21)), "prekeys that were given in vain are left"


@pytest.mark.requirement("MSG-05")
async def test_a_replaced_device_gets_the_message_in_a_new_session(world: World) -> None:
    """Bob's keys are the same, but the device is another: Alice finds out when she writes, and does so (MSG-05)."""
    alice, bob = await pair(world)
    bob.state.signal.registration_id += 1
    await bob.publish_prekeys(20)
    assert alice.state.signal.remote_registration_id(bob.jid) != bob.state.signal.registration_id
    await talk(alice, bob, "one", "two")
    assert alice.state.signal.remote_registration_id(bob.jid) == bob.state.signal.registration_id
    await talk(bob, alice, "three")
    await nothing_left(alice, bob)


class Archive:
    """A person's application: keeps what they sent and what they got, and does not forget with the client's state."""

    def __init__(self, client: InteropClient) -> None:
        self.sent: dict[tuple[str, str], content_pb2.Message] = {}
        self.got: dict[str, str] = {}
        self.given_up: set[str] = set()
        self.backups = [client.state.to_bytes()]
        self.client = client

    async def find_sent(self, to: str, message_id: str) -> content_pb2.Message | None:
        return self.sent.get((to, message_id))

    async def keep(self, event: Event) -> None:
        if isinstance(event, TextReceived):
            assert self.got.setdefault(event.id, event.text) == event.text
        elif isinstance(event, Undecryptable):
            self.given_up.add(event.id)

    def knows(self, name: tuple[str, str]) -> bool:
        return name[1] in self.got or name[1] in self.given_up

    async def write(self, to: str, text: str) -> None:
        content = content_pb2.Message(conversation=text)
        message_id = self.client.state.take_message_id()
        self.sent[to, message_id] = content
        await self.client.send_message(to, content, message_id)

    async def go_back(self, world: World, backup: int) -> None:
        """Starts anew from a backup, or from the newest state."""
        await self.client.close()
        state = self.backups[backup] if backup < len(self.backups) else self.client.state.to_bytes()
        options = ClientOptions(refill_count=0, find_sent=self.find_sent, on_event=self.keep)
        self.client = type(self.client)(self.client.transport, ClientState.from_bytes(state), options=options)
        world.close_later(self.client)
        await self.client.connect()


@pytest.mark.requirement("RCP-04")
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_lost_every_message_arrives(world: World, seed: int) -> None:
    """Two people write, back up, go back and come again, in any order and without waiting for each other (RCP-03).

    Somebody who goes back while a message is on its way for the fifth time has asked often enough (RCP-04).
    """
    rng = random.Random(seed)
    people = [Archive(client) for client in await pair(world)]
    jids = [person.client.jid for person in people]
    for person in people:
        await person.go_back(world, len(person.backups))
    for step in range(40):
        who = rng.randrange(2)
        person, peer = people[who], jids[1 - who]
        match rng.choice("wwwwwwbgr"):
            case "w":
                await person.write(peer, f"{step}")
            case "b":
                person.backups.append(person.client.state.to_bytes())
            case "g":
                await person.go_back(world, rng.randrange(len(person.backups)))
            case "r":
                await person.go_back(world, len(person.backups))
    async with asyncio.timeout(30):
        while not all(people[peer].knows(name) for me, peer in ((0, 1), (1, 0)) for name in people[me].sent):
            for person in people:
                await person.client.ping()
    for me, peer in ((0, 1), (1, 0)):
        said = {message_id: content.conversation for (_, message_id), content in people[me].sent.items()}
        assert people[peer].got.items() <= said.items()
    assert sum(len(person.got) for person in people) > 10
