"""What every call goes through: its session, its request id, its place in the journal, and refusals as statuses."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from interop_server.core.errors import Reason, Refusal
from interop_server.core.rules import Rules
from interop_server.core.seats import Seats, Taken
from interop_server.fault_gate import FaultGate, Severed
from interop_server.rpc.answers import Answers
from interop_server.rpc.calls import (
    ON_THE_LINE,
    REQUEST_ID_METADATA,
    Call,
    Context,
    HungUp,
    Method,
    abort,
    chosen_id,
    foreign_method,
    method_of,
)
from interop_server.rpc.claims import caller_of, claims_of
from interop_server.rpc.entrance import Session
from interop_server.rpc.errors import DETAILS_METADATA, status_details
from interop_server.rpc.faulty_calls import OWN_FAULTS, perform_under_faults
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.request_bounds import bounds_of, check_metadata, unreadable
from interop_server.rpc.session import Sessions
from interop_server.rpc.statuses import STATUS_CODES

Behavior = Callable[[Any, Any], Awaitable[Any]]

REQUEST_SECONDS = 60.0
"""How long a request that is no stream may take to arrive; policy."""

FOREIGN_BYTES = 4 << 10
"""Longest request of a service that is not the contract's; policy."""
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether the request and the response are streams."""
_ENDS_ACCOUNT = "AccountService.DeleteAccount"
_log = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Turns refusals into statuses with details, and everything unexpected into an opaque SERVER_FAULT.

    A call without a session that needs one is refused before its request is even received. Requests that do not stream
    are measured, counted and parsed here: gRPC itself would answer bytes that are no message with UNKNOWN. Every
    handler behind it is a coroutine function, also those that stream, and gets a `Call`. What becomes of each call
    stands in the journal.
    """

    def __init__(
        self, rules: Rules, sessions: Sessions, repeats: Repeats, seats: Seats, gate: FaultGate, answers: Answers
    ) -> None:
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        """The handlers of the methods that there are, by path; each is made with its first call."""
        self._gate = gate
        self._answers = answers
        self._journal = rules.journal
        self._bounds = rules.limits.kem_prekeys, rules.limits.max_ciphertext_bytes
        self._sessions = sessions
        self._repeats = repeats
        self._seats = seats

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wraps the handler of one call.

        To gRPC every request is a stream: it must not receive a request before somebody has said that it may come.
        """
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return grpc.stream_stream_rpc_method_handler(self._refuse_unknown)
            wrapped = self._wrapped[path] = self._wrap(handler, method_of(path) or foreign_method(path))
        try:
            check_metadata(handler_call_details.invocation_metadata)
        except Refusal as refusal:
            method = method_of(path) or foreign_method(path)
            return grpc.stream_stream_rpc_method_handler(self._refuse_with(refusal, method))
        return wrapped

    def _wrap(self, handler: Any, method: Method) -> "grpc.RpcMethodHandler[Any, Any]":
        if method.request is None:
            return self._counted(handler, method)
        parse, streams = handler.request_deserializer, handler.request_streaming
        make = _MAKERS[True, handler.response_streaming]
        assert parse is not None, "every method of the contract has a request"
        bounds = bounds_of(method.request, *self._bounds)
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            self._guard(_behavior(handler), method, None if streams else _Reading(bounds.check, parse)),
            request_deserializer=_Reading(bounds.count, parse).message_from if streams else None,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    async def _refuse_unknown(self, _request: Any, context: Context) -> None:
        """Answers a call of a method that is not there as gRPC does, but with a name for it, as every call has one."""
        request_id = chosen_id(context) or self._journal.unrecorded_request_id()
        message = "the server has no such method: see the protos, which `interopsim protos DIR` writes"
        await abort(context, grpc.StatusCode.UNIMPLEMENTED, message, ((REQUEST_ID_METADATA, request_id),))

    def _refuse_with(self, refusal: Refusal, method: Method) -> Behavior:
        async def refuse(_request: Any, context: Context) -> None:
            await _refuse(refusal, Call(context, method, self._journal), context)

        return refuse

    def _guard(self, behavior: Behavior, method: Method, reading: "_Reading | None") -> Behavior:
        async def guarded(stream: Any, context: Context) -> Any:
            call = Call(context, method, self._journal)
            try:
                response = await self._answer(behavior, reading, stream, call, context)
            except HungUp as error:
                _log.debug("%s: the other end has hung up", method.name)
                raise asyncio.CancelledError from error  # as gRPC itself ends a call whose client is gone
            context.set_trailing_metadata(((REQUEST_ID_METADATA, call.request_id),))
            return response

        return guarded

    async def _answer(
        self, behavior: Behavior, reading: "_Reading | None", stream: Any, call: Call, context: Context
    ) -> Any:
        try:
            if call.method.needs_session:
                connection = await self._sessions.of(context)
                call.belongs_to(connection.account, connection.capabilities, connection.facts.mode)
                behavior = _while_enlisted(behavior, connection, call.method)
            with self._seats.taken(claims_of(call)) as seats:
                request = stream if reading is None else await _receive(context)
                message = stream if reading is None else reading.checked(request)
                response = await self._perform(behavior, message, request, call)
                return self._hand_over(response, call, seats)
        except Refusal as refusal:
            await _refuse(refusal, call, context)
        except DecodeError:
            await _refuse(unreadable(), call, context)
        except Severed:
            await _sever(context)
        except (grpc.aio.AbortError, HungUp):
            raise
        except Exception:  # noqa: BLE001 - the one place that catches everything: nothing unexpected reaches the wire
            _log.exception("%s failed", call.method.name, extra={"request_id": call.request_id})
            await _refuse(Refusal(Reason.SERVER_FAULT), call, context)

    def _hand_over(self, response: Any, call: Call, seats: Taken) -> Any:
        """Gives gRPC an answer; its seats and bytes count until the client has it. What streams has written its own."""
        if response is None:
            return None
        was_taken, is_free = self._answers.hold(caller_of(call), response.ByteSize()), seats.keep()

        def let_go(_: object) -> None:
            was_taken()
            is_free()

        # gRPC runs a call in one task. A callback of its context would tie call and context into a cycle, and all that
        # gRPC holds of the call would wait for the garbage collector.
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(let_go)
        return response

    def _counted(self, handler: Any, method: Method) -> "grpc.RpcMethodHandler[Any, Any]":
        """Wraps the handler of a service that is not the contract's, such as health checks: it is only counted."""
        behavior, streams = _behavior(handler), handler.request_streaming
        reading = _Reading(_check_foreign, handler.request_deserializer)

        async def count(stream: Any, call: Call, context: Context) -> Any:
            try:
                with self._seats.taken(claims_of(call)) as seats, ON_THE_LINE:
                    request = stream if streams else reading.checked(await _receive(context))
                    if inspect.isasyncgenfunction(behavior):
                        async for response in behavior(request, context):
                            await context.write(response)
                        return None
                    return self._hand_over(await behavior(request, context), call, seats)
            except Refusal as refusal:
                await _refuse(refusal, call, context)
            except DecodeError:
                await _refuse(unreadable(), call, context)

        async def counted(stream: Any, context: Context) -> Any:
            try:
                return await count(stream, Call(context, method, self._journal), context)
            except HungUp as error:
                raise asyncio.CancelledError from error

        make = _MAKERS[True, handler.response_streaming]
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            counted,
            request_deserializer=reading.message_from if streams else None,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _perform(self, behavior: Behavior, message: Any, request: Any, call: Call) -> Awaitable[Any]:
        if self._gate.faults.is_on and not call.method.is_admin and call.method.name not in OWN_FAULTS:
            work = partial(self._do, behavior, message, request, call)
            return perform_under_faults(self._gate, call, message, work)
        return self._do(behavior, message, request, call)

    async def _do(self, behavior: Behavior, message: Any, request: Any, call: Call) -> Any:
        if call.method.is_repeatable and message.request_id:
            return await self._repeats.answer(call, message.request_id, request, lambda: behavior(message, call))
        response = await behavior(message, call)
        if response is not None:  # nor is it one of a call under a request id: what was done is told
            self._answers.make_room(caller_of(call), response.ByteSize())
        call.accept()
        return response


