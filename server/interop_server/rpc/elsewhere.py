"""What other nodes of a world have answered to a call that is repeated here; knows no service."""

import asyncio
from collections.abc import Awaitable
from itertools import starmap
from typing import Protocol

from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.errors import FieldViolation, Reason, Refusal
from interop_server.rpc.others import Others, Silent
from interop_server.rpc.repeats import Answer, Name

_METHOD = "repetition"
"""Under which one node asks another."""


class FindHere(Protocol):
    """Returns what this node has answered: see `Repeats.find`."""

    def __call__(self, name: Name, *, is_awaited: bool) -> Awaitable[Answer | None]:
        """Returns it, or None."""
        ...


class Elsewhere:
    """Asks other nodes what they have answered, and tells them.

    Args:
        others: The nodes.
        find_here: Returns what this one has answered.
    """

    def __init__(self, others: Others, find_here: FindHere) -> None:
        self._others = others
        self._find_here = find_here
        self._asking: set[Name] = set()
        """Calls of which it is asked just now: two nodes must not wait for each other."""
        others.answer_with(_METHOD, self._tell)

    async def find(self, name: Name) -> Answer | None:
        """Returns what another node has answered to a call, once it has; None when none is known to have."""
        self._asking.add(name)
        try:
            found = await asyncio.gather(*(self._find_at(node, name) for node in self._others.talkative()))
        finally:
            self._asking.discard(name)
        return next((answer for answer in found if answer is not None), None)

    async def _find_at(self, node: str, name: Name) -> Answer | None:
        question = bus_pb2.Repetition(actor=name.actor, method=name.method, request_id=name.request_id)
        try:
            told = await self._others.ask(node, _METHOD, question.SerializeToString())
        except Silent:  # whoever has gone remembers nothing either
            return None
        return _answer_from(told) if told else None

    async def _tell(self, asked: bytes) -> bytes:
        question = bus_pb2.Repetition.FromString(asked)
        name = Name(question.actor, question.method, question.request_id)
        answer = await self._find_here(name, is_awaited=name not in self._asking)
        return b"" if answer is None else _answer_to(answer)


def _answer_to(answer: Answer) -> bytes:
    told = bus_pb2.Remembered(request_sha256=answer.digest, at_ms=answer.at_ms, response=answer.serialized)
    if answer.kind is not None:
        told.kind = answer.kind.DESCRIPTOR.full_name
    if (refusal := answer.refusal) is not None:
        told.reason, told.detail, told.requirement = refusal.reason.name, refusal.detail, refusal.requirement
        if refusal.retry_after_ms is not None:
            told.retry_after_ms = refusal.retry_after_ms
        told.violations.extend(part for violation in refusal.violations for part in violation)
    return told.SerializeToString()


def _answer_from(told: bytes) -> Answer:
    came = bus_pb2.Remembered.FromString(told)
    if came.kind:
        kind = GetMessageClass(Default().FindMessageTypeByName(came.kind))
        return Answer(came.request_sha256, came.at_ms, kind, came.response, None)
    retry_after_ms = came.retry_after_ms if came.HasField("retry_after_ms") else None
    refusal = Refusal(Reason[came.reason], came.detail, retry_after_ms, requirement=came.requirement)
    parts = iter(came.violations)
    refusal.violations = tuple(starmap(FieldViolation, zip(parts, parts, strict=True)))
    return Answer(came.request_sha256, came.at_ms, None, b"", refusal)
