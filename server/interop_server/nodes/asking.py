"""Asks other nodes what they know, and answers them; knows nothing of what is asked."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from typing import Any

from google.protobuf.message import DecodeError

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.nodes import Neighbour
from interop_server.core.ports import Clock
from interop_server.nodes.bus import Bus, NoAnswer
from interop_server.nodes.merging import GetPage, Page, merged, page_from, page_of
from interop_server.rpc.others import Answering, Others, Recorded, Silent
from interop_server.rpc.reading import following

_log = logging.getLogger(__name__)

_QUIET_LOOKS = 20
"""After so many looks at who is there, those who did not answer are tried again."""
KEPT_SECONDS = 5.0
"""How long something stays open for others that do not ask again."""


class Asking(Others):
    """One node's questions and answers.

    Args:
        seat: The number of this node.
        clock: Its clock.
    """

    def __init__(self, seat: int, clock: Clock) -> None:
        self._seat = seat
        self._clock = clock
        self._own_name = ""
        self._seats: dict[str, int] = {}
        self._quiet: set[str] = set()
        self._looks = 0
        self._answers: dict[str, Answering] = {}
        self._open: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.bus: Bus | None = None
        """This node's end of the bus, once it has one."""

    def know(self, nodes: Sequence[Neighbour]) -> None:
        """Takes in who is there."""
        self._own_name = next((node.name for node in nodes if node.seat == self._seat), self._own_name)
        self._looks = (self._looks + 1) % _QUIET_LOOKS
        if not self._looks:
            self._quiet.clear()
        self._seats = {node.name: node.seat for node in nodes if node.seat != self._seat}

    @property
    def own_name(self) -> str:
        """What this node is called, once it has seen itself."""
        return self._own_name

    def names(self) -> Sequence[str]:
        """Returns what the others are called."""
        return list(self._seats)

    def talkative(self) -> Sequence[str]:
        """Returns those that have answered the last time: see `Others.talkative`."""
        return [name for name in self._seats if name not in self._quiet]

    async def ask(self, node: str, method: str, request: bytes) -> bytes:
        """Asks one of them: see `Others.ask`."""
        question = bus_pb2.Question(method=method, request=request)
        seat, bus = self._seats.get(node), self.bus
        if seat is None or bus is None:
            raise Silent
        try:
            answer = bus_pb2.Answer.FromString(await bus.ask(seat, question.SerializeToString()))
            if answer.is_unable:
                raise NoAnswer("it cannot answer that")
        except (NoAnswer, DecodeError) as error:
            _log.debug("%s does not answer: %s", node, error)
            self._quiet.add(node)
            raise Silent from error
        self._quiet.discard(node)
        if answer.reason:
            raise Refusal(Reason[answer.reason], answer.detail, requirement=answer.requirement)
        return answer.response

    def answer_with(self, method: str, answer: Answering) -> None:
        """Has this node answer what others ask under a name."""
        self._answers[method] = answer

    async def answer(self, asked: bytes) -> bytes:
        """Answers another node."""
        try:
            question = bus_pb2.Question.FromString(asked)
            answer = self._answers[question.method]
        except (DecodeError, KeyError):
            return bus_pb2.Answer(is_unable=True).SerializeToString()
        try:
            response = await answer(question.request)
        except Refusal as refusal:
            told = bus_pb2.Answer(reason=refusal.reason.name, detail=refusal.detail, requirement=refusal.requirement)
            return told.SerializeToString()
        return bus_pb2.Answer(response=response).SerializeToString()

    def share(self, recorded: Recorded) -> None:
        """Has others read what this node records, which others may follow: see `Others.share`."""

        async def answer(asked: bytes) -> bytes:
            request = recorded.request.FromString(asked)
            if request.follow and recorded.is_for_followers:
                self._keep_following(recorded)
            return (await page_of(recorded, self._clock, request, request.resume_token)).to_bytes()

        self._answers[recorded.method] = answer

    def read(self, recorded: Recorded, request: Any) -> AsyncGenerator[Any, None]:
        """Yields what all nodes have recorded: see `Others.read`."""

        async def own(token: str) -> Page:
            return await page_of(recorded, self._clock, request, token)

        def of(node: str) -> GetPage:
            async def get_page(token: str) -> Page:
                asked = recorded.request()
                asked.CopyFrom(request)
                asked.resume_token, asked.this_node_only = token, True
                page = await self.ask(node, recorded.method, asked.SerializeToString())
                return page_from(page, recorded.response)

            return get_page

        def nodes() -> dict[str, GetPage]:
            return {recorded.newest.origin.node: own, **{name: of(name) for name in self.names()}}

        return merged(nodes, request.resume_token, recorded.response, is_followed=request.follow)

    def _keep_following(self, recorded: Recorded) -> None:
        """Follows for somebody at another node, who asks again and again."""
        name = recorded.method
        if (asked_again := self._open.get(name)) is not None:
            asked_again.set()
            return
        asked_again = self._open[name] = asyncio.Event()
        asked_again.set()
        stack = ExitStack()
        stack.enter_context(following(recorded.newest, follow=True))
        task = asyncio.create_task(self._close_later(name, stack, asked_again), name=f"keeps {name} open")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_later(self, name: str, stack: ExitStack, asked_again: asyncio.Event) -> None:
        with stack:
            try:
                while asked_again.is_set():
                    asked_again.clear()
                    await asyncio.sleep(KEPT_SECONDS)  # in real time: another node may have gone
            finally:
                del self._open[name]

    async def stop(self) -> None:
        """Closes what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
