"""Looks up accounts that an operator names by their JID; knows no rule about them."""

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account
from interop_server.core.shared_store import AccountStore


async def registered_account(accounts: AccountStore, jid: str) -> Account:
    """Returns an account by its JID.

    Raises:
        Refusal: NOT_REGISTERED.
    """
    account = await accounts.get(jid)
    if account is None:
        raise Refusal(Reason.NOT_REGISTERED, "there is no such account")
    return account
