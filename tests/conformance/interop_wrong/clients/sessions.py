"""Defects of Signal sessions."""

import os
from typing import Any

from interop_api.e2ee.v1 import session_pb2
from interop_api.v1 import stanza_pb2
from interop_client.messaging import outgoing
from interop_client.messaging.outgoing import Outgoing
from interop_client.signal import messages
from interop_client.signal.chain import ChainStep, ReceivingChain
from interop_client.signal.content import pad_at_random
from interop_client.signal.errors import BadMac, InvalidMessage, TooFarInFuture
from interop_client.signal.keys import Entropy
from interop_client.signal.messages import PreKeySignalMessage, SignalMessage
from interop_client.signal.ratchet import DoubleRatchet, ReceivingStep
from interop_client.signal.session import Session, SessionRecord
from interop_client.signal.store import CiphertextType, SignalState
from interop_wrong.register import wrong_client


@wrong_client("MSG-03.heals-with-each-turn")
def does_not_ratchet() -> None:
    """Makes a ratchet key at the beginning of a session and keeps it."""
    commit = DoubleRatchet.commit

    def keep(self: DoubleRatchet, step: ReceivingStep, entropy: Entropy) -> None:
        own, chain, previous = self.ratchet_key, self.sending_chain, self.previous_counter
        commit(self, step, entropy)
        if step.root_key is not None and chain is not None:
            self.root_key, self.ratchet_key, self.sending_chain = step.root_key, own, chain
            self.previous_counter = previous

    DoubleRatchet.commit = keep  # type: ignore[method-assign]


@wrong_client("MSG-03.no-key-twice")
def does_not_save_what_it_sends() -> None:
    """Saves its sessions when something comes, and not when it has sent something."""

    async def send(self: Outgoing, message: stanza_pb2.Message, plaintext: bytes) -> stanza_pb2.SendAck:
        sealed = self._signal.encrypt(message.to_jid, pad_at_random(plaintext))
        del message.enc[:]
        message.enc.add(type=outgoing._CIPHERTEXT_TYPES[sealed.type], ciphertext=sealed.body)
        return await self._parts.send(message)

    Outgoing._send_encrypted = send  # type: ignore[method-assign]


@wrong_client(
    "MSG-03.out-of-order",
    "MSG-03.first-texts-out-of-order",
    also=(
        "MSG-03.thousand-are-lost",
        "MSG-03.crossing",
        "MSG-03.very-late",
        "MSG-12.edit-before-its-text",
    ),
)
def drops_what_comes_late() -> None:
    """Keeps no keys of messages that were skipped, and takes what comes late for a repetition."""
    commit = ReceivingChain.commit

    def forget(self: ReceivingChain, step: ChainStep) -> None:
        commit(self, step)
        self.skipped.clear()

    ReceivingChain.commit = forget  # type: ignore[method-assign]


@wrong_client("MSG-03.crossing", also=("MSG-03.very-late",))
def forgets_the_chain_before() -> None:
    """Keeps the keys of the other end's newest chain only."""
    commit = DoubleRatchet.commit

    def forget(self: DoubleRatchet, step: ReceivingStep, entropy: Entropy) -> None:
        commit(self, step, entropy)
        del self.receiving_chains[:-1]

    DoubleRatchet.commit = forget  # type: ignore[method-assign]


@wrong_client("MSG-03.thousand-are-lost")
def skips_a_few_hundred() -> None:
    """Gives up when more than 500 messages of a chain are missing."""
    step = ReceivingChain.step

    def give_up(self: ReceivingChain, counter: int, *arguments: int) -> ChainStep:
        if counter - self.chain_key.counter > 500:
            raise TooFarInFuture("too many messages are missing")
        return step(self, counter, *arguments)

    ReceivingChain.step = give_up  # type: ignore[method-assign, assignment]


