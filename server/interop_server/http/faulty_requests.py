"""HTTP requests under faults; knows no path and no form."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from interop_server.core.errors import Refusal
from interop_server.core.fault_rules import Direction, SpoilMedia
from interop_server.core.faults import Event, Fired
from interop_server.fault_gate import FaultGate, Passage
from interop_server.faulty_media import MediaAccess, SpoiledMedia
from interop_server.http.refusals import action_of, record_refusal

_STREAMED = ("http.upload", "http.partner_media")
"""Requests whose answer is met where it is streamed."""
T = TypeVar("T")


async def perform(request: web.Request, gate: FaultGate, work: Callable[[], Awaitable[T]]) -> T:
    """Does what a request asks for, under the faults that meet it.

    Raises:
        Refusal: As the work, or made up.
        Severed: The request is broken off.
    """
    if not gate.faults.is_on:
        return await work()
    name = action_of(request)

    def record(refusal: Refusal) -> None:
        record_refusal(request, refusal)

    passage = Passage(
        Event(name, Direction.TO_SERVER), name not in _STREAMED, _change_nothing, _rests_on_nothing, record
    )
    done: T = await gate.perform(passage, work)
    return done


def media_for(request: web.Request, media: MediaAccess, gate: FaultGate) -> MediaAccess | int:
    """Returns what opens the blob of a request, or the status with which it is answered instead."""
    fired = gate.faults.meet(Event(action_of(request), Direction.TO_CLIENT)) if gate.faults.is_on else None
    if fired is None:
        return media
    if isinstance(fired.action, SpoilMedia) and fired.action.http_status is not None:
        return fired.action.http_status
    return SpoiledMedia(media, fired, gate.clock)


def _rests_on_nothing(_answer: object) -> str:
    return ""


def _change_nothing(_fired: Fired, _answer: object) -> None:
    """An answer over HTTP is lost or late; what is in it is the blob's."""
