"""Defects that a server finds out which delivers other things than it should, or in other ways."""

import os
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.connection import channel
from interop_client.errors import ConnectionEnded, LoginRefused
from interop_client.memory import DeliveryMemory
from interop_client.messaging import inbox
from interop_client.messaging.inbox import Answers, Inbox, Opened
from interop_client.messaging.outgoing import Outgoing, SentMessage
from interop_client.signal.errors import BadMac, InvalidSession, NoSession, SignalError
from interop_client.signal.messages import Authentication, SignalMessage
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_driver.device import Device
from interop_protocol.jid import JidError, parse_jid
from interop_protocol.noise import RemoteProtocolError
from interop_wrong.register import wrong_client


@wrong_client("MSG-04.dishonest-replay", "MSG-04.dishonest-replay-of-a-first-message")
def remembers_plaintexts_by_ciphertext() -> None:
    """Keeps what it has decrypted by its ciphertext, and shows it again when that comes under another id."""
    decrypt = SignalState.decrypt
    kept: dict[tuple[str, bytes], bytes] = {}

    def remember(self: SignalState, remote: str, type: CiphertextType, body: bytes) -> bytes:
        if (remote, body) not in kept:
            kept[remote, body] = decrypt(self, remote, type, body)
        return kept[remote, body]

    SignalState.decrypt = remember  # type: ignore[method-assign]


@wrong_client(
    "MSG-04.dishonest-duplicate",
    "MSG-08.dishonest-backlog",
    also=("MSG-09.dishonest-delivery-ids", "MSG-04.dishonest-id"),
)
def shows_each_delivery() -> None:
    """Keeps what it has decrypted by its message id, and shows it as often as it is delivered."""
    finish = DeliveryMemory.finish

    def keep(self: DeliveryMemory, key: bytes, bound: int) -> None:
        plaintext = self.opened.get(key)
        finish(self, key, bound)
        if plaintext is not None:
            self.keep_opened(key, plaintext)

    DeliveryMemory.finish = keep  # type: ignore[method-assign, assignment]
    Inbox._is_repeated = lambda *_: False  # type: ignore[method-assign]


@wrong_client("MSG-01.dishonest-known-sender", "MSG-01.dishonest-strange-sender", "MSG-01.dishonest-nonsense-sender")
def believes_the_stanza_about_its_sender() -> None:
    """Looks for the session by the message, and for the sender in the stanza."""
    decrypt = SignalState.decrypt

    def decrypt_with_any(self: SignalState, remote: str, type: CiphertextType, body: bytes) -> bytes:
        try:
            return decrypt(self, remote, type, body)
        except (NoSession, InvalidSession, BadMac):
            for other in list(self.records):
                try:
                    return decrypt(self, other, type, body)
                except SignalError:
                    continue
            raise

    SignalState.decrypt = decrypt_with_any  # type: ignore[method-assign]


@wrong_client("MSG-02.dishonest-mac")
def compares_half_of_the_mac() -> None:
    """Compares the first four bytes of a MAC only."""

    def verify(self: SignalMessage, authentication: Authentication) -> None:
        if self.mac[:4] != authentication.mac(self.covered)[:4]:
            raise BadMac("the MAC does not match")

    SignalMessage.verify = verify  # type: ignore[method-assign]


@wrong_client("MSG-10.dishonest-garbage")
def gives_up_after_garbage() -> None:
    """Takes garbage for the end of its account, and does not connect again."""
    open_frame, connect, gone = channel._open_frame, Device.connect, set()

    def note(response: Any, noise: Any) -> Any:
        try:
            return open_frame(response, noise)
        except RemoteProtocolError:
            gone.add(noise)
            raise

    async def refuse(self: Device, token: str) -> None:
        chat = getattr(self.client.transport, "_chat", None)
        if chat is not None and chat._noise in gone:
            raise ConnectionEnded("LOGGED_OUT", "The account is no more.")
        await connect(self, token)

    channel._open_frame = note
    Device.connect = refuse  # type: ignore[method-assign]