@wrong_client(
    "MSG-03.same-ciphertext-once",
    "MSG-03.first-text-once",
    also=(
        "MSG-03.old-keys-are-gone",
        "MSG-04.dishonest-replay",
        "MSG-04.dishonest-replay-of-a-first-message",
    ),
)
def keeps_used_keys() -> None:
    """Does not delete the key of a message when it has opened it."""
    commit = ReceivingChain.commit

    def keep(self: ReceivingChain, step: ChainStep) -> None:
        commit(self, step)
        self.skipped[step.counter] = step.secret

    ReceivingChain.commit = keep  # type: ignore[method-assign]


@wrong_client(
    "MSG-03.old-keys-are-gone",
    also=(
        "MSG-03.same-ciphertext-once",
        "MSG-03.first-text-once",
        "MSG-04.dishonest-replay",
        "MSG-04.dishonest-replay-of-a-first-message",
    ),
)
def keeps_all_keys_for_ever() -> None:
    """Keeps every chain with all its keys, so that whoever finds the phone can read what was ever said."""
    keeps_used_keys()
    commit = DoubleRatchet.commit

    def keep(self: DoubleRatchet, step: ReceivingStep, entropy: Entropy) -> None:
        before = list(self.receiving_chains)
        commit(self, step, entropy)
        self.receiving_chains = [*before, *(chain for chain in self.receiving_chains if chain not in before)]

    DoubleRatchet.commit = keep  # type: ignore[method-assign]


@wrong_client("MSG-03.wrong-mac", also=("MSG-02.dishonest-mac",))
def does_not_verify_macs() -> None:
    """Opens what fits a chain that it knows without looking at the MAC."""
    decrypt, verify = Session.decrypt, SignalMessage.verify

    def open_it(self: Session, message: SignalMessage, *arguments: Any) -> bytes:
        is_known = self.ratchet.knows(message.header.ratchet_key)
        SignalMessage.verify = (lambda *_: None) if is_known else verify  # type: ignore[method-assign]
        try:
            return decrypt(self, message, *arguments)
        finally:
            SignalMessage.verify = verify  # type: ignore[method-assign]

    Session.decrypt = open_it  # type: ignore[method-assign, assignment]


@wrong_client("MSG-03.wrong-mac-changes-nothing")
def moves_on_before_verifying() -> None:
    """Deletes the key of a message before it verifies the MAC: a forgery costs the real message."""
    decrypt = Session.decrypt

    def open_it(self: Session, message: SignalMessage, entropy: Entropy, *arguments: int) -> bytes:
        try:
            return decrypt(self, message, entropy, *arguments)
        except BadMac:
            if self.ratchet.knows(message.header.ratchet_key):
                self.ratchet.commit(self.ratchet.step(message.header.ratchet_key, message.header.counter), entropy)
            raise

    Session.decrypt = open_it  # type: ignore[method-assign, assignment]


@wrong_client("MSG-03.wrong-version")
def reads_every_version() -> None:
    """Does not look at the version byte."""

    def read(body: bytes) -> None:
        if not 1 < len(body) <= messages.MAX_MESSAGE_BYTES:
            raise InvalidMessage(f"a message has {len(body)} bytes")

    messages._check_version = read


@wrong_client("MSG-03.newer-sender")
def reads_its_own_version_only() -> None:
    """Opens messages only of senders that know no newer session version than itself."""
    check = messages._check_version

    def read(body: bytes) -> None:
        check(body)
        if body[:1] != messages._VERSION_BYTE:
            raise InvalidMessage("another version byte")

    messages._check_version = read


@wrong_client("MSG-03.unknown-field-in-the-header")
def verifies_what_it_has_parsed() -> None:
    """Computes the MAC over the fields that it knows, and not over the bytes as received."""
    decode = SignalMessage.decode.__func__  # type: ignore[attr-defined]

    def read(cls: type[SignalMessage], body: bytes) -> SignalMessage:
        message = decode(cls, body)
        proto = session_pb2.SignalMessage.FromString(message.covered[1:])
        proto.DiscardUnknownFields()
        covered = body[:1] + proto.SerializeToString()
        return SignalMessage(message.header, message.ciphertext, covered, message.mac)

    SignalMessage.decode = classmethod(read)  # type: ignore[method-assign, assignment]


