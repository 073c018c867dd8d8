"""Defects of blocking and reporting."""

import os
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import integrity_pb2
from interop_client import client
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging import inbox, outgoing
from interop_client.messaging.contents import reported_message
from interop_client.messaging.events import Event, Incoming
from interop_driver.device import Device
from interop_wrong.register import wrong_client
from interop_wrong.replace import replace

BANS = ("BANNED", "TEMPORARILY_BANNED")
Blocked = WeakKeyDictionary[InteropClient, set[str]]


@wrong_client(
    "ABU-01.server-knows-who-is-blocked",
    also=(
        "ABU-01.blocked-is-not-shown",
        "ABU-01.list-survives-installing",
        "ABU-01.writing-to-the-blocked-is-refused",
    ),
)
def blocks_on_the_device_only() -> None:
    """Hides what blocked users write, and tells the server nothing."""
    blocked, deliver = Blocked(), Device._deliver

    async def block(self: InteropClient, jid: str) -> None:
        blocked.setdefault(self, set()).add(jid)

    async def unblock(self: InteropClient, jid: str) -> None:
        blocked.setdefault(self, set()).discard(jid)

    async def deliver_others(self: Device, event: Event) -> None:
        if not isinstance(event, Incoming) or event.sender not in blocked.get(self.client, ()):
            await deliver(self, event)

    replace(InteropClient, "block", block)
    replace(InteropClient, "unblock", unblock)
    replace(InteropClient, "get_blocklist", _list_of(blocked))
    replace(Device, "_deliver", deliver_others)


@wrong_client("ABU-01.list-survives-installing")
def lists_whom_it_has_blocked_itself() -> None:
    """Never reads the server's list, and says what it remembers."""
    blocked, block, unblock = Blocked(), InteropClient.block, InteropClient.unblock

    async def note_block(self: InteropClient, jid: str) -> None:
        await block(self, jid)
        blocked.setdefault(self, set()).add(jid)

    async def note_unblock(self: InteropClient, jid: str) -> None:
        await unblock(self, jid)
        blocked.setdefault(self, set()).discard(jid)

    replace(InteropClient, "block", note_block)
    replace(InteropClient, "unblock", note_unblock)
    replace(InteropClient, "get_blocklist", _list_of(blocked))


@wrong_client("ABU-01.blocked-is-not-shown", also=("ABU-01.server-knows-who-is-blocked",))
def forgets_to_block_known_people() -> None:
    """Blocks nobody with whom its user has talked."""
    block = InteropClient.block

    async def block_strangers(self: InteropClient, jid: str) -> None:
        if not self.state.signal.has_session(jid):
            await block(self, jid)

    replace(InteropClient, "block", block_strangers)


@wrong_client("ABU-01.block-is-for-one")
def blocks_everybody_it_knows() -> None:
    """Blocks all with whom its user has talked."""
    block = InteropClient.block

    async def block_all(self: InteropClient, jid: str) -> None:
        for each in {jid, *self.state.signal.records}:
            await block(self, each)

    replace(InteropClient, "block", block_all)


@wrong_client("ABU-01.writing-to-the-blocked-is-refused")
def unblocks_by_writing() -> None:
    """Unblocks whomever its user writes to."""
    send = InteropClient.send_message

    async def send_anyway(self: InteropClient, to: str, *rest: Any) -> outgoing.SentMessage:
        try:
            return await send(self, to, *rest)
        except ServerRefusal as refusal:
            if refusal.reason != "RECIPIENT_BLOCKED_BY_SENDER":
                raise
        await self.unblock(to)
        return await send(self, to, *rest)

    replace(InteropClient, "send_message", send_anyway)


@wrong_client("ABU-01.lists-who-is-blocked", also=("ABU-01.blocked-is-not-shown", "ABU-02.twice-is-as-good-as-once"))
def cannot_unblock() -> None:
    """Blocks once more when it should unblock."""
    replace(InteropClient, "unblock", InteropClient.block)


