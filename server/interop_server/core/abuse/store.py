"""What the rules about abuse need of the store; knows no database."""

from collections.abc import Sequence
from typing import Protocol

from interop_server.core.model import Account, Challenge, Complaints, ExternalUser, Sanction, SanctionKind
from interop_server.core.shared_store import AccountStore, MailboxStore, PartnerStore, SentMessageStore

KeptValue = int | str | bytes | None
"""The value of one stored field."""


class BlocklistStore(Protocol):
    """The JIDs that each account has blocked."""

    async def list_jids(self, account_id: int) -> list[str]:
        """The blocked JIDs, ascending."""
        ...

    async def put(self, account_id: int, jid: str, most: int | None = None) -> bool:
        """Blocks a JID, and says whether it is blocked now: it is not when `most` others are."""
        ...

    async def delete(self, account_id: int, jid: str) -> None: ...


class StandingStore(Protocol):
    """Sanctions, kept under a hash of the person's identifier, so that they outlive the account."""

    async def list_in_force(self, user: ExternalUser, now_ms: int) -> list[Sanction]:
        """Sanctions that have not ended, by kind."""
        ...

    async def put(self, user: ExternalUser, sanction: Sanction, account_id: int = 0) -> None:
        """Imposes a sanction in place of an earlier one of its kind.

        With an account, on whoever has it now: its number may have changed since the caller read it.
        """
        ...

    async def delete(self, user: ExternalUser, kinds: Sequence[SanctionKind], account_id: int = 0) -> None:
        """Lifts sanctions of some kinds; with an account, those of whoever has it now."""
        ...

    async def count_banned(self, integrator: int) -> int:
        """How many of a partner's users are permanently banned."""
        ...

    async def delete_ended(self, before_ms: int, most: int) -> int:
        """Forgets sanctions that ended before that, and returns how many."""
        ...

    async def next_end_ms(self) -> int | None:
        """When the earliest end of a sanction is, or was; None when no sanction ends by itself."""
        ...


class ReportStore(Protocol):
    """Reports that counted, kept under hashes of the identifiers of reporter and reported, as sanctions are."""

    async def add(
        self,
        reported: ExternalUser,
        reporter: ExternalUser,
        now_ms: int,
        since_ms: int,
        account_ids: tuple[int, int] = (0, 0),
    ) -> int | None:
        """Keeps a report, and returns how many people have reported that person since a time, this one included.

        Returns None, and changes nothing, when the same reporter has reported the same person since that time. With the
        accounts of both, it is of and by whoever has them now.
        """
        ...

    async def delete(self, reported: ExternalUser, account_id: int = 0) -> None:
        """Forgets all reports of one person; with an account, of whoever has it now."""
        ...

    async def delete_expired(self, before_ms: int, most: int) -> int:
        """Forgets reports from before that, and returns how many."""
        ...

    async def oldest_ms(self) -> int | None: ...

    async def count_complaints(self, account: Account, since_ms: int) -> Complaints:
        """The complaints about an account; of reports and of chats that it opened, only those since a time."""
        ...

    async def count_complaints_of_partner(self, integrator: int, since_ms: int) -> Complaints:
        """The same, summed over a partner's users."""
        ...


class NewChatStore(Protocol):
    """Chats that third-party users opened and that no WhatsApp user has answered: what the cap on new chats counts.

    An accepted message request and a trusted-contact mark count as answers. A decline and a block do not: they must not
    show (OPT-14).
    """

    async def list_unanswered(self, account_id: int, since_ms: int, limit: int) -> list[int]:
        """When a third-party user opened unanswered chats, newest first, in ms since the UNIX epoch.

        Only chats opened after `since_ms`, and after the last `reset`, are listed, at most `limit`.
        """
        ...

    async def reset(self, account_id: int, now_ms: int) -> None:
        """Restarts `list_unanswered`: chats opened until now no longer count (ABU-06)."""
        ...


class PendingChallenges(Protocol):
    """Challenges that wait for an answer, one of each account at most, until they expire (ABU-06)."""

    async def put(self, account_id: int, challenge: Challenge, now_ms: int) -> None:
        """Has a challenge wait in place of the earlier one, and forgets those that have expired."""
        ...

    async def get(self, account_id: int, now_ms: int) -> Challenge | None:
        """The challenge that an account can answer."""
        ...

    async def take(self, account_id: int, token: str, now_ms: int) -> Challenge | None:
        """Ends the challenge that an account can answer, if it has this token, and returns it, once."""
        ...


class AuditStore(Protocol):
    """Everything that is kept about one person, table by table."""

    async def list_rows(
        self,
        table: str,
        columns: Sequence[str],
        about: tuple[int | None, str | None, ExternalUser | None],
        page: tuple[int, int],
    ) -> list[tuple[KeptValue, ...]]:
        """Rows of a table that are about one person, in an order that is stable while nothing changes.

        Accounts are shown as JIDs, contents as their length, and other users who blocked or reported the person only as
        "another user".

        Args:
            table: One that `core/abuse/audit.py` names.
            columns: The columns to show.
            about: The person's account id, JID and identifier, each None if unknown.
            page: How many rows to skip, and how many to return at most.
        """
        ...


class StoreForAbuse(Protocol):
    """The concerns of the store that this room uses."""

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def audit(self) -> AuditStore: ...

    @property
    def blocklist(self) -> BlocklistStore: ...

    @property
    def mailbox(self) -> MailboxStore: ...

    @property
    def new_chats(self) -> NewChatStore: ...

    @property
    def partners(self) -> PartnerStore: ...

    @property
    def reports(self) -> ReportStore: ...

    @property
    def sent(self) -> SentMessageStore: ...

    @property
    def standing(self) -> StandingStore: ...
