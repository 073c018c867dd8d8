"""The account service: authenticates, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import account_pb2, account_pb2_grpc
from interop_server.core.connection.deletion import AccountDeletion
from interop_server.rpc.calls import Context, caller


class AccountServicer(account_pb2_grpc.AccountServiceServicer):
    """See AccountService in account.proto."""

    def __init__(self, deletion: AccountDeletion) -> None:
        self._deletion = deletion

    async def DeleteAccount(
        self, request: account_pb2.DeleteAccountRequest, context: Context
    ) -> account_pb2.DeleteAccountResponse:
        """Deletes the caller's account."""
        await self._deletion.delete(caller(context))
        return account_pb2.DeleteAccountResponse()
