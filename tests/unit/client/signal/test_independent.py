"""Conversations with an independent implementation of libsignal's session version 3.

The other side is python-oldmemo, with the DoubleRatchet and X3DH packages of the same author. oldmemo is AGPL-3.0: a
dependency of this test only, never shipped and never imported by the product.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import x3dh
import xeddsa
from doubleratchet.recommended.diffie_hellman_ratchet_curve25519 import DiffieHellmanRatchet
from oldmemo.oldmemo import (
    AEADImpl,
    DoubleRatchetImpl,
    EncryptedKeyMaterialImpl,
    KeyExchangeImpl,
    MessageChainKDFImpl,
    RootChainKDFImpl,
    StateImpl,
)

from interop_client.signal import Ciphertext, CiphertextType, PreKeyBundle, SignalState

ROUNDS = 20
THEIR_SIGNED_PREKEY_ID, THEIR_PREKEY_ID = 3, 9
SIGN_BIT = 0x80
RATCHET = (
    DiffieHellmanRatchet,
    RootChainKDFImpl,
    MessageChainKDFImpl,
    DoubleRatchetImpl.MESSAGE_CHAIN_CONSTANT,
    1_000,
    1_000,
    AEADImpl,
)


class Sent(NamedTuple):
    """A message on its way."""

    type: CiphertextType
    body: bytes
    plaintext: bytes


@dataclass
class Oldmemo:
    """The other implementation, driven as its own backend drives it, but with plaintexts of any length."""

    x3dh: StateImpl = field(default_factory=lambda: _new_x3dh_state())
    ratchet: DoubleRatchetImpl | None = None
    key_exchange: KeyExchangeImpl | None = None
    """Sent along until the other side has answered."""
    their_identity: bytes = b""
    """33 bytes."""

    @property
    def identity(self) -> bytes:
        return StateImpl.serialize_public_key(xeddsa.ed25519_pub_to_curve25519_pub(self.x3dh.bundle.identity_key))

    def bundle(self) -> PreKeyBundle:
        """What it publishes, in the form of the interop server."""
        bundle = self.x3dh.bundle
        (prekey,) = bundle.pre_keys
        sign = bundle.identity_key[-1] & SIGN_BIT
        signature = bundle.signed_pre_key_sig
        return PreKeyBundle(
            registration_id=1,
            device_id=0,
            identity_key=self.identity[1:],
            signed_prekey_id=THEIR_SIGNED_PREKEY_ID,
            signed_prekey=bundle.signed_pre_key,
            signed_prekey_signature=signature[:-1] + bytes((signature[-1] | sign,)),
            one_time_prekey_id=THEIR_PREKEY_ID,
            one_time_prekey=prekey,
        )

    async def initiate(self, bundle: PreKeyBundle, plaintext: bytes) -> Sent:
        assert bundle.one_time_prekey is not None and bundle.one_time_prekey_id is not None
        sign, signature = bundle.signed_prekey_signature[-1] & SIGN_BIT, bundle.signed_prekey_signature
        their_bundle = x3dh.Bundle(
            xeddsa.curve25519_pub_to_ed25519_pub(bundle.identity_key, bool(sign)),
            bundle.signed_prekey,
            signature[:-1] + bytes((signature[-1] ^ sign,)),
            frozenset({bundle.one_time_prekey}),
        )
        secret, associated_data, header = await self.x3dh.get_shared_secret_active(their_bundle)
        self.their_identity = StateImpl.serialize_public_key(bundle.identity_key)
        self.key_exchange = KeyExchangeImpl(header, bundle.signed_prekey_id, bundle.one_time_prekey_id)
        self.ratchet, message = await DoubleRatchetImpl.encrypt_initial_message(
            *RATCHET, secret, bundle.signed_prekey, plaintext, associated_data
        )
        return Sent(CiphertextType.PREKEY, self.key_exchange.serialize(message.ciphertext)[0], plaintext)

    async def encrypt(self, plaintext: bytes) -> Sent:
        assert self.ratchet is not None
        message = await self.ratchet.encrypt_message(plaintext, self.identity + self.their_identity)
        if self.key_exchange is None:
            return Sent(CiphertextType.DOUBLE_RATCHET, message.ciphertext, plaintext)
        return Sent(CiphertextType.PREKEY, self.key_exchange.serialize(message.ciphertext)[0], plaintext)

    async def decrypt(self, sent: Sent) -> bytes:
        body = sent.body
        if sent.type is CiphertextType.PREKEY:
            exchange, body = KeyExchangeImpl.parse(body, False)
            if self.ratchet is None:
                return await self._respond(exchange, body)
        assert self.ratchet is not None
        message = EncryptedKeyMaterialImpl.parse(body, "", 0).encrypted_message
        plaintext = await self.ratchet.decrypt_message(message, self.their_identity + self.identity)
        self.key_exchange = None
        return plaintext

    async def _respond(self, exchange: KeyExchangeImpl, body: bytes) -> bytes:
        assert (exchange.signed_pre_key_id, exchange.pre_key_id) == (THEIR_SIGNED_PREKEY_ID, THEIR_PREKEY_ID)
        (prekey,) = self.x3dh.bundle.pre_keys
        header = exchange.header._replace(signed_pre_key=self.x3dh.bundle.signed_pre_key, pre_key=prekey)
        secret, associated_data, signed_prekey = await self.x3dh.get_shared_secret_passive(header)
        self.their_identity = associated_data[: len(self.identity)]
        message = EncryptedKeyMaterialImpl.parse(body, "", 0).encrypted_message
        self.ratchet, plaintext = await DoubleRatchetImpl.decrypt_initial_message(
            *RATCHET, secret, signed_prekey.priv, message, associated_data
        )
        return plaintext


@dataclass
class Conversation:
    """Both implementations, and the order in which messages come."""

    ours: SignalState
    theirs: Oldmemo
    rng: random.Random
    delivered: int = 0

    def our_message(self, number: int) -> Sent:
        plaintext = b"ours %d " % number * self.rng.randrange(1, 9)
        return Sent(*_fields(self.ours.encrypt("them", plaintext)), plaintext)

    async def their_message(self, number: int) -> Sent:
        return await self.theirs.encrypt(b"theirs %d " % number * self.rng.randrange(1, 9))

    async def deliver(self, to_us: bool, sent: Sent) -> None:
        self.delivered += 1
        if sent.type is CiphertextType.DOUBLE_RATCHET:
            assert sent.body[0] == 0x33
        if to_us:
            assert self.ours.decrypt("them", sent.type, sent.body) == sent.plaintext
        else:
            assert await self.theirs.decrypt(sent) == sent.plaintext

    async def hold(self) -> None:
        """Both speak in turn; each turn's messages come shuffled, and one of them only after the next turns."""
        late: list[tuple[bool, Sent]] = []
        for turn in range(ROUNDS):
            to_us = turn % 2 == 0
            messages = [await self.their_message(n) if to_us else self.our_message(n) for n in range(6)]
            self.rng.shuffle(messages)
            late.append((to_us, messages.pop()))
            for sent in messages:
                await self.deliver(to_us, sent)
            if len(late) == 4:
                await self.deliver(*late.pop(0))
        for to_us, sent in late:
            await self.deliver(to_us, sent)


