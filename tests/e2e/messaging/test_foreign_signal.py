"""Two Signal implementations that share no code hold a conversation through the running simulator.

The third-party user's cryptography is python-oldmemo's: AGPL-3.0, a dependency of tests only. Everything that the two
sides know of each other went through the server: enlistment, bundles and messages.
"""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from interop_api.v1 import enlistment_pb2, prekeys_pb2, stanza_pb2
from interop_client.connection.login import third_party_login
from interop_client.connection.transport import DirectTransport
from interop_client.keys.bundles import bundle_from
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import TextReceived
from interop_client.messaging.retries import bundle_of
from interop_client.signal import CiphertextType, PreKeyBundle
from interop_client.signal.content import decode_message, encode_message
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire
from tests.unit.client.signal.test_independent import Oldmemo, Sent

TURNS = 10
MESSAGES_PER_TURN = 10
WIRE_TYPES = {
    CiphertextType.PREKEY: stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE,
    CiphertextType.DOUBLE_RATCHET: stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET,
}
TYPES = {number: kind for kind, number in WIRE_TYPES.items()}
CALL = "/interop_api.v1."


@dataclass
class Foreigner:
    """A third-party user who has nothing of this project's SDK but its connection."""

    transport: DirectTransport
    wire: Wire
    crypto: Oldmemo
    rng: random.Random
    sent: int = 0

    async def publish(self) -> None:
        """Publishes the keys, one one-time prekey among them."""
        bundle = self.crypto.bundle()
        assert bundle.one_time_prekey is not None and bundle.one_time_prekey_id is not None
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=bundle.registration_id,
            key_type=b"\x05",
            identity_key=bundle.identity_key,
            signed_prekey=_signed_prekey(bundle),
            one_time_prekeys=[
                prekeys_pb2.OneTimePreKey(key_id=bundle.one_time_prekey_id, public_key=bundle.one_time_prekey)
            ],
        )
        await self.transport.call(f"{CALL}PreKeyService/SetPreKeys", request, prekeys_pb2.SetPreKeysResponse)

    async def take_bundle(self, jid: str) -> PreKeyBundle:
        """Takes a bundle of somebody."""
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[jid])
        response = await self.transport.call(
            f"{CALL}PreKeyService/TakePreKeyBundles", request, prekeys_pb2.TakePreKeyBundlesResponse
        )
        return bundle_from(response.results[0])

    async def resend(self, to: str, message_id: str, retry_count: int, sent: Sent) -> None:
        """Sends a message under an id, for the first time or as an answer to a retry receipt."""
        enc = stanza_pb2.Enc(type=WIRE_TYPES[sent.type], ciphertext=sent.body)
        stanza = stanza_pb2.Message(
            id=message_id, to_jid=to, type=stanza_pb2.MESSAGE_TYPE_TEXT, enc=[enc], retry_count=retry_count
        )
        await self.wire.send(stanza_pb2.Stanza(message=stanza))

    async def send(self, to: str, messages: list[Sent]) -> None:
        """Sends messages, and sees that the server takes every one."""
        for message in messages:
            self.sent += 1
            enc = stanza_pb2.Enc(type=WIRE_TYPES[message.type], ciphertext=message.body)
            stanza = stanza_pb2.Message(
                id=f"foreign-{self.sent}", to_jid=to, type=stanza_pb2.MESSAGE_TYPE_TEXT, enc=[enc]
            )
            await self.wire.send(stanza_pb2.Stanza(message=stanza))
            acks = (await self.wire.take_until("send_acks"))[-1].send_acks.acks
            assert [(ack.id, ack.HasField("error")) for ack in acks] == [(stanza.id, False)]

    async def receive(self, count: int) -> list[stanza_pb2.Message]:
        """Takes messages off the connection and acks them; still encrypted."""
        messages: list[stanza_pb2.Message] = []
        while len(messages) < count:
            delivery = (await self.wire.take_until("message"))[-1]
            await self.wire.ack([delivery])
            messages.append(delivery.message)
        return messages

    async def read(self, message: stanza_pb2.Message) -> str:
        """Decrypts a text."""
        enc = message.enc[0]
        return decode_message(await self.crypto.decrypt(Sent(TYPES[enc.type], enc.ciphertext, b""))).conversation


@pytest_asyncio.fixture
async def foreigner(world: World) -> AsyncIterator[Foreigner]:
    """Enlisted and connected, with published prekeys."""
    crypto, state = Oldmemo(), ClientState.generate()

    async def log_in() -> object:
        return third_party_login(state.jid, world.partner.issue_token("foreigner"))

    transport = DirectTransport(world.endpoint, state.auth_private_key, log_in)  # type: ignore[arg-type]
    bundle = crypto.bundle()
    form = enlistment_pb2.EnlistRequest(
        authkey=state.auth_public_key,
        e_keytype=b"\x05",
        e_regid=bundle.registration_id.to_bytes(4, "big"),
        e_ident=bundle.identity_key,
        e_skey_id=bundle.signed_prekey_id.to_bytes(3, "big"),
        e_skey_val=bundle.signed_prekey,
        e_skey_sig=bundle.signed_prekey_signature,
        token=world.partner.issue_token("foreigner"),
        protocol_version=1,
    )
    enlisted = await transport.call(f"{CALL}EnlistmentService/Enlist", form, enlistment_pb2.EnlistResponse)
    state.jid = enlisted.success.login
    async with Wire(transport) as wire:
        foreigner = Foreigner(transport, wire, crypto, random.Random(7))
        await foreigner.publish()
        yield foreigner


