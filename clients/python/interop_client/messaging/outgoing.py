"""Sends messages: sessions, encryption, and sending again on request; knows no connection.

Source: MSG-04, MSG-05, RCP-03, RCP-04; when a session is renewed: observed in open clients (WIRE).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.errors import Recovery, ServerRefusal, refusal_from_stanza_error
from interop_client.messaging.contents import message_type, with_message_secret
from interop_client.messaging.events import MessageResent, RetryUnanswered
from interop_client.messaging.retries import bundle_of
from interop_client.messaging.sent import SentContents
from interop_client.signal.content import pad_at_random, serialize_message
from interop_client.signal.errors import MissingKemPreKey, SignalError, UntrustedIdentity
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_client.state import ClientState, DurableState
from interop_protocol.franking import reporting_token

MAX_SENT = 512
"""How many sent messages, and how many changes, the client keeps to send them again; it forgets the oldest."""
RENEWAL_SECONDS = 3600.0
"""The client renews the session with a peer at most once in this time, unless the peer sends keys for it; observed."""

_CIPHERTEXT_TYPES = {
    CiphertextType.PREKEY: stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE,
    CiphertextType.DOUBLE_RATCHET: stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET,
}

FindSent = Callable[[str, str], Awaitable[content_pb2.Message | None]]
"""Finds the content sent to a JID under an id; None when the application does not know it either."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that the server has accepted."""

    id: str
    """Id of the message."""
    timestamp_ms: int
    """When the server accepted it: milliseconds since the UNIX epoch."""
    content: content_pb2.Message | None = field(default=None, repr=False, compare=False)
    """Its content with the message secret, to keep for `ClientOptions.find_sent`; None when the caller encrypted it."""


@dataclass(frozen=True, slots=True)
class OutgoingParts:
    """The parts that sending uses."""

    state: ClientState
    durable: DurableState
    take_bundle: Callable[[str], Awaitable[PreKeyBundle]]
    """Takes a prekey bundle of a JID from the server."""
    check_bundle: Callable[[str, PreKeyBundle], None]
    """Raises a SignalError when no session may begin with a bundle."""
    send: Callable[[stanza_pb2.Message], Awaitable[stanza_pb2.SendAck]]
    """Sends a stanza and returns the server's answer."""
    find_sent: FindSent | None
    """Finds contents that the client no longer keeps."""