@pytest.mark.parametrize("seed", range(3))
async def test_we_initiate_and_hold_a_conversation_of_over_100_messages(seed: int) -> None:
    """Their bundle verifies, their side accepts our first message, and both understand all that follows."""
    talk = Conversation(SignalState.generate(), Oldmemo(), random.Random(seed))
    talk.ours.process_bundle("them", talk.theirs.bundle())
    first = talk.our_message(0)
    assert first.type is CiphertextType.PREKEY
    await talk.deliver(False, first)
    await talk.hold()
    assert talk.delivered > 100
    assert talk.our_message(0).type is CiphertextType.DOUBLE_RATCHET


@pytest.mark.parametrize("seed", range(3))
async def test_they_initiate_and_hold_a_conversation_of_over_100_messages(
    seed: int, take_bundle: Callable[..., PreKeyBundle]
) -> None:
    """They verify our bundle, we accept their first message, and both understand all that follows."""
    talk = Conversation(SignalState.generate(), Oldmemo(), random.Random(seed))
    first = await talk.theirs.initiate(take_bundle(talk.ours), b"first")
    await talk.deliver(True, first)
    assert talk.ours.one_time_prekeys == {}
    await talk.hold()
    assert talk.delivered > 100
    assert (await talk.their_message(0)).type is CiphertextType.DOUBLE_RATCHET


async def test_our_messages_have_the_length_of_libsignals() -> None:
    """Version byte, protobuf, 8 bytes of MAC: the same plaintext makes messages of the same length on both sides."""
    talk = Conversation(SignalState.generate(), Oldmemo(), random.Random(0))
    talk.ours.process_bundle("them", talk.theirs.bundle())
    await talk.deliver(False, talk.our_message(0))
    theirs = await talk.theirs.encrypt(b"a")
    await talk.deliver(True, theirs)
    ours = talk.ours.encrypt("them", b"a")
    await talk.deliver(False, Sent(*_fields(ours), b"a"))
    theirs = await talk.theirs.encrypt(b"a")
    assert len(ours.body) == len(theirs.body) == 1 + 35 + 2 + 2 + 18 + 8


def _fields(ciphertext: Ciphertext) -> tuple[CiphertextType, bytes]:
    return ciphertext.type, ciphertext.body


def _new_x3dh_state() -> StateImpl:
    state = StateImpl.create(x3dh.IdentityKeyFormat.ED_25519, x3dh.HashFunction.SHA_256, StateImpl.INFO)
    state.generate_pre_keys(1)
    return state
