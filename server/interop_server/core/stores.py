"""What the rules need of the store, as small interfaces by noun; knows no database.

Every store call is one transaction: it happened completely and is durable when the call returns, or it did not happen.
`get` never changes state, `take` consumes, `put` inserts or replaces, `add` fails when present, `delete` is idempotent.
"""

from collections.abc import Sequence
from typing import Protocol

from interop_server.core.messages import (
    Backlog,
    Chat,
    Delivery,
    MailboxItem,
    RequestAnswer,
    RetryOutcome,
    RouteFacts,
    SentMessage,
    Stored,
)
from interop_server.core.model import (
    Account,
    AccountEnd,
    Complaints,
    Enlisted,
    ExternalUser,
    IdentifierType,
    InboxMode,
    InteropSettings,
    KemPreKeyIds,
    KemPreKeys,
    MediaBlob,
    NewEnlistment,
    OneTimePreKey,
    Partner,
    PartnerTerms,
    PingBounds,
    PingFacts,
    PingFate,
    Platform,
    PreKeyCounts,
    PublishedKeys,
    ReachabilitySettings,
    Sanction,
    SanctionKind,
    SignedPreKey,
    TakenBundle,
)


class JidTaken(Exception):
    """A JID was given out before: choose another (ENL-12)."""


class PingsUsedUp(Exception):
    """A sender has sent as many reachability pings as may be (OPT-12).

    Args:
        first_at_ms: When the one was sent that has to count no more before there is room.
    """

    def __init__(self, first_at_ms: int) -> None:
        super().__init__(first_at_ms)
        self.first_at_ms = first_at_ms


class PreKeyReused(Exception):
    """A one-time prekey was published by this account before (KEY-04)."""


class LastResortMissing(Exception):
    """One-time KEM prekeys come for an account that has no last-resort one (KEY-15)."""


class PartnerStore(Protocol):
    """Partners and their key sets."""

    async def put_partner(self, partner: Partner) -> None:
        """Inserts or replaces a partner by integrator id.

        Raises:
            KeyError: Another integrator has this issuer.
        """
        ...

    async def get_partner(self, integrator: int) -> Partner | None: ...  # noqa: D102

    async def get_partner_by_issuer(self, issuer: str) -> Partner | None: ...  # noqa: D102

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:
        """What the users of those partners that exist are called by."""
        ...

    async def list_partners(self) -> list[Partner]:
        """All, by integrator id ascending."""
        ...

    async def put_jwks(self, integrator: int, jwks: str, fetched_at_ms: int) -> None:
        """Keeps the last good copy of a key set, as JSON text (ENL-03)."""
        ...

    async def get_jwks(self, integrator: int) -> str | None: ...  # noqa: D102

    async def delete_jwks(self, integrator: int) -> None: ...  # noqa: D102


