"""Calls as faults know them, and what is done to their answers; knows no service."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from interop_server.core.errors import Refusal
from interop_server.core.fault_rules import Direction, ReplaceKeys
from interop_server.core.faults import Event, Fired
from interop_server.core.journal import ANONYMOUS
from interop_server.fault_gate import FaultGate, Passage
from interop_server.rpc.calls import Call
from interop_server.rpc.enlistment import refused_enlistment
from interop_server.rpc.faulty_keys import replace_keys

OWN_FAULTS = frozenset({"ChatService.Connect"})
"""Calls that faults meet where they are served: at the login, and stanza by stanza."""
_STREAMED = frozenset({"MediaService.Download"})
"""Calls whose answer is met where it is streamed."""
_ENLIST = "EnlistmentService.Enlist"
_NAMES = ("jid", "jids", "peer_jid", "users")
"""The fields of requests that name people."""


async def perform_under_faults(gate: FaultGate, call: Call, message: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    """Performs a call under the faults that meet it.

    Args:
        gate: The faults.
        call: The call.
        message: Its request.
        work: Performs it honestly.

    Raises:
        Refusal: As the work, or made up.
        Severed: The call is broken off.
    """
    event = event_of(call, Direction.TO_SERVER, _peers(message))
    has_answer = call.method.name not in _STREAMED
    try:
        return await gate.perform(Passage(event, has_answer, _change_answer, _rests_on, call.refuse), work)
    except Refusal as refusal:
        if call.method.name != _ENLIST:
            raise
        return refused_enlistment(refusal, call)


def event_of(call: Call, direction: Direction, peers: Sequence[str] = ()) -> Event:
    """Returns a request, or an answer, as faults know it."""
    actor = "" if call.actor == ANONYMOUS else call.actor
    return Event(call.method.name, direction, actor=actor, peers=peers, mode=call.mode)


def _change_answer(fired: Fired, response: Any) -> None:
    if isinstance(fired.action, ReplaceKeys):
        replace_keys(response, fired.action, fired.rule.match.peer)


def _rests_on(response: Any) -> str:
    items = (
        getattr(response, "results", None) or getattr(response, "users", None) or [getattr(response, "failure", None)]
    )
    return next((each.error.requirement for each in items if _is_refused(each)), "")


def _is_refused(item: Any) -> bool:
    """Says whether an item of an answer, which is no refusal as a whole, is one."""
    return item is not None and "error" in item.DESCRIPTOR.fields_by_name and item.HasField("error")


def _peers(message: Any) -> list[str]:
    """Returns the JIDs that a request names."""
    fields = getattr(getattr(message, "DESCRIPTOR", None), "fields_by_name", {})
    named: list[Any] = []
    for name in _NAMES:
        if name in fields:
            value = getattr(message, name)
            named += [value] if isinstance(value, str) else value
    peers = (each if isinstance(each, str) else getattr(each, "jid", "") for each in named)
    return [peer for peer in peers if peer]
