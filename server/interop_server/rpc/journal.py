"""The journal service on the admin port: filters, streams, explains; knows no rule itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches

from interop_api.admin.v1alpha1 import journal_pb2 as pb
from interop_api.admin.v1alpha1 import journal_pb2_grpc
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import MAX_ENTRIES, REQUEST_ID_BYTES, Journal, JournalEntry, Outcome, is_request_id
from interop_server.core.limits import Limits
from interop_server.core.ports import Clock
from interop_server.rpc.calls import Context
from interop_server.rpc.others import Others, Recorded, answering, ask_all
from interop_server.rpc.reading import following, read_on

_EXPLAIN = "JournalService.ExplainRefusal"
_OUTCOMES: Mapping[Outcome, pb.JournalOutcome.ValueType] = {
    "accepted": pb.JOURNAL_OUTCOME_ACCEPTED,
    "refused": pb.JOURNAL_OUTCOME_REFUSED,
    "dropped": pb.JOURNAL_OUTCOME_DROPPED,
    "done": pb.JOURNAL_OUTCOME_DONE,
}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is known of the requirements, loaded when it is asked for."""

    ids: Callable[[], Collection[str]]
    explain: Callable[[str], tuple[str, Sequence[str], Sequence[str]]]
    """Returns a requirement's statement, its evidence and the names of its limits that are policy."""


class JournalServicer(journal_pb2_grpc.JournalServiceServicer):
    """See JournalService in journal.proto."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        limits: Limits,
        requirements: Requirements,
        others: Others | None = None,
    ) -> None:
        self._others = others
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._requirements = requirements
        self._recorded = Recorded(
            "JournalService.ReadJournal",
            journal,
            pb.ReadJournalRequest,
            pb.ReadJournalResponse,
            _matches,
            self._response,
        )
        if others is not None:
            others.share(self._recorded)
            others.answer_with(_EXPLAIN, answering(self.ExplainRefusal, pb.ExplainRefusalRequest))

    async def ReadJournal(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.ReadJournalRequest, context: Context
    ) -> None:
        """Streams entries, oldest first."""
        if request.outcome and request.outcome not in _OUTCOMES.values():
            detail = "`outcome` must be ACCEPTED, REFUSED, DROPPED or DONE"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="outcome", requirement="SIM-07")
        if request.reason:
            self._require_known("reason", request.reason, [reason.name for reason in Reason])
        if request.requirement:
            self._require_known("requirement", request.requirement, self._requirements.ids())
        after = self._journal.resume_after(request.resume_token)
        if self._others is not None and not request.this_node_only:
            async for response in self._others.read(self._recorded, request):
                await context.write(response)
            return
        with following(self._journal, request.follow) as grown:
            found = read_on(self._journal, self._clock, after, lambda entry: _matches(entry, request), grown)
            async for entry, missed in found:
                await context.write(self._response(entry, missed))

    def _response(self, entry: JournalEntry, missed: int) -> pb.ReadJournalResponse:
        return pb.ReadJournalResponse(entry=self._entry_to(entry), missed=missed)

    async def ExplainRefusal(self, request: pb.ExplainRefusalRequest, context: Context) -> pb.ExplainRefusalResponse:
        """Explains a refusal, or what was decided about a message."""
        if not is_request_id(request.request_id):
            detail = "`request_id` has 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="request_id", requirement="SIM-07")
        entry = self._journal.find(request.request_id)
        explained = None if entry is None else self._explained(entry)
        silent: list[str] = []
        if self._others is not None and not request.this_node_only:
            asked = pb.ExplainRefusalRequest(request_id=request.request_id, this_node_only=True)
            told = await ask_all(self._others, _EXPLAIN, asked, pb.ExplainRefusalResponse)
            found = [each for each in (explained, *told.answers.values()) if each is not None]
            # A refusal of that id goes before a message of that id, also where two nodes have them.
            explained = max(
                found, key=lambda each: (each.entry.request_id == request.request_id, each.entry.at_ms), default=None
            )
            silent = told.silent
        if explained is None:
            detail = (
                "no refusal that is kept has this request id, and no message this id: the server gives requests ids of "
                f"{2 * REQUEST_ID_BYTES} hexadecimal digits, as in the field `request_id` of a refusal, and keeps the "
                f"newest {MAX_ENTRIES:,} entries since its start; `interopsim journal --outcome refused` shows all"
                + (f". Of the nodes of this world these do not answer: {', '.join(silent)}" if silent else "")
            )
            raise Refusal(Reason.NOT_REGISTERED, detail, requirement="SIM-07")
        explained.silent_nodes.extend(silent)
        return explained

    def _explained(self, entry: JournalEntry) -> pb.ExplainRefusalResponse:
        statement, evidence, policy = self._requirements.explain(entry.requirement)
        known = {field.name for field in fields(self._limits)}
        return pb.ExplainRefusalResponse(
            entry=self._entry_to(entry),
            advice=_advice(entry),
            statement=statement,
            evidence=evidence,
            policy=[f"{name}={getattr(self._limits, name)}" for name in policy if name in known],
        )

    def _require_known(self, field: str, name: str, names: Collection[str]) -> None:
        if name not in names:
            near = get_close_matches(name.upper(), names, 1)
            detail = f"there is no {field} {name[:64]!r}" + (f": did you mean {near[0]}" if near else "")
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field=field, requirement="SIM-07")

    def _entry_to(self, entry: JournalEntry) -> pb.JournalEntry:
        fields = {**entry._asdict(), "outcome": _OUTCOMES[entry.outcome]}
        token = self._journal.resume_token(entry.number)
        return pb.JournalEntry(**fields, resume_token=token, node=self._journal.origin.node)


def _advice(entry: JournalEntry) -> str:
    return Refusal(Reason[entry.reason], entry.detail, requirement=entry.requirement).advice if entry.reason else ""


def _matches(entry: JournalEntry, request: pb.ReadJournalRequest) -> bool:
    return (
        request.actor in ("", entry.actor)
        and entry.action.startswith(request.action)
        and request.outcome in (pb.JOURNAL_OUTCOME_UNSPECIFIED, _OUTCOMES[entry.outcome])
        and request.reason in ("", entry.reason)
        and request.requirement in ("", entry.requirement)
    )
