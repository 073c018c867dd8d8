"""Looks up accounts that an operator names by their JID; knows no rule about them."""

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account
from interop_server.core.shared_store import AccountStore


async def registered_account(accounts: AccountStore, jid: str, requirement: str) -> Account:
    """Returns an account by its JID, for an operator's call that serves the rule of that id.

    Raises:
        Refusal: NOT_REGISTERED.
    """
    account = await accounts.get(jid)
    if account is None:
        raise Refusal(Reason.NOT_REGISTERED, "there is no such account", requirement=requirement)
    return account
