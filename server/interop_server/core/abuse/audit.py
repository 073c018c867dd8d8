"""What is kept about a person, field by field, and why: the catalogue of all tables; knows no SQL.

A table or connection field that is missing here is not shown, and a test fails: the server keeps nothing undeclared.
Source: ABU-08.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from interop_server.core.abuse.challenges import Challenges
from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.accounts import named_person
from interop_server.core.addressing import plain_jid
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.model import Account, ExternalUser
from interop_server.core.ports import ConnectionSignals

_PAGE = 500
"""Records read per query."""
_SECRET = "a secret, never shown"
_LIFE = "as long as the account lasts"


class Kept(NamedTuple):
    """What is kept about a person in one place."""

    requirement: str
    until: str
    """How long it is kept; names limits in braces."""
    fields: dict[str, str]
    """What each field is kept for."""


STORED: dict[str, Kept] = {
    "account": Kept(
        "ENL-12",
        f"{_LIFE}, {{limits.unenlist_days}} days without a connection at most",
        {
            "account_id": "names the account in other tables, shown as its JID",
            "jid": "the address that others write to",
            "integrator": "whose user it is",
            "external_id": "what people know them by; finds the account at enlistment and look-up",
            "stated_id": "the same as the partner states it, which pushes name (LIF-01)",
            "auth_key": "public key that a login must prove (CHN-08)",
            "platform": "decides whether a WhatsApp user qualifies (OPT-04)",
            "protocol_version": "the version that was enlisted with (ENL-15)",
            "read_receipts": "whether read receipts are sent and delivered (RCP-01)",
            "created_at_ms": "when it was enlisted or registered",
            "last_connected_at_ms": "when an enlistment ends without a connection (LIF-04)",
            "new_chats_since_ms": "from when on new chats count (ABU-06)",
        },
    ),
    "given_jid": Kept(
        "ENL-12",
        "for good",
        {
            "jid": "so that no JID is given out twice",
            "ended": "how the account ended, so that its client can be told (LIF-04)",
        },
    ),
    "published_keys": Kept(
        "KEY-01",
        _LIFE,
        {
            "account_id": "whose keys",
            "registration_id": "tells a device from its successor",
            "identity_key": "public key, given to users who may write to them",
            "signed_prekey_id": "names the next",
            "signed_prekey": "public key, for new sessions",
            "signed_prekey_signature": "proves that the identity key vouches for it",
            "one_time_count": "when to ask for more (KEY-09)",
            "kem_published": "whether post-quantum keys were ever there, so that their loss shows (KEY-16)",
            "kem_count": "when to ask for more of them (KEY-15)",
            "kem_last_resort_id": "names the next",
            "kem_last_resort": "public key, given out when no other post-quantum one is left (KEY-15)",
            "kem_last_resort_signature": "proves that the identity key vouches for it",
        },
    ),
    "one_time_prekey": Kept(
        "KEY-05",
        "until it is taken",
        {
            "account_id": "whose key",
            "key_id": "names it",
            "public_key": "public key, given out once",
        },
    ),
    "one_time_prekey_history": Kept(
        "KEY-04",
        _LIFE,
        {
            "account_id": "whose key",
            "number": "the oldest are forgotten first",
            "public_key": "so that none is published twice",
        },
    ),
    "prekey_publication": Kept(
        "KEY-04",
        "until the keys are replaced or some are deleted, or a hundred later calls",
        {
            "publication_id": "counts calls, so that the oldest are forgotten first",
            "account_id": "whose call",
            "digest": "so that the same call is recognised when it is repeated after a lost answer",
        },
    ),
    "kem_prekey": Kept(
        "KEY-15",
        "until it is taken",
        {
            "account_id": "whose key",
            "key_id": "names it",
            "public_key": "post-quantum public key, given out once",
            "signature": "proves that the identity key vouches for it",
        },
    ),
    "kem_prekey_history": Kept(
        "KEY-15",
        _LIFE,
        {
            "account_id": "whose key",
            "number": "the oldest are forgotten first",
            "sha256": "so that none is published twice",
        },
    ),
    "interop_settings": Kept(
        "OPT-01",
        _LIFE,
        {
            "account_id": "whose choice",
            "enabled": "whether third-party chats are on",
            "inbox_mode": "how they are shown (OPT-05)",
            "pings_enabled": "whether reachability pings come through (OPT-11)",
            "terms_shown_at_ms": "terms must be shown before (OPT-03)",
            "terms_accepted_at_ms": "they are accepted (OPT-03)",
        },
    ),
    "opt_in": Kept(
        "OPT-01",
        "until it is withdrawn",
        {
            "account_id": "who has chosen",
            "integrator": "a partner whose users may write",
        },
    ),
    "muted_partner": Kept(
        "OPT-11",
        "until it is let through again",
        {
            "account_id": "who does not want to be asked",
            "integrator": "a partner whose users may not ask",
        },
    ),
    "reachability_ping": Kept(
        "OPT-12",
        "until it is answered, {limits.ping_days} days at most",
        {
            "ping_id": "tells it from others",
            "sender_id": "who asks; not told to the user who was asked",
            "recipient_id": "who was asked, when it was delivered, so that no user is asked twice",
            "sent_at_ms": "counts against what one may send in a day",
        },
    ),
    "chat": Kept(
        "OPT-06",
        "as long as both accounts last",
        {
            "whatsapp_id": "the WhatsApp user",
            "third_party_id": "the third-party user",
            "opened_at_ms": "counts against the cap on new chats (ABU-05)",
            "last_message_at_ms": "the order of the list of chats",
            "request_state": "whether a first contact was accepted or declined (OPT-14)",
            "trusted_until_ms": "until when the third-party user counts as known (OPT-14)",
            "listed": "whether the WhatsApp user's list shows it",
        },
    ),
    "mailbox": Kept(
        "MSG-07",
        "until it is acked, {limits.mailbox_days} days at most",
        {
            "delivery_id": "names the delivery in its ack (MSG-09)",
            "recipient_id": "whom it waits for",
            "sender_id": "who sent it",
            "sender_jid": "who sent it, as it is delivered",
            "kind": "message, receipt, notification or retry receipt",
            "subtype": "which of its kind",
            "message_type": "text, media or reaction (MSG-02)",
            "stanza_id": "names the message",
            "timestamp_ms": "when it was sent",
            "retry_count": "which resend it is (RCP-04)",
            "size": "counts against the mailbox (MSG-11)",
            "content": "what the recipient gets, here its length: of a message only ciphertext is there (MSG-02)",
        },
    ),
    "sent_message": Kept(
        "MSG-04",
        "for {limits.sent_message_days} days",
        {
            "sender_id": "who sent it",
            "stanza_id": "so that a message is taken once",
            "timestamp_ms": "when; it can be reported for {limits.report_days} days (ABU-04)",
            "recipient_id": "who may report it (ABU-04) or ask for it again (RCP-05)",
            "reporting_token": "proves what it says, should it be reported and revealed (ABU-04)",
            "is_dropped": "whether it went nowhere (ABU-02)",
            "retry_count": "how often it was sent again (RCP-04)",
            "retries_allowed": "how often it may be (RCP-04)",
            "retries_forwarded": "how often it was asked for (RCP-04)",
        },
    ),
    "blocked": Kept(
        "ABU-01",
        "until it is unblocked, or the blocking account ends",
        {
            "account_id": "who has blocked; others are not named",
            "jid": "who is blocked",
        },
    ),
    "sanction": Kept(
        "ABU-05",
        "for {limits.ended_sanction_days} day(s) after its end, also without the account; one for good until lifted",
        {
            "integrator": "whose user is meant",
            "user_sha256": "who is meant: a hash, as it outlives the account",
            "kind": "what they may not do",
            "sub_code": "what a temporary ban is for",
            "expires_at_ms": "when it ends",
        },
    ),
    "counted_report": Kept(
        "ABU-04",
        "for {limits.report_weight_days} days, also without the account",
        {
            "integrator": "whose user was reported",
            "reported_sha256": "who was reported: a hash, as it outlives the account",
            "reporter_sha256": "so that each reporter counts once; others are not named",
            "counted_at_ms": "how long it weighs",
        },
    ),
    "media": Kept(
        "MED-04",
        "for {limits.media_days} days, and that it was there as long again",
        {
            "sha256": "names the blob",
            "direct_path": "where it is downloaded",
            "length": "how long it is",
            "owner_id": "who uploaded it",
            "created_at_ms": "when",
            "expires_at_ms": "until when",
        },
    ),
}
"""What the store keeps, by table and column."""

IN_MEMORY: dict[str, Kept] = {
    "connection": Kept(
        "PRX-05",
        "as long as the connection",
        {
            "mode": "direct, or by proxy",
            "client_ip": "the end client's address as its proxy gave it (PRX-02)",
            "peer_address": "address of the connection itself; counts in the score in direct mode only (ABU-07)",
            "fingerprint": "slot for a transport fingerprint; this server takes none",
            "connected_at_ms": "since when",
            "client_closed_at_ms": "since when a test says that the end client is closed (PRX-04)",
            "session_token": "what unary calls prove their session with (CHN-01)",
        },
    ),
    "challenge": Kept(
        "ABU-06",
        "until it is answered, {limits.challenge_seconds} seconds at most",
        {
            "answers": "what a right answer is",
            "expires_at_ms": "until when it can be answered",
        },
    ),
    "journal": Kept(
        "SIM-07",
        "among the newest decisions until the server stops, and as long as the operator keeps a file of them",
        {
            "entries": "how many decisions name the account",
        },
    ),
}
"""What is kept in memory only, by place and name; of several nodes connections and challenges in the database."""


class KeptField(NamedTuple):
    """One field of one record. Its fields are those of `KeptField` in standing.proto."""

    place: str
    field: str
    value: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Shows everything that is kept about a person."""

    store: StoreForAbuse
    connections: ConnectionSignals
    challenges: Challenges
    journal: Journal
    limits: Limits

    async def of_account(self, jid: str) -> AsyncIterator[list[KeptField]]:
        """Yields every record that is kept about an account, existing or ended, by place.

        Raises:
            Refusal: NOT_REGISTERED when nothing is kept.
        """
        jid = plain_jid(jid)
        account = await self.store.accounts.get(jid)
        if account is None and not await self.store.audit.list_rows("given_jid", ("jid",), (None, jid, None), (0, 1)):
            raise Refusal(Reason.NOT_REGISTERED, "there is no such account", requirement="ABU-08")
        async for record in self._stored(account, jid, None if account is None else account.external_user):
            yield record
        for record in () if account is None else await self._in_memory(account):
            yield record

    async def of_person(self, integrator: int, external_id: str) -> AsyncIterator[list[KeptField]]:
        """Yields every record that is kept about a person, by their identifier, whether or not they have an account.

        Raises:
            Refusal: NOT_REGISTERED when there is no such partner, or REQUEST_MALFORMED.
        """
        user = await named_person(self.store.partners, integrator, external_id, "ABU-08")
        account = await self.store.accounts.get_by_external_id(*user)
        if account is not None:
            async for record in self.of_account(account.jid):
                yield record
            return
        async for record in self._stored(None, None, user):
            yield record

    async def _stored(
        self, account: Account | None, jid: str | None, user: ExternalUser | None
    ) -> AsyncIterator[list[KeptField]]:
        whom = (None if account is None else account.account_id, jid, user)
        for place, kept in sorted(STORED.items()):
            offset = 0
            while rows := await self.store.audit.list_rows(place, tuple(sorted(kept.fields)), whom, (offset, _PAGE)):
                for row in rows:
                    yield self._record(place, kept, dict(zip(sorted(kept.fields), row, strict=True)))
                offset += len(rows)

    async def _in_memory(self, account: Account) -> list[list[KeptField]]:
        records: dict[str, dict[str, object]] = {}
        if (facts := self.connections.facts_of(account.account_id)) is not None:
            names = IN_MEMORY["connection"].fields.keys() - {"session_token"}
            records["connection"] = {name: getattr(facts, name) for name in names}
            records["connection"] |= {"mode": facts.mode.name.lower(), "session_token": _SECRET}
        if (challenge := await self.challenges.waiting(account)) is not None:
            records["challenge"] = {"answers": _SECRET, "expires_at_ms": challenge.expires_at_ms}
        records["journal"] = {"entries": self.journal.count_naming(account.jid)}
        return [self._record(place, IN_MEMORY[place], records[place]) for place in sorted(records)]

    def _record(self, place: str, kept: Kept, values: dict[str, object]) -> list[KeptField]:
        until = kept.until.format(limits=self.limits)
        return [
            KeptField(
                place,
                name,
                _text(values[name]),
                f"{purpose.format(limits=self.limits)}; kept {until} ({kept.requirement})",
            )
            for name, purpose in sorted(kept.fields.items())
        ]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)
