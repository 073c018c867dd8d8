"""The standing service on the admin port: converts, calls one rule, answers; knows no rule itself."""

from interop_api.admin.v1alpha1 import standing_pb2 as pb
from interop_api.admin.v1alpha1 import standing_pb2_grpc
from interop_server.core.abuse.audit import Audit
from interop_server.core.abuse.escalation import Escalation
from interop_server.core.abuse.reports import Reports
from interop_server.core.abuse.standing import scripted_sanction
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import OPERATOR
from interop_server.core.model import Sanction, SanctionKind
from interop_server.core.ports import Clock
from interop_server.rpc.calls import Context
from interop_server.rpc.convert.enums import known


class StandingServicer(standing_pb2_grpc.StandingServiceServicer):
    """See StandingService in standing.proto."""

    def __init__(self, escalation: Escalation, reports: Reports, audit: Audit, clock: Clock) -> None:
        self._escalation = escalation
        self._standing = escalation.standing
        self._scoring = escalation.scoring
        self._reports = reports
        self._audit = audit
        self._clock = clock

    async def GetStanding(self, request: pb.GetStandingRequest, context: Context) -> pb.GetStandingResponse:
        """Returns an account's standing."""
        account = await self._standing.account(request.jid)
        sanctions = await self._standing.sanctions(account.external_user)
        score = await self._scoring.score(account)
        return pb.GetStandingResponse(
            score=score.total,
            points=score.points,
            sanctions=[_sanction_to(sanction) for sanction in sanctions],
            signals=score.signals,
            partner_score=await self._scoring.partner_score(account.integrator),
        )

    async def ImposeSanction(self, request: pb.ImposeSanctionRequest, context: Context) -> pb.ImposeSanctionResponse:
        """Imposes a sanction."""
        kind = known(SanctionKind, request.kind, "kind", "ABU-05")
        now_ms = self._clock.now_ms()
        sanction = scripted_sanction(kind, request.sub_code, request.expires_after_seconds, now_ms)
        account = await self._standing.account(request.jid)
        await self._escalation.impose(account, sanction, OPERATOR, "scripted")
        return pb.ImposeSanctionResponse()

    async def LiftSanctions(self, request: pb.LiftSanctionsRequest, context: Context) -> pb.LiftSanctionsResponse:
        """Lifts all sanctions."""
        account_id = 0
        if request.jid:
            account = await self._standing.account(request.jid)
            account_id, user = account.account_id, account.external_user
        elif request.external_id:
            user = await self._standing.person(request.integrator, request.external_id)
        else:
            raise _nobody_named()
        await self._standing.lift(user, OPERATOR, *SanctionKind, account_id=account_id)
        await self._reports.forget(user, account_id)
        return pb.LiftSanctionsResponse()

    async def AuditAccount(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.AuditAccountRequest, context: Context
    ) -> None:
        """Shows everything that is kept about a person."""
        if request.jid:
            records = self._audit.of_account(request.jid)
        elif request.external_id:
            records = self._audit.of_person(request.integrator, request.external_id)
        else:
            raise _nobody_named()
        async for record in records:
            await context.write(pb.AuditAccountResponse(fields=[pb.KeptField(**kept._asdict()) for kept in record]))


def _nobody_named() -> Refusal:
    detail = "name an account by `jid`, or a person by `external_id`"
    return Refusal(Reason.REQUEST_MALFORMED, detail, field="jid", requirement="ABU-05")


def _sanction_to(sanction: Sanction) -> pb.Sanction:
    return pb.Sanction(
        kind=pb.SanctionKind.ValueType(sanction.kind),
        sub_code=sanction.sub_code,
        expires_at_ms=sanction.expires_at_ms or 0,
    )