@pytest.mark.parametrize("foreigner_begins", [True, False], ids=["the foreigner begins", "the SDK begins"])
async def test_over_100_messages_go_each_way_in_any_order(
    world: World, foreigner: Foreigner, foreigner_begins: bool
) -> None:
    """Each turn one side sends ten, shuffled on the way, one of them a turn late; the other reads every one.

    1. Whoever begins takes the other's bundle from the server.
    2. Both read all that the other wrote, in the order in which it comes.
    """
    alice = await world.whatsapp()
    jid = foreigner.wire.login.jid
    if foreigner_begins:
        bundle = await foreigner.take_bundle(alice.jid)
        await foreigner.send(alice.jid, [await foreigner.crypto.initiate(bundle, _content("first"))])
        assert (await alice.wait_for(TextReceived)).text == "first"
    else:
        await alice.send_text(jid, "first")
        assert await foreigner.read((await foreigner.receive(1))[0]) == "first"

    late_to_alice: list[Sent] = []
    late_to_foreigner: list[stanza_pb2.Message] = []
    written_to_alice, read_by_alice = set(), set()
    written_to_foreigner, read_by_foreigner = set(), set()
    for turn in range(TURNS):
        texts = [f"from elsewhere {turn}.{number}" for number in range(MESSAGES_PER_TURN)]
        written_to_alice |= set(texts)
        messages = [await foreigner.crypto.encrypt(_content(text)) for text in texts]
        foreigner.rng.shuffle(messages)
        held = [messages.pop()]
        await foreigner.send(alice.jid, messages + late_to_alice)
        read_by_alice |= await _read(alice, len(messages) + len(late_to_alice))
        late_to_alice = held

        texts = [f"from WhatsApp {turn}.{number}" for number in range(MESSAGES_PER_TURN)]
        written_to_foreigner |= set(texts)
        for text in texts:
            await alice.send_text(jid, text)
        received = await foreigner.receive(MESSAGES_PER_TURN)
        foreigner.rng.shuffle(received)
        kept = [received.pop()]
        read_by_foreigner |= {await foreigner.read(message) for message in received + late_to_foreigner}
        late_to_foreigner = kept

    await foreigner.send(alice.jid, late_to_alice)
    read_by_alice |= await _read(alice, len(late_to_alice))
    read_by_foreigner |= {await foreigner.read(message) for message in late_to_foreigner}
    assert len(read_by_alice) == len(read_by_foreigner) == TURNS * MESSAGES_PER_TURN
    assert (read_by_alice, read_by_foreigner) == (written_to_alice, written_to_foreigner)


@pytest.mark.requirement("KEY-01")
async def test_the_bundle_of_the_sdk_verifies_elsewhere_and_is_consumed(world: World, foreigner: Foreigner) -> None:
    """KEY-05: the foreign side takes a bundle with a one-time prekey, and the server has one fewer."""
    alice = await world.whatsapp()
    before = await alice.count_prekeys()

    bundle = await foreigner.take_bundle(alice.jid)
    await foreigner.send(alice.jid, [await foreigner.crypto.initiate(bundle, _content("hello"))])

    assert (await alice.wait_for(TextReceived)).text == "hello"
    assert await alice.count_prekeys() == before - 1
    assert await alice.has_intact_prekeys()


@pytest.mark.requirement("RCP-03", "RCP-04")
async def test_a_retry_receipt_of_the_sdk_begins_a_session_elsewhere(world: World, foreigner: Foreigner) -> None:
    """Alice has lost her session: the foreign side begins one with the keys that she sends along, and both go on.

    1. A message in the old session cannot be read, nor can it when it is sent again in the same session.
    2. The second request brings keys; what is sent again in a session that begins with them is read.
    3. Alice answers in that session.
    """
    alice = await world.whatsapp(options=QUIET)
    jid = foreigner.wire.login.jid
    bundle = await foreigner.take_bundle(alice.jid)
    await foreigner.send(alice.jid, [await foreigner.crypto.initiate(bundle, _content("first"))])
    assert (await alice.wait_for(TextReceived)).text == "first"
    await alice.send_text(jid, "answer")
    assert await foreigner.read((await foreigner.receive(1))[0]) == "answer"

    alice.state.signal.delete_session(jid)
    lost = await foreigner.crypto.encrypt(_content("lost"))
    for retry_count in (0, 1):
        await foreigner.resend(alice.jid, "m1", retry_count, lost)
        receipt = (await foreigner.wire.take_until("retry_receipt"))[-1].retry_receipt
        assert (receipt.message_id, receipt.retry_count) == ("m1", retry_count + 1)
        assert receipt.HasField("keys") == (retry_count > 0)
    again = await foreigner.crypto.initiate(bundle_of(receipt), _content("lost"))
    await foreigner.resend(alice.jid, "m1", 2, again)
    received = await alice.wait_for(TextReceived)
    assert (received.id, received.text, received.retry_count) == ("m1", "lost", 2)
    await alice.send_text(jid, "found")
    assert await foreigner.read((await foreigner.receive(1))[0]) == "found"


async def _read(client: WhatsAppClient, count: int) -> set[str]:
    return {(await client.wait_for(TextReceived)).text for _ in range(count)}


def _content(text: str) -> bytes:
    return encode_message(text_content(text))


def _signed_prekey(bundle: PreKeyBundle) -> prekeys_pb2.SignedPreKey:
    return prekeys_pb2.SignedPreKey(
        key_id=bundle.signed_prekey_id,
        public_key=bundle.signed_prekey,
        signature=bundle.signed_prekey_signature,
    )