@wrong_client("MSG-01.dishonest-nonsense-sender")
def dies_of_a_jid() -> None:
    """Parses the JID of each sender, and does not expect that it is none."""
    open_delivery = Inbox.open

    def parse(self: Inbox, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        if stanza.HasField("message"):
            try:
                parse_jid(stanza.message.from_jid)
            except JidError:
                os._exit(70)  # as of an exception that nobody catches
        return open_delivery(self, stanza, answers)

    Inbox.open = parse  # type: ignore[method-assign]


@wrong_client("MSG-14.dishonest-times")
def makes_a_date_of_any_time() -> None:
    """Makes a date of the time of each message, and does not expect one that no calendar has."""
    envelope = inbox._envelope

    def dated(stanza: stanza_pb2.Stanza) -> Any:
        datetime.fromtimestamp(stanza.message.timestamp_ms / 1000, UTC)
        return envelope(stanza)

    inbox._envelope = dated


@wrong_client(
    "MSG-09.dishonest-delivery-ids",
    "MSG-09.dishonest-loss",
    "MSG-07.dishonest-delay",
    "MSG-08.dishonest-order",
    also=("RCP-01.dishonest-receipts", "MSG-10.dishonest-garbage"),
)
def remembers_the_highest_delivery() -> None:
    """Passes over each delivery with a smaller name than the highest so far."""
    open_delivery = Inbox.open
    highest: dict[bytes, int] = {}  # by the identity key of the device

    def open_new(self: Inbox, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        device = self._signal.identity.public_key
        if stanza.delivery_id:
            if stanza.delivery_id <= highest.get(device, 0):
                answers.acks.append(stanza.delivery_id)
                return Opened()
            highest[device] = stanza.delivery_id
        return open_delivery(self, stanza, answers)

    Inbox.open = open_new  # type: ignore[method-assign]


@wrong_client("MSG-04.dishonest-lost-ack")
def sends_again_under_a_new_id() -> None:
    """After a connection that broke, sends the text that was not acked as a new message."""
    send_text = ThirdPartyClient.send_text

    async def send_again(self: ThirdPartyClient, *arguments: Any) -> SentMessage:
        try:
            return await send_text(self, *arguments)
        except ConnectionEnded:
            await self.connect()
            return await send_text(self, *arguments)

    ThirdPartyClient.send_text = send_again  # type: ignore[method-assign, assignment]


@wrong_client("CHN-10.dishonest-login-refusal")
def forgets_all_when_a_login_is_refused() -> None:
    """Takes each refusal of a login for the end of the account, and deletes its keys."""
    connect = Device.connect

    async def forget(self: Device, token: str) -> None:
        try:
            await connect(self, token)
        except LoginRefused:
            self.client = self._client_of(ClientState.generate(self.client.jid))
            raise

    Device.connect = forget  # type: ignore[method-assign]


@wrong_client("RCP-04.dishonest-retry-storm")
def answers_every_retry() -> None:
    """Sends a message again as often as it is asked to, by the same request, too."""
    Outgoing._note_resent = lambda *_: None  # type: ignore[method-assign]


@wrong_client("RCP-05.dishonest-retry-by-a-third-person")
def sends_again_to_whoever_asks() -> None:
    """Finds a message that is asked for by its id alone, and sends it to the one who asks."""
    keep, find = Outgoing.send, Outgoing.find
    sent: WeakKeyDictionary[Outgoing, dict[str, content_pb2.Message]] = WeakKeyDictionary()

    async def remember(
        self: Outgoing, to: str, content: content_pb2.Message, message_id: str, retry_count: int = 0
    ) -> SentMessage:
        sent.setdefault(self, {})[message_id] = content
        return await keep(self, to, content, message_id, retry_count)

    async def find_any(self: Outgoing, to: str, message_id: str) -> content_pb2.Message | None:
        return await find(self, to, message_id) or sent.get(self, {}).get(message_id)

    Outgoing.send = remember  # type: ignore[method-assign]
    Outgoing.find = find_any  # type: ignore[method-assign]


@wrong_client("KEY-17.dishonest-notice-about-a-third-person")
def bans_the_old_key_after_a_notice() -> None:
    """When it is told that a peer's keys are new, refuses the old ones for ever, whether they were replaced or not."""
    notified, check = Inbox._notified, SignalState._check_identity
    banned: dict[tuple[bytes, str], bytes] = {}  # by the identity key of the device, and the peer

    def ban(self: Inbox, notification: stanza_pb2.Notification, key: bytes | None) -> Opened:
        jid = notification.identity_changed.jid
        if jid and (known := self._signal.trusted_identity(jid)) is not None:
            banned[self._signal.identity.public_key, jid] = known
        return notified(self, notification, key)

    def refuse(self: SignalState, remote: str, presented: bytes) -> None:
        if banned.get((self.identity.public_key, remote)) == presented:
            raise NoSession("the key was replaced")
        check(self, remote, presented)

    Inbox._notified = ban  # type: ignore[method-assign]
    SignalState._check_identity = refuse  # type: ignore[method-assign]
