"""The other nodes of a world, asked what each knows by itself; knows neither a bus nor what is asked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from interop_server.core.errors import Refusal
from interop_server.core.newest import Newest

M = TypeVar("M", bound=Message)
Answering = Callable[[bytes], Awaitable[bytes]]
"""Answers a request, both serialised, from what this node knows."""


class Silent(Exception):
    """A node does not answer in time."""


class Others(Protocol):
    """The other nodes that are there now. Whoever answers does so for itself alone, and asks nobody."""

    @property
    def own_name(self) -> str:
        """What this node is called."""
        ...

    def names(self) -> Sequence[str]:
        """Returns what they are called."""
        ...

    def talkative(self) -> Sequence[str]:
        """Returns what those are called who have answered the last time: others are not worth waiting for again."""
        ...

    async def ask(self, node: str, method: str, request: bytes) -> bytes:
        """Asks one of them.

        Args:
            node: Its name.
            method: What the others answer under that name: see `answer_with`.
            request: As its answering takes it.

        Raises:
            Silent: No answer came.
            Refusal: It refuses, for the same reason.
        """
        ...

    def answer_with(self, method: str, answer: Answering) -> None:
        """Has this node answer what others ask under a name."""
        ...

    def share(self, recorded: "Recorded") -> None:
        """Has others read what this node records."""
        ...

    def read(self, recorded: "Recorded", request: Any) -> AsyncGenerator[Any, None]:
        """Yields what all nodes have recorded, in the order of the world's time, and which of them are silent.

        Args:
            recorded: What this node records.
            request: What the reader wants.

        Raises:
            Refusal: REQUEST_MALFORMED, for a token that is none.
        """
        ...


class Recorded(NamedTuple):
    """What each node records, and how it is read."""

    method: str
    """The call that reads it, as the journal has it."""
    newest: Newest[Any]
    request: type[Any]
    response: type[Any]
    matches: Callable[[Any, Any], bool]
    """Says whether an entry is one of those that a request is for."""
    to_response: Callable[[Any, int], Any]
    """Returns the response with an entry, before which some are missed."""
    is_for_followers: bool = False
    """Whether it is recorded only while somebody follows."""


class Told(NamedTuple):
    """What the other nodes have said."""

    answers: dict[str, Any]
    """By node."""
    refusals: dict[str, Refusal]
    """Of those that refuse."""
    silent: list[str]
    """Those that did not answer in time."""


async def ask_all(others: Others, method: str, request: Message, response: type[Message]) -> Told:
    """Asks all others at once.

    Args:
        others: The nodes.
        method: A unary call of the admin port, as the journal has it.
        request: Says that only the node that is asked is to answer.
        response: What it answers with.
    """
    told = Told({}, {}, [])

    async def ask(node: str) -> None:
        try:
            told.answers[node] = response.FromString(await others.ask(node, method, request.SerializeToString()))
        except Refusal as refusal:
            told.refusals[node] = refusal
        except Silent:
            told.silent.append(node)

    await asyncio.gather(*map(ask, sorted(others.names())))
    told.silent.sort()
    return told


def answering(call: Callable[[Any, Any], Awaitable[Message]], request: type[Message]) -> Answering:
    """Returns a unary call of a servicer as a way to answer other nodes."""

    async def answer(asked: bytes) -> bytes:
        return (await call(request.FromString(asked), None)).SerializeToString()

    return answer