class Outgoing:
    """Encrypts and sends one account's messages."""

    def __init__(self, parts: OutgoingParts) -> None:
        self._parts = parts
        self._session_lock = asyncio.Lock()
        self._sent = SentContents(MAX_SENT)
        self._renewed_at: dict[str, float] = {}
        self._refused_bundles: dict[str, PreKeyBundle] = {}
        self._resent: OrderedDict[tuple[str, str], int] = OrderedDict()
        """The count of the last request for each message that was answered, by recipient and id."""

    async def send(self, to: str, content: content_pb2.Message, message_id: str, retry_count: int = 0) -> SentMessage:
        """Encrypts a content, sends it, and returns when the server has stored it.

        When the server refuses it because the recipient has replaced their device, sends it in a new session under the
        same id (MSG-05).

        Args:
            to: JID of the recipient.
            content: What to send.
            message_id: Id of the message.
            retry_count: Of the retry receipt that it answers; 0 for a first sending.

        Raises:
            ServerRefusal, SignalError, ConnectionEnded, TimeoutError: As `InteropClient.send_message`.
        """
        sent = with_message_secret(content)
        plaintext = serialize_message(sent)
        self._sent.keep(to, message_id, sent)
        await self._ensure_session(to)
        message = stanza_pb2.Message(
            id=message_id,
            to_jid=to,
            type=message_type(content),
            retry_count=retry_count,
            reporting_token=reporting_token(
                sent.message_context_info.message_secret, self._parts.state.jid, to, message_id, plaintext
            ),
        )
        ack = await self._send_encrypted(message, plaintext)
        if ack.HasField("device_list_mismatch") and ack.device_list_mismatch.stale:
            await self._replace_session(to, stale=message.enc[0].registration_id)
            ack = await self._send_encrypted(message, plaintext)
        if ack.HasField("error"):
            raise refusal_from_stanza_error(ack.error)
        self._sent.accepted(to, sent)
        return SentMessage(ack.id, ack.timestamp_ms, sent)

    def use_refused_bundle(self, peer: str) -> None:
        """Begins a session with the bundle that waits for the user's decision, if there is one.

        Raises:
            SignalError: The bundle is not usable for another reason.
        """
        if (bundle := self._refused_bundles.pop(peer, None)) is not None:
            self._signal.process_bundle(peer, bundle)

    def forget_refused_bundle(self, peer: str) -> None:
        """Forgets the bundle that waits for the user's decision. Idempotent."""
        self._refused_bundles.pop(peer, None)

    async def find(self, to: str, message_id: str) -> content_pb2.Message | None:
        """Returns what is true now of a message to a JID, if this client or the application still has its content."""
        content = self._sent.get(to, message_id)
        if content is None and self._parts.find_sent is not None:
            content = await self._parts.find_sent(to, message_id)
        return None if content is None else self._sent.as_changed(to, message_id, content)

    async def answer(self, receipt: stanza_pb2.RetryReceipt) -> MessageResent | RetryUnanswered | None:
        """Sends a message again that its recipient could not decrypt, in a new session.

        Returns:
            What became of it; None when this request, or a later one for the same message, was answered before.

        Raises:
            ServerRefusal: The server may accept the same message later.
            ConnectionEnded, TimeoutError: The server may or may not have accepted it.
        """
        peer: str = receipt.from_jid
        if receipt.retry_count <= self._resent.get((peer, receipt.message_id), -1):
            return None  # the same one once more: to answer it again would be of no use, and can be made a storm
        content = await self.find(peer, receipt.message_id)
        if content is None:
            return RetryUnanswered(peer, receipt.message_id, "CONTENT_UNKNOWN")
        try:
            await self._renew_session(peer, receipt)
            sent = await self.send(peer, content, receipt.message_id, receipt.retry_count)
        except SignalError as error:
            return RetryUnanswered(peer, receipt.message_id, type(error).__name__)
        except ServerRefusal as refusal:
            if refusal.recovery is Recovery.SAME_AGAIN:
                raise
            return RetryUnanswered(peer, receipt.message_id, refusal.reason)
        self._note_resent((peer, receipt.message_id), receipt.retry_count)
        return MessageResent(peer, receipt.message_id, receipt.retry_count, sent.timestamp_ms)

    def _note_resent(self, name: tuple[str, str], retry_count: int) -> None:
        self._resent[name] = retry_count
        self._resent.move_to_end(name)
        if len(self._resent) > MAX_SENT:
            self._resent.popitem(last=False)

    async def _send_encrypted(self, message: stanza_pb2.Message, plaintext: bytes) -> stanza_pb2.SendAck:
        registration_id = self._signal.remote_registration_id(message.to_jid)
        ciphertext = self._signal.encrypt(message.to_jid, pad_at_random(plaintext))
        del message.enc[:]
        message.enc.add(
            type=_CIPHERTEXT_TYPES[ciphertext.type], ciphertext=ciphertext.body, registration_id=registration_id
        )
        await self._parts.durable.commit()  # before sending: a message key must never be used twice
        return await self._parts.send(message)

    async def _ensure_session(self, peer: str) -> None:
        async with self._session_lock:  # so that concurrent first messages to a peer share one bundle
            if not self._signal.has_session(peer):
                bundle = self._refused_bundles.pop(peer, None) or await self._parts.take_bundle(peer)
                if not self._signal.has_session(peer):  # the peer's first message may have come meanwhile
                    self._begin_session(peer, bundle)

    async def _renew_session(self, peer: str, receipt: stanza_pb2.RetryReceipt) -> None:
        """Begins a new session for a retry, with the keys in the receipt, or else, but seldom, with a new bundle."""
        async with self._session_lock:
            if receipt.HasField("keys"):
                self._signal.process_bundle(peer, bundle_of(receipt))  # raises unless the identity is the pinned one
                return
            now = asyncio.get_running_loop().time()
            if now - self._renewed_at.get(peer, -RENEWAL_SECONDS) < RENEWAL_SECONDS:
                return
            try:
                bundle = await self._parts.take_bundle(peer)
            except ServerRefusal:
                if not self._signal.has_session(peer):
                    raise
                return  # the existing session may work; otherwise, the next receipt brings keys
            self._begin_session(peer, bundle)
            self._renewed_at[peer] = now

    async def _replace_session(self, peer: str, stale: int) -> None:
        """Begins a session with the peer's new device, unless another message has done so meanwhile."""
        async with self._session_lock:
            # There is no session at all when the notice of the new device came before the answer to the message.
            if self._signal.remote_registration_id(peer) in (None, stale):
                self._begin_session(peer, await self._parts.take_bundle(peer))

    def _begin_session(self, peer: str, bundle: PreKeyBundle) -> None:
        try:
            self._parts.check_bundle(peer, bundle)
            self._signal.process_bundle(peer, bundle)
        except (UntrustedIdentity, MissingKemPreKey):
            # Kept until the user has decided: bundles are limited, and each costs the peer a prekey (KEY-14).
            self._refused_bundles[peer] = bundle
            raise

    @property
    def _signal(self) -> SignalState:
        return self._parts.state.signal
