"""Sessions with one party: which one encrypts, which one decrypts; knows nothing of prekeys and of other parties.

Both parties can begin a session at the same time, or one can lose its state and begin again, so messages of several
sessions can be on their way at once. A record keeps the current session, which encrypts, and the ones before it, which
only decrypt. A session that decrypts becomes the current one: so both sides come to agree.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from interop_client.signal.chain import MessageKeys
from interop_client.signal.errors import BadMac, InvalidMessage, InvalidSession, NoSession
from interop_client.signal.keys import Entropy
from interop_client.signal.messages import Authentication, Header, SignalMessage
from interop_client.signal.ratchet import DoubleRatchet

MAX_ARCHIVED_SESSIONS = 40
"""Sessions that a record keeps besides the current one, the newest; as libsignal."""

_BLOCK_BITS = 128


@dataclass(frozen=True, slots=True)
class PendingPreKey:
    """What an initiator repeats with each message until the responder has answered."""

    signed_prekey_id: int
    """The responder's signed prekey that was used."""
    one_time_prekey_id: int | None
    """The responder's one-time prekey that was used, if any."""


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
    """Its keys."""
    pending: PendingPreKey | None = None
    """Set on the initiator's side until the responder has answered."""

    def encrypt(self, plaintext: bytes) -> SignalMessage:
        """Encrypts the next message.

        Raises:
            NoSession: A responder has received nothing yet.
        """
        step = self.ratchet.send()
        header = Header(step.ratchet_key, step.counter, step.previous_counter)
        authentication = Authentication(step.message_keys.mac_key, self.local_identity, self.remote_identity)
        return SignalMessage.seal(header, _encrypt(step.message_keys, plaintext), authentication)

    def decrypt(self, message: SignalMessage, entropy: Entropy) -> bytes:
        """Decrypts a message; the session changes only when it is authentic.

        Raises:
            BadMac: It was altered, or is of another session.
            DuplicateMessage: It was decrypted before.
            TooFarInFuture: Too many messages are missing before it.
            InvalidKey: No secret can be agreed with its ratchet key.
            InvalidMessage: It is authentic, but badly padded.
        """
        step = self.ratchet.step(message.header.ratchet_key, message.header.counter)
        keys = step.message_keys
        message.verify(Authentication(keys.mac_key, self.remote_identity, self.local_identity))
        plaintext = _decrypt(keys, message.ciphertext)
        self.ratchet.commit(step, entropy)
        self.pending = None
        return plaintext


@dataclass(slots=True)
class SessionRecord:
    """What is remembered of one party."""

    remote_identity: bytes
    """Its identity key, 32 bytes: pinned when first seen. Every session of the record is bound to it."""
    sessions: list[Session] = field(default_factory=list)
    """The current one first, then the archived ones, newest first."""

    @property
    def current(self) -> Session:
        """The session that encrypts.

        Raises:
            NoSession: There is none.
        """
        if not self.sessions:
            raise NoSession("no session was begun with this party")
        return self.sessions[0]

    def promote(self, session: Session) -> None:
        """Makes a session, new or archived, the current one; the oldest beyond the bound is forgotten."""
        if not self.sessions or self.sessions[0] is not session:
            others = [other for other in self.sessions if other is not session]
            self.sessions = [session, *others][: 1 + MAX_ARCHIVED_SESSIONS]

    def begun_with(self, base_key: bytes) -> Session | None:
        """Returns the session that this base key (32 bytes) names, if it is held."""
        return next((session for session in self.sessions if session.base_key == base_key), None)

    def decrypt(self, message: SignalMessage, entropy: Entropy) -> bytes:
        """Decrypts a message with the session that it belongs to.

        Raises:
            NoSession: There is none at all.
            InvalidSession: None of them fits.
            BadMac: One of them knows the message's ratchet key, but the message was altered.
            DuplicateMessage: It was decrypted before.
            TooFarInFuture: Too many messages are missing before it.
            InvalidKey: No secret can be agreed with its ratchet key.
            InvalidMessage: It is authentic, but badly padded.
        """
        for session in self.sessions:
            if session.ratchet.knows(message.header.ratchet_key):
                return self._decrypt_with(session, message, entropy)
        for session in [self.current, *self.sessions[1:]]:
            # Only the MAC tells whose new ratchet key this is.
            with suppress(BadMac):
                return self._decrypt_with(session, message, entropy)
        raise InvalidSession(f"none of {len(self.sessions)} sessions fits the message")

    def _decrypt_with(self, session: Session, message: SignalMessage, entropy: Entropy) -> bytes:
        plaintext = session.decrypt(message, entropy)
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
