"""One device's state for its Signal sessions, and the operations on it; knows no network, clock or file.

A state changes in memory only. Save `to_bytes()` after every call that may have changed it, and before you send the
result: if the state is lost after a ciphertext was sent, the next one uses its message key a second time.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from interop_client.signal import snapshot, x3dh
from interop_client.signal.errors import InvalidKeyId, UntrustedIdentity
from interop_client.signal.kem import KemKeys, KemPreKeyPublic
from interop_client.signal.keys import (
    Entropy,
    KeyPair,
    PreKeyPublic,
    SignedPreKey,
    SignedPreKeyPublic,
    next_prekey_id,
)
from interop_client.signal.messages import PreKeySignalMessage, SignalMessage
from interop_client.signal.ratchet import DoubleRatchet
from interop_client.signal.session import PendingPreKey, Session, SessionRecord
from interop_client.signal.x3dh import PreKeyBundle
from interop_protocol.curve_keys import is_same_key
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS, MIN_PREKEY_ID, PUBLIC_KEY_BYTES

MAX_SIGNED_PREKEYS = 5
"""How many signed prekeys a device keeps, the current one included: a first message can take up to 30 days to come."""
MAX_RETIRED_PREKEYS = 200
"""How many one-time prekeys a device keeps that are published no more: messages that use them may be under way."""
_MAX_REGISTRATION_ID = 0xFFFFFFFF


class CiphertextType(Enum):
    """The type of an encrypted message. Names follow `CiphertextType` in stanza.proto."""

    PREKEY = "pkmsg"
    DOUBLE_RATCHET = "msg"


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encrypted message."""

    type: CiphertextType
    """The type of the body."""
    body: bytes
    """PreKeySignalMessage or SignalMessage."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys that an account publishes, besides its one-time prekeys."""

    registration_id: int
    """32 bits, not 0."""
    identity_key: bytes
    """32 bytes."""
    signed_prekey: SignedPreKeyPublic
    """The current signed prekey."""


