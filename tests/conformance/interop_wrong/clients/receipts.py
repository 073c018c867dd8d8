"""Defects of receipts, and of asking for a message again."""

import os
from typing import Any

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging import inbox as sdk_inbox
from interop_client.messaging.events import MessageResent, RetryUnanswered, Undecryptable
from interop_client.messaging.inbox import Answers, Inbox, Opened
from interop_client.messaging.outgoing import Outgoing
from interop_client.messaging.sent import SentContents
from interop_driver.device import Device
from interop_wrong.register import wrong_client

inbox: Any = sdk_inbox


@wrong_client("RCP-01.no-receipt-for-what-cannot-be-opened")
def receipts_before_opening() -> None:
    """Says that a message is delivered when it comes, before it is decrypted."""
    open_message = Inbox._open_message

    def receipt_first(self: Inbox, stanza: stanza_pb2.Stanza, key: bytes | None, answers: Answers) -> Opened:
        opened = open_message(self, stanza, key, answers)
        sender, message_id = stanza.message.from_jid, stanza.message.id
        if message_id not in answers.delivered[sender]:
            answers.delivered[sender].append(message_id)
        return opened

    Inbox._open_message = receipt_first  # type: ignore[method-assign]


@wrong_client("RCP-01.delivered")
def sends_no_delivered_receipts() -> None:
    """Tells no sender that a message has come."""
    stanzas = Answers.stanzas

    def without(self: Answers) -> Any:
        self.delivered.clear()
        return stanzas(self)

    Answers.stanzas = without  # type: ignore[method-assign]


@wrong_client("RCP-01.delivered-after-being-away", also=("RCP-01.receipt-again",))
def receipts_only_what_is_new() -> None:
    """Sends no receipts for a backlog."""
    open_message = Inbox._open_message

    def open_it(self: Inbox, stanza: stanza_pb2.Stanza, key: bytes | None, answers: Answers) -> Opened:
        opened = open_message(self, stanza, key, answers)
        if stanza.offline:
            answers.delivered.pop(stanza.message.from_jid, None)
        return opened

    Inbox._open_message = open_it  # type: ignore[method-assign]


