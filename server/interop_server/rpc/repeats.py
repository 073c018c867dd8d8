"""Answers that are remembered, so that a call repeated after a lost answer is not done twice; knows no service."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message import Message

from interop_server.core.errors import Reason, Recovery, Refusal
from interop_server.core.journal import is_request_id
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.ports import Clock
from interop_server.rpc.calls import Call
from interop_server.rpc.others import Others

if TYPE_CHECKING:
    from interop_server.rpc.elsewhere import Elsewhere, FindHere

_FIELD = "request_id"
_REPEATED = "answered as before"
_ANSWER_BYTES = 1_024
"""What an answer takes up beside its bytes: names, digest and the objects that hold them."""
_log = logging.getLogger(__name__)


class Name(NamedTuple):
    """What tells a call from all others."""

    actor: str
    method: str
    request_id: str


class _Work(NamedTuple):
    """A call that is under way."""

    digest: bytes
    """Of the bytes of its request."""
    task: "asyncio.Task[Message]"


class Answer(NamedTuple):
    """What a call was answered with: a message, or a refusal."""

    digest: bytes
    """Of the bytes of its request."""
    at_ms: int
    kind: type[Message] | None
    serialized: bytes
    refusal: Refusal | None

    @property
    def size(self) -> int:
        """What it takes up, in bytes, roughly: an answer of no bytes takes room, too."""
        return _ANSWER_BYTES + len(self.serialized)

    def give(self) -> Message:
        """Returns the message, or raises the refusal."""
        if self.kind is None:
            assert self.refusal is not None
            raise self.refusal.again()
        return self.kind.FromString(self.serialized)


@dataclass(slots=True)
class _Caller:
    """What is remembered of one caller, oldest first."""

    answers: "OrderedDict[Name, Answer]" = field(default_factory=OrderedDict)
    size: int = 0


class Repeats:
    """Answers a repetition as the first call was answered, also while that is still under way.

    A refusal is remembered, too, unless the same can be sent again after it: then a repetition is a new attempt. All of
    it is kept in memory, for each caller so many answers and bytes, and so many bytes for all; the oldest go first.
    Of several nodes, each remembers what it answered, and asks the others before it does anything.
    """

    def __init__(self, clock: Clock, limits: Limits, others: Others | None = None) -> None:
        self.others = others
        """The other nodes of the world, which are asked for what they remember; None for a process that is alone."""
        self._elsewhere = None if others is None else _elsewhere(others, self.find)
        self._clock = clock
        self._limits = limits
        self._under_way: dict[Name, _Work] = {}
        self._callers: OrderedDict[str, _Caller] = OrderedDict()
        """By their newest answer."""
        self._size = 0

    async def answer(self, call: Call, request_id: str, request: bytes, perform: Callable[[], Awaitable[Any]]) -> Any:
        """Performs a call, or returns what it was answered with before.

        The work goes on when the caller breaks off: it is then there for the repetition.

        Args:
            call: The call.
            request_id: What its request is called.
            request: Its request, as it came.
            perform: Does the work.

        Raises:
            Refusal: As the work; REQUEST_MALFORMED for an id of the wrong form, or of another request.
        """
        if not is_request_id(request_id):
            detail = "`request_id` has 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field=_FIELD, requirement="SIM-01")
        self._forget_old(call.actor)
        name = Name(call.actor, call.method.name, request_id)
        digest = hashlib.sha256(request).digest()
        before = self._under_way.get(name) or self._callers.get(call.actor, _Caller()).answers.get(name)
        if before is None:
            task = asyncio.create_task(self._work(call, name, digest, perform), name=f"repeatable {name.method}")
            self._under_way[name] = _Work(digest, task)
            task.add_done_callback(lambda done: self._has_ended(name, done))
            return await asyncio.shield(task)
        _check_same(before.digest, digest)
        response = await _await(before.task) if isinstance(before, _Work) else before.give()
        call.accept(_REPEATED)
        return response

    async def settle(self) -> None:
        """Waits for the work that is under way."""
        await asyncio.gather(*(work.task for work in self._under_way.values()), return_exceptions=True)

    async def _work(self, call: Call, name: Name, digest: bytes, perform: Callable[[], Awaitable[Any]]) -> Message:
        if self._elsewhere is not None and (before := await self._elsewhere.find(name)) is not None:
            _check_same(before.digest, digest)
            self._remember(name, before)
            call.accept(_REPEATED)
            return before.give()
        try:
            response: Message = await perform()
        except Refusal as refusal:
            call.refuse(refusal)  # here: the caller may have broken off
            if refusal.reason.recovery is not Recovery.SAME_AGAIN:
                # Afresh: the one that was raised holds the call that raised it, and all that this had in hand.
                self._remember(name, Answer(digest, self._clock.now_ms(), None, b"", refusal.again()))
            raise
        call.accept()
        self._remember(name, Answer(digest, self._clock.now_ms(), type(response), response.SerializeToString(), None))
        return response

    async def find(self, name: Name, *, is_awaited: bool) -> Answer | None:
        """Returns what a call was answered with here; None when it is not known.

        Args:
            name: The call.
            is_awaited: Whether to wait for its answer while it is under way.
        """
        if is_awaited and (work := self._under_way.get(name)) is not None:
            await asyncio.wait({work.task})
        self._forget_old(name.actor)
        return self._callers.get(name.actor, _Caller()).answers.get(name)

    def _has_ended(self, name: Name, task: "asyncio.Task[Message]") -> None:
        del self._under_way[name]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refusal):
            # Nobody else may hear of it: the caller may have broken off.
            _log.error("%s failed", name.method, exc_info=error)

    def _remember(self, name: Name, answer: Answer) -> None:
        caller = self._callers.setdefault(name.actor, _Caller())
        self._callers.move_to_end(name.actor)
        caller.answers[name] = answer
        caller.size += answer.size
        self._size += answer.size
        while len(caller.answers) > self._limits.repeat_answers or caller.size > self._limits.repeat_bytes:
            self._forget_oldest(name.actor)
        while self._size > self._limits.repeat_total_bytes:
            self._forget_oldest(next(iter(self._callers)))

    def _forget_old(self, actor: str) -> None:
        until_ms = self._clock.now_ms() - self._limits.repeat_seconds * SECOND_MS
        while self._callers:
            longest_silent, caller = next(iter(self._callers.items()))
            if caller.answers[next(reversed(caller.answers))].at_ms > until_ms:
                break
            while longest_silent in self._callers:
                self._forget_oldest(longest_silent)
        while actor in self._callers and next(iter(self._callers[actor].answers.values())).at_ms <= until_ms:
            self._forget_oldest(actor)

    def _forget_oldest(self, actor: str) -> None:
        caller = self._callers[actor]
        _, answer = caller.answers.popitem(last=False)
        caller.size -= answer.size
        self._size -= answer.size
        if not caller.answers:
            del self._callers[actor]


def _elsewhere(others: Others, find_here: "FindHere") -> "Elsewhere":
    from interop_server.rpc.elsewhere import Elsewhere  # loaded on demand: a plain start is alone

    return Elsewhere(others, find_here)


def _check_same(before: bytes, now: bytes) -> None:
    if before != now:
        detail = "`request_id` is that of another request"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=_FIELD, requirement="SIM-01")


async def _await(task: "asyncio.Task[Message]") -> Message:
    """Waits for the work of the first call, which goes on when the repetition is broken off."""
    try:
        return await asyncio.shield(task)
    except Refusal as refusal:
        raise refusal.again() from refusal