def _while_enlisted(behavior: Behavior, connection: Session, method: Method) -> Behavior:
    """Makes what changes something answer like the next call, once the caller's account has gone meanwhile (LIF-03)."""

    async def perform(message: Any, call: Call) -> Any:
        try:
            response = await behavior(message, call)
        except Exception as error:
            if connection.is_leaving or connection.end_reason is Reason.NOT_ENLISTED:
                raise Refusal(Reason.SESSION_DEAD, cause="the account has just ended") from error
            raise
        if connection.end_reason is Reason.NOT_ENLISTED:
            raise Refusal(Reason.SESSION_DEAD, cause="the account has just ended")
        return response

    async def leave(message: Any, call: Call) -> Any:
        # Others may find the account gone before the deletion is answered, and with it what their rules look for.
        connection.is_leaving = True
        try:
            return await behavior(message, call)
        except BaseException:
            connection.is_leaving = False
            raise

    if method.only_looks or connection.account.is_whatsapp:
        return behavior
    return leave if method.name == _ENDS_ACCOUNT else perform


async def _refuse(refusal: Refusal, call: Call, context: Context) -> NoReturn:
    call.refuse(refusal)
    about = {"request_id": refusal.request_id}
    _log.info("%s refused: %s [request %s]", call.method.name, refusal, refusal.request_id, extra=about)
    metadata = ((DETAILS_METADATA, status_details(refusal)), (REQUEST_ID_METADATA, call.request_id))
    with ON_THE_LINE:
        await abort(context, STATUS_CODES[refusal.reason.category], str(refusal), metadata)
    raise AssertionError("abort returned")


