"""Sessions with one party: chooses the one that encrypts or decrypts; knows nothing of prekeys and of other parties.

Both parties can begin a session at the same time, or one can lose its state and begin again, so messages of several
sessions can be in transit at once. A record keeps the current session, which encrypts, and the ones before it, which
only decrypt. A session that decrypts becomes the current one, so that both sides come to use the same one.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from interop_client.signal.chain import MAX_ARCHIVED_JUMP, MAX_FORWARD_JUMP, MAX_SKIPPED_KEYS, MessageKeys
from interop_client.signal.errors import BadMac, InvalidMessage, InvalidSession, NoSession, TooFarInFuture
from interop_client.signal.keys import Entropy
from interop_client.signal.messages import Authentication, Header, SignalMessage
from interop_client.signal.ratchet import DoubleRatchet

MAX_ARCHIVED_SESSIONS = 40
"""How many sessions a record keeps besides the current one; it forgets the oldest. As in libsignal."""

_BLOCK_BITS = 128


@dataclass(frozen=True, slots=True)
class PendingPreKey:
    """The prekey ids that an initiator repeats with each message until the responder has answered."""

    signed_prekey_id: int
    """Id of the responder's signed prekey that the initiator used."""
    one_time_prekey_id: int | None
    """Id of the responder's one-time prekey that the initiator used, if any."""


@dataclass(slots=True)
class Session:
    """A conversation's keys, bound to the identities of both ends."""

    local_identity: bytes
    """32 bytes."""
    remote_identity: bytes
    """32 bytes."""
    remote_registration_id: int
    """32 bits."""
    base_key: bytes
    """The initiator's base key, 32 bytes: names the session."""
    ratchet: DoubleRatchet
    """The keys of the session."""
    pending: PendingPreKey | None = None
    """Set on the initiator's side until the responder has answered."""

    def encrypt(self, plaintext: bytes) -> SignalMessage:
        """Encrypts the next message.

        Raises:
            NoSession: This side is the responder and has received no message yet.
        """
        step = self.ratchet.send()
        header = Header(step.ratchet_key, step.counter, step.previous_counter)
        authentication = Authentication(step.message_keys.mac_key, self.local_identity, self.remote_identity)
        return SignalMessage.seal(header, _encrypt(step.message_keys, plaintext), authentication)

    def decrypt(self, message: SignalMessage, entropy: Entropy, max_jump: int = MAX_FORWARD_JUMP) -> bytes:
        """Decrypts a message, before which so many others may be missing; changes only if the message is authentic.

        Raises:
            BadMac: The message was altered, or belongs to another session.
            DuplicateMessage: The message was decrypted before.
            TooFarInFuture: Too many messages are missing before it.
            InvalidKey: No secret can be agreed with its ratchet key.
            InvalidMessage: The message is authentic, but badly padded.
        """
        step = self.ratchet.step(message.header.ratchet_key, message.header.counter, max_jump)
        keys = step.message_keys
        message.verify(Authentication(keys.mac_key, self.remote_identity, self.local_identity))
        plaintext = _decrypt(keys, message.ciphertext)
        self.ratchet.commit(step, entropy)
        self.pending = None
        return plaintext


@dataclass(slots=True)
class SessionRecord:
    """The identity key of one party, and the sessions with it."""

    remote_identity: bytes
    """The party's identity key, 32 bytes: pinned when first seen. Every session of the record is bound to it."""
    sessions: list[Session] = field(default_factory=list)
    """The current one first, then the archived ones, newest first."""

    @property
    def current(self) -> Session:
        """The session that encrypts.

        Raises:
            NoSession: There is no session.
        """
        if not self.sessions:
            raise NoSession("no session was begun with this party")
        return self.sessions[0]

    def promote(self, session: Session) -> None:
        """Makes a session, new or archived, the current one; forgets the oldest beyond the bound."""
        if not self.sessions or self.sessions[0] is not session:
            others = [other for other in self.sessions if other is not session]
            self.sessions = [session, *others][: 1 + MAX_ARCHIVED_SESSIONS]
            self._bound_skipped_keys()

    def _bound_skipped_keys(self) -> None:
        """Leaves the archived sessions together as many as one chain: a party may begin as many as it likes."""
        room = MAX_SKIPPED_KEYS
        for archived in self.sessions[1:]:
            for chain in reversed(archived.ratchet.receiving_chains):
                room -= chain.keep_newest(room)

    def begun_with(self, base_key: bytes) -> Session | None:
        """Returns the session that this base key (32 bytes) names, if the record has it."""
        return next((session for session in self.sessions if session.base_key == base_key), None)

    def decrypt(self, message: SignalMessage, entropy: Entropy) -> bytes:
        """Decrypts a message with the session that it belongs to.

        Raises:
            NoSession: There is no session.
            InvalidSession: The message fits no session.
            BadMac: A session knows the message's ratchet key, but the message was altered.
            DuplicateMessage: The message was decrypted before.
            TooFarInFuture: Too many messages are missing before it.
            InvalidKey: No secret can be agreed with its ratchet key.
            InvalidMessage: The message is authentic, but badly padded.
        """
        for session in self.sessions:
            if session.ratchet.knows(message.header.ratchet_key):
                return self._decrypt_with(session, message, entropy)
        # Only the MAC tells to which session a new ratchet key belongs.
        with suppress(BadMac):
            return self._decrypt_with(self.current, message, entropy)
        for session in self.sessions[1:]:
            with suppress(BadMac, TooFarInFuture):
                return self._decrypt_with(session, message, entropy, MAX_ARCHIVED_JUMP)
        raise InvalidSession(f"none of {len(self.sessions)} sessions fits the message")

    def _decrypt_with(
        self, session: Session, message: SignalMessage, entropy: Entropy, max_jump: int = MAX_FORWARD_JUMP
    ) -> bytes:
        plaintext = session.decrypt(message, entropy, max_jump)
        self.promote(session)
        return plaintext


def _encrypt(keys: MessageKeys, plaintext: bytes) -> bytes:
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(AES256(keys.cipher_key), CBC(keys.iv)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def _decrypt(keys: MessageKeys, ciphertext: bytes) -> bytes:
    decryptor = Cipher(AES256(keys.cipher_key), CBC(keys.iv)).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise InvalidMessage("an authentic message is badly padded") from error
