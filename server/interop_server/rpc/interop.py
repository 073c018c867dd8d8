"""The interop service: authenticates, converts, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import interop_pb2 as pb
from interop_api.v1 import interop_pb2_grpc, stanza_pb2
from interop_server.core.consent.message_requests import MessageRequests
from interop_server.core.consent.optin import OptIn
from interop_server.core.consent.reachability import Reachability
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.model import Account, InboxMode
from interop_server.rpc.calls import Context, caller
from interop_server.rpc.convert.enums import known
from interop_server.rpc.errors import refusal_to
from interop_server.shared_answers import SharedAnswers


class InteropServicer(interop_pb2_grpc.InteropServiceServicer):
    """See InteropService in interop.proto."""

    def __init__(
        self,
        optin: OptIn,
        requests: MessageRequests,
        reachability: Reachability,
        journal: Journal,
    ) -> None:
        self._optin = optin
        self._requests = requests
        self._reachability = reachability
        self._journal = journal
        self._partners = SharedAnswers[pb.ListPartnersResponse]()

    async def ListPartners(self, request: pb.ListPartnersRequest, context: Context) -> pb.ListPartnersResponse:
        """Lists partners."""
        account = caller(context)
        return await self._partners.get(account.account_id, lambda: self._list_partners(account))

    async def _list_partners(self, account: Account) -> pb.ListPartnersResponse:
        listing = await self._optin.list_partners(account)
        response = pb.ListPartnersResponse()
        for partner, opted_in in listing:
            response.partners.add(
                integrator=partner.integrator,
                name=partner.name,
                status=pb.PartnerStatus.ValueType(partner.status),
                icon=partner.icon,
                identifier_type=pb.IdentifierType.ValueType(partner.identifier_type),
                opted_in=opted_in,
                group_messaging=partner.group_messaging,
            )
        return response

    async def RecordTerms(self, request: pb.RecordTermsRequest, context: Context) -> pb.RecordTermsResponse:
        """Records terms shown or accepted."""
        account = caller(context)
        if request.result not in (pb.TERMS_RESULT_SHOWN, pb.TERMS_RESULT_ACCEPTED):
            raise Refusal(
                Reason.REQUEST_MALFORMED, "`result` must be SHOWN or ACCEPTED", field="result", requirement="OPT-03"
            )
        accepted = request.result == pb.TERMS_RESULT_ACCEPTED
        await self._optin.record_terms(account, request.terms_id, accepted=accepted)
        return pb.RecordTermsResponse()

    async def OptIn(self, request: pb.OptInRequest, context: Context) -> pb.OptInResponse:
        """Sets the complete set of chosen partners."""
        await self._optin.opt_in(caller(context), list(request.integrators))
        return pb.OptInResponse()

    async def OptOut(self, request: pb.OptOutRequest, context: Context) -> pb.OptOutResponse:
        """Removes partners from the set."""
        await self._optin.opt_out(caller(context), list(request.integrators))
        return pb.OptOutResponse()

    async def SetThirdPartyChats(
        self, request: pb.SetThirdPartyChatsRequest, context: Context
    ) -> pb.SetThirdPartyChatsResponse:
        """Turns third-party chats on or off."""
        await self._optin.set_enabled(caller(context), request.enabled)
        return pb.SetThirdPartyChatsResponse()

    async def SetInboxMode(self, request: pb.SetInboxModeRequest, context: Context) -> pb.SetInboxModeResponse:
        """Chooses how third-party chats are shown."""
        account = caller(context)
        inbox_mode = known(InboxMode, request.inbox_mode, "inbox_mode", "OPT-05")
        await self._optin.set_inbox_mode(account, inbox_mode)
        return pb.SetInboxModeResponse()

    async def GetInteropSettings(
        self, request: pb.GetInteropSettingsRequest, context: Context
    ) -> pb.GetInteropSettingsResponse:
        """Returns the caller's choices."""
        settings = await self._optin.settings(caller(context))
        chosen = settings.chosen
        return pb.GetInteropSettingsResponse(
            enabled=chosen.enabled,
            integrators=sorted(chosen.integrators),
            inbox_mode=stanza_pb2.InboxMode.ValueType(chosen.inbox_mode),
            terms_accepted=chosen.terms_accepted,
            eligible=settings.eligible,
        )

    async def Resolve(self, request: pb.ResolveRequest, context: Context) -> pb.ResolveResponse:
        """Turns user-visible identifiers into JIDs."""
        account = caller(context)
        users = [(user.external_id, user.integrator) for user in request.users]
        response = pb.ResolveResponse()
        for (external_id, integrator), outcome in zip(users, await self._optin.resolve(account, users), strict=True):
            user = response.users.add(external_id=external_id, integrator=integrator)
            if isinstance(outcome, Refusal):
                self._journal.refuse(outcome, account.jid, "InteropService.Resolve")
                user.error.CopyFrom(refusal_to(outcome))
            else:
                user.resolved.jid = outcome.jid
                user.resolved.normalized_external_id = outcome.normalized
        return response

    async def ListThirdPartyChats(
        self, request: pb.ListThirdPartyChatsRequest, context: Context
    ) -> pb.ListThirdPartyChatsResponse:
        """Lists the caller's third-party chats."""
        account = caller(context)
        chats, next_page_token = await self._optin.list_chats(account, request.page_size, request.page_token)
        response = pb.ListThirdPartyChatsResponse(next_page_token=next_page_token)
        for chat in chats:
            response.chats.add(
                peer_jid=chat.peer_jid,
                integrator=chat.integrator,
                external_id=chat.external_id,
                last_message_at_ms=chat.last_message_at_ms,
                read_only=chat.read_only,
                request_state=stanza_pb2.MessageRequestState.ValueType(chat.request_state),
            )
        return response

    async def AnswerMessageRequest(
        self, request: pb.AnswerMessageRequestRequest, context: Context
    ) -> pb.AnswerMessageRequestResponse:
        """Accepts or declines a message request."""
        account = caller(context)
        if request.answer not in (pb.MESSAGE_REQUEST_ANSWER_ACCEPT, pb.MESSAGE_REQUEST_ANSWER_DECLINE):
            raise Refusal(
                Reason.REQUEST_MALFORMED, "`answer` must be ACCEPT or DECLINE", field="answer", requirement="OPT-14"
            )
        accepted = request.answer == pb.MESSAGE_REQUEST_ANSWER_ACCEPT
        await self._requests.answer(account, request.peer_jid, accepted=accepted)
        return pb.AnswerMessageRequestResponse()

    async def SendReachabilityPing(
        self, request: pb.SendReachabilityPingRequest, context: Context
    ) -> pb.SendReachabilityPingResponse:
        """Takes a ping, whatever becomes of it."""
        await self._reachability.ping(caller(context), request.phone_number, request.display_name)
        return pb.SendReachabilityPingResponse()

    async def GetReachability(self, request: pb.GetReachabilityRequest, context: Context) -> pb.GetReachabilityResponse:
        """Returns which pings the caller lets through."""
        settings = await self._reachability.settings(caller(context))
        return pb.GetReachabilityResponse(enabled=settings.enabled, muted_integrators=sorted(settings.muted))

    async def SetReachability(self, request: pb.SetReachabilityRequest, context: Context) -> pb.SetReachabilityResponse:
        """Chooses which pings come through."""
        account = caller(context)
        await self._reachability.choose(account, request.enabled, list(request.muted_integrators))
        return pb.SetReachabilityResponse()

    async def DeleteThirdPartyChat(
        self, request: pb.DeleteThirdPartyChatRequest, context: Context
    ) -> pb.DeleteThirdPartyChatResponse:
        """Deletes a chat from the list."""
        await self._optin.delete_chat(caller(context), request.peer_jid)
        return pb.DeleteThirdPartyChatResponse()