@wrong_client("RCP-01.receipt-again")
def receipts_once() -> None:
    """Does not send the receipt again for what comes again."""
    open_it = Inbox.open

    def once(self: Inbox, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        before = {sender: list(ids) for sender, ids in answers.delivered.items()}
        opened = open_it(self, stanza, answers)
        if stanza.HasField("message") and opened.name is None:
            answers.delivered.clear()
            answers.delivered.update(before)
        return opened

    Inbox.open = once  # type: ignore[method-assign]


@wrong_client("RCP-01.nothing-is-read-by-itself")
def reads_for_its_user() -> None:
    """Says that a text is read as soon as it is shown."""
    stanzas = Answers.stanzas

    def with_read(self: Answers) -> Any:
        for sender, ids in self.delivered.items():
            yield from inbox.receipts(stanza_pb2.RECEIPT_TYPE_READ, sender, ids)
        yield from stanzas(self)

    Answers.stanzas = with_read  # type: ignore[method-assign]


@wrong_client("RCP-01.setting-at-login", "RCP-01.setting-is-kept")
def says_read_receipts_on() -> None:
    """Says at login that the user has read receipts on, whatever they have chosen."""
    make = Device._client_of

    def make_with(self: Device, state: Any) -> Any:
        self._start.read_receipts = True
        return make(self, state)

    Device._client_of = make_with  # type: ignore[method-assign]


@wrong_client("RCP-01.read")
def tells_of_the_newest_only() -> None:
    """Sends a read receipt for the newest of the texts that were read."""
    mark_read = InteropClient.mark_read

    async def mark_newest(self: InteropClient, *messages: Any) -> None:
        await mark_read(self, *messages[-1:])

    InteropClient.mark_read = mark_newest  # type: ignore[method-assign]


@wrong_client("RCP-02.one-receipt-for-many")
def looks_at_the_first_of_a_receipt() -> None:
    """Takes a receipt to be about one message."""
    event = inbox._receipt_event

    def first(receipt: stanza_pb2.Receipt) -> Any:
        del receipt.message_ids[1:]
        return event(receipt)

    inbox._receipt_event = first


@wrong_client("RCP-01.shows-read")
def takes_read_for_delivered() -> None:
    """Does not know what a read receipt is."""
    event = inbox._receipt_event

    def delivered(receipt: stanza_pb2.Receipt) -> Any:
        receipt.type = stanza_pb2.RECEIPT_TYPE_DELIVERED
        return event(receipt)

    inbox._receipt_event = delivered


@wrong_client(
    "RCP-03.asks-again",
    also=(
        "KEY-17.dishonest-notice-about-a-third-person",
        "MSG-01.dishonest-first-message-of-a-stranger",
    ),
)
def never_asks_again() -> None:
    """Gives up on what it cannot decrypt."""
    inbox.can_help = lambda error: False


@wrong_client("RCP-04.at-most-five-requests", also=("RCP-04.no-storm",))
def asks_for_ever() -> None:
    """Counts its requests from what came, and knows no end."""
    ask = inbox.ask_again

    def insist(state: Any, name: Any, came_with: int, **facts: Any) -> Any:
        receipt = ask(state, name, came_with, **facts)
        return receipt if receipt is not None else ask(state, name, 4, **facts)

    inbox.ask_again = insist


@wrong_client("RCP-03.second-request-has-keys", also=("RCP-03.lost-prekeys", "RCP-04.at-most-five-requests"))
def asks_without_keys() -> None:
    """Asks with a count of 1 each time, and never sends keys."""
    ask = inbox.ask_again

    def first_again(*arguments: Any, **facts: Any) -> Any:
        receipt = ask(*arguments, **facts)
        if receipt is not None:
            receipt.retry_count = 1
            receipt.ClearField("keys")
        return receipt

    inbox.ask_again = first_again


@wrong_client("RCP-03.says-whose-keys")
def does_not_say_whose_keys() -> None:
    """Leaves the registration id out of its requests."""
    ask = inbox.ask_again

    def without(*arguments: Any, **facts: Any) -> Any:
        receipt = ask(*arguments, **facts)
        if receipt is not None:
            receipt.registration_id = 0
        return receipt

    inbox.ask_again = without


@wrong_client(
    "RCP-03.no-request-for-a-repetition",
    also=(
        "KEY-01.chats-survive-a-restart",
        "MSG-09.repeated-delivery",
        "MSG-09.lost-ack",
        "MSG-09.lost-ack-and-a-crash",
        "RCP-01.receipt-again",
        "MSG-04.dishonest-duplicate",
        "MSG-08.dishonest-backlog",
        "MSG-09.dishonest-delivery-ids",
    ),
)
def asks_for_what_it_has() -> None:
    """Takes a message that comes again for one that cannot be decrypted."""
    is_repeated = Inbox._is_repeated

    def is_other(self: Inbox, stanza: stanza_pb2.Stanza, key: bytes | None) -> bool:
        return not stanza.HasField("message") and is_repeated(self, stanza, key)

    def decrypt(self: Inbox, message: stanza_pb2.Message, key: bytes | None) -> bytes:
        return self._decrypt(message, message.from_jid)

    Inbox._is_repeated = is_other  # type: ignore[method-assign]
    Inbox._decrypted = decrypt  # type: ignore[method-assign]


@wrong_client(
    "RCP-03.answers-a-request",
    also=(
        "RCP-03.answers-with-the-keys-of-the-request",
        "RCP-03.answers-after-being-away",
        "RCP-03.resend-says-what-is-true-now",
        "KEY-05.dishonest-one-time-prekey",
    ),
)
def ignores_requests() -> None:
    """Acks requests to send a message again, and does nothing."""

    async def ignore(self: Outgoing, receipt: stanza_pb2.RetryReceipt) -> RetryUnanswered:
        return RetryUnanswered(receipt.from_jid, receipt.message_id, "IGNORED")

    Outgoing.answer = ignore  # type: ignore[method-assign]


@wrong_client("RCP-03.answers-a-request", also=("RCP-03.answers-with-the-keys-of-the-request", "RCP-04.no-storm"))
def resends_under_a_new_id() -> None:
    """Sends what is asked for again as a message of its own."""

    async def answer(self: Outgoing, receipt: stanza_pb2.RetryReceipt) -> MessageResent | RetryUnanswered:
        peer, content = receipt.from_jid, await self.find(receipt.from_jid, receipt.message_id)
        if content is None:
            return RetryUnanswered(peer, receipt.message_id, "CONTENT_UNKNOWN")
        await self._renew_session(peer, receipt)
        sent = await self.send(peer, content, self._parts.state.take_message_id())
        return MessageResent(peer, receipt.message_id, receipt.retry_count, sent.timestamp_ms)

    Outgoing.answer = answer  # type: ignore[method-assign]


@wrong_client("RCP-03.answers-with-the-keys-of-the-request", also=("KEY-05.dishonest-one-time-prekey",))
def does_not_use_the_keys_of_a_request() -> None:
    """Sends again in the session that there is, whatever keys the recipient has sent for it."""

    async def keep(self: Outgoing, peer: str, receipt: stanza_pb2.RetryReceipt) -> None:
        """Renews nothing."""

    Outgoing._renew_session = keep  # type: ignore[method-assign]


@wrong_client("RCP-03.resend-says-what-is-true-now", "RCP-03.deleted-is-not-sent-again")
def sends_again_what_was_taken_back() -> None:
    """Sends again what was said first, although it was edited or deleted since."""

    def as_it_was(self: SentContents, to: str, message_id: str, content: content_pb2.Message) -> content_pb2.Message:
        return content

    SentContents.as_changed = as_it_was  # type: ignore[method-assign]


@wrong_client("RCP-03.answers-after-being-away", also=("RCP-03.resend-says-what-is-true-now",))
def keeps_the_newest_text_only() -> None:
    """Can send again what it has sent last, and nothing before it."""
    init = SentContents.__init__

    def keep_one(self: SentContents, capacity: int) -> None:
        init(self, 1)

    SentContents.__init__ = keep_one  # type: ignore[method-assign]


@wrong_client(
    "RCP-03.resend-is-shown",
    also=(
        "RCP-03.second-request-has-keys",
        "RCP-03.lost-prekeys",
        "KEY-17.dishonest-notice-about-a-third-person",
        "KEY-17.waiting-message-comes",
        "MSG-01.dishonest-first-message-of-a-stranger",
    ),
)
def takes_resends_for_repetitions() -> None:
    """Notes an id when the first copy comes, and passes over every other, although it could not open the first."""
    open_message = Inbox._open_message

    def note(self: Inbox, stanza: stanza_pb2.Stanza, key: bytes | None, answers: Answers) -> Opened:
        opened = open_message(self, stanza, key, answers)
        if opened.key is None and key is not None:
            self._state.deliveries.asked.pop((stanza.message.from_jid, stanza.message.id), None)
            self._state.deliveries.finish(key)
        return opened

    Inbox._open_message = note  # type: ignore[method-assign]


@wrong_client("RCP-03.second-request-has-keys", "RCP-03.lost-prekeys")
def makes_prekeys_for_requests_that_it_forgets() -> None:
    """Sends keys with its second request, and does not keep their private halves."""
    ask = inbox.ask_again

    def forget(state: Any, *arguments: Any, **facts: Any) -> Any:
        receipt = ask(state, *arguments, **facts)
        if receipt is not None and receipt.HasField("keys"):
            state.signal.delete_one_time_prekeys((receipt.keys.one_time_prekey_id,))
        return receipt

    inbox.ask_again = forget


@wrong_client(
    "RCP-03.request-for-what-is-forgotten",
    also=(
        "RCP-05.dishonest-retry-by-a-third-person",
        "RCP-05.dishonest-retry-for-nothing",
    ),
)
def stumbles_over_what_it_has_forgotten() -> None:
    """Ends when it is asked for a message that it does not know any more."""
    find = Outgoing.find

    async def stumble(self: Outgoing, to: str, message_id: str) -> content_pb2.Message:
        content = await find(self, to, message_id)
        if content is None:
            os._exit(1)
        return content

    Outgoing.find = stumble  # type: ignore[method-assign]


@wrong_client("RCP-03.asks-after-being-away")
def asks_only_for_what_is_new() -> None:
    """Gives up on what came while it was away and cannot be decrypted."""
    close = Inbox._closed

    def give_up(self: Inbox, stanza: stanza_pb2.Stanza, error: Any, answers: Answers) -> Any:
        if not stanza.offline:
            return close(self, stanza, error, answers)
        answers.nacks[stanza.delivery_id] = 500
        return Undecryptable(stanza.message.from_jid, stanza.message.id, type(error).__name__)

    Inbox._closed = give_up  # type: ignore[method-assign]


@wrong_client("RCP-03.answers-after-being-away")
def answers_only_what_is_new() -> None:
    """Passes over requests that came while it was away."""
    open_it = Inbox.open

    def pass_over(self: Inbox, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        if stanza.offline and stanza.HasField("retry_receipt"):
            answers.acks.append(stanza.delivery_id)
            return Opened()
        return open_it(self, stanza, answers)

    Inbox.open = pass_over  # type: ignore[method-assign]