class AccountStore(Protocol):
    """Who can connect."""

    async def enlist(self, enlistment: NewEnlistment) -> Enlisted:
        """Adds a third-party account, or replaces the keys of the one with this (integrator, external_id) (ENL-13).

        A known identifier keeps its JID and the given one stays unused. A changed identity key deletes the account's
        one-time and KEM prekeys and mailbox, and adds an IDENTITY_CHANGED item to the mailbox of every peer of a chat
        with a message since `recent_since_ms`, at most one un-acked per pair (ENL-14, KEY-17). The signed prekey and
        registration id are replaced in any case, and the account counts as connected now (LIF-04).

        Raises:
            JidTaken: The identifier is new, and the JID was given out before, also to an account deleted since.
        """
        ...

    async def get_account(self, jid: str) -> Account | None: ...  # noqa: D102

    async def get_account_by_external_id(self, integrator: int, external_id: str) -> Account | None: ...  # noqa: D102

    async def put_whatsapp_user(
        self, jid: str, phone_number: str, auth_key: bytes, platform: Platform, now_ms: int
    ) -> Account:
        """Adds a WhatsApp user, or replaces auth key and platform of the one with this JID."""
        ...

    async def change_number(self, account_id: int, jid: str, phone_number: str) -> None:
        """Gives a WhatsApp user another JID and number; how they stand goes with them.

        Raises:
            JidTaken: An account has this JID.
        """
        ...

    async def set_connected(self, account_id: int, read_receipts: bool, now_ms: int) -> PartnerTerms | None:
        """Records a login: the user's read-receipt setting and the time.

        Returns:
            What the account's partner allows, in the same transaction: who changes that later finds the login made.
            A WhatsApp user, who has no partner, may connect, but not by proxy. None when there is no such account.
        """
        ...

    async def set_last_connected(self, account_ids: Sequence[int], now_ms: int) -> None:
        """Records that accounts were connected at that time; those that are gone are ignored (LIF-04)."""
        ...

    async def oldest_connection_ms(self) -> int | None:
        """When the third-party account that has been away longest was last connected; None when there is none."""
        ...

    async def list_absent(self, until_ms: int, limit: int) -> list[int]:
        """Ids of third-party accounts last connected at that time or earlier, those first that are away longest."""
        ...

    async def unenlist(self, account_ids: Sequence[int], until_ms: int) -> list[str]:
        """Deletes those third-party accounts that were not connected since, as `delete_account` does (LIF-04).

        Returns:
            The JIDs of those it has deleted.
        """
        ...

    async def delete_account(self, account_id: int) -> None:
        """Deletes the account with keys, mailbox, blocklist, chats and mapping; its JID stays given out (LIF-03)."""
        ...


class PreKeyStore(Protocol):
    """Public keys."""

    async def set_prekeys(
        self,
        account_id: int,
        keys: PublishedKeys,
        one_time: Sequence[OneTimePreKey],
        now_ms: int,
        recent_since_ms: int = 0,
        kem: KemPreKeys | None = None,
    ) -> list[int]:
        """Replaces all keys of an account; without KEM prekeys it holds none afterwards.

        A changed identity key adds an IDENTITY_CHANGED item to the mailboxes of recent peers, as in `enlist`; returns
        the account ids of those peers.

        Raises:
            PreKeyReused: A prekey was published before and is not in the store any more. Nothing changed.
            LastResortMissing: There are one-time KEM prekeys and no last-resort one; likewise.
        """
        ...

    async def add_one_time_prekeys(self, account_id: int, one_time: Sequence[OneTimePreKey]) -> int:
        """Adds one-time prekeys and returns how many there are now.

        Raises:
            PreKeyReused: A key id is in the store, or key material was published before. Nothing changed.
        """
        ...

    async def delete_one_time_prekeys(self, account_id: int, key_ids: Sequence[int]) -> None: ...  # noqa: D102

    async def list_one_time_prekeys(self, account_id: int) -> list[OneTimePreKey]:
        """All that are left, by id ascending."""
        ...

    async def add_kem_prekeys(self, account_id: int, kem: KemPreKeys) -> int:
        """Adds one-time KEM prekeys, replaces the last-resort one if one is given, and returns how many one-time ones
        there are now.

        Raises:
            PreKeyReused: A key id is in the store, or key material was published before; the last-resort prekey that
                is there may be given again. Nothing changed.
            LastResortMissing: There is none, and none is given; likewise.
        """
        ...

    async def delete_kem_prekeys(self, account_id: int) -> None:
        """Deletes all KEM prekeys of an account. That there were some is not forgotten (KEY-16)."""
        ...

    async def get_kem_prekey_ids(self, account_id: int) -> KemPreKeyIds: ...  # noqa: D102

    async def count_prekeys(self, account_id: int) -> PreKeyCounts: ...  # noqa: D102

    async def get_published_keys(self, account_ids: Sequence[int]) -> dict[int, PublishedKeys]:
        """Of those accounts that have published; consumes nothing."""
        ...

    async def take_bundles(self, account_ids: Sequence[int]) -> dict[int, TakenBundle]:
        """Takes a bundle of each account that has published, with one one-time prekey each while there are any.

        The one-time prekeys leave in one statement; two concurrent calls never return the same one (KEY-05).
        The lowest key id goes first. The same holds for KEM prekeys, after which comes the last-resort one (KEY-15).
        """
        ...

    async def rotate_signed_prekey(self, account_id: int, signed_prekey: SignedPreKey) -> bool:
        """Replaces the signed prekey; False when the account has not published."""
        ...


