"""The chat channel: one stream, from the handshake to its end; knows no rule and no storage."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing, suppress
from typing import Any

from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, chat_pb2_grpc, stanza_pb2
from interop_protocol.jid import whatsapp_jid
from interop_protocol.noise import RemoteProtocolError, Transport
from interop_protocol.sizes import PROTOCOL_VERSION
from interop_server import __version__
from interop_server.core.abuse.standing import BanRefusal
from interop_server.core.capabilities import Capability, offered
from interop_server.core.enlistment.client_ip import plain_address
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_rules import Close, Direction, Ending, PresentCertificates
from interop_server.core.faults import Event
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.messages import Indicator
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, Login
from interop_server.core.trace import ChannelTrace
from interop_server.fault_gate import Severed
from interop_server.rpc.calls import Call, Context, call_of
from interop_server.rpc.claims import handshake_from
from interop_server.rpc.connections import ClientTraits, LiveConnection
from interop_server.rpc.convert.indicators import indicator_to
from interop_server.rpc.convert.login import limits_to, peer_in_one_form, peer_ip_from
from interop_server.rpc.deliveries import DeliveryPump
from interop_server.rpc.edge import Edge
from interop_server.rpc.errors import refusal_to
from interop_server.rpc.faulty_channel import FaultyChannel
from interop_server.rpc.handshake import Identities, ServerIdentity, shake_hands
from interop_server.rpc.inbound import Inbound
from interop_server.rpc.outbox import Outbox
from interop_server.rpc.read_ahead import ReadAhead
from interop_server.rpc.wire import see_sent

_log = logging.getLogger(__name__)

_CONNECT = "ChatService.Connect"
LAST_WORD_SECONDS = 2.0
"""How long a client may take to read the remaining stanzas, with the reason, when the server ends the connection."""


class _LeftAlone(Exception):
    """A fault ends a stream cleanly before the login has an outcome."""


class ChatServicer(chat_pb2_grpc.ChatServiceServicer):
    """Serves chat channels. See ChatService in chat.proto."""

    def __init__(self, edge: Edge, identities: Identities) -> None:
        self._edge = edge
        self._rules = edge.rules
        self._identities = identities
        self._begin = edge.spanned("chat.login", self._log_in)

    async def Connect(  # type: ignore[override]  # the coroutine form of grpc.aio: it reads from and writes to the context
        self, request_iterator: AsyncIterator[chat_pb2.ConnectRequest], context: Context
    ) -> None:
        """Runs one channel until either side ends it."""
        edge, call = self._edge, call_of(context)
        with closing(edge.rules.trace.open()) as wire:
            with edge.seats.taken(handshake_from(call)):
                try:
                    live, channel = await self._begin(context, call, wire)
                except _LeftAlone:
                    return
            try:
                await _ChatStream(edge, live, channel, call).run()
            finally:
                await edge.departures.close(live)

    async def _log_in(
        self, context: Context, call: Call, wire: ChannelTrace
    ) -> "tuple[LiveConnection, _SealedChannel]":
        edge = self._edge
        handshaken = await shake_hands(context, self._shown_identity(), edge.rng, edge.rules.limits, wire)
        channel = _SealedChannel(context, handshaken.transport, edge.rules.limits, wire)
        try:
            live = await self._open(handshaken.login, call)
            wire.belongs_to(live.account.jid)
            return live, channel
        except Refusal as refusal:
            await self._refuse(refusal, channel, call, _claimed(handshaken.login))
            raise
        except (Severed, _LeftAlone):
            raise
        except Exception as error:
            # An unexpected failure is also told in the channel (CHN-10), and is as opaque as elsewhere.
            _log.exception("a login failed")
            fault = Refusal(Reason.SERVER_FAULT)
            await self._refuse(fault, channel, call, _claimed(handshaken.login))
            raise fault from error

    def _shown_identity(self) -> ServerIdentity:
        faults = self._edge.gate.faults
        fired = faults.meet(Event(_CONNECT, Direction.TO_CLIENT)) if faults.is_on else None
        if fired is None:
            return self._identities.identity
        assert isinstance(fired.action, PresentCertificates), "nothing else is done to a server's hello"
        return self._identities.untrusted(fired.action.chain)

    async def _open(self, login: Login | Refusal, call: Call) -> LiveConnection:
        if isinstance(login, Refusal):
            raise login
        account = await self._rules.logins.log_in(login, peer_ip_from(call.peer()))
        if self._edge.gate.faults.is_on:
            await self._meet_login(account, login.mode)
        facts = ConnectionFacts(
            account=account,
            mode=login.mode,
            client_ip=plain_address(login.client_ip) if login.mode is ConnectionMode.PROXY else "",
            peer_address=peer_in_one_form(call.peer()),
            connected_at_ms=self._edge.clock.now_ms(),
        )
        common = frozenset(known for known in offered(self._rules.limits) if known in login.capabilities)
        client = ClientTraits(login.read_receipts, login.max_frame_bytes, common)
        live = await self._edge.entrance.open(facts, client)
        try:
            # Check again: a ban imposed since the first check has found no connection to end.
            await self._rules.logins.check_standing(account)
        except BaseException:
            await self._edge.entrance.close(live)
            raise
        call.belongs_to(account)
        self._rules.journal.record(account.jid, "chat.login", "accepted", detail=login.mode.name.lower())
        return live

    async def _meet_login(self, account: Account, mode: ConnectionMode) -> None:
        gate = self._edge.gate
        fired = gate.faults.meet(Event(_CONNECT, Direction.TO_SERVER, actor=account.jid, mode=mode))
        if fired is None:
            return
        if fired.action == Close(Ending.CLEAN):
            raise _LeftAlone
        await gate.before(fired)

    async def _refuse(self, refusal: Refusal, channel: "_SealedChannel", call: Call, claimed: str) -> None:
        refusal.code = refusal.reason.login_code  # in the stanza and in the status of the call alike
        _say_when(refusal, self._rules.limits)
        call.refuse(refusal, "chat.login", claimed)
        # Like every last word: a client that does not read must not hold the stream open.
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await channel.send(_login_failure(refusal))


def _claimed(login: Login | Refusal) -> str:
    """Returns the account that a login claims, proved or not, for the journal; empty when it claims none."""
    if isinstance(login, Refusal):
        return ""
    return f"account {login.account_number}" if login.is_interop else whatsapp_jid(login.phone_number)


def _say_when(refusal: Refusal, limits: Limits) -> None:
    """Sets the delay after which to return to a stopping server: another one may run by then (CHN-10)."""
    if refusal.reason is Reason.SERVER_DRAINING:
        refusal.retry_after_ms = limits.reconnect_ms


def _login_failure(refusal: Refusal) -> stanza_pb2.Stanza:
    failure = stanza_pb2.LoginFailure(error=refusal_to(refusal))
    if isinstance(refusal, BanRefusal) and refusal.retry_after_ms is not None:
        failure.sub_code = refusal.sub_code
        failure.expires_after_seconds = -(-refusal.retry_after_ms // SECOND_MS)
    return stanza_pb2.Stanza(login_failure=failure)


def _stream_error(refusal: Refusal) -> stanza_pb2.Stanza:
    return stanza_pb2.Stanza(stream_error=stanza_pb2.StreamError(error=refusal_to(refusal)))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Ends tasks and takes them out of the list: a cancelled one keeps what it had in hand while somebody knows it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()


class _SealedChannel:
    """Sends and receives sealed frames on a stream."""

    def __init__(self, context: Context, transport: Transport, limits: Limits, wire: ChannelTrace) -> None:
        self._context = context
        self._transport = transport
        self._limits = limits
        self.wire = wire
        """What goes over it, for whoever looks."""

    async def send(self, stanza: stanza_pb2.Stanza) -> None:
        """Sends one stanza as a batch of its own."""
        await self.send_batch(stanza_pb2.Batch(stanzas=[stanza]).SerializeToString())

    async def send_batch(self, batch: bytes) -> None:
        """Seals and sends a serialised batch."""
        if self.wire.trace.is_on:
            see_sent(self.wire, batch)
        await self._context.write(chat_pb2.ConnectResponse(sealed=self._transport.encrypt(batch)))

    async def read(self) -> bytes | None:
        """Returns the plaintext of the next frame; None at the end of the stream.

        Raises:
            Refusal: HANDSHAKE_OUT_OF_ORDER, FRAME_TOO_LARGE, FRAME_MALFORMED or FRAME_AUTHENTICATION_FAILED.
        """
        try:
            request = await self._context.read()
        except DecodeError as error:
            raise Refusal(Reason.FRAME_MALFORMED, "the bytes are not a ConnectRequest") from error
        if not isinstance(request, chat_pb2.ConnectRequest):
            return None
        if request.WhichOneof("frame") != "sealed":
            raise Refusal(Reason.HANDSHAKE_OUT_OF_ORDER, "only sealed frames are allowed after the handshake")
        sealed = request.sealed
        if len(sealed) > self._limits.max_frame_bytes:
            raise Refusal(
                Reason.FRAME_TOO_LARGE,
                f"the frame has {len(sealed)} bytes, the limit is {self._limits.max_frame_bytes}",
            )
        try:
            return self._transport.decrypt(sealed)
        except RemoteProtocolError as error:
            raise Refusal(Reason[error.reason]) from error


class _ChatStream:
    """A logged-in channel: reads, writes, delivers and watches for silence until one of these ends."""

    __slots__ = (
        "_ahead", "_call", "_channel", "_edge", "_faulty", "_heard_at_ms", "_inbound", "_live", "_outbox", "_pump",
        "_receive", "_rules", "_share",
    )  # fmt: skip

    def __init__(self, edge: Edge, live: LiveConnection, channel: _SealedChannel, call: Call) -> None:
        self._edge = edge
        self._call = call
        self._rules = edge.rules
        self._live = live
        self._channel = channel
        self._share = edge.waiting.open(self._give_up)
        self._outbox = Outbox(edge.rules.limits, live.max_frame_bytes, self._share.change)
        self._faulty = self._outbox.faulty = FaultyChannel(edge.gate, live, self._outbox.put_late)
        live.handover.held = self._share.change
        self._pump = DeliveryPump(edge.rules.mailbox, live, self._outbox, edge.clock, edge.rules.limits)
        self._inbound = Inbound(edge, self._pump, live, self._outbox, channel.wire, self._share.change)
        self._receive = edge.spanned("chat.frames", self._inbound.receive)
        self._ahead = ReadAhead(edge.rules.limits.max_frame_bytes, self._share.change)
        if Capability.TYPING in live.capabilities:
            live.show = self._show
        self._heard_at_ms = edge.clock.now_ms()

    async def run(self) -> None:
        """Runs the channel to its end.

        Raises:
            Refusal: The reason why the server ended it; the client has received it in a stream error.
        """
        # Raised here, where no task is known: gRPC keeps a refused call for as long as its client does not read.
        if (error := await self._run_to_end()) is not None:
            raise error

    async def _run_to_end(self) -> BaseException | None:
        low = await self._rules.prekeys.low_counts(self._live.account)
        if low is not None:
            self._live.tell_prekeys_low(*low)
        writing = self._start(self._write(), "write")
        others = [self._start(self._work(), "work"), self._start(self._pump.run(), "deliver")]
        others.append(self._start(self._watch(), "silence"))  # the clock reports fired timers under this name
        others.append(asyncio.create_task(self._read(), name="read"))
        try:
            error = await self._live.over
            await _cancel(others)
            if isinstance(error, Refusal):
                _say_when(error, self._rules.limits)
                self._call.refuse(error, "chat.stream")
                # Only one task may write to a stream, and a client that does not read must not hold it up for ever.
                self._outbox.finish(_stream_error(error))
                await asyncio.wait([writing], timeout=LAST_WORD_SECONDS)
            return error
        finally:
            self._share.close()
            self._outbox.faulty = None  # each holds the other
            await _cancel([writing, *others])
            await self._faulty.close()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._has_ended)
        return task

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        # Called in the order in which the tasks end: the first cause is the reason of the channel's end.
        if not task.cancelled():
            self._live.finish(task.exception())

    def _give_up(self) -> None:
        # What waits is lost to this connection, and not to the account: what was not acked comes or is sent again.
        self._outbox.give_up()
        self._ahead.give_up()
        self._live.handover.give_up()
        self._live.finish(
            Refusal(Reason.CONNECTION_SILENT, "too much waits for this client: it sends more than it reads")
        )

    def _show(self, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        return self._outbox.offer(indicator_to(sender_jid, indicator, expires_after_seconds))

    async def _read(self) -> None:
        try:
            while (plaintext := await self._channel.read()) is not None:
                self._heard_at_ms = self._edge.clock.now_ms()
                await self._ahead.put(plaintext)
            self._ahead.finish()
        except Exception as error:  # noqa: BLE001 - an error of the reader ends the channel, after the frames before it
            self._ahead.finish(error)

    async def _work(self) -> None:
        while frames := await self._ahead.take():
            if not await self._receive(frames):
                return

    async def _write(self) -> None:
        await self._channel.send(self._login_success())
        while (batch := await self._outbox.next_batch()) is not None:
            await self._channel.send_batch(batch)

    async def _watch(self) -> None:
        silent_ms = self._rules.limits.silent_seconds * SECOND_MS
        while True:
            left_ms = self._heard_at_ms + silent_ms - self._edge.clock.now_ms()
            if left_ms <= 0:
                # Closed at once, not after the last stanza: an operator who advances the clock finds the session dead.
                silent = Refusal(Reason.CONNECTION_SILENT)
                self._call.refuse(silent, "chat.stream")
                await self._edge.departures.close(self._live)
                raise silent
            await self._edge.clock.sleep(left_ms / SECOND_MS)

    def _login_success(self) -> stanza_pb2.Stanza:
        return stanza_pb2.Stanza(
            login_success=stanza_pb2.LoginSuccess(
                jid=self._live.account.jid,
                session_token=self._live.session_token,
                server_time_ms=self._edge.clock.now_ms(),
                limits=limits_to(self._rules.limits),
                capabilities=[chat_pb2.Capability.ValueType(known) for known in sorted(offered(self._rules.limits))],
                server_version=__version__,
                min_protocol_version=self._rules.limits.min_protocol_version,
                max_protocol_version=PROTOCOL_VERSION,
            )
        )