@dataclass(slots=True)
class SignalState:
    """One device's keys and sessions.

    Remote parties are named by their JIDs as text; this class accepts any string.
    """

    registration_id: int
    """32 bits, not 0; changes when the user sets up the device anew."""
    identity: KeyPair
    """The identity key."""
    signed_prekeys: dict[int, SignedPreKey]
    """By id; the current one last."""
    one_time_prekeys: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Private keys of the prekeys that no message has used yet, by id."""
    next_one_time_prekey_id: int = MIN_PREKEY_ID
    """Id of the next one-time prekey to make."""
    records: dict[str, SessionRecord] = field(default_factory=dict)
    """Identity key and sessions of each remote party."""
    kem: KemKeys = field(default_factory=KemKeys)
    """Post-quantum prekeys, which no session uses."""
    offered_signed_prekey: SignedPreKey | None = None
    """The next signed prekey, which the server may have or not: it has not confirmed it yet."""
    confirmed_signed_prekey_id: int = MIN_PREKEY_ID
    """Id of the signed prekey that the server confirmed last, so that it gives out: kept whatever becomes of others."""
    offered_one_time_prekeys: list[int] = field(default_factory=list)
    """Ids of one-time prekeys that the server may have or not: it has not confirmed them yet."""
    retired_one_time_prekeys: list[int] = field(default_factory=list)
    """Ids of one-time prekeys that are published no more, oldest first."""
    entropy: Entropy = field(default=os.urandom, repr=False, compare=False)
    """Makes new keys; not saved."""

    @classmethod
    def generate(cls, registration_id: int | None = None, entropy: Entropy = os.urandom) -> Self:
        """Makes the state of a new device, with a signed prekey of id 1 and no one-time prekeys.

        Args:
            registration_id: 1 to 2^32 - 1; None picks one.
            entropy: Makes all keys of the state.

        Raises:
            ValueError: The registration id is out of range.
        """
        identity = KeyPair.generate(entropy)
        if registration_id is None:
            registration_id = 1 + int.from_bytes(entropy(4), "big") % _MAX_REGISTRATION_ID
        elif not 1 <= registration_id <= _MAX_REGISTRATION_ID:
            raise ValueError(f"{registration_id} is not 1 to {_MAX_REGISTRATION_ID}")
        signed_prekey = SignedPreKey.generate(MIN_PREKEY_ID, identity, entropy)
        return cls(registration_id, identity, {signed_prekey.key_id: signed_prekey}, entropy=entropy)

    @classmethod
    def from_bytes(cls, saved: bytes, entropy: Entropy = os.urandom) -> Self:
        """Restores a state from the bytes of `to_bytes`.

        Raises:
            InvalidSnapshot: The bytes are not a saved state that this release can read.
        """
        parts = snapshot.decode(saved)
        return cls(
            parts.registration_id,
            parts.identity,
            parts.signed_prekeys,
            parts.one_time_prekeys,
            parts.next_one_time_prekey_id,
            parts.records,
            parts.kem,
            parts.offered_signed_prekey,
            parts.confirmed_signed_prekey_id,
            parts.offered_one_time_prekeys,
            parts.retired_one_time_prekeys,
            entropy,
        )

    def to_bytes(self) -> bytes:
        """Returns the whole state, private keys included, in the format that `snapshot` documents."""
        return snapshot.encode(
            snapshot.Parts(
                self.registration_id,
                self.identity,
                self.signed_prekeys,
                self.one_time_prekeys,
                self.next_one_time_prekey_id,
                self.records,
                self.kem,
                self.offered_signed_prekey,
                self.confirmed_signed_prekey_id,
                self.offered_one_time_prekeys,
                self.retired_one_time_prekeys,
            )
        )

    @property
    def publishable(self) -> PublicKeys:
        """The public keys to upload; one-time prekeys are uploaded when they are generated."""
        return PublicKeys(self.registration_id, self.identity.public_key, self._signed_prekey.public)

    @property
    def _signed_prekey(self) -> SignedPreKey:
        return self.signed_prekeys[next(reversed(self.signed_prekeys))]

    def offer_signed_prekey(self) -> SignedPreKeyPublic:
        """Returns the next signed prekey, to publish; the same one until it is confirmed or withdrawn (KEY-11).

        The server gives out the current one or this one, so this device opens messages that use either.
        """
        if self.offered_signed_prekey is None:
            key_id = next_prekey_id(self._signed_prekey.key_id)
            self.offered_signed_prekey = SignedPreKey.generate(key_id, self.identity, self.entropy)
        return self.offered_signed_prekey.public

    def rotate_signed_prekey(self) -> SignedPreKeyPublic:
        """Makes the next signed prekey the current one, which is given out from now on (KEY-11).

        A bounded number of old ones still opens sessions.
        """
        rotated = self.offer_signed_prekey()
        self.confirmed_signed_prekey_id = rotated.key_id
        self.renew_signed_prekey()
        return rotated

    def renew_signed_prekey(self) -> None:
        """Makes the next signed prekey the current one, after the server has refused the one before."""
        key_id = self.offer_signed_prekey().key_id
        assert self.offered_signed_prekey is not None
        self.signed_prekeys[key_id], self.offered_signed_prekey = self.offered_signed_prekey, None
        old = [key_id for key_id in self.signed_prekeys if key_id != self.confirmed_signed_prekey_id]
        for oldest in old[: max(0, len(self.signed_prekeys) - MAX_SIGNED_PREKEYS)]:
            del self.signed_prekeys[oldest]

    def offer_one_time_prekeys(self, count: int) -> list[PreKeyPublic]:
        """Returns one-time prekeys to publish: those that the server has not confirmed first, then new ones.

        Args:
            count: 1 to 20,000.

        Raises:
            ValueError: The count is out of range.
        """
        held = [key_id for key_id in self.offered_one_time_prekeys if key_id in self.one_time_prekeys]
        again = [self._public_one_time_prekey(key_id) for key_id in held[:count]]
        new = self.generate_one_time_prekeys(count - len(again)) if len(again) < count else []
        self.offered_one_time_prekeys = held + [prekey.key_id for prekey in new]
        return again + new

    def confirm_one_time_prekeys(self, added: Iterable[PreKeyPublic]) -> None:
        """Notes that the server has these, besides those that it had."""
        confirmed = {prekey.key_id for prekey in added}
        self.offered_one_time_prekeys = [key_id for key_id in self.offered_one_time_prekeys if key_id not in confirmed]

    def replace_one_time_prekeys(self, published: Iterable[PreKeyPublic], private: Iterable[int]) -> None:
        """Notes that the server has these and none of those that it had, which retire.

        Args:
            published: The prekeys that it has.
            private: Ids of prekeys that were given to single senders, and never to the server.
        """
        kept = {prekey.key_id for prekey in published}.union(private)
        self.offered_one_time_prekeys = []
        self._retire(key_id for key_id in self.one_time_prekeys if key_id not in kept)

    def withdraw_one_time_prekeys(self) -> None:
        """Gives up the offered one-time prekeys, after the server has refused them: the next ones are new."""
        offered, self.offered_one_time_prekeys = self.offered_one_time_prekeys, []
        self._retire(offered)

    def _retire(self, key_ids: Iterable[int]) -> None:
        """Keeps the oldest of a generation, which the server gives out first, and the newest generations."""
        retired = [key_id for key_id in self.retired_one_time_prekeys if key_id in self.one_time_prekeys]
        before = set(retired)
        new = [key_id for key_id in key_ids if key_id not in before]
        kept = (retired + new[:MAX_RETIRED_PREKEYS])[-MAX_RETIRED_PREKEYS:]
        self.delete_one_time_prekeys({*retired, *new}.difference(kept))
        self.retired_one_time_prekeys = kept

    def _public_one_time_prekey(self, key_id: int) -> PreKeyPublic:
        return PreKeyPublic(key_id, KeyPair.from_private(self.one_time_prekeys[key_id]).public_key)

    def generate_one_time_prekeys(self, count: int) -> list[PreKeyPublic]:
        """Makes one-time prekeys to upload.

        Args:
            count: 1 to 20,000.

        Returns:
            The prekeys without their private keys, with ids that rise and begin again at 1 after 16,777,215.

        Raises:
            ValueError: The count is out of range.
        """
        if not 1 <= count <= MAX_ONE_TIME_PREKEYS:
            raise ValueError(f"{count} is not 1 to {MAX_ONE_TIME_PREKEYS} prekeys")
        return [self._generate_one_time_prekey() for _ in range(count)]

    def _generate_one_time_prekey(self) -> PreKeyPublic:
        while self.next_one_time_prekey_id in self.one_time_prekeys:
            self.next_one_time_prekey_id = next_prekey_id(self.next_one_time_prekey_id)
        key_id, key_pair = self.next_one_time_prekey_id, KeyPair.generate(self.entropy)
        self.one_time_prekeys[key_id] = key_pair.private_key
        self.next_one_time_prekey_id = next_prekey_id(key_id)
        return PreKeyPublic(key_id, key_pair.public_key)

    @property
    def has_generated_one_time_prekeys(self) -> bool:
        """Says whether this device has ever made one-time prekeys."""
        return bool(self.one_time_prekeys) or self.next_one_time_prekey_id != MIN_PREKEY_ID

    def unused_one_time_prekeys(self) -> list[PreKeyPublic]:
        """Returns the one-time prekeys that no message has used yet, without private keys, to compare or upload."""
        return [self._public_one_time_prekey(key_id) for key_id in self.one_time_prekeys]

    def generate_kem_prekeys(self, count: int) -> list[KemPreKeyPublic]:
        """Makes one-time KEM prekeys to upload, 1 to 5,000 (KEY-15).

        Raises:
            ValueError: The count is out of range.
        """
        return self.kem.generate_one_time(count, self.identity, self.entropy)

    def kem_last_resort(self) -> KemPreKeyPublic:
        """Returns the last-resort KEM prekey to upload; makes one when there is none (KEY-15)."""
        return self.kem.publishable_last_resort(self.identity, self.entropy)

    def renew_signed_keys(self) -> None:
        """Renews the signed prekey and the last-resort KEM prekey, after the server has refused them."""
        self.renew_signed_prekey()
        if self.kem.last_resort is not None:
            self.kem.renew_last_resort(self.entropy)

    def is_pq_downgrade(self, remote: str, bundle: PreKeyBundle) -> bool:
        """Says whether a party's bundle lacks a KEM prekey that it should have (KEY-16).

        It should if an earlier bundle had one, or if the server says that the party has published some before.
        """
        return bundle.kem_prekey is None and (bundle.kem_withdrawn or remote in self.kem.seen)

    def has_session(self, remote: str) -> bool:
        """Says whether there is a session with this party, so that no bundle is needed."""
        return remote in self.records and bool(self.records[remote].sessions)

    def remote_registration_id(self, remote: str) -> int | None:
        """Returns the registration id of the party's device in the current session; None when it is not known."""
        return self._known(remote).current.remote_registration_id or None if self.has_session(remote) else None

    def delete_one_time_prekeys(self, key_ids: Iterable[int]) -> None:
        """Deletes one-time prekeys that no sender will use any more. Idempotent."""
        for key_id in key_ids:
            self.one_time_prekeys.pop(key_id, None)

    def delete_session(self, remote: str) -> None:
        """Deletes all sessions with a party, but keeps its identity key. Idempotent."""
        if remote in self.records:
            self.records[remote].sessions.clear()

    def trusted_identity(self, remote: str) -> bytes | None:
        """Returns the identity key pinned for a party (32 bytes); None when none is pinned."""
        return self.records[remote].remote_identity if remote in self.records else None

    def accept_identity(self, remote: str, identity_key: bytes | None = None) -> None:
        """Accepts another identity key of a party, and deletes the sessions bound to the one before.

        Args:
            remote: The party.
            identity_key: The key to pin, for example `UntrustedIdentity.presented`, 32 bytes; None pins the next one
                that the party presents.

        Raises:
            ValueError: The key is not 32 bytes, or the party is no text: the state could not be saved and read again.
        """
        _check_name(remote)
        if identity_key is None:
            self.records.pop(remote, None)
            return
        if not isinstance(identity_key, bytes) or len(identity_key) != PUBLIC_KEY_BYTES:
            raise ValueError(f"an identity key is {PUBLIC_KEY_BYTES} bytes")
        if identity_key != self.trusted_identity(remote):
            self.records[remote] = SessionRecord(identity_key)

    def process_bundle(self, remote: str, bundle: PreKeyBundle) -> None:
        """Begins a session with a party and makes it the current one; nothing changes when it fails.

        The session is a classical one: a KEM prekey is verified and remembered, not used (see `kem`).

        Raises:
            InvalidKey: A key of the bundle is malformed or weak.
            InvalidSignature: The bundle's identity key did not sign one of its signed keys.
            UntrustedIdentity: The bundle's identity key is not the pinned one.
            ValueError: The party is no text: the state could never be saved again.
        """
        _check_name(remote)
        bundle.verify()
        self._check_identity(remote, bundle.identity_key)
        base_key = KeyPair.generate(self.entropy)
        root_key = x3dh.initiator_root_key(self.identity, base_key, bundle)
        session = Session(
            local_identity=self.identity.public_key,
            remote_identity=bundle.identity_key,
            remote_registration_id=bundle.registration_id,
            base_key=base_key.public_key,
            ratchet=DoubleRatchet.initiate(root_key, bundle.signed_prekey, self.entropy),
            pending=PendingPreKey(bundle.signed_prekey_id, bundle.one_time_prekey_id),
        )
        self._record(remote, bundle.identity_key).promote(session)
        if bundle.kem_prekey is not None:
            self.kem.seen.add(remote)

    def encrypt(self, remote: str, plaintext: bytes) -> Ciphertext:
        """Encrypts a message with the current session; save the state before sending the result.

        Raises:
            NoSession: There is no session with this party.
        """
        session = self._known(remote).current
        pending, message = session.pending, session.encrypt(plaintext)
        if pending is None:
            return Ciphertext(CiphertextType.DOUBLE_RATCHET, message.encode())
        prekey_message = PreKeySignalMessage(
            registration_id=self.registration_id,
            signed_prekey_id=pending.signed_prekey_id,
            one_time_prekey_id=pending.one_time_prekey_id,
            base_key=session.base_key,
            identity_key=self.identity.public_key,
            message=message,
        )
        return Ciphertext(CiphertextType.PREKEY, prekey_message.encode())

    def decrypt(self, remote: str, type: CiphertextType, body: bytes) -> bytes:
        """Decrypts a message; the state changes only when the message is authentic.

        Raises:
            SignalError: One of its subclasses, each for another decision of the caller; see `errors`.
        """
        if type is CiphertextType.DOUBLE_RATCHET:
            return self._known(remote).decrypt(SignalMessage.decode(body), self.entropy)
        message = PreKeySignalMessage.decode(body)
        self._check_identity(remote, message.identity_key)
        session = self._known(remote).begun_with(message.base_key)
        is_new = session is None
        if session is None:
            session = self._respond(message)
        plaintext = session.decrypt(message.message, self.entropy)
        self._record(remote, message.identity_key).promote(session)
        if is_new and message.one_time_prekey_id is not None:
            del self.one_time_prekeys[message.one_time_prekey_id]
        return plaintext

    def _respond(self, message: PreKeySignalMessage) -> Session:
        signed_prekey = self._held_signed_prekey(message.signed_prekey_id)
        one_time_prekey = None
        if message.one_time_prekey_id is not None:
            if message.one_time_prekey_id not in self.one_time_prekeys:
                raise InvalidKeyId(f"one-time prekey {message.one_time_prekey_id} is not held, or was used")
            one_time_prekey = KeyPair.from_private(self.one_time_prekeys[message.one_time_prekey_id])
        root_key = x3dh.responder_root_key(
            self.identity, signed_prekey, one_time_prekey, message.identity_key, message.base_key
        )
        return Session(
            local_identity=self.identity.public_key,
            remote_identity=message.identity_key,
            remote_registration_id=message.registration_id,
            base_key=message.base_key,
            ratchet=DoubleRatchet.respond(root_key, signed_prekey),
        )

    def _held_signed_prekey(self, key_id: int) -> KeyPair:
        if key_id in self.signed_prekeys:
            return self.signed_prekeys[key_id].key_pair
        if self.offered_signed_prekey is not None and self.offered_signed_prekey.key_id == key_id:
            return self.offered_signed_prekey.key_pair
        raise InvalidKeyId(f"signed prekey {key_id} is not held")

    def _check_identity(self, remote: str, presented: bytes) -> None:
        known = self.trusted_identity(remote)
        if known is not None and not is_same_key(known, presented):
            raise UntrustedIdentity(remote, known, presented)

    def _known(self, remote: str) -> SessionRecord:
        return self.records.get(remote) or SessionRecord(b"")

    def _record(self, remote: str, identity_key: bytes) -> SessionRecord:
        return self.records.setdefault(remote, SessionRecord(identity_key))


def _check_name(remote: object) -> None:
    if not isinstance(remote, str):
        raise ValueError("the name of a party is a text")