class OptInStore(Protocol):
    """What WhatsApp users choose."""

    async def get_settings(self, account_id: int) -> InteropSettings: ...  # noqa: D102

    async def put_terms(self, account_id: int, *, accepted: bool, now_ms: int) -> None:
        """Records terms shown (accepted False) or accepted (True)."""
        ...

    async def put_opt_in(self, account_id: int, integrators: Sequence[int]) -> None:
        """Turns third-party chats on for exactly these partners."""
        ...

    async def delete_opt_in(self, account_id: int, integrators: Sequence[int]) -> None: ...  # noqa: D102

    async def put_enabled(self, account_id: int, enabled: bool) -> None: ...  # noqa: D102

    async def put_inbox_mode(self, account_id: int, inbox_mode: InboxMode) -> None: ...  # noqa: D102

    async def list_chats(self, account_id: int, before: tuple[int, str] | None, limit: int) -> list[Chat]:
        """Third-party chats, newest message first, then by JID; `before` is (last_message_at_ms, peer_jid)."""
        ...

    async def delete_chat(self, account_id: int, peer_jid: str) -> None:
        """Takes a chat off the list. Where the first contact stands is kept (OPT-14)."""
        ...


class ReachabilityStore(Protocol):
    """Reachability pings, and who lets them through."""

    async def get_reachability(self, account_id: int) -> ReachabilitySettings: ...  # noqa: D102

    async def put_reachability(self, account_id: int, settings: ReachabilitySettings) -> None: ...  # noqa: D102

    async def get_ping_facts(self, sender: Account, phone_number: str) -> PingFacts:
        """Facts of whoever has a number, as seen from the sender; costs as much when nobody has it (OPT-11)."""
        ...

    async def put_ping(
        self, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
    ) -> PingFate:
        """Counts a ping, and delivers its notice, if it has one and the bounds allow it.

        One that is dropped is counted and kept like one that is delivered, but for whom it was to reach. Opting in for
        the sender's partner answers the ping: it is outstanding no more.

        Raises:
            PingsUsedUp: The sender has sent as many as may be. Nothing changed.
        """
        ...

    async def oldest_ping_ms(self) -> int | None:
        """When the oldest ping that is kept was sent."""
        ...

    async def delete_pings(self, before_ms: int) -> int:
        """Forgets pings that were sent before that, and returns how many."""
        ...


class MessageRequestStore(Protocol):
    """First contacts."""

    async def put_request_answers(self, answers: Sequence[RequestAnswer]) -> None:
        """Changes where first contacts stand; one that nobody has made stays unmade.

        A mark that ends later than the one before is put with its notice; any other is not, and its notice neither.
        """
        ...

    async def list_unanswered_chats(self, account_id: int, since_ms: int, limit: int) -> list[int]:
        """When a third-party user opened chats that nobody has answered, newest first, in ms since the UNIX epoch.

        A decline and a block are no answers: they must not show (OPT-14). Only chats opened after `since_ms`, and after
        the last `reset_new_chats`, are counted, at most `limit`.
        """
        ...

    async def reset_new_chats(self, account_id: int, now_ms: int) -> None:
        """Lets `list_unanswered_chats` begin anew: chats opened until now count no more (ABU-06)."""
        ...


