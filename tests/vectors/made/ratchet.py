"""The Double Ratchet: a conversation in which messages are late, lost, repeated and altered."""

from dataclasses import dataclass, field

from interop_api.e2ee.v1 import session_pb2
from interop_client.signal import CiphertextType, SignalError, SignalState
from interop_client.signal.chain import MAX_FORWARD_JUMP, MessageKeys
from interop_client.signal.keys import KeyPair
from interop_client.signal.messages import MAC_BYTES, Authentication, PreKeySignalMessage, SignalMessage
from interop_client.signal.ratchet import DoubleRatchet
from interop_client.signal.session import Session
from interop_client.signal.x3dh import responder_root_key
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import choice, number, octets, optional, text
from tests.vectors.fixed import Given, flip, secret
from tests.vectors.made import sessions, x3dh
from tests.vectors.made.sessions import ALICE, BOB, SESSION

ERRORS = {
    "BadMac": "BAD_MAC",
    "DuplicateMessage": "DUPLICATE_MESSAGE",
    "InvalidKey": "INVALID_KEY",
    "InvalidMessage": "INVALID_MESSAGE",
    "InvalidSession": "INVALID_SESSION",
    "TooFarInFuture": "TOO_FAR_IN_FUTURE",
}
"""What the vectors call an error of the SDK."""
_KEYS = {
    "message_secret": optional(octets("HMAC of the chain key over 01; null where a party finds no key.", 32)),
    "cipher_key": optional(octets("AES-256-CBC.", 32)),
    "mac_key": optional(octets("HMAC-SHA256.", 32)),
    "iv": optional(octets("16 bytes.", 16)),
}
_FIELDS = {
    "actor": choice("Whose step it is: alice began the session.", "alice", "bob"),
    "action": choice("What the party does.", "encrypt", "decrypt"),
    "message_id": text("Names the message in this conversation; a letter after it: altered on its way."),
    "plaintext": optional(octets("A serialised Message of content.proto, padded; null where decrypting fails.")),
    "message_type": choice("The type beside the ciphertext.", "pkmsg", "msg"),
    "message": octets("What is sent: a PreKeySignalMessage or a SignalMessage."),
    "signal_message": octets("The SignalMessage, which a PreKeySignalMessage has inside."),
    "ratchet_key": octets("In the SignalMessage; here without 0x05.", 32),
    "counter": number("In the SignalMessage: the number of the message in its chain."),
    "previous_counter": number("In the SignalMessage: how many messages the chain before had."),
    "ciphertext": octets("In the SignalMessage."),
    "mac": octets("The last 8 bytes of the SignalMessage.", 8),
    **_KEYS,
    "new_ratchet_private_key": optional(octets("What the party draws in this step; null: nothing.", 32)),
    "error": optional(choice("Why it cannot be decrypted.", *ERRORS.values())),
    "retry_reason": optional(number("The RetryReason that a retry receipt names for this error.")),
    "state_before": SESSION,
    "state_after": SESSION,
}


@dataclass
class _Sent:
    """A message under way."""

    message_id: str
    plaintext: bytes
    type: CiphertextType
    body: bytes


