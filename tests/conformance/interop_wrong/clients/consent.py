"""Defects about who may be reached."""

import asyncio
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging import inbox
from interop_client.messaging.outgoing import SentMessage
from interop_client.third_party import ThirdPartyClient
from interop_wrong.register import wrong_client
from interop_wrong.replace import replace

OUT_OF_REACH = "RECIPIENT_NOT_REACHABLE"
LIMITED = "RATE_LIMITED"
ATTEMPTS = 20


@wrong_client("OPT-06.refused-text-is-not-repeated", also=("OPT-01.nothing-waits-for-the-opt-in",))
def repeats_what_was_refused() -> None:
    """Sends a message that cannot reach its recipient again and again."""
    send = InteropClient.send_message

    async def send_on(self: InteropClient, to: str, content: content_pb2.Message, *rest: str | None) -> SentMessage:
        try:
            return await send(self, to, content, *rest)
        except ServerRefusal as refusal:
            if refusal.reason == OUT_OF_REACH:
                _tasks.add(asyncio.create_task(_again(lambda: send(self, to, content, *rest))))
            raise

    replace(InteropClient, "send_message", send_on)


@wrong_client("OPT-01.nothing-waits-for-the-opt-in")
def sends_what_was_refused_later() -> None:
    """Keeps what was refused, and sends it before the next message to the same user."""
    send, kept = InteropClient.send_message, WeakKeyDictionary[InteropClient, dict[str, content_pb2.Message]]()

    async def send_all(self: InteropClient, to: str, content: content_pb2.Message, *rest: str | None) -> SentMessage:
        waiting = kept.setdefault(self, {})
        try:
            if to in waiting:
                await send(self, to, waiting[to])
                del waiting[to]
            return await send(self, to, content, *rest)
        except ServerRefusal as refusal:
            if refusal.reason == OUT_OF_REACH:
                waiting[to] = content
            raise

    replace(InteropClient, "send_message", send_all)


@wrong_client("OPT-02.chat-goes-on", also=("OPT-01.nothing-waits-for-the-opt-in",))
def gives_a_chat_up_for_ever() -> None:
    """Never writes again to somebody who could not be reached once."""
    send, refusals = InteropClient.send_message, WeakKeyDictionary[InteropClient, dict[str, ServerRefusal]]()

    async def send_unless(self: InteropClient, to: str, *rest: Any) -> SentMessage:
        known = refusals.setdefault(self, {})
        if to in known:
            raise known[to]
        try:
            return await send(self, to, *rest)
        except ServerRefusal as refusal:
            if refusal.reason == OUT_OF_REACH:
                known[to] = refusal
            raise

    replace(InteropClient, "send_message", send_unless)


@wrong_client("OPT-06.read-only-is-told", also=("MSG-06.refused-message-is-told",))
def takes_a_refused_text_for_sent() -> None:
    """Does not look at the answer to a message in a chat that there is: what was refused counts as sent."""
    send = InteropClient.send_message

    async def send_blindly(self: InteropClient, to: str, *rest: Any) -> SentMessage:
        has_session = self.state.signal.has_session(to)
        try:
            return await send(self, to, *rest)
        except ServerRefusal as refusal:
            if has_session and refusal.reason == OUT_OF_REACH:
                return SentMessage(self.state.take_message_id(), 0)
            raise

    replace(InteropClient, "send_message", send_blindly)


@wrong_client("OPT-01.refusal-is-told", also=("MSG-06.refusal-is-told", "OPT-01.nothing-waits-for-the-opt-in"))
def takes_a_first_text_for_sent() -> None:
    """Says that a first message was sent although nobody could be reached."""
    send = InteropClient.send_message

    async def send_blindly(self: InteropClient, to: str, *rest: Any) -> SentMessage:
        has_session = self.state.signal.has_session(to)
        try:
            return await send(self, to, *rest)
        except ServerRefusal as refusal:
            if not has_session and refusal.reason == OUT_OF_REACH:
                return SentMessage(self.state.take_message_id(), 0)
            raise

    replace(InteropClient, "send_message", send_blindly)


@wrong_client("OPT-08.finds-a-number", also=("MSG-01.addresses-are-jids",))
def looks_numbers_up_as_they_are_dialled() -> None:
    """Looks a number up without its country."""
    resolve = InteropClient.resolve

    async def resolve_dialled(self: InteropClient, external_id: str, integrator: int = 0) -> str:
        return await resolve(self, f"0{external_id[3:]}", integrator)

    replace(InteropClient, "resolve", resolve_dialled)


@wrong_client("OPT-14.acceptance-is-acked", also=("MSG-09.acks", "MSG-12.unknown-kind"))
def leaves_trusted_contacts_unacked() -> None:
    """Does not ack that somebody has accepted its user."""
    open_all = inbox.Inbox.open

    def open_most(self: inbox.Inbox, stanza: stanza_pb2.Stanza, answers: inbox.Answers) -> inbox.Opened:
        opened = open_all(self, stanza, answers)
        if stanza.notification.HasField("trusted_contact"):
            answers.acks.remove(stanza.delivery_id)
        return opened

    replace(inbox.Inbox, "open", open_most)


@wrong_client("OPT-09.not-reachable-is-told", also=("OPT-09.limit-on-look-ups-is-told",))
def makes_the_jid_of_a_number() -> None:
    """Makes the JID from a phone number, and asks nobody."""

    async def make(self: InteropClient, external_id: str, integrator: int = 0) -> str:
        return f"{external_id.removeprefix('+')}@s.whatsapp.net"

    replace(InteropClient, "resolve", make)


@wrong_client("OPT-09.limit-on-look-ups-is-told", "OPT-12.limit-on-pings-is-told")
def repeats_limited_calls() -> None:
    """Asks again at once when it was told to wait."""
    call = InteropClient._call

    async def call_on(self: InteropClient, method: str, *rest: Any) -> Any:
        for _ in range(ATTEMPTS):
            try:
                return await call(self, method, *rest)
            except ServerRefusal as refusal:
                if refusal.reason != LIMITED or not method.startswith("InteropService/"):
                    raise
        return await call(self, method, *rest)

    replace(InteropClient, "_call", call_on)


@wrong_client("OPT-10.ping-arrives")
def pings_with_its_jid() -> None:
    """Shows its JID in place of the name that its user has chosen."""
    send = ThirdPartyClient.send_reachability_ping

    async def send_jid(self: ThirdPartyClient, phone_number: str, display_name: str) -> None:
        await send(self, phone_number, self.jid)

    replace(ThirdPartyClient, "send_reachability_ping", send_jid)


@wrong_client("OPT-10.ping-brings-a-name-only")
def writes_with_its_ping() -> None:
    """Tries to write to whom it has pinged."""
    send = ThirdPartyClient.send_reachability_ping

    async def send_more(self: ThirdPartyClient, phone_number: str, display_name: str) -> None:
        await send(self, phone_number, display_name)
        with suppress(ServerRefusal):
            await self.send_text(
                f"{phone_number.removeprefix('+')}@s.whatsapp.net", f"{display_name} would like to chat"
            )

    replace(ThirdPartyClient, "send_reachability_ping", send_more)


_tasks: set[asyncio.Task[None]] = set()


async def _again(send: Any) -> None:
    for _ in range(ATTEMPTS):
        await asyncio.sleep(0)
        try:
            await send()
            return
        except ServerRefusal:
            continue
        except (ConnectionEnded, TimeoutError):
            return
