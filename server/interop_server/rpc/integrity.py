"""The integrity service: authenticates, converts, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import integrity_pb2 as pb
from interop_api.v1 import integrity_pb2_grpc
from interop_server.core.abuse.blocklist import Blocklist
from interop_server.core.abuse.challenges import Challenges
from interop_server.core.abuse.reports import Reports
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.model import ChallengeOption, SpamFlow
from interop_server.rpc.convert import reported_message_from
from interop_server.rpc.errors import Context
from interop_server.rpc.session import Sessions


class IntegrityServicer(integrity_pb2_grpc.IntegrityServiceServicer):
    """See IntegrityService in integrity.proto."""

    def __init__(
        self, sessions: Sessions, blocklist: Blocklist, reports: Reports, challenges: Challenges, limits: Limits
    ) -> None:
        self._sessions = sessions
        self._blocklist = blocklist
        self._reports = reports
        self._challenges = challenges
        self._limits = limits

    async def GetBlocklist(self, request: pb.GetBlocklistRequest, context: Context) -> pb.GetBlocklistResponse:
        """Returns the caller's blocklist."""
        jids, digest = await self._blocklist.blocked(self._sessions.account(context))
        return pb.GetBlocklistResponse(jids=jids, digest=digest)

    async def UpdateBlocklist(self, request: pb.UpdateBlocklistRequest, context: Context) -> pb.UpdateBlocklistResponse:
        """Blocks or unblocks."""
        account = self._sessions.account(context)
        if request.action == pb.BLOCK_ACTION_BLOCK:
            digest = await self._blocklist.block(account, request.jid)
        elif request.action == pb.BLOCK_ACTION_UNBLOCK:
            digest = await self._blocklist.unblock(account, request.jid)
        else:
            raise Refusal(Reason.REQUEST_MALFORMED, "`action` must be BLOCK or UNBLOCK", field="action")
        return pb.UpdateBlocklistResponse(digest=digest)

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Takes a report."""
        account = self._sessions.account(context)
        try:
            spam_flow = SpamFlow(request.spam_flow)
        except ValueError as error:
            raise Refusal(Reason.REQUEST_MALFORMED, "`spam_flow` is not known", field="spam_flow") from error
        messages = [reported_message_from(message, index) for index, message in enumerate(request.messages)]
        return pb.ReportResponse(report_id=await self._reports.report(account, request.jid, spam_flow, messages))

    async def RequestChallenge(
        self, request: pb.RequestChallengeRequest, context: Context
    ) -> pb.RequestChallengeResponse:
        """Begins a challenge."""
        challenge = await self._challenges.begin(self._sessions.account(context))
        return pb.RequestChallengeResponse(
            challenge_id=challenge.token,
            options=[pb.CHALLENGE_OPTION_CHANNEL, pb.CHALLENGE_OPTION_CAPTCHA],
            captcha_prompt=challenge.prompt,
            expires_after_seconds=self._limits.challenge_seconds,
        )

    async def AnswerChallenge(self, request: pb.AnswerChallengeRequest, context: Context) -> pb.AnswerChallengeResponse:
        """Answers a challenge."""
        account = self._sessions.account(context)
        try:
            option = ChallengeOption(request.option)
        except ValueError as error:
            detail = "`option` must be CHANNEL or CAPTCHA"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="option") from error
        await self._challenges.answer(account, request.challenge_id, option, request.answer)
        return pb.AnswerChallengeResponse()