@dataclass
class _Conversation:
    """Two parties, and the steps that they took."""

    alice: SignalState
    bob: SignalState
    sent: dict[str, _Sent] = field(default_factory=dict)
    steps: list[Vector] = field(default_factory=list)

    def encrypt(self, actor: str, message_id: str, comment: str, said: str) -> None:
        """A party encrypts a message."""
        state, peer = self._side(actor)
        session = state.records[peer].current
        before, position = sessions.show(session, state), session.ratchet.sending_chain
        assert position is not None
        plaintext = sessions.padded(said, 1 + len(self.steps) % 16)
        state.entropy = Given()
        ciphertext = state.encrypt(peer, plaintext)
        sent = self.sent[message_id] = _Sent(message_id, plaintext, ciphertext.type, ciphertext.body)
        step = self._step(actor, "encrypt", sent, comment, position.message_secret(), before)
        self.steps.append(step | {"state_after": sessions.show(session, state)})

    def decrypt(self, actor: str, message_id: str, comment: str) -> None:
        """A party decrypts a message, or fails to."""
        state, peer = self._side(actor)
        sent = self.sent[message_id]
        before = self._before(state, peer)
        inner = signal_message(sent.type, sent.body)
        is_first = peer not in state.records
        key = x3dh.drawn_by(x3dh.FIRST)[2] if is_first else secret(f"ratchet drawn in step {len(self.steps) + 1}")
        state.entropy = drawn = Given(key)
        message_secret = _secret_of(sessions.read_session(before), inner)
        step: Vector = {"error": None, "retry_reason": None}
        try:
            assert state.decrypt(peer, sent.type, sent.body) == sent.plaintext
        except SignalError as error:
            step = {"error": ERRORS[type(error).__name__], "retry_reason": error.retry_reason, "plaintext": None}
        step["new_ratchet_private_key"] = key.hex() if drawn.is_used_up() else None
        after = sessions.show(state.records[peer].current, state) if peer in state.records else before
        whole = self._step(actor, "decrypt", sent, comment, message_secret, before)
        self.steps.append(whole | step | {"state_after": after})

    def alter(self, message_id: str, altered_id: str, body: bytes) -> None:
        """Somebody on the way makes another message of one."""
        sent = self.sent[message_id]
        self.sent[altered_id] = _Sent(altered_id, sent.plaintext, sent.type, body)

    def _side(self, actor: str) -> tuple[SignalState, str]:
        return (self.alice, BOB) if actor == "alice" else (self.bob, ALICE)

    def _before(self, state: SignalState, peer: str) -> Vector:
        if peer in state.records:
            return sessions.show(state.records[peer].current, state)
        return sessions.show(self._responder_session(), state)

    def _responder_session(self) -> Session:
        """What X3DH gives to the responder, who has read nothing yet."""
        message = PreKeySignalMessage.decode(next(iter(self.sent.values())).body)
        signed = self.bob.signed_prekeys[message.signed_prekey_id].key_pair
        assert message.one_time_prekey_id is not None
        single = KeyPair.from_private(self.bob.one_time_prekeys[message.one_time_prekey_id])
        root_key = responder_root_key(self.bob.identity, signed, single, message.identity_key, message.base_key)
        return Session(
            local_identity=self.bob.identity.public_key,
            remote_identity=message.identity_key,
            remote_registration_id=message.registration_id,
            base_key=message.base_key,
            ratchet=DoubleRatchet.respond(root_key, signed),
        )

    def _step(
        self, actor: str, action: str, sent: _Sent, comment: str, message_secret: bytes | None, before: Vector
    ) -> Vector:
        inner = signal_message(sent.type, sent.body)
        keys = message_secret and MessageKeys.expand(message_secret)
        return {
            "name": f"step-{len(self.steps) + 1:02}-{actor}-{action}s-{sent.message_id}",
            "comment": comment,
            "actor": actor,
            "action": action,
            "message_id": sent.message_id,
            "plaintext": sent.plaintext.hex(),
            "message_type": sent.type.value,
            "message": sent.body.hex(),
            "signal_message": inner.encode().hex(),
            "ratchet_key": inner.header.ratchet_key.hex(),
            "counter": inner.header.counter,
            "previous_counter": inner.header.previous_counter,
            "ciphertext": inner.ciphertext.hex(),
            "mac": inner.mac.hex(),
            "message_secret": message_secret and message_secret.hex(),
            "cipher_key": keys and keys.cipher_key.hex(),
            "mac_key": keys and keys.mac_key.hex(),
            "iv": keys and keys.iv.hex(),
            "new_ratchet_private_key": None,
            "error": None,
            "retry_reason": None,
            "state_before": before,
            "state_after": None,
        }


def signal_message(type: CiphertextType, body: bytes) -> SignalMessage:
    """Returns the SignalMessage of a message of either type."""
    if type is CiphertextType.PREKEY:
        return PreKeySignalMessage.decode(body).message
    return SignalMessage.decode(body)


def _secret_of(session: Session, message: SignalMessage) -> bytes | None:
    try:
        return session.ratchet.step(message.header.ratchet_key, message.header.counter).chain_step.secret
    except SignalError:
        return None


def _with(body: bytes, **fields: int | bytes) -> bytes:
    """Returns a SignalMessage with other fields and its old MAC."""
    proto = session_pb2.SignalMessage.FromString(body[1:-MAC_BYTES])
    for name, value in fields.items():
        setattr(proto, name, value)
    return body[:1] + proto.SerializeToString(deterministic=True) + body[-MAC_BYTES:]


