"""Looks up accounts and people that an operator names, in whatever form; knows no rule about them."""

from contextlib import suppress

from interop_server.core.addressing import plain_jid
from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import normalize_identifier, normalize_phone_number
from interop_server.core.model import Account, ExternalUser, IdentifierType
from interop_server.core.shared_store import AccountStore, PartnerStore


async def registered_account(accounts: AccountStore, jid: str, requirement: str) -> Account:
    """Returns an account by its JID, for an operator's call that serves the rule of that id.

    Raises:
        Refusal: NOT_REGISTERED.
    """
    account = await accounts.get(plain_jid(jid))
    if account is None:
        raise Refusal(Reason.NOT_REGISTERED, "there is no such account", requirement=requirement)
    return account


async def named_person(partners: PartnerStore, integrator: int, external_id: str, requirement: str) -> ExternalUser:
    """Returns the person with an identifier, who may have no account (any more), for a call as above (OPT-08).

    Args:
        partners: Say which kind of identifier theirs is; it may have been another one before.
        integrator: The partner; 0 for a WhatsApp user.
        external_id: The identifier, as somebody writes it.
        requirement: Id of the rule.

    Raises:
        Refusal: NOT_REGISTERED or REQUEST_MALFORMED.
    """
    if not integrator:
        return ExternalUser(0, normalize_phone_number(external_id))
    kind = (await partners.get_identifier_types([integrator])).get(integrator)
    if kind is None:
        raise Refusal(Reason.NOT_REGISTERED, f"there is no partner {integrator}", requirement=requirement)
    try:
        return ExternalUser(integrator, normalize_identifier(external_id, kind))
    except Refusal:
        # Sanctions outlive a change of the partner's kind of identifiers.
        for earlier in IdentifierType:
            with suppress(Refusal):
                return ExternalUser(integrator, normalize_identifier(external_id, earlier))
        raise
