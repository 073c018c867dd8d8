"""Merges what several nodes have recorded into one stream, in the order of the world's time; knows no bus.

Each node gives what it has in parts. One entry is before another when its time is earlier. Whoever follows gets an
entry when no node can have an earlier one any more: each says with a part up to which time it is whole.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.ports import Clock
from interop_server.rpc.others import Recorded, Silent

_PAGE = 512
"""Entries looked at between two turns of the event loop."""
_LOOK_SECONDS = 0.1
"""How often other nodes are asked, in real time, what they have recorded since."""
_RESTS = 50
"""So many times it is not asked whether a node answers again that did not."""
_MOST_LOOKED, _MOST_BYTES = 8 * _PAGE, 128 << 10
"""What one part is made from, and has, at most: NATS takes a megabyte by default."""


@dataclass(slots=True)
class Page:
    """A part of what a node has recorded: see `Page` in bus.proto."""

    responses: Sequence[Any]
    resume_token: str
    missed: int
    is_end: bool
    until_ms: int

    def to_bytes(self) -> bytes:
        """Returns it as it goes over the bus."""
        return bus_pb2.Page(
            responses=[response.SerializeToString() for response in self.responses],
            resume_token=self.resume_token,
            missed=self.missed,
            is_end=self.is_end,
            until_ms=self.until_ms,
        ).SerializeToString()


def page_from(page: bytes, response: type[Message]) -> Page:
    """Returns a part as it came over the bus."""
    came = bus_pb2.Page.FromString(page)
    responses = [response.FromString(each) for each in came.responses]
    return Page(responses, came.resume_token, came.missed, came.is_end, came.until_ms)


async def page_of(recorded: Recorded, clock: Clock, request: Any, token: str) -> Page:
    """Returns what this node has recorded after the entry that a token names, as much as one part has.

    Raises:
        Refusal: REQUEST_MALFORMED, for a token that is none.
    """
    newest = recorded.newest
    after, missed, looked, size, until_ms = newest.resume_after(token), 0, 0, 0, clock.now_ms()
    responses: list[Any] = []
    while looked < _MOST_LOOKED and size < _MOST_BYTES:
        entries, forgotten = newest.after(after, _PAGE)
        missed += forgotten
        if not entries:
            return Page(responses, newest.resume_token(after), missed, is_end=True, until_ms=until_ms)
        for entry in entries:
            after = entry.number
            if recorded.matches(entry, request):
                response = recorded.to_response(entry, missed)
                responses.append(response)
                missed = 0
                size += response.ByteSize()
                if size >= _MOST_BYTES:
                    break
        looked += len(entries)
        await clock.sleep(0)
        until_ms = clock.now_ms()
    return Page(responses, newest.resume_token(after), missed, is_end=False, until_ms=until_ms)


GetPage = Callable[[str], Awaitable[Page]]
"""Returns the part after the entry that a token names."""


@dataclass(slots=True)
class _Line:
    """What comes of one node."""

    get_page: GetPage
    token: str
    """Of the entry that the reader has got last."""
    next_token: str
    waiting: deque[Any] = field(default_factory=deque)
    missed: int = 0
    is_end: bool = False
    until_ms: int = -1
    is_silent: bool = False
    rests: int = 0

    def is_due(self, *, is_followed: bool) -> bool:
        """Says whether to ask for more."""
        if self.rests:
            self.rests -= 1
            return False
        return not self.waiting and (is_followed or not self.is_over)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes, unless it is recorded later."""
        return not self.waiting and (self.is_end or self.is_silent)

    async def fill(self) -> None:
        """Asks for more."""
        try:
            page = await self.get_page(self.next_token)
        except Silent:
            self.is_silent, self.rests = True, _RESTS
            return
        self.is_silent, self.next_token = False, page.resume_token
        self.waiting.extend(page.responses)
        self.is_end, self.until_ms = page.is_end, page.until_ms
        if page.responses:
            self.waiting[0].missed += self.missed
            self.missed = 0
        self.missed += page.missed

    def may_have_earlier(self, at_ms: int, *, is_followed: bool) -> bool:
        """Says whether an entry may come of it, with nothing waiting, that is earlier than a time."""
        if self.waiting or self.is_silent:
            return False
        return not self.is_end or (is_followed and self.until_ms < at_ms)


async def merged(
    nodes: Callable[[], Mapping[str, GetPage]], start: str, response: type[Any], *, is_followed: bool
) -> AsyncGenerator[Any, None]:
    """Yields what all nodes have recorded.

    Args:
        nodes: Returns those that are there now, by name.
        start: The token of the entry after which reading begins; empty for all.
        response: What is yielded, which can also say which nodes are silent.
        is_followed: Whether to go on with what is recorded later.
    """
    began_after = {token.rsplit(".", 3)[0]: token for token in start.split(",") if token}
    lines: dict[str, _Line] = {}
    told: list[str] = []
    while True:
        _know(lines, nodes(), began_after)
        await asyncio.gather(*(line.fill() for line in lines.values() if line.is_due(is_followed=is_followed)))
        silent = sorted(name for name, line in lines.items() if line.is_silent)
        if silent != told:
            yield response(silent_nodes=silent, has_silence_changed=True)
            told = silent
        has_yielded = False
        while (line := _next(list(lines.values()), is_followed=is_followed)) is not None:
            next_one = line.waiting.popleft()
            line.token = next_one.entry.resume_token
            next_one.entry.resume_token = ",".join(each.token for each in lines.values() if each.token)
            yield next_one
            has_yielded = True
        if not is_followed and all(line.is_over for line in lines.values()):
            return
        if is_followed and not has_yielded:
            await asyncio.sleep(_LOOK_SECONDS)


def _know(lines: dict[str, _Line], nodes: Mapping[str, GetPage], began_after: Mapping[str, str]) -> None:
    for name, get_page in nodes.items():
        if name not in lines:
            token = began_after.get(name, "")
            lines[name] = _Line(get_page, token, token)
    for name in [name for name, line in lines.items() if name not in nodes and not line.waiting]:
        del lines[name]


def _next(lines: Sequence[_Line], *, is_followed: bool) -> _Line | None:
    """Returns the line whose first entry is the earliest; None when it cannot be known yet."""
    waiting = [line for line in lines if line.waiting]
    if not waiting:
        return None
    first = min(waiting, key=lambda line: int(line.waiting[0].entry.at_ms))
    at_ms = first.waiting[0].entry.at_ms
    if any(line.may_have_earlier(at_ms, is_followed=is_followed) for line in lines):
        return None
    return first
