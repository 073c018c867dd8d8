"""The integrity service: authenticates, converts, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import integrity_pb2 as pb
from interop_api.v1 import integrity_pb2_grpc
from interop_server.core.abuse.blocklist import Blocklist
from interop_server.core.abuse.challenges import Challenges
from interop_server.core.abuse.reports import Reports
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.model import Account, ChallengeOption, SpamFlow
from interop_server.rpc.calls import Context, caller
from interop_server.rpc.convert.enums import known
from interop_server.rpc.convert.reports import reported_message_from
from interop_server.shared_answers import SharedAnswers


class IntegrityServicer(integrity_pb2_grpc.IntegrityServiceServicer):
    """See IntegrityService in integrity.proto."""

    def __init__(self, blocklist: Blocklist, reports: Reports, challenges: Challenges, limits: Limits) -> None:
        self._blocklist = blocklist
        self._reports = reports
        self._challenges = challenges
        self._limits = limits
        self._lists = SharedAnswers[pb.GetBlocklistResponse]()

    async def GetBlocklist(self, request: pb.GetBlocklistRequest, context: Context) -> pb.GetBlocklistResponse:
        """Returns the caller's blocklist."""
        return await self._list(caller(context))

    async def UpdateBlocklist(self, request: pb.UpdateBlocklistRequest, context: Context) -> pb.UpdateBlocklistResponse:
        """Blocks or unblocks."""
        account = caller(context)
        if request.action == pb.BLOCK_ACTION_BLOCK:
            await self._blocklist.block(account, request.jid)
        elif request.action == pb.BLOCK_ACTION_UNBLOCK:
            await self._blocklist.unblock(account, request.jid)
        else:
            raise Refusal(
                Reason.REQUEST_MALFORMED, "`action` must be BLOCK or UNBLOCK", field="action", requirement="ABU-02"
            )
        return pb.UpdateBlocklistResponse(digest=(await self._list(account)).digest)

    async def _list(self, account: Account) -> pb.GetBlocklistResponse:
        async def make() -> pb.GetBlocklistResponse:
            jids, digest = await self._blocklist.blocked(account)
            return pb.GetBlocklistResponse(jids=jids, digest=digest)

        return await self._lists.get(account.account_id, make)

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Takes a report."""
        account = caller(context)
        spam_flow = known(SpamFlow, request.spam_flow, "spam_flow", "ABU-03")
        messages = [reported_message_from(message, index) for index, message in enumerate(request.messages)]
        return pb.ReportResponse(report_id=await self._reports.report(account, request.jid, spam_flow, messages))

    async def RequestChallenge(
        self, request: pb.RequestChallengeRequest, context: Context
    ) -> pb.RequestChallengeResponse:
        """Begins a challenge."""
        challenge = await self._challenges.begin(caller(context))
        return pb.RequestChallengeResponse(
            challenge_id=challenge.token,
            options=[pb.CHALLENGE_OPTION_CHANNEL, pb.CHALLENGE_OPTION_CAPTCHA],
            captcha_prompt=challenge.prompt,
            expires_after_seconds=self._limits.challenge_seconds,
        )

    async def AnswerChallenge(self, request: pb.AnswerChallengeRequest, context: Context) -> pb.AnswerChallengeResponse:
        """Answers a challenge."""
        account = caller(context)
        option = known(ChallengeOption, request.option, "option", "ABU-06")
        await self._challenges.answer(account, request.challenge_id, option, request.answer)
        return pb.AnswerChallengeResponse()
