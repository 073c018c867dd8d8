"""Alice writes to Bob, whose client is tested; or she takes what he writes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import errors_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.contents import text_content
from interop_client.signal.content import decode_message, encode_message
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport, Stanza

ALICE = "31612345678@s.whatsapp.net"
BOB = "12-34@interop"
TAKE_BUNDLES = "/interop_api.v1.PreKeyService/TakePreKeyBundles"
TYPES = {
    stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE: CiphertextType.PREKEY,
    stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET: CiphertextType.DOUBLE_RATCHET,
}


def bundle_of(signal: SignalState) -> PreKeyBundle:
    keys = signal.publishable
    signed = keys.signed_prekey
    return PreKeyBundle(keys.registration_id, 0, keys.identity_key, signed.key_id, signed.public_key, signed.signature)


class Alice:
    """Writes to Bob, as the server would deliver it."""

    def __init__(self, bob: ClientState) -> None:
        self.signal = SignalState.generate()
        self.signal.process_bundle(BOB, bundle_of(bob.signal))
        self._delivery_id = 0

    def skip(self, count: int) -> None:
        """Leaves out ids of deliveries and messages, which another device of hers has used."""
        self._delivery_id += count

    def delivery(self, text: str, *, offline: bool = False) -> Stanza:
        return self.delivery_of(text_content(text), offline=offline)

    def delivery_of(self, content: content_pb2.Message, *, offline: bool = False) -> Stanza:
        self._delivery_id += 1
        ciphertext = self.signal.encrypt(BOB, encode_message(content))
        is_first = ciphertext.type is CiphertextType.PREKEY
        enc = stanza_pb2.Enc(
            type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE if is_first else stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET,
            ciphertext=ciphertext.body,
        )
        message = stanza_pb2.Message(id=f"m{self._delivery_id}", enc=[enc], timestamp_ms=1, from_jid=ALICE)
        return Stanza(message=message, delivery_id=self._delivery_id, offline=offline)


class CheckingStore(MemoryStore):
    """Notes what had been acked when it was called."""

    def __init__(self, transport: ScriptedTransport) -> None:
        super().__init__()
        self._transport = transport
        self.acked_before_save: list[list[int]] = []

    def save(self, snapshot: bytes) -> None:
        self.acked_before_save.append(self._transport.acked)
        super().save(snapshot)


@pytest.fixture
def state() -> ClientState:
    return ClientState.generate(BOB)


@pytest.fixture
def alice(state: ClientState) -> Alice:
    return Alice(state)


@pytest.fixture
async def bob(transport: ScriptedTransport, state: ClientState) -> AsyncIterator[InteropClient]:
    async with InteropClient(transport, state) as client:
        yield client


def retry(message_id: str, count: int = 1, delivery_id: int = 50, **changes: Any) -> Stanza:
    receipt = stanza_pb2.RetryReceipt(message_id=message_id, retry_count=count, reason=7, from_jid=ALICE)
    receipt.MergeFrom(stanza_pb2.RetryReceipt(**changes))
    return Stanza(retry_receipt=receipt, delivery_id=delivery_id)


class Peer:
    """Alice as a recipient of Bob's messages: gives bundles, takes messages, and opens them."""

    def __init__(self, transport: ScriptedTransport) -> None:
        self.signal = SignalState.generate()
        self.state = ClientState(ALICE, bytes(32), self.signal)
        self._transport = transport
        self._seen = 0
        transport.answers[TAKE_BUNDLES] = self._bundle

    def _bundle(self, request: Any) -> prekeys_pb2.TakePreKeyBundlesResponse:
        keys = bundle_of(self.signal)
        signed = prekeys_pb2.SignedPreKey(
            key_id=keys.signed_prekey_id, public_key=keys.signed_prekey, signature=keys.signed_prekey_signature
        )
        bundle = prekeys_pb2.PreKeyBundle(
            registration_id=keys.registration_id, identity_key=keys.identity_key, signed_prekey=signed
        )
        result = prekeys_pb2.PreKeyBundleResult(jid=ALICE, bundles=[bundle])
        return prekeys_pb2.TakePreKeyBundlesResponse(results=[result])

    async def take(self, **refusal: Any) -> stanza_pb2.Message:
        """Takes the next message that Bob sends, or refuses it."""
        self._seen += 1
        await self._transport.until(lambda: len(self._transport.of_kind("message")) >= self._seen)
        message: stanza_pb2.Message = self._transport.of_kind("message")[self._seen - 1]
        ack = stanza_pb2.SendAck(id=message.id, **(refusal or {"timestamp_ms": self._seen}))
        self._transport.deliver(Stanza(send_acks=stanza_pb2.SendAcks(acks=[ack])))
        return message

    def open(self, message: stanza_pb2.Message) -> str:
        enc = message.enc[0]
        return decode_message(self.signal.decrypt(BOB, TYPES[enc.type], enc.ciphertext)).conversation


@pytest.fixture
def peer(transport: ScriptedTransport) -> Peer:
    return Peer(transport)


async def say(bob: InteropClient, peer: Peer, text: str) -> stanza_pb2.Message:
    sending = asyncio.create_task(bob.send_text(ALICE, text))
    message = await peer.take()
    await sending
    return message


def error(reason: str, **facts: Any) -> errors_pb2.Refusal:
    return errors_pb2.Refusal(reason=errors_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}"), **facts)
