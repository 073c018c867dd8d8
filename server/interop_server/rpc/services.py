"""The unary services but prekeys and media: authenticate, convert, call one rule, answer; knows no rule itself."""

from interop_api.v1 import (
    account_pb2,
    account_pb2_grpc,
    enlistment_pb2,
    enlistment_pb2_grpc,
    integrity_pb2,
    integrity_pb2_grpc,
)
from interop_server.core.enlistment import Enlistment, EnlistmentForm
from interop_server.core.errors import Reason, Refusal
from interop_server.core.integrity import Blocklist
from interop_server.core.journal import ANONYMOUS, Journal
from interop_server.core.lifecycle import Lifecycle
from interop_server.rpc.errors import CALLER, IS_RECORDED, Context, stanza_error
from interop_server.rpc.session import Sessions


class EnlistmentServicer(enlistment_pb2_grpc.EnlistmentServiceServicer):
    """See EnlistmentService in enlistment.proto."""

    def __init__(self, enlistment: Enlistment, journal: Journal) -> None:
        self._enlistment = enlistment
        self._journal = journal

    async def Enlist(self, request: enlistment_pb2.EnlistRequest, context: Context) -> enlistment_pb2.EnlistResponse:
        """Enlists; the outcome is in the response."""
        form = EnlistmentForm(
            auth_key=request.authkey,
            key_type=request.e_keytype,
            registration_id=request.e_regid,
            identity_key=request.e_ident,
            signed_prekey_id=request.e_skey_id,
            signed_prekey=request.e_skey_val,
            signed_prekey_signature=request.e_skey_sig,
            token=request.token,
            protocol_version=request.protocol_version,
        )
        try:
            login = await self._enlistment.enlist(form)
        except Refusal as refusal:
            self._journal.refuse(refusal, ANONYMOUS, "EnlistmentService.Enlist")
            IS_RECORDED.set(True)
            failure = enlistment_pb2.EnlistFailure(error=stanza_error(refusal))
            return enlistment_pb2.EnlistResponse(failure=failure)
        CALLER.set(login)
        return enlistment_pb2.EnlistResponse(success=enlistment_pb2.EnlistSuccess(login=login))


class IntegrityServicer(integrity_pb2_grpc.IntegrityServiceServicer):
    """See IntegrityService in integrity.proto."""

    def __init__(self, sessions: Sessions, blocklist: Blocklist) -> None:
        self._sessions = sessions
        self._blocklist = blocklist

    async def GetBlocklist(
        self, request: integrity_pb2.GetBlocklistRequest, context: Context
    ) -> integrity_pb2.GetBlocklistResponse:
        """Returns the caller's blocklist."""
        jids, digest = await self._blocklist.blocked(self._sessions.account(context))
        return integrity_pb2.GetBlocklistResponse(jids=jids, digest=digest)

    async def UpdateBlocklist(
        self, request: integrity_pb2.UpdateBlocklistRequest, context: Context
    ) -> integrity_pb2.UpdateBlocklistResponse:
        """Blocks or unblocks."""
        account = self._sessions.account(context)
        if request.action == integrity_pb2.BLOCK_ACTION_BLOCK:
            digest = await self._blocklist.block(account, request.jid)
        elif request.action == integrity_pb2.BLOCK_ACTION_UNBLOCK:
            digest = await self._blocklist.unblock(account, request.jid)
        else:
            raise Refusal(Reason.REQUEST_MALFORMED, "`action` must be BLOCK or UNBLOCK")
        return integrity_pb2.UpdateBlocklistResponse(digest=digest)


class AccountServicer(account_pb2_grpc.AccountServiceServicer):
    """See AccountService in account.proto."""

    def __init__(self, sessions: Sessions, lifecycle: Lifecycle) -> None:
        self._sessions = sessions
        self._lifecycle = lifecycle

    async def DeleteAccount(
        self, request: account_pb2.DeleteAccountRequest, context: Context
    ) -> account_pb2.DeleteAccountResponse:
        """Deletes the caller's account."""
        await self._lifecycle.delete_account(self._sessions.account(context))
        return account_pb2.DeleteAccountResponse()
