"""What every engine keeps alike: the order of columns, what becomes of a row, and hashes by which something is known.

Knows no database. The statements, and which of them make a transaction, are each engine's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from interop_protocol.curve_keys import canonical_key
from interop_server.core.keys.store import PreKeyReused
from interop_server.core.messages import Delivery, MailboxItem, SentMessage, StanzaKind
from interop_server.core.model import (
    Account,
    ExternalUser,
    IdentifierType,
    InboxMode,
    KemPreKey,
    KemPreKeys,
    MessageRequestState,
    NewEnlistment,
    OneTimePreKey,
    Partner,
    PartnerStatus,
    Platform,
    PublishedKeys,
    SignedPreKey,
)

Row = Sequence[Any]

ACCOUNT = "account_id, jid, integrator, external_id, auth_key, platform, last_connected_at_ms, stated_id"
"""Columns for `account_of`."""


def account_of(row: Row) -> Account:
    """Returns the account of a row."""
    account_id, jid, integrator, external_id, auth_key, platform, last_connected_at_ms, stated_id = row
    return Account(
        account_id,
        jid,
        integrator,
        external_id,
        auth_key,
        None if platform is None else Platform(platform),
        last_connected_at_ms,
        stated_id,
    )


def other_form(new: NewEnlistment) -> str:
    """Returns the identifier as it was stated, where that is another text than the one kept; otherwise nothing."""
    return "" if new.stated_id == new.external_id else new.stated_id


PARTNER = """
    integrator, name, issuer, base_url, push_url, media_url, status, identifier_type, icon, proxy_allowed,
    group_messaging
"""
"""Columns for `partner_of`, and of `partner_values`."""


def partner_of(row: Row) -> Partner:
    """Returns the partner of a row."""
    integrator, name, issuer, base_url, push_url, media_url, status, identifier_type, icon, *flags = row
    proxy_allowed, group_messaging = map(bool, flags)
    return Partner(
        integrator=integrator,
        name=name,
        issuer=issuer,
        base_url=base_url,
        push_url=push_url,
        media_url=media_url,
        status=PartnerStatus(status),
        identifier_type=IdentifierType(identifier_type),
        icon=icon,
        proxy_allowed=proxy_allowed,
        group_messaging=group_messaging,
    )


def partner_values(partner: Partner) -> tuple[int, str, str, str, str, str, int, int, str, bool, bool]:
    """Returns what is stored of a partner."""
    return (
        partner.integrator,
        partner.name,
        partner.issuer,
        partner.base_url,
        partner.push_url,
        partner.media_url,
        partner.status,
        partner.identifier_type,
        partner.icon,
        partner.proxy_allowed,
        partner.group_messaging,
    )


REQUEST_STATES = (None, *MessageRequestState)
"""By their number in the tables; 0 stands for no chat."""
# Looked up for each delivered message: calling an enumeration takes far longer.
KINDS = {int(kind): kind for kind in StanzaKind}
INBOX_MODES = {int(mode): mode for mode in InboxMode}


def delivery_of(row: Row) -> Delivery:
    """Returns the delivery of a row: its id, the recipient's inbox mode, the chat's request state, then the item."""
    (
        delivery_id,
        inbox_mode,
        request_state,
        recipient_id,
        sender_id,
        sender_jid,
        kind,
        subtype,
        message_type,
        stanza_id,
        timestamp_ms,
        retry_count,
        size,
        content,
    ) = row
    item = MailboxItem(
        recipient_id,
        sender_id,
        sender_jid,
        KINDS[kind],
        subtype,
        message_type,
        stanza_id,
        timestamp_ms,
        content[:size],
        retry_count,
        content[size:],
    )
    return Delivery(delivery_id, item, INBOX_MODES[inbox_mode], REQUEST_STATES[request_state])


def sent_message_of(row: Row) -> SentMessage:
    """Returns what is remembered of a message that was sent."""
    recipient_id, timestamp_ms, reporting_token, is_dropped, *retries = row
    return SentMessage(recipient_id, timestamp_ms, bytes.fromhex(reporting_token), bool(is_dropped), *retries)


KEYS = "account_id, registration_id, identity_key, signed_prekey_id, signed_prekey, signed_prekey_signature"
"""Columns for `published_keys_of`."""


def published_keys_of(row: Row) -> PublishedKeys:
    """Returns the published keys of a row."""
    _, registration_id, identity_key, *signed_prekey = row
    return PublishedKeys(registration_id, identity_key, SignedPreKey(*signed_prekey))


def check_distinct(one_time: Sequence[OneTimePreKey]) -> None:
    """Checks one-time prekeys of one call.

    Raises:
        PreKeyReused: Two have one id, or are the same key (KEY-04).
    """
    key_ids, public_keys = {key.key_id for key in one_time}, {canonical_key(key.public_key) for key in one_time}
    if len(key_ids) < len(one_time) or len(public_keys) < len(one_time):
        raise PreKeyReused


def check_distinct_kem(prekeys: Sequence[KemPreKey]) -> None:
    """Checks KEM prekeys of one call.

    Raises:
        PreKeyReused: Two have one id, or are the same key (KEY-04).
    """
    ids, public_keys = ({prekey[field] for prekey in prekeys} for field in (0, 1))
    if len(ids) < len(prekeys) or len(public_keys) < len(prekeys):
        raise PreKeyReused


def kem_hashes(prekeys: Iterable[KemPreKey]) -> Iterator[bytes]:
    """Yields the hash by which each key is known after it has gone: 32 bytes."""
    return (sha256(prekey.public_key).digest() for prekey in prekeys)


def publication_digest(kind: str, prekeys: Sequence[Any]) -> bytes:
    """Returns the digest of a call that publishes prekeys: 32 bytes, of its kind and of its prekeys in their order."""
    return sha256(repr((kind, *(tuple(prekey) for prekey in prekeys))).encode()).digest()


def put_digest(keys: PublishedKeys, one_time: Sequence[OneTimePreKey], kem: KemPreKeys | None) -> bytes:
    """Returns the digest of a call that replaces all keys: 32 bytes."""
    published = (keys.registration_id, keys.identity_key, *keys.signed_prekey)
    all_kem = [] if kem is None else [tuple(kem.last_resort or ()), *map(tuple, kem.one_time)]
    return publication_digest("put", [published, *one_time, *all_kem])


HASHES = (("sanction", "user_sha256"), ("counted_report", "reported_sha256"), ("counted_report", "reporter_sha256"))
"""Where a hash identifies a person: table and column."""


def user_sha256(user: ExternalUser) -> bytes:
    """Returns the hash that identifies a person in records that outlive their account: 32 bytes."""
    return sha256(f"{user.integrator}:{user.external_id}".encode()).digest()