class RoutingStore(Protocol):
    """Facts for routing, and the mailbox."""

    async def get_route_facts(self, sender: Account, jids: Sequence[str]) -> dict[str, RouteFacts]:
        """Facts of each existing account among the JIDs, as seen from the sender."""
        ...

    async def list_ends(self, jids: Sequence[str]) -> dict[str, AccountEnd]:
        """How third-party accounts ended, by JID, of those that have."""
        ...

    async def find_route_facts(self, sender: Account, users: Sequence[tuple[int, str]]) -> list[RouteFacts | None]:
        """The same of accounts named by (integrator, external_id), one for each; None for one that does not exist.

        Costs the same for each of them: it does not count what waits, so that its mailbox figures are 0 (OPT-09).
        """
        ...

    async def put_messages(self, items: Sequence[MailboxItem]) -> list[Stored]:
        """Stores messages, each once per (sender_id, stanza_id), and opens or touches the chats they belong to.

        A duplicate changes nothing and gets the first timestamp (MSG-04); also when the first was long acked. No
        duplicate is a message to the same recipient with a higher `retry_count` than the last, when a retry receipt
        with at least that count was forwarded (RCP-04). One that is dropped is remembered as far as its sender can
        see: no mailbox gets it, and no list but a WhatsApp sender's own shows it.
        """
        ...

    async def get_sent_messages(self, sender_id: int, stanza_ids: Sequence[str]) -> dict[str, SentMessage]:
        """What is remembered of a sender's messages, by id; of those that it is remembered of."""
        ...

    async def put_retry_receipt(self, item: MailboxItem, most: int) -> RetryOutcome:
        """Stores a retry receipt for the sender of the message that it names, and allows them to send that again.

        Nothing is stored when the message was not sent by `recipient_id` to `sender_id` or was dropped, nor when `most`
        were stored for it already, whatever counts they named (RCP-04, RCP-05).
        """
        ...

    async def put_items(self, items: Sequence[MailboxItem]) -> None:
        """Stores receipts and notifications."""
        ...

    async def list_deliveries(self, account_id: int, after: int, limit: int, since_ms: int) -> list[Delivery]:
        """Items of a mailbox with a delivery id over `after` and a timestamp of at least `since_ms`, in order."""
        ...

    async def get_backlog(self, account_id: int, since_ms: int) -> Backlog: ...  # noqa: D102

    async def delete_deliveries(self, account_id: int, delivery_ids: Sequence[int]) -> None:
        """Forgets acked deliveries; ids of other accounts' deliveries are ignored."""
        ...

    async def delete_expired(self, before_ms: int) -> int:
        """Deletes mailbox items older than that, and returns how many."""
        ...

    async def oldest_timestamp_ms(self) -> int | None:
        """Of what waits in mailboxes; None when nothing does."""
        ...

    async def delete_sent(self, before_ms: int) -> int:
        """Forgets messages that were first sent before that, also when they were acked, and returns how many."""
        ...

    async def oldest_sent_ms(self) -> int | None:
        """When the oldest of the messages that are remembered was first sent; None when none is."""
        ...


class BlocklistStore(Protocol):
    """Who has blocked whom."""

    async def list_blocked(self, account_id: int) -> list[str]:
        """JIDs, ascending."""
        ...

    async def put_block(self, account_id: int, jid: str) -> None: ...  # noqa: D102

    async def delete_block(self, account_id: int, jid: str) -> None: ...  # noqa: D102


class StandingStore(Protocol):
    """How people stand with the server. Kept under a hash of who they are, so that it outlives their account."""

    async def list_sanctions(self, user: ExternalUser, now_ms: int) -> list[Sanction]:
        """Sanctions that have not ended, by kind."""
        ...

    async def put_sanction(self, user: ExternalUser, sanction: Sanction) -> None:
        """Imposes a sanction in place of one of its kind."""
        ...

    async def delete_sanctions(self, user: ExternalUser, kinds: Sequence[SanctionKind]) -> None: ...  # noqa: D102

    async def count_banned(self, integrator: int) -> int:
        """How many of a partner's users are banned for good."""
        ...

    async def delete_ended_sanctions(self, before_ms: int) -> int:
        """Forgets sanctions that ended before that, and returns how many."""
        ...

    async def next_sanction_end(self) -> int | None:
        """When the first of those that end does, or did; None when there is none."""
        ...