@wrong_client("MSG-03.no-prekey-message-after-the-answer")
def sends_prekey_messages_for_ever() -> None:
    """Does not notice that its prekey messages were answered."""
    decrypt = Session.decrypt

    def open_it(self: Session, *arguments: Any) -> bytes:
        pending = self.pending
        plaintext = decrypt(self, *arguments)
        self.pending = pending
        return plaintext

    Session.decrypt = open_it  # type: ignore[method-assign, assignment]


@wrong_client("MSG-03.prekey-messages-until-answered")
def sends_one_prekey_message() -> None:
    """Sends a prekey message once, and trusts that it comes first."""
    encrypt = Session.encrypt

    def seal(self: Session, plaintext: bytes) -> SignalMessage:
        if self.pending is not None and self.ratchet.sending_chain and self.ratchet.sending_chain.counter:
            self.pending = None
        return encrypt(self, plaintext)

    Session.encrypt = seal  # type: ignore[method-assign]


@wrong_client(
    "MSG-03.session-anew",
    "MSG-03.both-begin-at-once",
    also=(
        "RCP-03.resend-is-shown",
        "RCP-03.second-request-has-keys",
        "RCP-04.no-storm",
        "MSG-01.dishonest-first-message-of-a-stranger",
        "MSG-03.dishonest-ciphertext",
        "MSG-10.dishonest-garbage",
    ),
)
def keeps_the_first_session() -> None:
    """Ignores prekey messages of somebody with whom it has a session already."""
    respond = SignalState._respond

    def refuse(self: SignalState, message: PreKeySignalMessage) -> Session:
        if any(record.remote_identity == message.identity_key and record.sessions for record in self.records.values()):
            raise InvalidMessage("there is a session already")
        return respond(self, message)

    SignalState._respond = refuse  # type: ignore[method-assign]


@wrong_client(
    "MSG-03.ciphertext-of-somebody-else",
    also=(
        "MSG-01.dishonest-known-sender",
        "MSG-01.dishonest-nonsense-sender",
        "MSG-01.dishonest-strange-sender",
    ),
)
def opens_with_any_session() -> None:
    """Looks for a session that fits a ciphertext among those with everybody."""
    decrypt = SignalState.decrypt

    def open_it(self: SignalState, remote: str, type: CiphertextType, body: bytes) -> bytes:
        if type is CiphertextType.DOUBLE_RATCHET:
            key = SignalMessage.decode(body).header.ratchet_key
            for other, record in self.records.items():
                if any(session.ratchet.knows(key) for session in record.sessions):
                    return decrypt(self, other, type, body)
        return decrypt(self, remote, type, body)

    SignalState.decrypt = open_it  # type: ignore[method-assign]


@wrong_client(
    "MSG-03.garbage",
    also=(
        "MSG-03.wrong-version",
        "RCP-04.at-most-five-requests",
        "MSG-03.dishonest-ciphertext",
    ),
)
def ends_on_garbage() -> None:
    """Ends when a message is too short, or is none."""
    check = messages._check_version

    def read(body: bytes) -> None:
        try:
            check(body)
        except InvalidMessage:
            os._exit(1)

    messages._check_version = read


@wrong_client("MSG-03.sessions-survive-a-restart", also=("KEY-01.chats-survive-a-restart",))
def begins_anew_after_a_restart() -> None:
    """Keeps sessions in memory only."""
    to_bytes = SignalState.to_bytes

    def save(self: SignalState) -> bytes:
        sessions = {remote: list(record.sessions) for remote, record in self.records.items()}
        for record in self.records.values():
            record.sessions.clear()
        try:
            return to_bytes(self)
        finally:
            for remote, before in sessions.items():
                self.records[remote].sessions[:] = before

    SignalState.to_bytes = save  # type: ignore[method-assign]


@wrong_client("MSG-03.session-before", also=("MSG-03.both-begin-at-once",))
def forgets_the_session_before() -> None:
    """Keeps one session with each person, the newest."""
    promote = SessionRecord.promote

    def replace(self: SessionRecord, session: Session) -> None:
        promote(self, session)
        del self.sessions[1:]

    SessionRecord.promote = replace  # type: ignore[method-assign]
