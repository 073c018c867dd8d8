"""Which clients may connect: the decision about a login; knows no handshake bytes and no stream."""

from dataclasses import dataclass

from interop_protocol.curve_keys import is_same_key
from interop_protocol.jid import third_party_jid, whatsapp_jid
from interop_server.core.abuse.standing import Standing
from interop_server.core.connection.store import StoreForConnection
from interop_server.core.enlistment.absence import Absence
from interop_server.core.enlistment.client_ip import is_loopback, is_public_address, rate_limit_key
from interop_server.core.enlistment.enlistment import check_protocol_version
from interop_server.core.enlistment.location import LocationPolicy, require_location
from interop_server.core.enlistment.tokens import PartnerTokens
from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import normalize_identifier
from interop_server.core.limits import Limits
from interop_server.core.model import Account, ConnectionMode, Login, PartnerStatus, PartnerTerms
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import RateLimit


@dataclass(frozen=True, slots=True)
class Logins:
    """Decides about logins.

    Source: CHN-06 to CHN-10, ENL-07, ENL-15, ENL-16, PRX-01, PRX-02, PRX-07, LIF-04, ABU-05; threats T2, T3, T17.
    """

    store: StoreForConnection
    tokens: PartnerTokens
    absence: Absence
    standing: Standing
    location: LocationPolicy
    clock: Clock
    limits: Limits
    client_rate: RateLimit
    proxy_rate: RateLimit

    async def log_in(self, login: Login, peer_ip: str = "") -> Account:
        """Returns the account that a login proves, after recording the time of the connection.

        Args:
            login: What the client says.
            peer_ip: Where the connection comes from: the client's address or its proxy's; empty when unknown.

        Raises:
            Refusal: PROTOCOL_VERSION_TOO_OLD, LOGIN_MALFORMED, NOT_ENLISTED, ENLISTMENT_EXPIRED, AUTH_KEY_MISMATCH, a
                TOKEN_… reason, BAD_INTEGRATOR, PARTNER_NOT_ACTIVE, JWKS_UNAVAILABLE, PROXY_NOT_ALLOWED,
                CLIENT_ADDRESS_INVALID, LOCATION_NOT_ALLOWED, RATE_LIMITED, TEMPORARILY_BANNED or BANNED.
        """
        self._count(login, peer_ip)
        check_protocol_version(login.protocol_version, self.limits)
        check_frame_bytes(login, self.limits)
        if login.is_interop:
            account = await self._third_party(login, peer_ip)
        else:
            account = await self._whatsapp(login)
        if not is_same_key(account.auth_key, login.static_key):
            raise Refusal(Reason.AUTH_KEY_MISMATCH)
        await self.check_standing(account)  # only after the proof of the key: a ban is visible only to its own account
        terms = await self.store.accounts.set_connected(account.account_id, login.read_receipts, self.clock.now_ms())
        # Check again: account or partner may have changed meanwhile. Later changes find this connection and end it.
        if terms is None:
            raise await self.absence.refusal_of(account.jid)
        check_terms(login, terms)
        return account

    async def check_standing(self, account: Account) -> None:
        """Checks that a user may be connected.

        Raises:
            Refusal: TEMPORARILY_BANNED or BANNED.
        """
        await self.standing.check_may_connect(account.external_user)

    def _count(self, login: Login, peer_ip: str) -> None:
        # All clients of a test connect from this machine, as all clients of a proxy connect from its address.
        is_shared = login.mode is ConnectionMode.PROXY or is_loopback(peer_ip)
        (self.proxy_rate if is_shared else self.client_rate).require(rate_limit_key(peer_ip))

    async def _third_party(self, login: Login, peer_ip: str) -> Account:
        token = await self.tokens.verify(login.token)
        check_terms(login, PartnerTerms(token.partner.status, token.partner.proxy_allowed))
        if login.mode is ConnectionMode.PROXY:
            # Only after the token: an unverified proxy must not use up another client's limit.
            self.client_rate.require(rate_limit_key(login.client_ip))
        jid = third_party_jid(token.partner.integrator, login.account_number)
        account = await self.store.accounts.get(jid)
        if account is None or await self.absence.is_over(account):
            raise await self.absence.refusal_of(jid)
        try:
            subject = normalize_identifier(token.external_id, token.partner.identifier_type)
        except Refusal as refusal:
            raise Refusal(Reason.TOKEN_SUBJECT_MISMATCH) from refusal
        if subject != account.external_id:
            raise Refusal(Reason.TOKEN_SUBJECT_MISMATCH)
        require_location(self.location, token.partner, subject, login.client_ip or peer_ip)
        return account

    async def _whatsapp(self, login: Login) -> Account:
        if login.mode is not ConnectionMode.DIRECT or login.client_ip:
            raise Refusal(Reason.PROXY_NOT_ALLOWED, "WhatsApp's own clients connect directly")
        account = await self.store.accounts.get(whatsapp_jid(login.phone_number))
        if account is None:
            raise Refusal(Reason.NOT_ENLISTED, "no WhatsApp user has this number")
        return account


def check_frame_bytes(login: Login, limits: Limits) -> None:
    """Checks that all that the server sends fits into the frames that a client takes (CHN-09).

    Raises:
        Refusal: LOGIN_MALFORMED.
    """
    if login.max_frame_bytes is not None and login.max_frame_bytes < limits.min_client_frame_bytes:
        detail = f"`max_frame_bytes` is at least {limits.min_client_frame_bytes:,}"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="max_frame_bytes", requirement="CHN-09")


def check_terms(login: Login, terms: PartnerTerms) -> None:
    """Checks a login against the partner's agreement, and the client's address (ENL-01, PRX-01, PRX-02).

    Raises:
        Refusal: PARTNER_NOT_ACTIVE, PROXY_NOT_ALLOWED, CLIENT_ADDRESS_INVALID or LOGIN_MALFORMED.
    """
    if terms.status is not PartnerStatus.ACTIVE:
        raise Refusal(Reason.PARTNER_NOT_ACTIVE, f"the partner is {terms.status.name.lower()}")
    if login.mode is ConnectionMode.DIRECT:
        if login.client_ip:
            raise Refusal(
                Reason.LOGIN_MALFORMED, "`client_ip` belongs to proxy mode", field="client_ip", requirement="PRX-02"
            )
        return
    if not terms.proxy_allowed:
        raise Refusal(Reason.PROXY_NOT_ALLOWED)
    if not is_public_address(login.client_ip):
        raise Refusal(Reason.CLIENT_ADDRESS_INVALID, field="client_ip")
