"""What several rooms need of the store: partners, accounts, mailboxes and the messages sent; knows no database.

`core/store.py` says what holds for every call of the store.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from interop_server.core.messages import Backlog, Delivery, MailboxItem, RetryOutcome, SentMessage, Stored
from interop_server.core.model import (
    Account,
    AccountEnd,
    Enlisted,
    IdentifierType,
    NewEnlistment,
    Partner,
    PartnerTerms,
    Platform,
)


class JidTaken(Exception):
    """A JID was given out before: choose another (ENL-12)."""


class PartnerStore(Protocol):
    """Partners and their key sets."""

    async def put(self, partner: Partner) -> None:
        """Inserts or replaces a partner by integrator id.

        Raises:
            KeyError: Another integrator has this issuer.
        """
        ...

    async def change(
        self, integrator: int, change: Callable[[Partner | None], Partner]
    ) -> tuple[Partner | None, Partner]:
        """Puts the partner that a function returns, in the same transaction, and returns it before and after.

        Args:
            integrator: The partner.
            change: Receives None for an unknown partner. What it raises is raised here, and nothing changes.

        Raises:
            KeyError: Another integrator has this issuer.
        """
        ...

    async def get(self, integrator: int) -> Partner | None: ...

    async def get_by_issuer(self, issuer: str) -> Partner | None: ...

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:
        """The kind of identifier that each of these partners uses for its users; unknown partners are left out."""
        ...

    async def list_all(self) -> list[Partner]:
        """All partners, by integrator id ascending."""
        ...

    async def put_jwks(self, integrator: int, jwks: str, fetched_at_ms: int) -> None:
        """Keeps the last good copy of a key set, as JSON text (ENL-03)."""
        ...

    async def get_jwks(self, integrator: int) -> str | None: ...

    async def delete_jwks(self, integrator: int) -> None: ...


class AccountStore(Protocol):
    """Accounts of WhatsApp users and of third-party users, and the JIDs given to them.

    The call that creates, renews or deletes an account also changes what belongs to it in other concerns: keys,
    mailboxes and sanctions. Each call says what.
    """

    async def enlist(self, enlistment: NewEnlistment) -> Enlisted:
        """Adds a third-party account, or replaces the keys of the one with this (integrator, external_id) (ENL-13).

        A known identifier keeps its JID, and the given JID stays unused. A changed identity key deletes the account's
        one-time and KEM prekeys and mailbox, and adds an IdentityChanged item to the mailbox of every peer of a chat
        with a message since `recent_since_ms`, at most one un-acked per pair (ENL-14, KEY-17). The signed prekey and
        registration id are replaced in any case, and the account counts as connected now (LIF-04).

        Raises:
            JidTaken: The identifier is new, and the JID was given out before, even to an account that was deleted
                since.
        """
        ...

    async def get(self, jid: str) -> Account | None: ...

    async def get_by_external_id(self, integrator: int, external_id: str) -> Account | None: ...

    async def put_whatsapp_user(
        self, jid: str, phone_number: str, auth_key: bytes, platform: Platform, now_ms: int
    ) -> Account:
        """Adds a WhatsApp user, or replaces auth key and platform of the one with this JID."""
        ...

    async def change_number(self, account_id: int, jid: str, phone_number: str) -> None:
        """Gives a WhatsApp user another JID and number; the user's sanctions and reports move along.

        Raises:
            JidTaken: An account has this JID.
        """
        ...

    async def set_connected(self, account_id: int, read_receipts: bool, now_ms: int) -> PartnerTerms | None:
        """Records a login: the user's read-receipt setting and the time.

        Returns:
            What the account's partner allows, read in the same transaction, so that a later change of the partner finds
            this login recorded. A WhatsApp user has no partner: the user may connect, but not by proxy. None when the
            account no longer exists.
        """
        ...

    async def set_last_connected(self, account_ids: Sequence[int], now_ms: int) -> None:
        """Records that accounts were connected at that time; ids of deleted accounts are ignored (LIF-04)."""
        ...

    async def oldest_connection_ms(self) -> int | None:
        """When the longest-absent third-party account was last connected; None without such accounts."""
        ...

    async def list_absent(self, until_ms: int, limit: int) -> list[int]:
        """Ids of third-party accounts last connected at that time or earlier, the longest absent first."""
        ...

    async def unenlist(self, account_ids: Sequence[int], until_ms: int) -> list[str]:
        """Deletes, as `delete` does, those of these third-party accounts that have not connected since (LIF-04).

        Like `delete`, several transactions when they have much.

        Returns:
            The JIDs of the deleted accounts.
        """
        ...

    async def delete(self, account_id: int) -> None:
        """Deletes the account with keys, mailbox, blocklist, chats and mapping; its JID is never reused (LIF-03).

        An account that has much goes in several transactions, with others in between, itself in the last one: killed
        before that, it is there with less, and ends when this is called again.
        """
        ...

    async def list_ends(self, jids: Sequence[str]) -> dict[str, AccountEnd]:
        """How third-party accounts ended, by JID; accounts that have not ended are left out."""
        ...


class MailboxStore(Protocol):
    """What waits for recipients: messages, receipts and notifications.

    Calls that wait at the same time may be merged. Those of `put` are merged with each other and keep their
    order; so do calls of `delete` among themselves. But a merged call can run before a call of any other method, of
    this or another concern, that was made earlier and has not returned. Where that order matters, await the first call.
    """

    async def put(self, items: Sequence[MailboxItem]) -> list[Stored]:
        """Stores messages, receipts and notifications in their order.

        A message is stored once per (sender_id, stanza_id), and opens or updates its `chat`. A second un-acked request
        for a key digest is left out (KEY-10).

        A duplicate changes nothing. Its result holds the first timestamp (MSG-04), even long after the first was acked,
        and says whether the first went to another recipient. A message to the same recipient with a higher
        `retry_count` than the last is not a duplicate when a retry receipt with at least that count was forwarded
        (RCP-04). A dropped message is remembered where its sender could notice it: it enters no mailbox, and only a
        WhatsApp sender's own list of chats shows it.

        This call owns the rule that a message is accepted once, so it also writes sent messages and chats.
        """
        ...

    async def put_retry_receipt(self, item: MailboxItem, most: int) -> RetryOutcome:
        """Stores a retry receipt for the sender of the message that it names, and allows the sender to resend it.

        Stores nothing when the message was not sent by `recipient_id` to `sender_id` or was dropped, or when `most`
        retry receipts were stored for it already, whatever their counts (RCP-04, RCP-05). Reads and writes the sent
        message.
        """
        ...

    async def list_deliveries(
        self, account_id: int, after: int, limit: int, since_ms: int, most_bytes: int | None = None
    ) -> list[Delivery]:
        """Items of a mailbox with a delivery id over `after` and a timestamp of at least `since_ms`, in order.

        No more than have contents of so many bytes together, but at least one: what comes later is not read.
        """
        ...

    async def get_backlog(self, account_id: int, since_ms: int) -> Backlog: ...

    async def delete(self, account_id: int, delivery_ids: Sequence[int]) -> None:
        """Deletes acked deliveries; ids of other accounts' deliveries are ignored."""
        ...

    async def delete_expired(self, before_ms: int, most: int) -> int:
        """Deletes items older than that, and returns how many."""
        ...

    async def oldest_ms(self) -> int | None:
        """The timestamp of the item that has waited longest; None when all mailboxes are empty."""
        ...


class SentMessageStore(Protocol):
    """Which messages were sent, to which recipient and when, long after they were acked; never their content.

    They are written by `MailboxStore.put`.
    """

    async def get(self, sender_id: int, stanza_ids: Sequence[str]) -> dict[str, SentMessage]:
        """A sender's remembered messages, by id; ids of other messages are left out."""
        ...

    async def delete_expired(self, before_ms: int, most: int) -> int:
        """Forgets messages that were first sent before that, acked or not, and returns how many."""
        ...

    async def oldest_ms(self) -> int | None:
        """When the oldest remembered message was first sent; None when no message is remembered."""
        ...


class SecretStore(Protocol):
    """The server's own key material, so that it is the same after a restart."""

    async def get_or_put(self, name: str, candidate: bytes) -> bytes:
        """The secret of that name; if there is none, the candidate becomes it."""
        ...

    async def get(self, name: str) -> bytes | None: ...
