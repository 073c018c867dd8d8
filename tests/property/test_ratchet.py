"""Two parties under loss, reordering, duplication, restarts and new sessions: each message is read once, and right."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, precondition, rule

from interop_client.signal import (
    BadMac,
    Ciphertext,
    CiphertextType,
    DuplicateMessage,
    InvalidSession,
    PreKeyBundle,
    SignalState,
)
from interop_client.signal.messages import PreKeySignalMessage, SignalMessage
from interop_client.signal.ratchet import MAX_RECEIVING_CHAINS

NAMES = ("alice", "bob")
MAX_SESSIONS = 8


class Chain(NamedTuple):
    """One chain of one session."""

    base_key: bytes
    ratchet_key: bytes


class Message(NamedTuple):
    """A message on its way."""

    receiver: str
    ciphertext: Ciphertext
    plaintext: bytes
    chain: Chain


@dataclass
class Party:
    """One side, and what the model knows of what it received."""

    state: SignalState = field(default_factory=SignalState.generate)
    chains: list[Chain] = field(default_factory=list)
    read: set[bytes] = field(default_factory=set)

    def has_closed(self, chain: Chain) -> bool:
        """Says whether newer chains of the same session have pushed this one out."""
        of_session = [seen for seen in self.chains if seen.base_key == chain.base_key]
        return chain in of_session[:-MAX_RECEIVING_CHAINS]


class Conversation(RuleBasedStateMachine):
    """What must hold whatever the network does."""

    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.parties = {name: Party() for name in NAMES}
        self.sessions = 0
        self.sent = 0

    @initialize(both=st.booleans())
    def begin(self, both: bool) -> None:
        """One side begins, or both at the same time."""
        for name in NAMES[: 1 + both]:
            self.begin_session(name)

    @precondition(lambda self: self.sessions < MAX_SESSIONS)
    @rule(name=st.sampled_from(NAMES))
    def begin_session(self, name: str) -> None:
        """A side begins a new session, whatever it has."""
        self.sessions += 1
        peer = _other(name)
        self.parties[name].state.process_bundle(peer, _take_bundle(self.parties[peer].state))

    @rule(target=under_way, name=st.sampled_from(NAMES), text=st.binary(max_size=40))
    def send(self, name: str, text: bytes) -> Message:
        """A side sends; the other one does, when this one has no session yet."""
        return self._send(name, text)

    def _send(self, name: str, text: bytes) -> Message:
        sender, receiver = (name, _other(name)) if self.parties[name].state.has_session(_other(name)) else NAMES
        self.sent += 1
        plaintext = b"%d " % self.sent + text
        state = self.parties[sender].state
        ciphertext = state.encrypt(receiver, plaintext)
        chain = Chain(state.records[receiver].current.base_key, _ratchet_key(ciphertext))
        return Message(receiver, ciphertext, plaintext, chain)

    @rule(message=consumes(under_way))
    def deliver(self, message: Message) -> None:
        """A message comes, in whatever order."""
        self._read(message)

    @rule(message=under_way)
    def deliver_and_keep(self, message: Message) -> None:
        """A message comes that may come again."""
        self._read(message)

    @rule(turns=st.integers(1, 4))
    def take_turns(self, turns: int) -> None:
        """Both sides send and read in turn, while older messages are still under way."""
        for _ in range(turns):
            for name in NAMES:
                self._read(self._send(name, b""))

    @rule(message=consumes(under_way))
    def lose(self, message: Message) -> None:
        """A message never comes."""

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        """A side is saved and restored."""
        party = self.parties[name]
        party.state = SignalState.from_bytes(party.state.to_bytes())

    def _read(self, message: Message) -> None:
        party, sender = self.parties[message.receiver], _other(message.receiver)
        incoming = sender, message.ciphertext.type, message.ciphertext.body
        if party.has_closed(message.chain):
            with pytest.raises((InvalidSession, BadMac)):
                party.state.decrypt(*incoming)
        elif message.plaintext in party.read:
            with pytest.raises(DuplicateMessage):
                party.state.decrypt(*incoming)
        else:
            assert party.state.decrypt(*incoming) == message.plaintext
            party.read.add(message.plaintext)
            if message.chain not in party.chains:
                party.chains.append(message.chain)


def _other(name: str) -> str:
    return NAMES[1 - NAMES.index(name)]


def _ratchet_key(ciphertext: Ciphertext) -> bytes:
    if ciphertext.type is CiphertextType.PREKEY:
        return PreKeySignalMessage.decode(ciphertext.body).message.header.ratchet_key
    return SignalMessage.decode(ciphertext.body).header.ratchet_key


def _take_bundle(state: SignalState) -> PreKeyBundle:
    published, (one_time_prekey,) = state.publishable, state.generate_one_time_prekeys(1)
    return PreKeyBundle(
        published.registration_id,
        0,
        published.identity_key,
        published.signed_prekey.key_id,
        published.signed_prekey.public_key,
        published.signed_prekey.signature,
        one_time_prekey.key_id,
        one_time_prekey.public_key,
    )


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=80, stateful_step_count=50)
