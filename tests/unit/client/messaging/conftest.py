"""Alice writes to Bob, whose client is tested."""

from collections.abc import AsyncIterator

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.contents import text_content
from interop_client.signal.content import encode_message
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport, Stanza

ALICE = "31612345678@s.whatsapp.net"
BOB = "12-34@interop"


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
