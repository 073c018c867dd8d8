"""One open chat channel of a client: delivers in order and passes answers to their senders; knows no account API.

Two tasks: one reads and never waits for the application, so that answers always come through; one opens deliveries in
order, and waits while the application has not taken earlier events. The server bounds the deliveries between the two
tasks: it sends no more than it may without acks.

Source: MSG-04, MSG-08, MSG-09.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.cancellation import is_asked_to_end, must_go_on
from interop_client.connection.transport import Transport
from interop_client.errors import ConnectionEnded, ServerRefusal, refusal_from_stanza_error
from interop_client.messaging.event_queue import EventQueue
from interop_client.messaging.events import (
    ConnectionLost,
    Event,
    StanzaRefused,
    Typing,
)
from interop_client.messaging.inbox import DELIVERY_KINDS, Answers, Inbox
from interop_client.state import DurableState
from interop_protocol.noise import RemoteProtocolError
from interop_protocol.sizes import MAX_OFFLINE_BATCH

ANSWER_SECONDS = 30.0
"""Longest wait for the answer to a stanza."""

_DELIVERIES_AT_ONCE = 64
"""Deliveries opened between two saves: more need fewer saves, fewer keep the event loop more responsive."""
DEFAULT_MAX_UNACKED = 4_096
"""Deliveries in flight to one client, for a server that names no limit."""
_NOT_ACKED_KINDS = 64
"""Room for stanzas that come in order with the deliveries but need no ack."""

_TYPING_STATES = {
    stanza_pb2.TYPING_STATE_COMPOSING: "COMPOSING",
    stanza_pb2.TYPING_STATE_RECORDING: "RECORDING",
    stanza_pb2.TYPING_STATE_PAUSED: "PAUSED",
}

K = TypeVar("K")
A = TypeVar("A")

_calling: ContextVar["Connection | None"] = ContextVar("connection whose application code runs", default=None)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """The parts that a connection uses."""

    transport: Transport
    inbox: Inbox
    durable: DurableState
    events: EventQueue
    on_event: Callable[[Event], Awaitable[None]] | None
    """Awaited for each event before the client saves the state and acks the delivery."""
    upkeep: Mapping[type[Event], Callable[[], Awaitable[None]]]
    """The client's own work after an event of each class, in a task beside the deliveries; one task per class."""
    sends_delivered_receipts: bool


@dataclass(slots=True)
class _Backlog:
    """How many deliveries of the backlog the client has asked for and not received."""

    outstanding: int = 0
    is_open: bool = False


@dataclass(slots=True)
class _Waiting:
    """The callers that wait for an answer, by message id or ping id."""

    sends: dict[str, asyncio.Future[stanza_pb2.SendAck]] = field(default_factory=dict)
    pings: dict[int, asyncio.Future[None]] = field(default_factory=dict)

    def fail(self, error: ConnectionEnded) -> None:
        """Raises an error in all of them: no answer will come."""
        futures: tuple[asyncio.Future[Any], ...] = (*self.sends.values(), *self.pings.values())
        for future in futures:
            if not future.done():
                future.set_exception(error)


