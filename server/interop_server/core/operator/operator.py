"""The operator's rules: registration of partners and WhatsApp users, and requests to accounts; knows no wire format."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from interop_protocol.curve_keys import is_same_key
from interop_protocol.jid import whatsapp_jid
from interop_protocol.printable import is_printable
from interop_protocol.sizes import MAX_INTEGRATOR, MIN_INTEGRATOR
from interop_protocol.web_address import split_web_address
from interop_server.core.accounts import registered_account
from interop_server.core.addressing import check_address
from interop_server.core.consent.optin import is_eligible
from interop_server.core.display_names import is_display_name
from interop_server.core.enlistment.tokens import KeySets
from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import normalize_e164_number
from interop_server.core.keys.published import check_key
from interop_server.core.limits import Limits
from interop_server.core.mailbox_content import DigestRequested, encode
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, Partner, PartnerStatus, Platform
from interop_server.core.operator.store import StoreForOperator
from interop_server.core.paging import give_token, page_limit, read_token
from interop_server.core.ports import Clock, Connections
from interop_server.core.shared_store import JidTaken

MAX_NAME_CHARACTERS = 128
MAX_URL_CHARACTERS = 512

_CONNECTIONS = "connections"
"""What the page tokens of the list of connections are for."""


class _NotActive(Exception):
    """A partner cannot be suspended, because it is not active."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Registers partners and WhatsApp users, and requests key digests. Source: ENL-01, ENL-02, OPT-04, KEY-10."""

    store: StoreForOperator
    key_sets: KeySets
    connections: Connections
    clock: Clock
    limits: Limits

    async def put_partner(self, partner: Partner) -> int:
        """Registers or replaces a partner as a whole, as `change_partner` does."""
        values = {each.name: getattr(partner, each.name) for each in fields(partner)}
        return await self.change_partner(partner.integrator, values, may_be_new=True)

    async def change_partner(self, integrator: int, values: Mapping[str, Any], *, may_be_new: bool) -> int:
        """Changes fields of a partner, and returns how many usable keys its key set holds now.

        Ends connections that the changed partner no longer allows (ENL-01, PRX-01).

        Args:
            integrator: The partner.
            values: New values by field name of `Partner`; other fields keep theirs.
            may_be_new: Whether an unknown partner is registered; then every field without a default needs a value.

        Raises:
            Refusal: REQUEST_MALFORMED, ALREADY_REGISTERED or NOT_REGISTERED.
        """

        def changed(before: Partner | None) -> Partner:
            if before is None and not may_be_new:
                raise Refusal(Reason.NOT_REGISTERED, f"there is no partner {integrator}", requirement="ENL-01")
            partner = Partner(**{"integrator": integrator, **values}) if before is None else replace(before, **values)
            _check_partner(partner)
            return partner

        try:
            before, partner = await self.store.partners.change(integrator, changed)
        except KeyError as error:
            raise Refusal(
                Reason.ALREADY_REGISTERED, "another integrator has this issuer", requirement="ENL-01"
            ) from error
        self._end_without_right(partner)
        if before is not None and (before.issuer, before.base_url) != (partner.issuer, partner.base_url):
            await self.store.partners.delete_jwks(integrator)  # the last good copy came from another server
        self.key_sets.forget(integrator)
        try:
            return await self.key_sets.refresh(partner)
        except Refusal:
            return 0  # the timer, or the first token, tries again

    async def suspend(self, integrator: int) -> bool:
        """Suspends a partner, like `put_partner` with that status; returns False when it is not active (ABU-07)."""

        def suspended(partner: Partner | None) -> Partner:
            if partner is None or partner.status is not PartnerStatus.ACTIVE:
                raise _NotActive
            return replace(partner, status=PartnerStatus.SUSPENDED)

        try:
            _, partner = await self.store.partners.change(integrator, suspended)
        except _NotActive:
            return False
        self._end_without_right(partner)
        return True

    def _end_without_right(self, partner: Partner) -> None:
        # Called after the change is stored: an earlier login has its connection by now, and a later one is refused.
        if partner.status is not PartnerStatus.ACTIVE:
            self.connections.end_partner(partner.integrator, Reason.PARTNER_NOT_ACTIVE)
        elif not partner.proxy_allowed:
            self.connections.end_partner(partner.integrator, Reason.PROXY_NOT_ALLOWED, ConnectionMode.PROXY)

    async def list_partners(self) -> list[Partner]:
        """Lists all partners by integrator id."""
        return await self.store.partners.list_all()

    async def refresh_jwks(self, integrator: int) -> int:
        """Fetches a partner's key set now and returns how many usable keys it holds.

        Raises:
            Refusal: NOT_REGISTERED or JWKS_UNAVAILABLE.
        """
        partner = await self.store.partners.get(integrator)
        if partner is None:
            raise Refusal(Reason.NOT_REGISTERED, f"there is no partner {integrator}", requirement="ENL-01")
        return await self.key_sets.refresh(partner)

    def list_connections(self, page_size: int, page_token: str) -> tuple[list[ConnectionFacts], str]:
        """Lists a page of the open connections, by JID, and the token of the next page (PRX-01, PRX-05).

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        limit = page_limit(page_size, "PRX-05")
        after = read_token(_CONNECTIONS, page_token, "page_token", "PRX-05") if page_token else ""
        rest = [facts for facts in self.connections.facts() if facts.account.jid > after]
        return rest[:limit], give_token(_CONNECTIONS, rest[limit - 1].account.jid) if len(rest) > limit else ""

    async def observe_client(self, jid: str, is_open: bool) -> None:
        """Records whether the end client behind an account's connection is open (PRX-04).

        Raises:
            Refusal: NOT_REGISTERED.
        """
        account = await registered_account(self.store.accounts, jid, "PRX-04")
        self.connections.observe_client(account.account_id, None if is_open else self.clock.now_ms())

    async def put_whatsapp_user(self, phone_number: str, auth_key: bytes, platform: Platform) -> tuple[Account, bool]:
        """Registers a WhatsApp user or replaces auth key and platform; returns the account and whether it qualifies.

        Another auth key ends a live connection. Third-party chats go off if the user no longer qualifies (OPT-04).

        Raises:
            Refusal: REQUEST_MALFORMED or KEY_MALFORMED.
        """
        check_key(auth_key, "authkey", "authkey", "CHN-08")
        digits = normalize_e164_number(phone_number)
        jid = whatsapp_jid(digits)
        before = await self.store.accounts.get(jid)
        account = await self.store.accounts.put_whatsapp_user(jid, digits, auth_key, platform, self.clock.now_ms())
        if before is not None and not is_same_key(before.auth_key, auth_key):
            # The live connection was proved with a key that is no longer the account's (CHN-07).
            self.connections.end(account.account_id, Reason.KEYS_REPLACED)
        eligible = is_eligible(account, self.limits)
        if before is not None and not eligible:
            await self.store.opt_in.put_enabled(account.account_id, False)
        return account, eligible

    async def change_number(self, jid: str, phone_number: str) -> tuple[str, bool]:
        """Moves a WhatsApp user to another number; turns third-party chats off if they no longer qualify (OPT-04).

        Returns:
            The JID from now on, and whether the user qualifies.

        Raises:
            Refusal: NOT_REGISTERED, ALREADY_REGISTERED or REQUEST_MALFORMED.
        """
        account = await self.store.accounts.get(check_address(jid, "jid").text)
        if account is None or not account.is_whatsapp:
            raise Refusal(Reason.NOT_REGISTERED, "there is no such WhatsApp user", requirement="OPT-04")
        digits = normalize_e164_number(phone_number)
        new_jid = whatsapp_jid(digits)
        try:
            await self.store.accounts.change_number(account.account_id, new_jid, digits)
        except JidTaken as error:
            raise Refusal(Reason.ALREADY_REGISTERED, "the new number is taken", requirement="OPT-04") from error
        moved = await self.store.accounts.get(new_jid)
        eligible = moved is not None and is_eligible(moved, self.limits)
        if not eligible:
            await self.store.opt_in.put_enabled(account.account_id, False)
        self.connections.end(account.account_id, Reason.NOT_ENLISTED)
        return new_jid, eligible

    async def request_key_digest(self, jid: str) -> None:
        """Asks an account's client to compare its keys with the server's, at once or when it connects (KEY-10).

        Raises:
            Refusal: NOT_REGISTERED, or as `check_address`.
        """
        account = await registered_account(self.store.accounts, check_address(jid, "jid").text, "KEY-10")
        await self.store.mailbox.put([encode(DigestRequested(), account.account_id, self.clock.now_ms())])
        self.connections.wake(account.account_id)


def _check_partner(partner: Partner) -> None:
    if not MIN_INTEGRATOR <= partner.integrator <= MAX_INTEGRATOR:
        detail = f"`integrator` lies in {MIN_INTEGRATOR} to {MAX_INTEGRATOR}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="partner.integrator", requirement="ENL-02")
    if not 1 <= len(partner.name) <= MAX_NAME_CHARACTERS or not is_display_name(partner.name):
        detail = f"`name` has 1 to {MAX_NAME_CHARACTERS} characters, no controls, and something to see"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="partner.name", requirement="ENL-01")
    if not 1 <= len(partner.issuer) <= MAX_URL_CHARACTERS or not is_printable(partner.issuer):
        detail = f"`issuer` has 1 to {MAX_URL_CHARACTERS} printable characters"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="partner.issuer", requirement="ENL-01")
    _check_url("base_url", partner.base_url, required=True)
    _check_url("push_url", partner.push_url, required=False)
    _check_url("media_url", partner.media_url, required=False)
    _check_url("icon", partner.icon, required=False)


def _check_url(name: str, url: str, *, required: bool) -> None:
    if not url and not required:
        return
    parts = split_web_address(url)
    # Checked in the text, because an empty query, fragment or user counts too.
    is_whole = parts is not None and not ("?" in url or "#" in url or "@" in parts.netloc)
    if not is_whole or len(url) > MAX_URL_CHARACTERS or not is_printable(url):
        detail = f"`{name}` must be an absolute http or https URL without query, fragment or user"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=f"partner.{name}", requirement="ENL-01")
