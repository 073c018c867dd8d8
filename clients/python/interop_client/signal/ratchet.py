"""The Double Ratchet: a new chain for each turn of the conversation; knows no message format and no identity.

In the terms of the specification: `root_key` is RK, `ratchet_key` DHs, `sending_chain` CKs, and `receiving_chains`
hold each DHr with its CKr and its share of MKSKIPPED. As in libsignal, the other party's last chains stay open when it
begins a new one. So late messages need no key derived in advance, and the `previous_counter` of a message (PN) is sent,
but not needed.

Source: Signal, "The Double Ratchet Algorithm", sections 2.3, 2.4 and 3.
"""

from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interop_client.signal.chain import MAX_FORWARD_JUMP, ChainKey, ChainStep, MessageKeys, ReceivingChain
from interop_client.signal.errors import NoSession
from interop_client.signal.keys import Entropy, KeyPair

MAX_RECEIVING_CHAINS = 5
"""How many of the other party's newest chains stay open; as in libsignal."""


@dataclass(frozen=True, slots=True)
class SendingStep:
    """Keys and numbers of one message to send."""

    ratchet_key: bytes
    """The sender's ratchet public key, 32 bytes."""
    counter: int
    """Number of the message in its chain, from 0."""
    previous_counter: int
    """How many messages the sender sent in the chain before."""
    message_keys: MessageKeys
    """The keys that protect the message."""


@dataclass(frozen=True, slots=True)
class ReceivingStep:
    """The change that one received message makes to the ratchet, applied once the message is authenticated."""

    chain: ReceivingChain
    """The chain of the message: an open one, or a new one that its ratchet key begins."""
    chain_step: ChainStep
    """The change that the message makes to that chain."""
    root_key: bytes | None = field(repr=False)
    """The root key after a new chain was derived from it; None when the chain was open."""

    @property
    def message_keys(self) -> MessageKeys:
        """The keys that protect the message."""
        return MessageKeys.expand(self.chain_step.secret)


@dataclass(slots=True)
class DoubleRatchet:
    """One side's keys of a conversation."""

    root_key: bytes = field(repr=False)
    """32 bytes."""
    ratchet_key: KeyPair
    """This side's current ratchet key."""
    sending_chain: ChainKey | None
    """None on the responder's side until it has received a message."""
    previous_counter: int = 0
    """How many messages this side sent in the chain before the current one."""
    receiving_chains: list[ReceivingChain] = field(default_factory=list)
    """The other side's chains, oldest first."""

    @classmethod
    def initiate(cls, root_key: bytes, remote_ratchet_key: bytes, entropy: Entropy) -> Self:
        """Begins the initiator's side.

        Args:
            root_key: 32 bytes, from X3DH.
            remote_ratchet_key: The responder's signed prekey, 32 bytes.
            entropy: Makes the first ratchet key.

        Raises:
            InvalidKey: No secret can be agreed with the responder's key.
        """
        ratchet_key = KeyPair.generate(entropy)
        root_key, sending_chain = _root_step(root_key, ratchet_key.agree(remote_ratchet_key))
        return cls(root_key, ratchet_key, sending_chain)

    @classmethod
    def respond(cls, root_key: bytes, signed_prekey: KeyPair) -> Self:
        """Begins the responder's side, whose first ratchet key is its signed prekey."""
        return cls(root_key, signed_prekey, sending_chain=None)

    def send(self) -> SendingStep:
        """Returns the keys of the next message to send, each time new ones.

        Raises:
            NoSession: This side is the responder and has received no message yet.
        """
        if self.sending_chain is None:
            raise NoSession("the initiator has to speak first")
        position = self.sending_chain
        self.sending_chain = position.next()
        keys = MessageKeys.expand(position.message_secret())
        return SendingStep(self.ratchet_key.public_key, position.counter, self.previous_counter, keys)

    def knows(self, remote_ratchet_key: bytes) -> bool:
        """Says whether a chain is open for the other party's ratchet key (32 bytes)."""
        return any(chain.ratchet_key == remote_ratchet_key for chain in self.receiving_chains)

    def step(self, remote_ratchet_key: bytes, counter: int, max_jump: int = MAX_FORWARD_JUMP) -> ReceivingStep:
        """Finds the keys of a received message without changing the ratchet.

        Args:
            remote_ratchet_key: From the message, 32 bytes.
            counter: Number of the message in its chain.
            max_jump: How many messages may be missing before it.

        Raises:
            InvalidKey: No secret can be agreed with the ratchet key.
            DuplicateMessage: The keys were used before.
            TooFarInFuture: Too many messages are missing before it.
        """
        for chain in reversed(self.receiving_chains):
            if chain.ratchet_key == remote_ratchet_key:
                return ReceivingStep(chain, chain.step(counter, max_jump), root_key=None)
        root_key, chain_key = _root_step(self.root_key, self.ratchet_key.agree(remote_ratchet_key))
        chain = ReceivingChain(remote_ratchet_key, chain_key)
        return ReceivingStep(chain, chain.step(counter, max_jump), root_key)

    def commit(self, step: ReceivingStep, entropy: Entropy) -> None:
        """Applies a step after its message was authenticated; a new chain of the other party begins a new one here."""
        step.chain.commit(step.chain_step)
        if step.root_key is None:
            return
        ratchet_key = KeyPair.generate(entropy)
        self.previous_counter = self.sending_chain.counter if self.sending_chain else 0
        self.root_key, self.sending_chain = _root_step(step.root_key, ratchet_key.agree(step.chain.ratchet_key))
        self.ratchet_key = ratchet_key
        self.receiving_chains = [*self.receiving_chains, step.chain][-MAX_RECEIVING_CHAINS:]


def _root_step(root_key: bytes, secret: bytes) -> tuple[bytes, ChainKey]:
    okm = HKDF(algorithm=SHA256(), length=64, salt=root_key, info=b"WhisperRatchet").derive(secret)
    return okm[:32], ChainKey(okm[32:])
