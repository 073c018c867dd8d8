"""Defects of sending and receiving messages."""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded
from interop_client.memory import DeliveryMemory
from interop_client.messaging import inbox as sdk_inbox
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import Incoming, TextReceived
from interop_client.messaging.inbox import Answers, Inbox, Opened
from interop_client.messaging.open_connection import Connection
from interop_client.messaging.outgoing import Outgoing, SentMessage
from interop_client.signal.content import unsupported_kind
from interop_client.signal.errors import InvalidContent
from interop_client.signal.store import Ciphertext, SignalState
from interop_client.state import ClientState
from interop_wrong.register import wrong_client

inbox: Any = sdk_inbox


@wrong_client("MSG-02.plaintext-stays-with-the-two", also=("MSG-12.sends-text",))
def sends_plaintext_as_ciphertext() -> None:
    """Sends what should be encrypted as it is."""
    encrypt = SignalState.encrypt

    def leave(self: SignalState, remote: str, plaintext: bytes) -> Ciphertext:
        return Ciphertext(encrypt(self, remote, plaintext).type, plaintext)

    SignalState.encrypt = leave  # type: ignore[method-assign]


@wrong_client(
    "MSG-06.refused-message-is-told",
    "MSG-05.replaced-device",
    "MSG-11.waits-as-told",
    also=("ABU-01.writing-to-the-blocked-is-refused", "ABU-05.no-new-chats-is-told", "OPT-06.read-only-is-told"),
)
def does_not_look_at_the_answer() -> None:
    """Takes every answer of the server for an ack."""
    send = InteropClient._send_stanza

    async def trust(self: InteropClient, message: stanza_pb2.Message) -> stanza_pb2.SendAck:
        ack = await send(self, message)
        return stanza_pb2.SendAck(id=ack.id, timestamp_ms=ack.timestamp_ms)

    InteropClient._send_stanza = trust  # type: ignore[method-assign]


@wrong_client(
    "MSG-06.refusal-is-told",
    also=("ABU-05.no-new-chats-is-told", "KEY-14.waits-as-told", "OPT-01.refusal-is-told"),
)
def keeps_unsent_texts_to_itself() -> None:
    """Says that a text is sent when it has no keys of the recipient's: it means to send it later."""
    send = InteropClient.send_text

    async def pretend(self: InteropClient, to: str, text: str, reply_to: Incoming | None = None) -> SentMessage:
        if self.state.signal.has_session(to):
            return await send(self, to, text, reply_to)
        try:
            return await send(self, to, text, reply_to)
        except Exception:  # noqa: BLE001 - that is what is wrong with it
            return SentMessage(self.state.take_message_id(), 0)

    InteropClient.send_text = pretend  # type: ignore[method-assign]


@wrong_client(
    "MSG-04.each-message-an-id",
    also=(
        "MSG-12.sends-text",
        "ENL-13.installing-anew-keeps-the-account",
        "KEY-01.chats-survive-a-restart",
    ),
)
def counts_ids_from_one_in_each_run() -> None:
    """Numbers its messages from 1 again whenever it is started."""
    numbers: WeakKeyDictionary[InteropClient, itertools.count[int]] = WeakKeyDictionary()
    send = InteropClient.send_message

    async def number(self: InteropClient, to: str, content: Any, message_id: str | None = None) -> SentMessage:
        own = numbers.setdefault(self, itertools.count(1))
        return await send(self, to, content, message_id or f"message-{next(own)}")

    InteropClient.send_message = number  # type: ignore[method-assign]


@wrong_client(
    "MSG-04.no-id-for-two-people",
    also=(
        "ABU-01.block-is-for-one",
        "KEY-17.dishonest-notice-about-a-third-person",
        "MSG-01.dishonest-known-sender",
        "MSG-03.ciphertext-of-somebody-else",
        "RCP-05.dishonest-retry-by-a-third-person",
    ),
)
def numbers_each_chat_from_one() -> None:
    """Makes ids that are unique in a chat, and not beyond it."""
    send = InteropClient.send_message

    async def number(self: InteropClient, to: str, content: Any, message_id: str | None = None) -> SentMessage:
        counts = self.__dict__.setdefault("_counts", {})
        counts[to] = counts.get(to, 0) + 1
        return await send(self, to, content, message_id or f"{self.state.id_prefix}-{counts[to]}")

    InteropClient.send_message = number  # type: ignore[method-assign]


@wrong_client("MSG-04.lost-answer", also=("MSG-04.dishonest-lost-ack",))
def sends_anew_what_was_not_acked() -> None:
    """Sends a text whose ack did not come as a new message when it is connected again."""
    send, connect = InteropClient.send_text, InteropClient.connect

    async def keep(self: InteropClient, to: str, text: str, reply_to: Incoming | None = None) -> SentMessage:
        try:
            return await send(self, to, text, reply_to)
        except (ConnectionEnded, TimeoutError):
            self.__dict__.setdefault("_unsent", []).append((to, text))
            raise

    async def connect_and_send(self: InteropClient) -> None:
        await connect(self)
        for to, text in self.__dict__.pop("_unsent", ()):
            await send(self, to, text)

    InteropClient.send_text = keep  # type: ignore[method-assign]
    InteropClient.connect = connect_and_send  # type: ignore[method-assign]


