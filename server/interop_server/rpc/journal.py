"""The journal service on the admin port: filters, streams, explains; knows no rule itself."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from interop_api.admin.v1alpha1 import journal_pb2 as pb
from interop_api.admin.v1alpha1 import journal_pb2_grpc
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal, JournalEntry, Outcome, is_request_id
from interop_server.core.limits import Limits
from interop_server.core.ports import Clock
from interop_server.rpc.calls import Context

_log = logging.getLogger(__name__)

_PAGE = 512
"""Entries looked at between two turns of the event loop."""
_OUTCOMES: Mapping[Outcome, pb.JournalOutcome.ValueType] = {
    "accepted": pb.JOURNAL_OUTCOME_ACCEPTED,
    "refused": pb.JOURNAL_OUTCOME_REFUSED,
    "dropped": pb.JOURNAL_OUTCOME_DROPPED,
    "done": pb.JOURNAL_OUTCOME_DONE,
}

Explain = Callable[[str], tuple[str, Sequence[str], Sequence[str]]]
"""Returns a requirement's statement, its evidence and the names of its limits that are policy."""


class JournalServicer(journal_pb2_grpc.JournalServiceServicer):
    """See JournalService in journal.proto."""

    def __init__(self, journal: Journal, clock: Clock, limits: Limits, explain: Explain) -> None:
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._explain = explain

    async def ReadJournal(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.ReadJournalRequest, context: Context
    ) -> None:
        """Streams entries, oldest first."""
        if request.outcome and request.outcome not in _OUTCOMES.values():
            detail = "`outcome` must be ACCEPTED, REFUSED, DROPPED or DONE"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="outcome", requirement="SIM-07")
        after = self._journal.resume_after(request.resume_token)
        grown = asyncio.Event()
        unsubscribe = self._journal.subscribe(lambda _: grown.set(), _report)
        try:
            await self._stream(request, context, after, grown)
        finally:
            unsubscribe()

    async def ExplainRefusal(self, request: pb.ExplainRefusalRequest, context: Context) -> pb.ExplainRefusalResponse:
        """Explains a refusal."""
        if not is_request_id(request.request_id):
            detail = "`request_id` has 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="request_id", requirement="SIM-07")
        entry = self._journal.find(request.request_id)
        if entry is None:
            raise Refusal(
                Reason.NOT_REGISTERED, "no refusal that is still kept has this request id", requirement="SIM-07"
            )
        statement, evidence, policy = self._explain(entry.requirement)
        known = {field.name for field in fields(self._limits)}
        return pb.ExplainRefusalResponse(
            entry=self._entry_to(entry),
            advice=Refusal(Reason[entry.reason], entry.detail, requirement=entry.requirement).advice,
            statement=statement,
            evidence=evidence,
            policy=[f"{name}={getattr(self._limits, name)}" for name in policy if name in known],
        )

    async def _stream(self, request: pb.ReadJournalRequest, context: Context, after: int, grown: asyncio.Event) -> None:
        missed = 0
        while True:
            grown.clear()
            entries, forgotten = self._journal.after(after, _PAGE)
            missed += forgotten
            for entry in entries:
                after = entry.number
                if _matches(entry, request):
                    await context.write(pb.ReadJournalResponse(entry=self._entry_to(entry), missed=missed))
                    missed = 0
            if entries:
                await self._clock.sleep(0)
            elif request.follow:
                await grown.wait()
            else:
                return

    def _entry_to(self, entry: JournalEntry) -> pb.JournalEntry:
        fields = {**entry._asdict(), "outcome": _OUTCOMES[entry.outcome]}
        token = self._journal.resume_token(entry.number)
        return pb.JournalEntry(**fields, resume_token=token, node=self._journal.node)


def _report(error: Exception) -> None:
    _log.error("a reader of the journal could not be woken", exc_info=error)


def _matches(entry: JournalEntry, request: pb.ReadJournalRequest) -> bool:
    return (
        request.actor in ("", entry.actor)
        and entry.action.startswith(request.action)
        and request.outcome in (pb.JOURNAL_OUTCOME_UNSPECIFIED, _OUTCOMES[entry.outcome])
        and request.reason in ("", entry.reason)
        and request.requirement in ("", entry.requirement)
    )
