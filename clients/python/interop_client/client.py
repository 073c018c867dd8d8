"""The client of either side: keys, sessions, messages, receipts; knows no enlistment or opt-in.

Source: KEY-01 to KEY-17, MSG-01 to MSG-14, RCP-01, ABU-01, OPT-08.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Self, TypeVar, overload

from google.protobuf.message import Message as Protobuf

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import integrity_pb2, interop_pb2, prekeys_pb2, stanza_pb2
from interop_client.cancellation import must_go_on
from interop_client.connection.attempt import overtaken
from interop_client.connection.transport import BlobStreams, Transport, ca_of
from interop_client.errors import ConnectionEnded, ServerRefusal, refusal_from_stanza_error
from interop_client.keys.bundles import bundle_from
from interop_client.keys.prekeys import DEFAULT_PREKEYS, OwnPreKeys
from interop_client.media.download import download_over_grpc, download_over_http
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, encrypted_blob
from interop_client.messaging.contents import (
    deletion_content,
    edit_content,
    media_type_of,
    reaction_content,
    reported_message,
    text_content,
    with_blob,
)
from interop_client.messaging.event_queue import E, EventQueue, Predicate
from interop_client.messaging.events import (
    DigestRequested,
    Event,
    Incoming,
    MediaReceived,
    MediaRetryRequested,
    PqDowngrade,
    PreKeysCompared,
    PreKeysLow,
    RetryRequested,
)
from interop_client.messaging.inbox import Inbox, receipts, refusals
from interop_client.messaging.open_connection import DEFAULT_MAX_UNACKED, Connection, ConnectionParts
from interop_client.messaging.outgoing import Outgoing, OutgoingParts, SentMessage
from interop_client.messaging.retries import ask_again
from interop_client.options import ClientOptions
from interop_client.signal.errors import MissingKemPreKey
from interop_client.signal.store import SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_client.state import ClientState, DurableState, StateStore

WAIT_SECONDS = 10.0
"""How long `wait_for` waits by default."""

M = TypeVar("M", bound=Protobuf)

_MEDIA_STATUSES = {"BLOB_NOT_FOUND": 404, "BLOB_EXPIRED": 410}

_log = logging.getLogger(__name__)


class InteropClient:
    """One account on one device. An asynchronous context manager: connects and closes.

    Args:
        transport: How to reach the server.
        state: Keys and sessions; changes while the client works. Belongs to one client at a time.
        store: Saves the state, always before the client sends what depends on it; None saves nothing.
        options: Choices of the application.
    """

    def __init__(
        self,
        transport: Transport,
        state: ClientState,
        store: StateStore | None = None,
        options: ClientOptions | None = None,
    ) -> None:
        self.state = state
        """Keys and sessions."""
        self.transport = transport
        """Reaches the server. It does not save the state before it sends: only for stanzas without a secret."""
        self._options = options or ClientOptions()
        self._durable = DurableState(state, store)
        self._events = EventQueue(self._options.event_capacity)
        self._prekeys = OwnPreKeys(transport, state, self._durable, self._options.kem_prekeys)
        self._inbox = Inbox(state)
        self._outgoing = Outgoing(
            OutgoingParts(
                state=state,
                durable=self._durable,
                take_bundle=self.take_prekey_bundle,
                check_bundle=self._check_downgrade,
                send=self._send_stanza,
                find_sent=self._options.find_sent,
            )
        )
        self._connection: Connection | None = None
        self._ending: list[Connection] = []
        self._turns = 0
        """Calls of `connect` and `close`: the last one decides."""

    @property
    def jid(self) -> str:
        """The account's JID; empty until it is enlisted."""
        return self.state.jid

    async def connect(self) -> None:
        """Connects and logs in, after closing any open connection. The server then sends the backlog unasked.

        May be called anywhere, as `close`. Called by `on_event`, it returns once logged in, and the new connection's
        deliveries wait until `on_event` has returned: what it is at work on is handed over once, and acked after that.

        Raises:
            LoginRefused: The server does not accept the login.
            ServerRefusal: The server ended the handshake, or cannot be reached.
            CertificateError: The root does not certify the server.
            ConnectionEnded: CLIENT_FAULT: an earlier connection left this state ahead of the saved one. CLOSED:
                `close`, or another call of this, came meanwhile.
        """
        self._turns += 1
        turn = self._turns
        if (earlier := self._connection) is not None:
            await earlier.close()
            if earlier.is_faulty:
                raise ConnectionEnded("CLIENT_FAULT", "Make a new client from the saved state.")
            # Still at work when this is called by the application's code that it waits for.
            self._ending = [one for one in (*self._ending, earlier) if not one.is_over]
            self._check_turn(turn)
        login = await self.transport.connect()
        self._check_turn(turn)
        self._events.open()
        self._inbox = Inbox(self.state, login.limits.max_unacked_deliveries or DEFAULT_MAX_UNACKED)
        parts = ConnectionParts(
            transport=self.transport,
            inbox=self._inbox,
            durable=self._durable,
            events=self._events,
            on_event=self._options.on_event,
            upkeep=self._upkeep(),
            sends_delivered_receipts=self._options.sends_delivered_receipts,
        )
        self._connection = Connection(parts, login, self._ending)

    async def close(self) -> None:
        """Ends the connection. The application can still take the remaining events. Idempotent.

        May be called anywhere: by `on_event` too, which it then does not wait for. Called elsewhere, it waits until
        `on_event` has finished its event, however long that takes; it may be given up, as by `asyncio.timeout`.
        """
        self._turns += 1
        turn = self._turns
        try:
            if self._connection is not None:
                await self._connection.close()
            for connection in self._ending:
                await connection.close()
        finally:
            if turn == self._turns:  # else whoever connects anew has it
                await self.transport.close()
                self._events.close()

    def _check_turn(self, turn: int) -> None:
        if turn != self._turns:
            raise overtaken()

    async def abort(self) -> None:
        """Ends the connection as a crash or a lost network would: what waits is not sent, and nobody is told."""
        self.transport.abort()
        await self.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def events(self) -> AsyncIterator[Event]:
        """Yields events in order of arrival, each once; ends when the client is closed and all events are taken."""
        return self._events.all()

    @overload
    async def wait_for(self, wanted: Predicate, timeout_seconds: float | None = WAIT_SECONDS) -> Event: ...
    @overload
    async def wait_for(self, wanted: type[E], timeout_seconds: float | None = WAIT_SECONDS) -> E: ...
    async def wait_for(self, wanted: type[E] | Predicate, timeout_seconds: float | None = WAIT_SECONDS) -> E | Event:
        """Takes the first wanted event, which may have come already; other events stay.

        Args:
            wanted: Class of the event, or a predicate.
            timeout_seconds: How long to wait; None waits for ever.

        Raises:
            TimeoutError: The event did not come in time.
            ConnectionEnded: The client is closed and the event has not come.
        """
        return await self._events.take(wanted, timeout_seconds)

    async def ping(self) -> None:
        """Sends a ping and waits for the answer.

        Raises:
            ConnectionEnded: The connection ended first.
            TimeoutError: No answer came in time.
        """
        await self._open_connection.ping()

    async def publish_prekeys(self, count: int = DEFAULT_PREKEYS) -> None:
        """Publishes identity, signed prekey and new one-time prekeys, which replace all those published before.

        Args:
            count: One-time prekeys, 0 to 20,000.

        Raises:
            ValueError: They are fewer or more.
            ServerRefusal: The server refused them.
        """
        await self._prekeys.publish(count)

    async def add_prekeys(self, count: int = DEFAULT_PREKEYS) -> None:
        """Adds new one-time prekeys, 1 to 20,000, to those published.

        Raises:
            ValueError: They are fewer or more.
            ServerRefusal: The server refused them.
        """
        await self._prekeys.add(count)

    async def count_prekeys(self) -> int:
        """Returns how many one-time prekeys of this account the server has left."""
        return await self._prekeys.count()

    async def rotate_signed_prekey(self) -> None:
        """Replaces the signed prekey (KEY-11).

        Raises:
            ServerRefusal: The server refused it.
        """
        await self._prekeys.rotate_signed_prekey()

    async def has_intact_prekeys(self) -> bool:
        """Says whether the server holds the same keys as this client (KEY-10).

        Raises:
            ServerRefusal: PREKEYS_NOT_SET.
        """
        return await self._prekeys.are_intact()

    async def take_prekey_bundle(self, jid: str) -> PreKeyBundle:
        """Takes a prekey bundle of another user, which consumes one of their one-time prekeys.

        Sending does this by itself when there is no session.

        Raises:
            ServerRefusal: RECIPIENT_NOT_REACHABLE or another reason per user; or the call was refused, or its answer is
                malformed.
        """
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=(jid,))
        response = await self._call("PreKeyService/TakePreKeyBundles", request, prekeys_pb2.TakePreKeyBundlesResponse)
        if not response.results:
            raise _answer_malformed()
        return bundle_from(response.results[0])

    async def send_text(self, to: str, text: str, reply_to: Incoming | None = None) -> SentMessage:
        """Sends a text, as an answer to a message or on its own. See `send_message`.

        Raises:
            InvalidContent: The text is longer than 65,536 bytes, or no Unicode text.
        """
        return await self.send_message(to, text_content(text, reply_to))

    async def send_reaction(self, to: str, message_id: str, emoji: str, *, is_own_message: bool = False) -> SentMessage:
        """Reacts to a message; an empty emoji removes the reaction. See `send_message`.

        Args:
            to: JID of the other side of the chat.
            message_id: Id of the message.
            emoji: The reaction.
            is_own_message: Whether this client sent that message.
        """
        return await self.send_message(to, reaction_content(to, message_id, emoji, is_own_message=is_own_message))

    async def send_edit(self, to: str, message_id: str, text: str) -> SentMessage:
        """Edits a text that this user sent. The recipient's client ignores an edit after twenty minutes (MSG-12).

        See `send_message`.
        """
        return await self.send_message(to, edit_content(to, message_id, text, time.time_ns() // 1_000_000))

    async def send_deletion(self, to: str, message_id: str) -> SentMessage:
        """Deletes a message that this user sent, for sender and recipient (MSG-12). See `send_message`."""
        return await self.send_message(to, deletion_content(to, message_id))

    async def send_message(self, to: str, content: content_pb2.Message, message_id: str | None = None) -> SentMessage:
        """Encrypts a content, sends it, and returns when the server has stored it.

        Args:
            to: JID of the recipient.
            content: What to send.
            message_id: Id of an earlier attempt, which ended in ConnectionEnded or TimeoutError: the server accepts
                each message once, however often a client sends it. None makes a new id, as `state.take_message_id`
                does.

        Raises:
            ServerRefusal: The server refused the message, or has no bundle with which to begin a session.
            UnsupportedContent: Third-party chats do not support the content (MSG-12).
            InvalidContent: It is not exactly one content, or a text of it is longer than 65,536 bytes.
            SignalError: The recipient's bundle is not usable; UntrustedIdentity when their identity key has changed
                and no notification of that has come yet: see `accept_identity`; MissingKemPreKey when the bundle lacks
                a KEM prekey and `refuses_pq_downgrade` is set: see `accept_pq_downgrade`.
            ConnectionEnded: The connection ended first: the server may or may not have accepted the message.
            TimeoutError: No answer came in time; the server may or may not have accepted the message.
        """
        return await self._outgoing.send(to, content, message_id or self.state.take_message_id())

    async def send_encrypted(self, message: stanza_pb2.Message) -> SentMessage:
        """Sends a message stanza unchanged, and returns when the server has stored it.

        For messages that the caller encrypts, and for tests of the server's refusals; see `send_message`.

        Raises:
            ServerRefusal: The server refused the message.
            ConnectionEnded: The connection ended first: the server may or may not have accepted the message.
            TimeoutError: No answer came in time; the server may or may not have accepted the message.
        """
        ack = await self._send_stanza(message)
        if ack.HasField("error"):
            raise refusal_from_stanza_error(ack.error)
        return SentMessage(ack.id, ack.timestamp_ms)

    async def send_typing(
        self, to: str, state: stanza_pb2.TypingState.ValueType = stanza_pb2.TYPING_STATE_COMPOSING
    ) -> None:
        """Shows the recipient that this user is typing; the server drops it if they cannot see it now (MSG-13).

        Raises:
            ConnectionEnded: There is no open connection.
        """
        await self._open_connection.show(stanza_pb2.Stanza(typing=stanza_pb2.Typing(to_jid=to, state=state)))

    async def mark_read(self, *messages: Incoming) -> None:
        """Tells senders that this user has read their messages.

        A read receipt arrives only if both sides have read receipts on (RCP-01).

        Raises:
            ConnectionEnded: There is no open connection.
        """
        by_sender: dict[str, list[str]] = {}
        for message in messages:
            by_sender.setdefault(message.sender, []).append(message.id)
        for sender, ids in by_sender.items():
            await self._open_connection.send(*receipts(stanza_pb2.RECEIPT_TYPE_READ, sender, ids))

    async def accept_identity(self, jid: str, identity_key: bytes | None = None) -> None:
        """Accepts the identity key that the peer presents next, whichever it is, and forgets the sessions with them.

        Messages that waited for this decision, see `MessageHeld`, are opened.

        Args:
            jid: The peer.
            identity_key: Accepts this key only, 32 bytes: that of `MessageHeld`, or `UntrustedIdentity.presented`.

        Raises:
            ValueError: That is no such key.
        """
        self._signal.accept_identity(jid, identity_key)
        await self._durable.commit()
        if self._connection is not None:
            self._connection.open_again(self._inbox.release(jid))

    async def refuse_identity(self, jid: str) -> None:
        """Drops the messages that wait for the user's decision about a peer's new identity key; keeps the known key.

        Raises:
            ConnectionEnded: There is no open connection.
        """
        self._outgoing.forget_refused_bundle(jid)
        await self._open_connection.send(*refusals(self._inbox.release(jid)))

    async def accept_pq_downgrade(self, jid: str) -> None:
        """Goes on without post-quantum prekeys with a peer, even when `refuses_pq_downgrade` is set (KEY-16).

        Raises:
            SignalError: The refused bundle is not usable for another reason.
        """
        self._signal.kem.seen.discard(jid)
        self._outgoing.use_refused_bundle(jid)
        await self._durable.commit()

    async def download(self, media: MediaReference, target: Path, http: str = "") -> None:
        """Downloads, verifies and decrypts a file.

        Args:
            media: From MediaReceived.
            target: Path of the file, which is written completely or not at all.
            http: Base URL of the server's HTTP surface; empty downloads over gRPC, which needs a direct connection.

        Raises:
            ServerRefusal: The server does not have the blob.
            MediaTampered: The blob is not the one that the sender described.
            OSError: The file cannot be written.
            ValueError: The transport has no blob streams, and no URL was given.
        """
        if http:
            await download_over_http(http, media, target, ca_of(self.transport))
        elif isinstance(self.transport, BlobStreams):
            await download_over_grpc(self.transport, media, target)
        else:
            raise ValueError("this transport has no blob streams: download over HTTP")

    async def request_media_again(self, message: MediaReceived, refusal: ServerRefusal) -> bool:
        """Asks the sender of a file to upload its deleted blob again: `MediaReceived` follows, with the same id.

        Args:
            message: The message.
            refusal: The refusal of `download`: BLOB_NOT_FOUND or BLOB_EXPIRED.

        Returns:
            Whether this client asked the sender; False when it has already asked five times (RCP-04).

        Raises:
            ValueError: The download was refused for another reason: the blob may still exist.
            ConnectionEnded: There is no open connection.
        """
        if refusal.reason not in _MEDIA_STATUSES:
            raise ValueError(f"{refusal.reason} does not say that the blob is gone")
        name = (message.sender, message.id)
        status = _MEDIA_STATUSES[refusal.reason]
        receipt = ask_again(self.state, name, message.retry_count, media_status=status)
        await self._durable.commit()
        if receipt is None:
            return False
        await self._open_connection.send(stanza_pb2.Stanza(retry_receipt=receipt))
        return True

    async def _send_file_again(
        self, request: MediaRetryRequested, path: Path, store: Callable[[Blob], Awaitable[str]]
    ) -> SentMessage:
        content = await self._outgoing.find(request.sender, request.message_id)
        media_type = media_type_of(content) if content is not None else None
        if content is None or media_type is None:
            raise LookupError(f"no file is known that was sent as {request.message_id}")
        async with encrypted_blob(path, media_type) as blob:
            again = with_blob(content, blob.encrypted, blob.media_key, await store(blob))
        return await self._outgoing.send(request.sender, again, request.message_id, request.retry_count)

    async def resolve(self, external_id: str, integrator: int = 0) -> str:
        """Returns the JID of the user with a user-visible identifier (OPT-08).

        Args:
            external_id: The identifier.
            integrator: The partner of the user; 0 for a WhatsApp user's phone number.

        Raises:
            ServerRefusal: RECIPIENT_NOT_REACHABLE or another reason; ANSWER_MALFORMED when the server names no user.
        """
        user = interop_pb2.ExternalUser(external_id=external_id, integrator=integrator)
        response = await self._call(
            "InteropService/Resolve", interop_pb2.ResolveRequest(users=(user,)), interop_pb2.ResolveResponse
        )
        if not response.users:
            raise _answer_malformed()
        resolved = response.users[0]
        if resolved.HasField("error"):
            raise refusal_from_stanza_error(resolved.error)
        return resolved.resolved.jid

    async def block(self, jid: str) -> None:
        """Blocks a user; the server does not tell them (ABU-02). Idempotent."""
        await self._update_blocklist(integrity_pb2.BLOCK_ACTION_BLOCK, jid)

    async def unblock(self, jid: str) -> None:
        """Removes a user from the blocklist. Idempotent."""
        await self._update_blocklist(integrity_pb2.BLOCK_ACTION_UNBLOCK, jid)

    async def get_blocklist(self) -> list[str]:
        """Returns the blocked JIDs, ascending."""
        request = integrity_pb2.GetBlocklistRequest()
        response = await self._call("IntegrityService/GetBlocklist", request, integrity_pb2.GetBlocklistResponse)
        return list(response.jids)

    async def report(
        self,
        jid: str,
        messages: Iterable[Incoming],
        *,
        reveal: bool = False,
        spam_flow: integrity_pb2.SpamFlow.ValueType = integrity_pb2.SPAM_FLOW_MESSAGE_MENU,
    ) -> str:
        """Reports a user and returns the report's id. The server tells no client whether it counts (ABU-03, ABU-04).

        Args:
            jid: The reported user.
            messages: 1 to 16 messages from them.
            reveal: Whether to show the server the content of those messages that came with a reporting token.
            spam_flow: Where in the app the user reports.

        Raises:
            ServerRefusal: The server refused the report.
        """
        reported = [reported_message(message, reveal=reveal) for message in messages]
        request = integrity_pb2.ReportRequest(jid=jid, spam_flow=spam_flow, messages=reported)
        return (await self._call("IntegrityService/Report", request, integrity_pb2.ReportResponse)).report_id

    def _check_downgrade(self, peer: str, bundle: PreKeyBundle) -> None:
        if self._signal.is_pq_downgrade(peer, bundle):
            self._events.put(PqDowngrade(peer))
            if self._options.refuses_pq_downgrade:
                raise MissingKemPreKey(f"the bundle of {peer} lacks its KEM prekey")

    async def _send_stanza(self, message: stanza_pb2.Message) -> stanza_pb2.SendAck:
        return await self._open_connection.send_message(message)

    async def _answer_retries(self) -> None:
        """Answers the waiting retry requests. One that fails is not acked, so that the server sends it again."""
        connection, retries = self._open_connection, self._inbox.retries
        while retries:
            delivery_id, receipt = retries.popleft()
            try:
                event = await self._outgoing.answer(receipt)
            except (ServerRefusal, TimeoutError) as error:
                _log.warning("message %s could not be sent again: %s", receipt.message_id, error)
                continue
            except BaseException as error:  # the application's `find_sent` failed: answer the other requests anyway
                if must_go_on(error):
                    raise
                if isinstance(error, ConnectionEnded):
                    await connection.send()  # raises when it was this one, and not another of the application's
                _log.exception("message %s could not be found", receipt.message_id)
                continue
            if event is not None:
                self._events.put(event)
            if delivery_id:
                await connection.send(stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=(delivery_id,))))

    async def _update_blocklist(self, action: integrity_pb2.BlockAction.ValueType, jid: str) -> None:
        request = integrity_pb2.UpdateBlocklistRequest(action=action, jid=jid)
        await self._call("IntegrityService/UpdateBlocklist", request, integrity_pb2.UpdateBlocklistResponse)

    def _upkeep(self) -> dict[type[Event], Callable[[], Awaitable[None]]]:
        upkeep: dict[type[Event], Callable[[], Awaitable[None]]] = {
            DigestRequested: self._answer_digest_request,
            RetryRequested: self._answer_retries,
        }
        if self._options.refill_count:
            upkeep[PreKeysLow] = lambda: self._prekeys.refill(self._options.refill_count)
        return upkeep

    async def _answer_digest_request(self) -> None:
        """Compares the keys. A request is acked only then, so that the server sends it again when that fails."""
        connection, digests = self._open_connection, self._inbox.digests
        count = len(digests)  # one that comes from now on may ask about later keys
        were_intact = await self._prekeys.repair(self._options.refill_count or DEFAULT_PREKEYS)
        self._events.put(PreKeysCompared(were_intact))
        answered = [delivery_id for delivery_id in digests[:count] if delivery_id]
        del digests[:count]
        if answered:
            await connection.send(stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=answered)))

    async def _call(self, method: str, request: Protobuf, response_type: type[M]) -> M:
        return await self.transport.call(f"/interop_api.v1.{method}", request, response_type)

    @property
    def _signal(self) -> SignalState:
        return self.state.signal

    @property
    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise ConnectionEnded("CLOSED", "Connect first.")
        return self._connection


def _answer_malformed() -> ServerRefusal:
    return ServerRefusal("ANSWER_MALFORMED", advice="The server's answer names nobody who was asked for.")