def _of_libsignal(body: bytes, step: Vector) -> bytes:
    """Returns a message as libsignal writes it, which says in the version byte that it knows version 4, too."""
    state, covered = step["state_before"], b"\x34" + body[1:-MAC_BYTES]
    identities = (bytes.fromhex(state[f"{whose}_identity_key"]) for whose in ("local", "remote"))
    return covered + Authentication(bytes.fromhex(step["mac_key"]), *identities).mac(covered)


def document() -> Document:
    """Returns the file."""
    alice, bob = sessions.alice(), sessions.bob()
    alice.entropy = Given(*x3dh.drawn_by(x3dh.FIRST)[:2])
    alice.process_bundle(BOB, sessions.bundle_of(bob, True))
    talk = _Conversation(alice, bob)
    _begin(talk)
    _come_late(talk)
    _are_altered(talk)
    _end(talk)
    return Document(
        "ratchet",
        "One conversation, step by step: the session is that of `with-one-time-prekey` in x3dh.json. Each step is whole"
        " in itself: from `state_before`, encrypt the plaintext or decrypt the message, and compare message or "
        "plaintext, keys and `state_after`. Or play all steps in order: each begins where the last one of the same "
        "party ended. Where `error` is set, decrypting fails and nothing changes.",
        ("MSG-02", "MSG-03", "RCP-04"),
        _FIELDS,
        talk.steps,
    )


def _begin(talk: _Conversation) -> None:
    talk.encrypt("alice", "m1", "The first message: the prekeys that alice used are in it.", "Hello")
    talk.encrypt("alice", "m2", "Bob has not answered: the prekeys are in it again. It comes late.", "Are you there?")
    talk.decrypt("bob", "m1", "Bob's first receiving chain, and with it his first sending chain.")
    talk.encrypt("bob", "m3", "The first answer has no prekeys in it.", "Yes")
    talk.decrypt("alice", "m3", "Alice has an answer: she repeats the prekeys no more, and begins a chain.")
    talk.encrypt("alice", "m4", "A message of the new chain; the one before had two.", "Good")


def _come_late(talk: _Conversation) -> None:
    talk.decrypt("bob", "m4", "It overtakes m2, of the chain before, which stays open.")
    talk.decrypt("bob", "m2", "A late message, of an old chain: it changes that chain only.")
    talk.decrypt("bob", "m2", "The same once more: its key was used.")
    for position, said in enumerate(("One", "Two", "Three"), 5):
        talk.encrypt("bob", f"m{position}", "One of three in a row.", said)
    talk.decrypt("alice", "m7", "The third comes first: the keys of the other two are kept.")
    talk.decrypt("alice", "m5", "The first: its key was kept, and is forgotten.")
    talk.decrypt("alice", "m5", "The same once more.")
    talk.encrypt("alice", "m8", "Alice answers, and still misses m6.", "Three, you say")


def _are_altered(talk: _Conversation) -> None:
    talk.alter("m8", "m8a", flip(talk.sent["m8"].body))
    talk.decrypt("bob", "m8a", "Its MAC is another, and it names a new ratchet key: no session fits it.")
    talk.decrypt("bob", "m8", "The right one, after a false one: nothing was lost.")
    talk.encrypt("alice", "m9", "The second message of the chain of m8.", "Where is the second?")
    body = talk.sent["m9"].body
    talk.alter("m9", "m9a", flip(body))
    talk.alter("m9", "m9b", flip(body, -MAC_BYTES - 1))
    talk.alter("m9", "m9c", _with(body, counter=2 + MAX_FORWARD_JUMP))
    talk.decrypt("bob", "m9a", "Its MAC is another; the session knows its ratchet key.")
    talk.decrypt("bob", "m9b", "Its ciphertext is another: the MAC is checked first.")
    talk.decrypt("bob", "m9c", "Its counter is one more than 25,000 ahead of the next.")
    talk.decrypt("bob", "m9", "The right one.")


def _end(talk: _Conversation) -> None:
    talk.encrypt("bob", "m10", "A new chain of bob's; the one before had three messages.", "It comes")
    talk.decrypt("alice", "m10", "A new chain, while m6 of the old one is missing.")
    talk.decrypt("alice", "m6", "The last of the missing ones.")
    talk.encrypt("bob", "m11", "The second message of the chain of m10.", "Done")
    talk.alter("m11", "m11v", _of_libsignal(talk.sent["m11"].body, talk.steps[-1]))
    talk.decrypt("alice", "m11v", "As libsignal writes m11: version byte 0x34, which the MAC covers. It is right.")
    talk.decrypt("alice", "m11", "The other form of it has the same key, which was used.")