@wrong_client("ABU-02.twice-is-as-good-as-once")
def fails_when_there_is_nothing_to_unblock() -> None:
    """Takes it for an error that somebody who is to be unblocked is not blocked."""
    unblock = InteropClient.unblock

    async def unblock_listed(self: InteropClient, jid: str) -> None:
        if jid not in await self.get_blocklist():
            raise KeyError(jid)
        await unblock(self, jid)

    replace(InteropClient, "unblock", unblock_listed)


@wrong_client("ABU-03.report-counts")
def reports_one_message_of_many() -> None:
    """Names only the first of the messages for which somebody is reported."""
    report = InteropClient.report

    async def report_first(self: InteropClient, jid: str, messages: Iterable[Incoming], **more: Any) -> str:
        return await report(self, jid, list(messages)[:1], **more)

    replace(InteropClient, "report", report_first)


@wrong_client("ABU-04.reveals-with-proof")
def reveals_padded_contents() -> None:
    """Reveals messages with the padding, which their tokens do not cover."""

    def make_padded(message: Incoming, *, reveal: bool) -> integrity_pb2.ReportedMessage:
        reported = reported_message(message, reveal=reveal)
        if reported.HasField("plaintext"):
            reported.plaintext += b"\1"
        return reported

    replace(client, "reported_message", make_padded)


@wrong_client("ABU-04.reveals-only-what-is-proved")
def reveals_without_proof() -> None:
    """Does not compare what it reveals with the reporting token."""

    def any_token(token: bytes, *_: object) -> bool:
        return bool(token)

    replace(inbox, "is_reporting_token", any_token)


@wrong_client("ABU-04.messages-can-be-proved", also=("ABU-04.secret-of-its-own",))
def sends_no_reporting_tokens() -> None:
    """Sends messages that nobody can report with a proof."""
    replace(outgoing, "reporting_token", lambda *_: b"")


@wrong_client("ABU-04.secret-of-its-own")
def has_one_secret_for_all_messages() -> None:
    """Puts the same message secret into every message."""
    secret = os.urandom(32)

    def with_one_secret(content: content_pb2.Message) -> content_pb2.Message:
        sent = content_pb2.Message()
        sent.CopyFrom(content)
        sent.message_context_info.message_secret = secret
        return sent

    replace(outgoing, "with_message_secret", with_one_secret)


@wrong_client("ABU-05.ban-is-told", "ABU-05.ban-for-good-is-told")
def takes_a_ban_for_a_bad_connection() -> None:
    """Says of a ban that the server cannot be reached."""
    connect, note = InteropClient.connect, Device._note_connection

    async def note_little(self: Device, is_connected: bool, reason: str = "") -> None:
        await note(self, is_connected, "" if reason in BANS else reason)

    async def connect_or_not(self: InteropClient) -> None:
        try:
            await connect(self)
        except ServerRefusal as refusal:
            if refusal.reason in BANS:
                raise ConnectionEnded("UNAVAILABLE", "Try again later.") from refusal
            raise

    replace(Device, "_note_connection", note_little)
    replace(InteropClient, "connect", connect_or_not)


@wrong_client("ABU-05.no-new-chats-is-told")
def waits_for_ever_to_begin_a_chat() -> None:
    """Takes a chat that its user may not begin for sent, and says nothing."""
    send = InteropClient.send_message

    async def send_silently(self: InteropClient, to: str, *rest: Any) -> outgoing.SentMessage:
        try:
            return await send(self, to, *rest)
        except ServerRefusal as refusal:
            if refusal.reason == "NEW_CHATS_LOCKED":
                return outgoing.SentMessage(self.state.take_message_id(), 0)
            raise

    replace(InteropClient, "send_message", send_silently)


def _list_of(blocked: Blocked) -> Any:
    async def get(self: InteropClient) -> list[str]:
        return sorted(blocked.get(self, ()))

    return get
