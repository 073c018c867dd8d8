"""The symmetric-key ratchet: one key for each message of a chain; knows no Diffie-Hellman and no message format.

A chain key gives the secret of one message, HMAC(chain key, 0x01), and the next chain key, HMAC(chain key, 0x02).
The secret expands to the message keys: HKDF(salt = 0^32, info = "WhisperMessageKeys", 80 bytes).

Source: Signal, "The Double Ratchet Algorithm", sections 2.2 and 2.6; white paper 3.2.
"""

import hmac
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interop_client.signal.errors import DuplicateMessage, TooFarInFuture

MAX_FORWARD_JUMP = 25_000
"""How many messages of a chain may be missing before one, as in libsignal: more than a mailbox holds.

Each costs an HMAC before the message can be authenticated, so this bounds the cost of a forged counter.
"""
MAX_ARCHIVED_JUMP = 2_000
"""The same for a new chain in an archived session: a record has forty, and a forged message is tried with each."""
MAX_SKIPPED_KEYS = 2_000
"""How many secrets of missing messages a chain keeps, and all archived sessions of a record together; the oldest go.

As in libsignal, which keeps as many for each chain of each archived session. Those would be saved with every delivery.
"""

_SALT = bytes(32)


@dataclass(frozen=True, slots=True)
class MessageKeys:
    """The keys that protect one message."""

    cipher_key: bytes = field(repr=False)
    """32 bytes, AES-256-CBC."""
    mac_key: bytes = field(repr=False)
    """32 bytes, HMAC-SHA256."""
    iv: bytes = field(repr=False)
    """16 bytes."""

    @classmethod
    def expand(cls, secret: bytes) -> Self:
        """Expands the 32-byte secret of one message."""
        okm = HKDF(algorithm=SHA256(), length=80, salt=_SALT, info=b"WhisperMessageKeys").derive(secret)
        return cls(okm[:32], okm[32:64], okm[64:])


@dataclass(frozen=True, slots=True)
class ChainKey:
    """A position in a chain."""

    key: bytes = field(repr=False)
    """32 bytes."""
    counter: int = 0
    """Number of the message that this key is for."""

    def next(self) -> "ChainKey":
        """Returns the position after this one, from which this one cannot be computed."""
        return ChainKey(hmac.digest(self.key, b"\x02", "sha256"), self.counter + 1)

    def message_secret(self) -> bytes:
        """Returns the 32-byte secret of the message at this position."""
        return hmac.digest(self.key, b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class ChainStep:
    """The change that one received message makes to its chain, applied once the message is authenticated."""

    counter: int
    """Number of the message."""
    secret: bytes = field(repr=False)
    """32 bytes."""
    chain_key: ChainKey
    """The chain's position afterwards."""
    skipped: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Secrets of the messages skipped, by number."""


@dataclass(slots=True)
class ReceivingChain:
    """The chain of the messages sent under one of the other party's ratchet keys."""

    ratchet_key: bytes
    """The other party's ratchet key, 32 bytes."""
    chain_key: ChainKey
    """The position of the next message expected."""
    skipped: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Secrets of messages that have not come yet, by number; oldest first."""

    def step(self, counter: int, max_jump: int = MAX_FORWARD_JUMP) -> ChainStep:
        """Finds the key of a message without changing the chain.

        Args:
            counter: Number of the message.
            max_jump: How many messages may be missing before it.

        Raises:
            DuplicateMessage: Its key was used before, or was forgotten as too old.
            TooFarInFuture: More messages are missing before it.
        """
        if counter < self.chain_key.counter:
            if counter not in self.skipped:
                raise DuplicateMessage(f"message {counter} of this chain was decrypted before")
            return ChainStep(counter, self.skipped[counter], self.chain_key)
        if counter - self.chain_key.counter > max_jump:
            raise TooFarInFuture(f"message {counter} comes where {self.chain_key.counter} is expected")
        skipped, position = {}, self.chain_key
        while position.counter < counter:
            if position.counter >= counter - MAX_SKIPPED_KEYS:  # the others would be forgotten at once
                skipped[position.counter] = position.message_secret()
            position = position.next()
        return ChainStep(counter, position.message_secret(), position.next(), skipped)

    def commit(self, step: ChainStep) -> None:
        """Applies a step after its message was authenticated: deletes the key of the message for good."""
        self.skipped.pop(step.counter, None)
        self.skipped.update(step.skipped)
        self.keep_newest(MAX_SKIPPED_KEYS)
        self.chain_key = step.chain_key

    def keep_newest(self, count: int) -> int:
        """Forgets the oldest secrets of missing messages beyond a count; returns how many are left."""
        for oldest in list(islice(self.skipped, max(0, len(self.skipped) - count))):
            del self.skipped[oldest]
        return len(self.skipped)
