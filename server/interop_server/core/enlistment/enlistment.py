"""Enlistment: turns a token and a set of keys into an account; knows no HTTP form and no gRPC."""

from dataclasses import dataclass

from interop_protocol.jid import third_party_jid
from interop_protocol.sizes import JID_NUMBER_MAX, JID_NUMBER_MIN
from interop_protocol.xeddsa_keys import KEY_TYPE
from interop_server.core.abuse.standing import Standing
from interop_server.core.enlistment.absence import Absence
from interop_server.core.enlistment.client_ip import is_own_server, rate_limit_key
from interop_server.core.enlistment.location import LocationPolicy, require_location
from interop_server.core.enlistment.store import StoreForEnlistment
from interop_server.core.enlistment.tokens import PartnerTokens
from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import normalize_identifier
from interop_server.core.keys.published import check_key, check_published_keys
from interop_server.core.limits import Limits
from interop_server.core.model import ExternalUser, NewEnlistment, PublishedKeys, SignedPreKey
from interop_server.core.ports import Clock, Connections, Rng
from interop_server.core.ratelimit import RateLimit, SharedRate
from interop_server.core.shared_store import JidTaken

_FORM_FIELDS = {
    "identity_key": "e_ident",
    "signed_prekey.key_id": "e_skey_id",
    "signed_prekey.public_key": "e_skey_val",
    "signed_prekey.signature": "e_skey_sig",
}
"""Names that the form gives to the fields of published keys."""


@dataclass(frozen=True, slots=True)
class EnlistmentForm:
    """The documented form; binary values are decoded but not yet checked (ENL-08)."""

    auth_key: bytes
    key_type: bytes
    registration_id: bytes
    identity_key: bytes
    signed_prekey_id: bytes
    signed_prekey: bytes
    signed_prekey_signature: bytes
    token: str
    protocol_version: int


@dataclass(slots=True)
class Enlistment:
    """Enlists third-party users. Source: ENL-05 to ENL-17, PRX-07, ABU-05; threat T17."""

    store: StoreForEnlistment
    tokens: PartnerTokens
    absence: Absence
    standing: Standing
    location: LocationPolicy
    connections: Connections
    clock: Clock
    rng: Rng
    limits: Limits
    address_rate: RateLimit
    partner_rate: RateLimit
    identifier_rate: SharedRate

    async def enlist(self, form: EnlistmentForm, peer_ip: str = "") -> str:
        """Enlists the user that the form's token names, or replaces their keys (ENL-13); returns their JID.

        Args:
            form: The form.
            peer_ip: Where the form comes from: the client's address or its partner's server's; empty when unknown.

        Raises:
            Refusal: See EnlistmentService.Enlist. Nothing changed.
        """
        self.address_rate.require(rate_limit_key(peer_ip))
        check_protocol_version(form.protocol_version, self.limits)
        keys = check_form_keys(form)
        token = await self.tokens.verify(form.token)
        try:
            external_id = normalize_identifier(token.external_id, token.partner.identifier_type)
        except Refusal as refusal:
            raise Refusal(Reason.TOKEN_CLAIMS_INVALID, f"`sub`: {refusal.detail}") from refusal
        # A partner's server may enlist its users: then its address says nothing about theirs.
        client_ip = "" if is_own_server(token.partner, peer_ip) else peer_ip
        require_location(self.location, token.partner, external_id, client_ip)
        # Only after the token: a caller without one must not use up the limit of a partner or a user.
        await self.identifier_rate.require((token.partner.integrator, external_id))
        self.partner_rate.require(token.partner.integrator)
        await self.standing.check_may_enlist(ExternalUser(token.partner.integrator, external_id))
        known = await self.store.accounts.get_by_external_id(token.partner.integrator, external_id)
        if known is not None:
            await self.absence.is_over(known)  # an expired enlistment ends here, and this one starts afresh (LIF-04)
        now_ms = self.clock.now_ms()
        while True:
            jid = third_party_jid(token.partner.integrator, self.rng.number(JID_NUMBER_MIN, JID_NUMBER_MAX))
            enlistment = NewEnlistment(
                integrator=token.partner.integrator,
                external_id=external_id,
                jid=jid,
                auth_key=form.auth_key,
                keys=keys,
                protocol_version=form.protocol_version,
                now_ms=now_ms,
                stated_id=token.external_id,
                recent_since_ms=now_ms - self.limits.recent_chat_ms,
            )
            try:
                enlisted = await self.store.accounts.enlist(enlistment)
                break
            except JidTaken:  # one in 10^14 per account: draw again
                continue
        if enlisted.auth_key_changed or enlisted.identity_changed:
            # The live connection was proved with keys that are no longer the account's (ENL-14).
            self.connections.end(enlisted.account.account_id, Reason.KEYS_REPLACED)
        for peer_id in enlisted.notified:
            self.connections.wake(peer_id)
        return enlisted.account.jid


def check_protocol_version(version: int, limits: Limits) -> None:
    """Refuses interop protocol versions below the minimum (ENL-15).

    Raises:
        Refusal: PROTOCOL_VERSION_TOO_OLD.
    """
    if version < limits.min_protocol_version:
        raise Refusal(
            Reason.PROTOCOL_VERSION_TOO_OLD, f"version {version} is under the floor of {limits.min_protocol_version}"
        )


def check_form_keys(form: EnlistmentForm) -> PublishedKeys:
    """Checks lengths, ranges and the signature of an enlistment form's keys (ENL-08, ENL-10).

    Raises:
        Refusal: KEY_MALFORMED or PREKEY_SIGNATURE_INVALID.
    """
    check_key(form.auth_key, "authkey", "authkey", "ENL-08")
    for name, value, length in (
        ("e_keytype", form.key_type, 1),
        ("e_regid", form.registration_id, 4),
        ("e_skey_id", form.signed_prekey_id, 3),
    ):
        if len(value) != length:
            detail = f"{name} has {len(value)} bytes instead of {length}"
            raise Refusal(Reason.KEY_MALFORMED, detail, field=name, requirement="ENL-08")
    if form.key_type[0] != KEY_TYPE:
        detail = f"e_keytype is {form.key_type[0]} instead of {KEY_TYPE}"
        raise Refusal(Reason.KEY_MALFORMED, detail, field="e_keytype", requirement="ENL-08")
    signed_prekey = SignedPreKey(
        int.from_bytes(form.signed_prekey_id, "big"), form.signed_prekey, form.signed_prekey_signature
    )
    registration_id = int.from_bytes(form.registration_id, "big")
    try:
        return check_published_keys(PublishedKeys(registration_id, form.identity_key, signed_prekey))
    except Refusal as refusal:
        refusal.rename_fields(_FORM_FIELDS)
        raise
