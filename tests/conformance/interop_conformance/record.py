"""What a simulator saw and decided, as it comes, for checks to wait for; knows no check."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2, trace_pb2

KEPT = 20_000
"""Most entries of one account that are kept."""

TO_SERVER = trace_pb2.TRACE_DIRECTION_TO_SERVER
TO_CLIENT = trace_pb2.TRACE_DIRECTION_TO_CLIENT


@dataclass(frozen=True)
class Stanza:
    """One stanza, or one message of a handshake, on the wire of an account."""

    entry: trace_pb2.TraceEntry

    @property
    def kind(self) -> str:
        """As `TraceEntry.kind`: `message`, `ack`, `login`, …"""
        return self.entry.kind

    @property
    def is_from_client(self) -> bool:
        """Whether the account's client sent it."""
        return self.entry.direction == TO_SERVER

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """What it says, as `TraceEntry.content_json`."""
        content: dict[str, Any] = json.loads(self.entry.content_json or "{}")
        return content

    @property
    def fields(self) -> Mapping[str, Any]:
        """Of a stanza the fields of its kind; otherwise as `content`."""
        inner = self.content.get(self.kind)
        return inner if isinstance(inner, dict) else self.content

    @property
    def delivery_id(self) -> str:
        """Of a delivery to the client, as a text; empty for what needs no ack."""
        return str(self.content.get("delivery_id", ""))

    def shown(self) -> Mapping[str, Any]:
        """Returns it for a report."""
        entry = self.entry
        return {
            "number": entry.number,
            "at_ms": entry.at_ms,
            "connection": entry.connection,
            "jid": entry.jid,
            "direction": "to_server" if self.is_from_client else "to_client",
            "kind": entry.kind,
            "size_bytes": entry.size_bytes,
            "content": self.content,
        }


def shown_decision(entry: journal_pb2.JournalEntry) -> Mapping[str, Any]:
    """Returns an entry of the journal for a report."""
    outcome = journal_pb2.JournalOutcome.Name(entry.outcome).removeprefix("JOURNAL_OUTCOME_").lower()
    fields = {
        "number": entry.number,
        "at_ms": entry.at_ms,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": outcome,
        "requirement": entry.requirement,
        "reason": entry.reason,
        "cause": entry.cause,
        "detail": entry.detail,
        "request_id": entry.request_id,
        "fault": entry.fault,
    }
    return {name: value for name, value in fields.items() if value not in ("", 0)}


class Record:
    """The wire and the journal of one simulator, by account."""

    def __init__(self) -> None:
        self._wire: dict[str, deque[Stanza]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._journal: dict[str, deque[journal_pb2.JournalEntry]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._waiting: dict[asyncio.Future[Any], Callable[[], Any]] = {}
        self._is_looking = False
        self._tasks: list[asyncio.Task[None]] = []
        self._newest_stanza = trace_pb2.TraceEntry()
        self._newest_decision = journal_pb2.JournalEntry()
        self._catching_up = asyncio.Lock()

    async def begin(self, admin: AdminClient) -> None:
        """Begins to record; returns once what happens from now on is recorded."""
        ready = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._follow_wire(admin, ready)),
            asyncio.create_task(self._follow_journal(admin)),
        ]
        waiting = asyncio.create_task(ready.wait())
        done, _ = await asyncio.wait((waiting, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()

    async def end(self) -> None:
        """Ends it. What was recorded stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def catch_up(self, admin: AdminClient, seconds: float) -> None:
        """Waits until all is recorded that the simulator has seen and decided before the call.

        Args:
            admin: Of the simulator.
            seconds: How long. After that, and when the simulator is gone, what came so far has to do.
        """
        with suppress(TimeoutError, grpc.aio.AioRpcError):
            async with asyncio.timeout(seconds):
                await self._catch_up(admin)

    async def _catch_up(self, admin: AdminClient) -> None:
        async with self._catching_up:  # of readers at once a simulator takes a few
            stanza, decision = self._newest_stanza, self._newest_decision
            async for response in admin.read_trace(resume_token=stanza.resume_token):
                if response.HasField("entry"):
                    stanza = response.entry
            async for decided in admin.read_journal(resume_token=decision.resume_token):
                decision = decided.entry
        await self.wait(
            lambda: self._newest_stanza.number >= stanza.number and self._newest_decision.number >= decision.number
        )

    def accounts(self) -> Sequence[str]:
        """Returns the JIDs of all accounts that had a channel, the first one first."""
        return [jid for jid in self._wire if jid]

    def wire(self, jid: str) -> Sequence[Stanza]:
        """Returns what an account sent and got so far, oldest first."""
        return tuple(self._wire.get(jid, ()))

    def journal(self, actor: str) -> Sequence[journal_pb2.JournalEntry]:
        """Returns what was decided about what an account, or `anonymous`, asked for, oldest first."""
        return tuple(self._journal.get(actor, ()))

    async def wait(self, find: Callable[[], Any]) -> Any:
        """Waits until a look at the record finds something, and returns that."""
        if found := find():
            return found
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[future] = find
        try:
            return await future
        finally:
            del self._waiting[future]

    def _look_soon(self) -> None:
        """Has all who wait look once for all that has come by then: entries come faster than tasks change."""
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_looking = False
        for future, find in self._waiting.items():
            if future.done():
                continue
            try:
                if found := find():
                    future.set_result(found)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

    def shown(self, jids: Iterable[str]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """Returns the wire and the journal of some accounts for a report, each oldest first."""
        accounts = list(dict.fromkeys(jids))
        wire = sorted((stanza for jid in accounts for stanza in self.wire(jid)), key=lambda each: each.entry.number)
        journal = sorted((entry for jid in accounts for entry in self.journal(jid)), key=lambda each: each.number)
        return [stanza.shown() for stanza in wire], [shown_decision(entry) for entry in journal]

    async def _follow_wire(self, admin: AdminClient, ready: asyncio.Event) -> None:
        async for response in admin.read_trace(follow=True):
            if not response.HasField("entry"):
                ready.set()
                continue
            self._newest_stanza = response.entry
            self._wire[response.entry.jid].append(Stanza(response.entry))
            self._look_soon()

    async def _follow_journal(self, admin: AdminClient) -> None:
        async for response in admin.read_journal(follow=True):
            self._newest_decision = response.entry
            self._journal[response.entry.actor].append(response.entry)
            self._look_soon()