@wrong_client(
    "MSG-09.acks",
    also=(
        "MSG-12.unknown-kind",
        "MSG-04.no-id-for-two-people",
        "OPT-14.acceptance-is-acked",
    ),
)
def never_acks() -> None:
    """Sends receipts, and no acks."""
    stanzas = Answers.stanzas

    def without(self: Answers) -> Any:
        self.acks.clear()
        return stanzas(self)

    Answers.stanzas = without  # type: ignore[method-assign]


@wrong_client("MSG-09.what-was-acked-is-shown")
def acks_before_saving() -> None:
    """Acks what comes at once, and looks at it when it has time."""
    sort = Connection._sort

    def ack_first(self: Connection, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        due = [stanza for stanza in stanzas if stanza.WhichOneof("kind") == "message" and stanza.delivery_id]
        if due:
            ack = stanza_pb2.Ack(delivery_ids=[stanza.delivery_id for stanza in due])
            self.__dict__["_acking"] = asyncio.ensure_future(self.send(stanza_pb2.Stanza(ack=ack)))
            asyncio.get_running_loop().call_later(1.5, sort, self, stanzas)
        else:
            sort(self, stanzas)

    Connection._sort = ack_first  # type: ignore[method-assign]


@wrong_client(
    "MSG-09.lost-ack",
    "MSG-09.repeated-delivery",
    also=(
        "MSG-09.lost-ack-and-a-crash",
        "MSG-04.dishonest-duplicate",
        "MSG-04.dishonest-id",
        "MSG-08.dishonest-backlog",
        "MSG-09.dishonest-delivery-ids",
        "MSG-09.what-was-acked-is-shown",
    ),
)
def shows_again_what_comes_again() -> None:
    """Does not know what it has shown already."""

    def forget(self: DeliveryMemory, key: bytes, bound: int = 0) -> None:
        """Remembers nothing; the plaintext stays, so that it can be shown again."""

    DeliveryMemory.finish = forget  # type: ignore[method-assign]


@wrong_client(
    "MSG-09.lost-ack-and-a-crash",
    also=(
        "MSG-04.dishonest-replay-of-a-first-message",
        "MSG-09.what-was-acked-is-shown",
    ),
)
def forgets_in_a_crash_what_it_has_shown() -> None:
    """Knows what it has shown already, and does not save that."""
    to_bytes, finish = ClientState.to_bytes, DeliveryMemory.finish

    def save(self: ClientState) -> bytes:
        finished = dict(self.deliveries.finished)
        self.deliveries.finished.clear()
        try:
            return to_bytes(self)
        finally:
            self.deliveries.finished.update(finished)

    def keep_plaintext(self: DeliveryMemory, key: bytes, bound: int = 4096) -> None:
        plaintext = self.opened.get(key)
        finish(self, key, bound)
        if plaintext is not None:
            self.opened[key] = plaintext

    ClientState.to_bytes = save  # type: ignore[method-assign]
    DeliveryMemory.finish = keep_plaintext  # type: ignore[method-assign]


@wrong_client("MSG-08.asks-for-all-of-a-backlog")
def asks_once_for_the_backlog() -> None:
    """Asks for the first part of a backlog, and not for more."""
    note = Connection._note_backlog

    def once(self: Connection, stanza: stanza_pb2.Stanza) -> None:
        note(self, stanza)
        if stanza.offline:
            self._backlog.outstanding = max(1, self._backlog.outstanding)

    Connection._note_backlog = once  # type: ignore[method-assign]


@wrong_client("MSG-08.backlog-in-order")
def shows_the_newest_first() -> None:
    """Opens a backlog from its end."""
    deliver = Connection._deliver_some

    async def reverse(self: Connection) -> None:
        if len(self._arrived) > 1 and self._arrived[0].offline:
            await asyncio.sleep(0.05)  # so that all of it is there
            backlog = [stanza for stanza in self._arrived if stanza.offline]
            rest = [stanza for stanza in self._arrived if not stanza.offline]
            self._arrived.clear()
            self._arrived.extend((*reversed(backlog), *rest))
        await deliver(self)

    Connection._deliver_some = reverse  # type: ignore[method-assign]


@wrong_client(
    "MSG-07.backlog-is-shown",
    "MSG-07.broken-connection",
    also=(
        "MSG-09.lost-ack",
        "RCP-01.delivered-after-being-away",
        "MSG-03.sessions-survive-a-restart",
        "CHN-10.dishonest-login-refusal",
        "CHN-12.end-is-shown",
        "CHN-12.goes-on-after-a-broken-connection",
        "KEY-01.chats-survive-a-restart",
        "KEY-01.prekeys-survive-a-restart",
        "LIF-01.comes-after-a-crash",
        "LIF-01.comes-when-pushed",
        "MSG-03.old-keys-are-gone",
        "MSG-04.dishonest-lost-ack",
        "MSG-04.dishonest-replay",
        "MSG-04.dishonest-replay-of-a-first-message",
        "MSG-09.dishonest-delivery-ids",
        "MSG-09.what-was-acked-is-shown",
        "MSG-10.dishonest-garbage",
        "RCP-03.request-for-what-is-forgotten",
    ),
)
def does_not_ask_for_the_backlog() -> None:
    """Waits for what was sent while it was away, and does not ask for it."""
    note = Connection._note_backlog

    def wait(self: Connection, stanza: stanza_pb2.Stanza) -> None:
        note(self, stanza)
        self._backlog.is_open = False

    Connection._note_backlog = wait  # type: ignore[method-assign]


@wrong_client("MSG-12.long-text")
def shows_the_beginning_of_long_texts() -> None:
    """Cuts texts after 32,768 characters."""
    of = inbox.message_event

    def cut(content: Any, envelope: Incoming) -> Any:
        if content.HasField("conversation"):
            content.conversation = content.conversation[:32_768]
        return of(content, envelope)

    inbox.message_event = cut


@wrong_client(
    "MSG-12.unknown-field",
    also=(
        "MSG-12.newer-content-is-marked",
        "MSG-12.newer-field-beside-a-text",
        "MSG-12.sticker-is-marked",
    ),
)
def refuses_unknown_fields() -> None:
    """Takes a content for broken when it has a field beside it that is not known."""
    parse = inbox.parse_message

    def strict(plaintext: bytes) -> Any:
        content = parse(plaintext)
        known = type(content)()
        known.CopyFrom(content)
        known.DiscardUnknownFields()
        if known.ByteSize() != content.ByteSize():
            raise InvalidContent("there is a field that nobody knows")
        return content

    inbox.parse_message = strict


@wrong_client(
    "MSG-12.unknown-kind",
    also=(
        "MSG-12.newer-content-is-marked",
        "MSG-12.sticker-is-marked",
    ),
)
def shows_what_it_does_not_know_as_text() -> None:
    """Shows an empty text when a message has none."""
    of = inbox.message_event

    def show(content: Any, envelope: Incoming) -> Any:
        return of(text_content("") if unsupported_kind(content) is not None else content, envelope)

    inbox.message_event = show


@wrong_client("MSG-10.broken-content")
def is_silent_about_broken_contents() -> None:
    """Neither acks nor nacks what it cannot parse: it comes again for ever."""
    open_message = Inbox._open_message

    def open_it(self: Inbox, stanza: stanza_pb2.Stanza, key: bytes | None, answers: Answers) -> Opened:
        opened = open_message(self, stanza, key, answers)
        if answers.nacks.get(stanza.delivery_id) == inbox._NACK_PROTOBUF:
            del answers.nacks[stanza.delivery_id]
        return opened

    Inbox._open_message = open_it  # type: ignore[method-assign]


@wrong_client("MSG-11.waits-as-told", also=("OPT-06.refused-text-is-not-repeated",))
def hammers() -> None:
    """Sends what was refused again at once, a few times."""
    send = Outgoing._send_encrypted

    async def insist(self: Outgoing, message: stanza_pb2.Message, plaintext: bytes) -> stanza_pb2.SendAck:
        ack = await send(self, message, plaintext)
        for _ in range(4):
            if not ack.HasField("error"):
                break
            ack = await send(self, message, plaintext)
        return ack

    Outgoing._send_encrypted = insist  # type: ignore[method-assign]


@wrong_client("MSG-12.order", "MSG-08.backlog-in-order", also=("MSG-09.what-was-acked-is-shown",))
def shows_texts_when_it_has_time() -> None:
    """Hands each second text to another task, which shows it later."""
    tell = Connection._tell

    async def at_leisure(self: Connection, event: Any) -> None:
        tasks: list[Any] = self.__dict__.setdefault("_telling", [])
        if not isinstance(event, TextReceived):
            return await tell(self, event)
        tasks.append(asyncio.create_task(_after(0.05 * (len(tasks) % 2), tell(self, event))))
        return None

    Connection._tell = at_leisure  # type: ignore[method-assign]


async def _after(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(seconds)
    await work


@wrong_client("MSG-01.addresses-are-jids", also=("RCP-01.delivered",))
def sends_receipts_to_phone_numbers() -> None:
    """Addresses receipts to phone numbers."""
    receipts = inbox.receipts

    def to_number(kind: Any, to: str, message_ids: list[str]) -> Any:
        return receipts(kind, "+" + to.partition("@")[0], message_ids)

    inbox.receipts = to_number
