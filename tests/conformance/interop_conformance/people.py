"""The WhatsApp users whom the kit plays, with their own Signal sessions; knows no subject."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, TypeVar

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import Event, TextReceived
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.signal.content import pad_at_random, serialize_message
from interop_client.signal.errors import SignalError
from interop_client.signal.store import CiphertextType
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_conformance.check import NotSo
from interop_conformance.simulator import Simulator

E = TypeVar("E")
T = TypeVar("T")

PREKEYS = 20
"""How many one-time prekeys a person publishes."""

CIPHERTEXT_TYPES = {
    CiphertextType.PREKEY: stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE,
    CiphertextType.DOUBLE_RATCHET: stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET,
}


class _Tap(DirectTransport):
    """Keeps the messages that come, as they come."""

    messages: list[stanza_pb2.Message]
    came: asyncio.Condition

    async def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """Yields the stanzas of each frame. See Transport."""
        async for stanzas in super().receive():
            async with self.came:
                self.messages += [deepcopy(stanza.message) for stanza in stanzas if stanza.HasField("message")]
                self.came.notify_all()
            yield stanzas


class Person:
    """A WhatsApp user. Made by `Stage.alice`.

    What the subject does can make calls fail here, such as keys that cannot be used: such a failure is a `NotSo`.

    Args:
        simulator: Where they are registered.
        number: Their phone number.
        seconds: How long they wait for anything.
        options: Choices of their client.
    """

    def __init__(self, simulator: Simulator, number: str, seconds: float, options: ClientOptions | None = None) -> None:
        self._simulator = simulator
        self._seconds = seconds
        self._options = options
        self.number = number
        self.client = self._new_client(ClientState.generate())

    @property
    def jid(self) -> str:
        """Their JID."""
        return self.client.jid

    @property
    def messages(self) -> list[stanza_pb2.Message]:
        """The messages that came for them, as the wire has them, repetitions too."""
        return self._tap.messages

    async def gets_messages(self, count: int = 1) -> list[stanza_pb2.Message]:
        """Waits until so many messages have come, and returns all, as the wire has them.

        Raises:
            NotSo: They did not come in time.
        """
        try:
            async with asyncio.timeout(self._seconds), self._tap.came:
                await self._tap.came.wait_for(lambda: len(self.messages) >= count)
        except TimeoutError:
            raise NotSo(f"{count} messages reach the WhatsApp user", f"{len(self.messages)} did in time") from None
        return list(self.messages)

    @property
    def _tap(self) -> _Tap:
        transport = self.client.transport
        assert isinstance(transport, _Tap)
        return transport

    async def join(self) -> None:
        """Registers, connects, and publishes prekeys."""
        state = self.client.state
        state.jid = await self._simulator.admin.put_whatsapp_user(self.number, state.auth_public_key)
        await self.client.connect()
        await self.client.publish_prekeys(PREKEYS)

    async def install_anew(self) -> None:
        """Gets a new phone: new keys under the same number, of which the server tells their peers."""
        await self.client.close()
        self.client = self._new_client(ClientState.generate())
        await self.join()

    async def come_back(self, state: bytes | None = None) -> None:
        """Ends the connection, and connects again: from a saved state, if one is given."""
        await self.client.close()
        if state is not None:
            self.client = self._new_client(ClientState.from_bytes(state))
        await self.client.connect()

    async def send(self, to: str, text: str) -> SentMessage:
        """Sends a text."""
        return await self.does("send a text", self.client.send_text(to, text))

    async def does(self, what: str, work: Awaitable[T]) -> T:
        """Does something for which the subject's keys and state must be right.

        Args:
            what: In a few words, for the report.
            work: What to await.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await work
        except (ServerRefusal, ConnectionEnded, SignalError) as error:
            raise NotSo(f"a WhatsApp user can {what}", f"{type(error).__name__}: {error}") from error
        except TimeoutError as error:
            raise NotSo(f"a WhatsApp user can {what}", "nothing came of it in time") from error

    async def receives(
        self,
        kind: type[E],
        where: Callable[[E], bool] = lambda _: True,
        what: str = "",
    ) -> E:
        """Takes the first event of a kind for which something holds; it may have come already.

        Args:
            kind: Class of the event.
            where: What must hold of it.
            what: In a few words, for the report.
        """

        def wanted(event: Event) -> bool:
            return isinstance(event, kind) and where(event)

        try:
            event = await self.client.wait_for(wanted, self._seconds)
        except (TimeoutError, ConnectionEnded):
            raise NotSo(f"the WhatsApp user gets {what or kind.__name__}", "it did not come in time") from None
        assert isinstance(event, kind)
        return event

    async def reads(self, text: str) -> TextReceived:
        """Takes the text that must come."""
        return await self.receives(TextReceived, lambda each: each.text == text, f"the text {text[:60]!r}")

    async def has_got(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> bool:
        """Whether such an event has come already."""
        with suppress(TimeoutError):
            await self.client.wait_for(lambda event: isinstance(event, kind) and where(event), 0)
            return True
        return False

    async def ensure_session(self, to: str) -> None:
        """Begins a session with somebody, unless there is one."""
        signal = self.client.state.signal
        if not signal.has_session(to):
            bundle = await self.does("take prekeys", self.client.take_prekey_bundle(to))
            signal.process_bundle(to, bundle)

    async def seal(self, to: str, content: content_pb2.Message | str, message_id: str = "") -> stanza_pb2.Message:
        """Encrypts a content, and returns the stanza, which nobody has sent yet.

        Args:
            to: JID of the recipient.
            content: What to send; a text for a text.
            message_id: Its id; empty for a new one.
        """
        plaintext = serialize_message(text_content(content) if isinstance(content, str) else content)
        return await self.seal_bytes(to, plaintext, message_id)

    async def seal_bytes(self, to: str, plaintext: bytes, message_id: str = "") -> stanza_pb2.Message:
        """Does the same with any bytes, which are padded here."""
        return await self.seal_padded(to, pad_at_random(plaintext), message_id)

    async def seal_padded(self, to: str, padded: bytes, message_id: str = "") -> stanza_pb2.Message:
        """Does the same with bytes that are padded already, or should be."""
        await self.ensure_session(to)
        signal = self.client.state.signal
        sealed = signal.encrypt(to, padded)
        message = stanza_pb2.Message(
            id=message_id or self.client.state.take_message_id(), to_jid=to, type=stanza_pb2.MESSAGE_TYPE_TEXT
        )
        message.enc.add(
            type=CIPHERTEXT_TYPES[sealed.type],
            ciphertext=sealed.body,
            registration_id=signal.remote_registration_id(to),
        )
        return message

    async def send_sealed(self, *messages: stanza_pb2.Message) -> None:
        """Sends stanzas as they are, in this order, each after the ack of the one before."""
        for message in messages:
            await self.does("send a message", self.client.send_encrypted(message))

    async def close(self) -> None:
        """Ends the connection."""
        await self.client.close()

    def _new_client(self, state: ClientState) -> WhatsAppClient:
        async def log_in() -> Any:
            return whatsapp_login(state.jid, None)

        transport = _Tap(self._simulator.endpoint_of_people, state.auth_private_key, log_in)
        transport.messages, transport.came = [], asyncio.Condition()
        return WhatsAppClient(transport, state, options=self._options)
