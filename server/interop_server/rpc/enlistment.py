"""The enlistment service: converts, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import enlistment_pb2, enlistment_pb2_grpc
from interop_server.core.enlistment.enlistment import Enlistment, EnlistmentForm
from interop_server.core.errors import Refusal
from interop_server.rpc.calls import Call, Context, call_of
from interop_server.rpc.convert.login import peer_ip_from, version_from
from interop_server.rpc.errors import refusal_to


class EnlistmentServicer(enlistment_pb2_grpc.EnlistmentServiceServicer):
    """See EnlistmentService in enlistment.proto."""

    def __init__(self, enlistment: Enlistment) -> None:
        self._enlistment = enlistment

    async def Enlist(self, request: enlistment_pb2.EnlistRequest, context: Context) -> enlistment_pb2.EnlistResponse:
        """Enlists; the outcome is in the response."""
        call = call_of(context)
        form = EnlistmentForm(
            auth_key=request.authkey,
            key_type=request.e_keytype,
            registration_id=request.e_regid,
            identity_key=request.e_ident,
            signed_prekey_id=request.e_skey_id,
            signed_prekey=request.e_skey_val,
            signed_prekey_signature=request.e_skey_sig,
            token=request.token,
            protocol_version=version_from(request),
        )
        try:
            login = await self._enlistment.enlist(form, peer_ip_from(context.peer()))
        except Refusal as refusal:
            return refused_enlistment(refusal, call)
        call.actor = login
        return enlistment_pb2.EnlistResponse(success=enlistment_pb2.EnlistSuccess(login=login))


def refused_enlistment(refusal: Refusal, call: Call) -> enlistment_pb2.EnlistResponse:
    """Returns the answer to an enlistment that is refused, and records it: the refusal stands in a response."""
    call.refuse(refusal)
    return enlistment_pb2.EnlistResponse(failure=enlistment_pb2.EnlistFailure(error=refusal_to(refusal)))