async def _sever(context: Context) -> NoReturn:
    """Ends a call as its client sees a connection that breaks."""
    with ON_THE_LINE:
        await abort(context, grpc.StatusCode.UNAVAILABLE, "Socket closed")
    raise AssertionError("abort returned")


class _Reading(NamedTuple):
    """How a request becomes a message."""

    check: Callable[[bytes], None]
    """Refuses bytes that must not be parsed."""
    parse: Callable[[bytes], Any]

    def checked(self, request: bytes) -> Any:
        """Returns the message.

        Raises:
            DecodeError: The bytes are no message.
            Refusal: They must not be parsed.
        """
        self.check(request)
        return self.parse(request)

    def message_from(self, request: bytes) -> Any:
        """Returns a message of a stream.

        Raises:
            DecodeError: The bytes are no message, or must not be parsed.
        """
        try:
            return self.checked(request)
        except Refusal as refusal:
            raise DecodeError(str(refusal)) from refusal


def _check_foreign(request: bytes) -> None:
    if len(request) > FOREIGN_BYTES:
        raise Refusal(Reason.REQUEST_MALFORMED, "the bytes are too many", requirement="SIM-06")


async def _receive(context: Context) -> bytes:
    """Returns the one message of a request that is no stream to its client.

    Raises:
        Refusal: REQUEST_MALFORMED when none comes, or not in time.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            with ON_THE_LINE:
                request = await context.read()
    except TimeoutError as error:
        detail = "the bytes of the request did not come in time"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, requirement="SIM-06") from error
    if not isinstance(request, bytes):
        raise Refusal(Reason.REQUEST_MALFORMED, "the bytes of the request did not come", requirement="SIM-01")
    return request


def _behavior(handler: Any) -> Behavior:
    kinds = (handler.stream_stream, handler.stream_unary, handler.unary_stream, handler.unary_unary)
    [behavior] = (each for each in kinds if each is not None)
    return behavior  # type: ignore[no-any-return]
