"""Faults of one test's own in a simulator that others share: everybody is named, and all is cleared at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import faults_pb2, journal_pb2
from interop_protocol.fault_files import fill

CALL, STANZA = "call", "stanza"


def fault(name: str, match: dict[str, Any], **more: Any) -> faults_pb2.Fault:
    """A fault as a file has it: `fault("busy", {"call": …}, refuse={"reason": "RATE_LIMITED"}, times=1)`."""
    message = faults_pb2.Fault()
    fill(message, {"name": name, "match": match, **more}, "fault")
    return message


@asynccontextmanager
async def ordered(admin: AdminClient, *faults: faults_pb2.Fault) -> AsyncIterator[None]:
    """Orders faults for the block; clears them at its end."""
    await admin.add_faults(faults)
    try:
        yield
    finally:
        await admin.clear_faults(*(each.name for each in faults))


async def counts(admin: AdminClient, name: str) -> tuple[int, int, int]:
    """How often a fault matched and fired, and how much it holds up."""
    [state] = [each for each in (await admin.list_faults()).faults if each.fault.name == name]
    return state.matched, state.fired, state.held


async def until_held(admin: AdminClient, name: str, count: int = 1) -> None:
    """Returns when a fault holds up so much."""
    while (await counts(admin, name))[2] < count:
        pass


async def journal_of(admin: AdminClient, name: str) -> list[journal_pb2.JournalEntry]:
    """What the journal says is due to a fault."""
    return [response.entry async for response in admin.read_journal() if response.entry.fault == name]