class ReportStore(Protocol):
    """Who was reported by how many. Kept under hashes of who they are, like how people stand."""

    async def add_report(
        self, reported: ExternalUser, reporter: ExternalUser, now_ms: int, since_ms: int
    ) -> int | None:
        """Keeps that somebody has reported somebody, and returns how many have since a time, this one included.

        Returns None, and changes nothing, when this one has done so since that time.
        """
        ...

    async def delete_reports(self, reported: ExternalUser) -> None:
        """Forgets all reports of somebody."""
        ...

    async def delete_old_reports(self, before_ms: int) -> int:
        """Forgets reports from before that, and returns how many."""
        ...

    async def oldest_report_ms(self) -> int | None: ...  # noqa: D102

    async def count_complaints(self, account: Account, since_ms: int) -> Complaints:
        """What there is against an account; of reports and of chats that it opened, those since a time."""
        ...

    async def count_complaints_of_partner(self, integrator: int, since_ms: int) -> Complaints:
        """The same, summed over a partner's users."""
        ...


KeptValue = int | str | bytes | None


class AuditStore(Protocol):
    """Everything that is kept about somebody."""

    async def list_kept(
        self,
        table: str,
        columns: Sequence[str],
        whom: tuple[int | None, str | None, ExternalUser | None],
        page: tuple[int, int],
    ) -> list[tuple[KeptValue, ...]]:
        """Rows of a table that are about somebody, in either role, in an order that stays while nothing changes.

        Accounts are shown as JIDs, contents as their length, and who has blocked or reported them as somebody else.

        Args:
            table: One that `core/abuse/audit.py` names.
            columns: What to show of each row.
            whom: Account id, JID and person, each None when there is none.
            page: How many rows to pass over, and how many to return at most.
        """
        ...


class MediaStore(Protocol):
    """What is known of uploaded blobs."""

    async def put_media(self, blob: MediaBlob) -> MediaBlob:
        """Adds a blob; when one with this hash exists, extends its expiry and returns it with its own path."""
        ...

    async def get_media(self, direct_path: str) -> MediaBlob | None: ...  # noqa: D102

    async def get_media_by_sha256(self, sha256: bytes) -> MediaBlob | None: ...  # noqa: D102

    async def list_expired_media(self, from_ms: int, before_ms: int) -> list[MediaBlob]:
        """Blobs whose expiry lies from the first time on and before the second."""
        ...

    async def next_media_expiry(self, from_ms: int) -> int | None:
        """The earliest expiry of a blob from that time on; None when there is none."""
        ...

    async def delete_media(self, before_ms: int) -> int:
        """Forgets blobs whose expiry lies before that, and returns how many."""
        ...


class SecretStore(Protocol):
    """The server's own key material, so that it is the same after a restart."""

    async def get_or_put_secret(self, name: str, candidate: bytes) -> bytes:
        """The secret of that name; the candidate becomes it when there is none."""
        ...

    async def get_secret(self, name: str) -> bytes | None: ...  # noqa: D102


class PastStore(Protocol):
    """What the server must know of its own past."""

    async def take_start_number(self) -> int:
        """Counts a start: 1 the first time, and never the same number twice."""
        ...

    async def raise_time_floor(self, ms: int) -> None:
        """Remembers that the server's clock has shown a time; an earlier one than before changes nothing."""
        ...

    async def get_time_floor_ms(self) -> int:
        """The latest time that was remembered, or that a stored or remembered message has (MSG-14); 0 if none."""
        ...


class Store(
    PartnerStore,
    AccountStore,
    PreKeyStore,
    OptInStore,
    ReachabilityStore,
    MessageRequestStore,
    RoutingStore,
    BlocklistStore,
    StandingStore,
    ReportStore,
    AuditStore,
    MediaStore,
    SecretStore,
    PastStore,
    Protocol,
):
    """Everything that outlives the process."""

    async def count_rows(self) -> dict[str, int]:
        """Rows by table."""
        ...

    async def close(self) -> None: ...  # noqa: D102