class Connection:
    """A connection from login to its end. `close` ends it, if the server has not.

    A delivery is finished when the application's code for it is, and only then saved and acked. So this one opens none
    before that code has ended on all earlier connections; it ends, too, when that code fails.

    Args:
        parts: The parts that it uses.
        login: The server's answer to the login.
        earlier: Those closed by the application's code that they wait for: it may still be at work, or have failed.
    """

    def __init__(
        self, parts: ConnectionParts, login: stanza_pb2.LoginSuccess, earlier: Sequence["Connection"] = ()
    ) -> None:
        self._parts = parts
        self._max_arrived = (login.limits.max_unacked_deliveries or DEFAULT_MAX_UNACKED) + _NOT_ACKED_KINDS
        self._server_knows_typing = chat_pb2.CAPABILITY_TYPING in login.capabilities
        self._max_offline_batch = login.limits.max_offline_batch or MAX_OFFLINE_BATCH
        self._arrived: deque[stanza_pb2.Stanza] = deque()
        self._arrival_or_end = asyncio.Event()
        self._waiting = _Waiting()
        self._backlog = _Backlog()
        self._ping_ids = itertools.count(1)
        self._end: ConnectionEnded | None = None
        self._is_closing = False
        self._has_let_go = False
        self._upkeep: dict[type[Event], asyncio.Task[None]] = {}
        self._asked_for: set[type[Event]] = set()
        """Kinds of upkeep that are yet to begin, or to begin again."""
        self._is_faulty = False
        self._earlier = tuple(earlier)
        context = copy_context()
        context.run(_calling.set, None)  # else it would keep the connection in whose application code it was made
        self._deliveries = asyncio.create_task(self._deliver(), name=f"deliveries {login.jid}", context=context)
        self._task = asyncio.create_task(self._run(), name=f"connection {login.jid}", context=context.copy())
        for connection in self._earlier:
            connection._deliveries.add_done_callback(lambda _: self._arrival_or_end.set())

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Sends stanzas that have no answer.

        Raises:
            ConnectionEnded: The connection has ended.
        """
        if self._end is not None:
            raise self._end.again()
        if self._has_let_go:  # the transport may be another connection's by now
            raise ConnectionEnded("CLOSED")
        await self._parts.transport.send(*stanzas)

    async def show(self, stanza: stanza_pb2.Stanza) -> None:
        """Sends an indicator, such as typing, if the server has the capability for it.

        Raises:
            ConnectionEnded: The connection is over.
        """
        if self._server_knows_typing:
            await self.send(stanza)

    async def send_message(self, message: stanza_pb2.Message) -> stanza_pb2.SendAck:
        """Sends a message and waits for the server's answer.

        Raises:
            ConnectionEnded: The connection ended first: the server may or may not have accepted the message.
            TimeoutError: No answer came in time.
        """
        return await self._answered(self._waiting.sends, message.id, stanza_pb2.Stanza(message=message))

    async def ping(self) -> None:
        """Sends a ping and waits for the pong.

        Raises:
            ConnectionEnded: The connection ended first.
            TimeoutError: No pong came in time.
        """
        ping = stanza_pb2.Ping(id=next(self._ping_ids))
        await self._answered(self._waiting.pings, ping.id, stanza_pb2.Stanza(ping=ping))

    async def close(self) -> None:
        """Sends waiting stanzas and ends the connection. Deliveries not opened yet come again in the next one.

        Called by the application's own code that this connection waits for, such as `on_event`, it does not wait for
        that code: its delivery is finished, and known when it comes again, once the code returns.
        """
        self._is_closing = True
        self._arrival_or_end.set()
        self._parts.events.lift_bound()
        self._cancel_upkeep()  # before the end of the session, which it needs
        if not self._has_let_go:  # else the transport may be another connection's by now
            await self._parts.transport.close()
            self._has_let_go = True
        if _calling.get() is not self:
            await asyncio.wait((self._task,))  # whose end is its own, also when this is cancelled

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended and nothing of it is at work any more."""
        return self._task.done()

    @property
    def is_faulty(self) -> bool:
        """Whether the client failed to open or save a delivery, so that its memory is ahead of its store.

        On this connection, or on an earlier one that was still at work on it.
        """
        return self._is_faulty or any(connection.is_faulty for connection in self._earlier)

    @contextmanager
    def _application(self) -> Iterator[None]:
        """Surrounds code of the application. Tasks that it begins inherit the mark: it may be waiting for them."""
        token = _calling.set(self)
        try:
            yield
        finally:
            _calling.reset(token)

    def open_again(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        """Opens deliveries that were held, before those that came later."""
        self._arrived.extendleft(reversed(stanzas))
        self._arrival_or_end.set()

    async def _answered(self, waiting: dict[K, asyncio.Future[A]], key: K, stanza: stanza_pb2.Stanza) -> A:
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        waiting[key] = answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.send(stanza)
                return await answer
        finally:
            if waiting.get(key) is answer:  # another one if the caller has sent the same message again meanwhile
                del waiting[key]

    async def _run(self) -> None:
        try:
            end = await self._receive()
        except BaseException:
            self._deliveries.cancel()
            raise
        self._end = end.again()
        self._waiting.fail(end)
        self._arrival_or_end.set()
        await self._deliveries
        self._cancel_upkeep()
        await asyncio.gather(*self._upkeep.values(), return_exceptions=True)
        if self.is_faulty:
            end = ConnectionEnded("CLIENT_FAULT", "Read this client's log; go on from the saved state.")
        if self.is_faulty or not self._is_closing:
            self._parts.events.put(ConnectionLost(end.reason, end.advice, end.recovery))

    async def _receive(self) -> ConnectionEnded:
        try:
            async for stanzas in self._parts.transport.receive():
                self._sort(stanzas)
                if len(self._arrived) > self._max_arrived:
                    raise ConnectionEnded("TOO_MANY_DELIVERIES", "The server does not wait for acks.")
        except ConnectionEnded as error:
            return error
        except RemoteProtocolError as error:
            return ConnectionEnded(error.reason, str(error))
        return ConnectionEnded("CLOSED")

    def _sort(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        for stanza in stanzas:
            kind = stanza.WhichOneof("kind")
            if kind in DELIVERY_KINDS or (kind is None and stanza.delivery_id):
                self._arrived.append(stanza)
            elif kind == "send_acks":
                for ack in stanza.send_acks.acks:
                    _answer(self._waiting.sends.get(ack.id), ack)
            elif kind == "pong":
                _answer(self._waiting.pings.get(stanza.pong.id), None)
            elif kind == "typing":
                self._show_typing(stanza.typing)
            elif kind == "stanza_refused":
                refusal = refusal_from_stanza_error(stanza.stanza_refused.error)
                refused = StanzaRefused(
                    stanza.stanza_refused.id,
                    stanza.stanza_refused.kind,
                    refusal.reason,
                    refusal.advice,
                    refusal.request_id,
                    refusal.recovery,
                )
                self._parts.events.offer(refused)  # bounded: it may refuse what nobody sent
        if self._arrived:
            self._arrival_or_end.set()

    def _show_typing(self, typing: stanza_pb2.Typing) -> None:
        if (state := _TYPING_STATES.get(typing.state)) is not None:  # one that is newer than this client says nothing
            self._parts.events.offer(Typing(typing.from_jid, state, typing.expires_after_seconds))

    async def _deliver(self) -> None:
        try:
            await self._let_earlier_finish()
            while not self._is_over:
                if self._arrived:
                    await self._deliver_some()
                else:
                    self._arrival_or_end.clear()
                    await self._arrival_or_end.wait()
        except ConnectionEnded:
            pass  # the acks were not sent: the deliveries come again, and the client will know them
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._task.cancelling():
                raise  # the event loop ends
            self._is_faulty = True
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            # The application's code or its disk failed, in whatever way: ack nothing more.
            _log.exception("a delivery could not be opened or saved: the connection ends")
            if not self._has_let_go:
                await self._parts.transport.close()

    async def _let_earlier_finish(self) -> None:
        """Waits until no delivery of an earlier connection is under way: it comes again in this one, perhaps already.

        Raises:
            _LetOut: The application failed to finish it.
        """
        while not self._is_over and not all(connection._deliveries.done() for connection in self._earlier):
            self._arrival_or_end.clear()
            await self._arrival_or_end.wait()
        if self._is_over:
            return
        if self.is_faulty:
            raise _LetOut("a delivery of an earlier connection could not be finished")
        self._earlier = ()  # nor all those before them

    async def _deliver_some(self) -> None:
        answers = Answers()
        for _ in range(min(len(self._arrived), _DELIVERIES_AT_ONCE)):
            await self._parts.events.room()
            if self._is_over:
                break
            stanza = self._arrived.popleft()
            opened = self._parts.inbox.open(stanza, answers)
            self._note_backlog(stanza)
            for event in opened.events:
                await self._tell(event)
            self._parts.inbox.finish(opened)
            self.open_again(opened.again)
        if not self._parts.sends_delivered_receipts:
            answers.delivered.clear()
        await self._parts.durable.commit()
        await self.send(*answers.stanzas())
        if self._backlog.is_open and self._backlog.outstanding <= 0:
            self._backlog.outstanding += self._max_offline_batch
            batch = stanza_pb2.OfflineBatch(count=self._max_offline_batch)
            await self.send(stanza_pb2.Stanza(offline_batch=batch))

    async def _tell(self, event: Event) -> None:
        if self._parts.on_event is not None:
            try:
                with self._application(), _own_cancellations():
                    await self._parts.on_event(event)
            except ConnectionEnded as error:
                if not await self._has_ended():
                    raise _LetOut("the application's code let out the end of another connection") from error
                raise
        self._parts.events.put(event)
        kind = type(event)
        if kind in self._parts.upkeep:
            self._asked_for.add(kind)
            if kind not in self._upkeep or self._upkeep[kind].done():
                self._upkeep[kind] = asyncio.create_task(self._keep_up(kind))

    async def _has_ended(self) -> bool:
        """Says whether this connection has ended, also when its reader is yet to hear of it."""
        try:
            await self.send()
        except ConnectionEnded:
            return True
        return self._is_over

    async def _keep_up(self, kind: type[Event]) -> None:
        """Does what events of a kind ask for: once more for those that come meanwhile, of which it may know nothing."""
        while kind in self._asked_for and not self._is_over:
            self._asked_for.remove(kind)
            try:
                with self._application():  # which finds contents to send again
                    await self._parts.upkeep[kind]()
            except (ServerRefusal, ConnectionEnded, OSError) as error:
                if self._is_over:
                    return  # a closed client does no upkeep; the server tells the next connection again
                _log.warning("what %s asks for could not be done: %s", kind.__name__, error)
            except BaseException as error:  # nobody else would hear of it
                if must_go_on(error):
                    raise
                _log.exception("what %s asks for could not be done", kind.__name__)

    def _cancel_upkeep(self) -> None:
        for task in self._upkeep.values():
            if _calling.get() is not self:  # otherwise the task may be the caller: it ends with the session
                task.cancel()

    def _note_backlog(self, stanza: stanza_pb2.Stanza) -> None:
        if stanza.HasField("offline_preview"):
            preview = stanza.offline_preview
            waiting = (preview.messages, preview.receipts, preview.notifications, preview.retry_receipts)
            self._backlog.is_open = any(waiting)
        elif stanza.HasField("offline_end"):
            self._backlog.is_open = False
        elif stanza.offline:
            self._backlog.outstanding -= 1

    @property
    def _is_over(self) -> bool:
        return self._is_closing or self._end is not None


class _LetOut(Exception):
    """Code of the application let out what ended something else: a task that it waited for, another connection.

    Or what it let out on an earlier connection ends this one.
    """


@contextmanager
def _own_cancellations() -> Iterator[None]:
    """Makes a cancellation that nobody asked this task for a fault like others: it would end the task unheard."""
    try:
        yield
    except asyncio.CancelledError as error:
        if is_asked_to_end():
            raise
        raise _LetOut("what the application's code waited for was cancelled") from error


def _answer(waiting: asyncio.Future[A] | None, answer: A) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(answer)
