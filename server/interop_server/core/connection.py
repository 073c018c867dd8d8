"""Who may connect: the decision about a login; knows no handshake bytes and no stream."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol

from interop_protocol.jid import third_party_jid, whatsapp_jid
from interop_server.core.absence import Absence
from interop_server.core.enlistment import check_protocol_version
from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import normalize_identifier
from interop_server.core.limits import Limits
from interop_server.core.model import Account, ConnectionMode, Login, PartnerStatus, PartnerTerms
from interop_server.core.ports import AccountStore, Clock, PartnerStore
from interop_server.core.standing import Standing
from interop_server.core.tokens import PartnerTokens

_DOCUMENTATION: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Reserved for examples (RFC 5737, RFC 3849): accepted as public, so that tests need no real person's address."""


class LoginStore(AccountStore, PartnerStore, Protocol):
    """What a login needs of the store."""


@dataclass(frozen=True, slots=True)
class Logins:
    """Decides about logins. Source: CHN-06 to CHN-10, ENL-07, ENL-15, PRX-01, PRX-02, ABU-05; threats T2, T3."""

    store: LoginStore
    tokens: PartnerTokens
    absence: Absence
    standing: Standing
    clock: Clock
    limits: Limits

    async def log_in(self, login: Login) -> Account:
        """Returns the account that a login proves, after recording the connection time.

        Raises:
            Refusal: PROTOCOL_VERSION_TOO_OLD, LOGIN_MALFORMED, NOT_ENLISTED, ENLISTMENT_EXPIRED, AUTH_KEY_MISMATCH, a
                TOKEN_… reason, BAD_INTEGRATOR, PARTNER_NOT_ACTIVE, JWKS_UNAVAILABLE, PROXY_NOT_ALLOWED,
                CLIENT_ADDRESS_INVALID, TEMPORARILY_BANNED or BANNED.
        """
        check_protocol_version(login.protocol_version, self.limits)
        if login.is_interop:
            account = await self._third_party(login)
        else:
            account = await self._whatsapp(login)
        if account.auth_key != login.static_key:
            raise Refusal(Reason.AUTH_KEY_MISMATCH)
        await self.check_standing(account)  # only now: a ban is nobody else's business
        terms = await self.store.set_connected(account.account_id, login.read_receipts, self.clock.now_ms())
        # Again, for either may just have gone; whatever goes from here on finds the connection, and ends it.
        if terms is None:
            raise await self.absence.refusal_of(account.jid)
        check_terms(login, terms)
        return account

    async def check_standing(self, account: Account) -> None:
        """Checks that a person may be connected.

        Raises:
            Refusal: TEMPORARILY_BANNED or BANNED.
        """
        await self.standing.check_may_connect(account.external_user)

    async def _third_party(self, login: Login) -> Account:
        token = await self.tokens.verify(login.token)
        check_terms(login, PartnerTerms(token.partner.status, token.partner.proxy_allowed))
        jid = third_party_jid(token.partner.integrator, login.account_number)
        account = await self.store.get_account(jid)
        if account is None or await self.absence.is_over(account):
            raise await self.absence.refusal_of(jid)
        try:
            subject = normalize_identifier(token.external_id, token.partner.identifier_type)
        except Refusal as refusal:
            raise Refusal(Reason.TOKEN_SUBJECT_MISMATCH) from refusal
        if subject != account.external_id:
            raise Refusal(Reason.TOKEN_SUBJECT_MISMATCH)
        return account

    async def _whatsapp(self, login: Login) -> Account:
        if login.mode is not ConnectionMode.DIRECT or login.client_ip:
            raise Refusal(Reason.PROXY_NOT_ALLOWED, "WhatsApp's own clients connect directly")
        account = await self.store.get_account(whatsapp_jid(login.phone_number))
        if account is None:
            raise Refusal(Reason.NOT_ENLISTED, "no WhatsApp user has this number")
        return account


def check_terms(login: Login, terms: PartnerTerms) -> None:
    """Checks a login against the partner's agreement, and the client's address (ENL-01, PRX-01, PRX-02).

    Raises:
        Refusal: PARTNER_NOT_ACTIVE, PROXY_NOT_ALLOWED, CLIENT_ADDRESS_INVALID or LOGIN_MALFORMED.
    """
    if terms.status is not PartnerStatus.ACTIVE:
        raise Refusal(Reason.PARTNER_NOT_ACTIVE, f"the partner is {terms.status.name.lower()}")
    if login.mode is ConnectionMode.DIRECT:
        if login.client_ip:
            raise Refusal(Reason.LOGIN_MALFORMED, "`client_ip` belongs to proxy mode")
        return
    if not terms.proxy_allowed:
        raise Refusal(Reason.PROXY_NOT_ALLOWED)
    if not is_public_address(login.client_ip):
        raise Refusal(Reason.CLIENT_ADDRESS_INVALID)


def is_public_address(text: str) -> bool:
    """Says whether a text is a public IPv4 or IPv6 address; those reserved for documentation count as public."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.is_site_local):
        return False  # a zone, of any text, and the old site-local block mean something on one network only
    if any(address in network for network in _DOCUMENTATION if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast
