"""One call under way: what kind it is, who makes it and what it is called; knows no service and no rule."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor

from interop_server.core.capabilities import NO_CAPABILITIES, Capability
from interop_server.core.errors import Refusal
from interop_server.core.journal import ANONYMOUS, OPERATOR, Journal, is_request_id
from interop_server.core.model import Account, ConnectionMode

Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_METADATA = "x-request-id"
_CLIENT_PACKAGE = "interop_api.v1"
_ADMIN_PACKAGE = "interop_api.admin."
_WITHOUT_SESSION = frozenset({"EnlistmentService", "ChatService"})
"""The client services that are there before anybody is logged in."""


@dataclass(frozen=True, slots=True)
class Method:
    """What the contract says of a method."""

    request: Descriptor | None
    """The message that is its request; None for a method that is not the contract's."""
    name: str
    """Of service and method, as the journal has it: `InteropService.Resolve`."""
    is_admin: bool
    needs_session: bool
    only_looks: bool
    """Whether it changes nothing. Admin calls that do not are no decisions: the journal has them only when refused."""
    is_repeatable: bool
    """Whether its request can name itself, so that a repetition is answered as the first was."""

    @property
    def is_ours(self) -> bool:
        """Says whether the contract has it."""
        return self.request is not None


@cache
def method_of(path: str) -> Method | None:
    """Returns what the contract says of a path such as `/interop_api.v1.InteropService/Resolve`; None for others."""
    full_name = path.removeprefix("/").replace("/", ".")
    if not full_name.startswith("interop_api."):
        return None
    method: Any = descriptor_pool.Default().FindMethodByName(full_name)
    service = method.containing_service
    package, options = service.file.package, method.GetOptions()
    only_looks = options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return Method(
        request=method.input_type,
        name=f"{service.name}.{method.name}",
        is_admin=package.startswith(_ADMIN_PACKAGE),
        needs_session=package == _CLIENT_PACKAGE and service.name not in _WITHOUT_SESSION,
        only_looks=only_looks,
        is_repeatable=not only_looks and "request_id" in method.input_type.fields_by_name,
    )


def foreign_method(path: str) -> Method:
    """Returns what is known of a method that is not the contract's, such as a health check."""
    return Method(
        request=None,
        name=path.rpartition(".")[2].replace("/", "."),
        is_admin=False,
        needs_session=False,
        only_looks=True,
        is_repeatable=False,
    )


class _NotHangingUp(logging.Filter):
    """Keeps out of gRPC's log, as errors with a trace, the calls whose client was gone before it had the answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Says whether a record is about anything else."""
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "ExecuteBatchError"  # gRPC does not export it


def take_hanging_up_as_ordinary() -> None:
    """Has gRPC log no error when a client hangs up."""
    log = logging.getLogger("grpc._cython.cygrpc")
    if not any(isinstance(each, _NotHangingUp) for each in log.filters):
        log.addFilter(_NotHangingUp())


class HungUp(Exception):
    """The other end of a call is gone, or this end is stopping: nothing can be read or written any more. Ordinary."""


class _OnTheLine:
    """Turns what gRPC raises when it cannot read from or write to a call into one exception. A context manager.

    Raises:
        HungUp: In place of everything that gRPC raises there, other than for an abort of this end's.
    """

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.AbortError):
            raise HungUp from error


ON_THE_LINE = _OnTheLine()
"""One for all: it is entered for each frame, and each connection waits in it for the next."""


async def abort(
    context: Context, status: grpc.StatusCode, message: str, metadata: Sequence[tuple[str, str | bytes]] = ()
) -> None:
    """Ends a call with a status.

    gRPC keeps what this raises for as long as it keeps the call, and the trace of it keeps all that the code on the way
    has in hand: the request, and the call itself. So the trace is forgotten once the call is over: otherwise both would
    wait for the garbage collector, which counts objects and not bytes.

    Raises:
        grpc.aio.AbortError: Always, for gRPC.
    """
    try:
        await context.abort(status, message, tuple(metadata))
    except grpc.aio.AbortError as error:
        task = asyncio.current_task()
        assert task is not None, "gRPC runs a call in one task"
        task.add_done_callback(partial(_forget_trace, error))
        raise


def _forget_trace(error: BaseException | None, _: object) -> None:
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


class Call:
    """A call under way. Servicers get it in place of gRPC's context, which it stands in for."""

    __slots__ = (
        "_context", "_is_recorded", "_journal", "account", "actor", "capabilities", "method", "mode", "request_id",
    )  # fmt: skip

    def __init__(self, context: Context, method: Method, journal: Journal) -> None:
        self._context = context
        self._journal = journal
        self.method = method
        self.account: Account | None = None
        """Whose session it is made in; None where it needs none."""
        self.mode: ConnectionMode | None = None
        """How their client is connected."""
        self.capabilities = NO_CAPABILITIES
        """Optional parts that the client and the server know."""
        self.actor = OPERATOR if method.is_admin else ANONYMOUS
        """Who makes it, for the journal."""
        self.request_id = chosen_id(context)
        """What it is called: as the client wishes, or from the moment on at which its outcome is known."""
        self._is_recorded = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Returns the next message of a stream, or `grpc.aio.EOF`.

        Raises:
            HungUp: There is nobody any more.
        """
        with ON_THE_LINE:
            return await self._context.read()

    async def write(self, message: Any) -> None:
        """Sends a message of a stream.

        Raises:
            HungUp: There is nobody any more.
        """
        with ON_THE_LINE:
            await self._context.write(message)

    def belongs_to(
        self,
        account: Account,
        capabilities: frozenset[Capability] = NO_CAPABILITIES,
        mode: ConnectionMode | None = None,
    ) -> None:
        """Says who makes it, which optional parts their client knows, and how it is connected."""
        self.account, self.actor, self.capabilities, self.mode = account, account.jid, capabilities, mode

    def accept(self, detail: str = "") -> None:
        """Records that it was done as asked, unless what became of it stands in the journal already."""
        if self._is_recorded:
            return
        self._is_recorded = True
        if self.method.is_admin and self.method.only_looks:
            self.request_id = self.request_id or self._journal.unrecorded_request_id()
            return
        self.request_id = self.request_id or self._journal.new_request_id()
        self._journal.record(self.actor, self.method.name, "accepted", detail=detail, request_id=self.request_id)

    def refuse(self, refusal: Refusal, action: str = "", subject: str = "") -> None:
        """Records that it was refused.

        Args:
            refusal: Why.
            action: What was asked, when that is a part of the call.
            subject: Whom or what it was about.
        """
        self._journal.refuse(refusal, self.actor, action or self.method.name, subject, request_id=self.request_id)
        self.request_id = refusal.request_id
        self._is_recorded = True


def call_of(context: Context) -> Call:
    """Returns the call that a servicer was given as its context."""
    assert isinstance(context, Call), "calls are made through the interceptor"
    return context


def caller(context: Context) -> Account:
    """Returns the account in whose session a call is made, for services that need one."""
    account = call_of(context).account
    assert account is not None, "the interceptor refuses calls without a session"
    return account


def chosen_id(context: Context) -> str:
    """Returns the request id that a client has chosen for a call; empty when it has chosen none, or an unfit one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_METADATA and isinstance(value, str) and is_request_id(value):
            return value
    return ""
