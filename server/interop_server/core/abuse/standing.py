"""The sanctions against people: what they may not do, since when and until when; knows no wire format and no causes.

A sanction holds for a person, not an account: a user who deletes their account and enlists again is still sanctioned.
"""

from dataclasses import dataclass

from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.accounts import named_person, registered_account
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import DAY_MS, SECOND_MS, Limits
from interop_server.core.model import Account, ExternalUser, Sanction, SanctionKind
from interop_server.core.ports import Clock, Connections
from interop_server.core.sweeps import Sweep

TOO_MANY_NEW_CHATS = 101
REPORTED_BY_MANY = 102
SUB_CODES = {
    TOO_MANY_NEW_CHATS: "too many chats with people who do not know the sender",
    REPORTED_BY_MANY: "blocked or reported by many",
    103: "too many groups",
    104: "the same message too often",
    106: "too many broadcasts",
}
"""What a temporary ban is for; observed on the wire (ABU-05)."""
MAX_SANCTION_SECONDS = 365 * DAY_MS // SECOND_MS
"""Longest duration of a sanction that ends by itself; policy."""

BANS = {SanctionKind.TEMPORARY_BAN: Reason.TEMPORARILY_BANNED, SanctionKind.BAN: Reason.BANNED}
"""The sanctions with which nobody may be connected, and why a connection ends then."""


class BanRefusal(Refusal):
    """A banned person tried to log in.

    Args:
        sanction: The ban.
        now_ms: The time of the login.
    """

    def __init__(self, sanction: Sanction, now_ms: int) -> None:
        left_ms = None if sanction.expires_at_ms is None else sanction.expires_at_ms - now_ms
        super().__init__(BANS[sanction.kind], SUB_CODES.get(sanction.sub_code, ""), left_ms)
        self.sub_code = sanction.sub_code
        """For a temporary ban, one of `SUB_CODES`; otherwise 0."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Imposes, enforces and lifts sanctions. Source: ABU-05."""

    store: StoreForAbuse
    connections: Connections
    journal: Journal
    clock: Clock
    limits: Limits

    async def account(self, jid: str) -> Account:
        """Returns an account by its JID.

        Raises:
            Refusal: NOT_REGISTERED.
        """
        return await registered_account(self.store.accounts, jid, "ABU-05")

    async def person(self, integrator: int, external_id: str) -> ExternalUser:
        """Returns a person by their identifier, who may have no account: sanctions outlive it.

        Raises:
            Refusal: NOT_REGISTERED when there is no such partner, or REQUEST_MALFORMED.
        """
        return await named_person(self.store.partners, integrator, external_id, "ABU-05")

    async def sanctions(self, user: ExternalUser) -> list[Sanction]:
        """Returns the sanctions in force, by kind."""
        return await self.store.standing.list_in_force(user, self.clock.now_ms())

    async def locked_until_ms(self, user: ExternalUser) -> int | None:
        """Returns until when a person may open no new chats; None without such a lock."""
        locks = (
            each.expires_at_ms for each in await self.sanctions(user) if each.kind is SanctionKind.NEW_CHATS_LOCKED
        )
        return next(locks, None)

    async def check_may_connect(self, user: ExternalUser) -> None:
        """Refuses a login of a banned person.

        Raises:
            BanRefusal: BANNED or TEMPORARILY_BANNED, with the rest of the ban.
        """
        bans = [sanction for sanction in await self.sanctions(user) if sanction.kind in BANS]
        if bans:
            raise BanRefusal(max(bans, key=lambda ban: ban.kind), self.clock.now_ms())

    async def check_may_enlist(self, user: ExternalUser) -> None:
        """Refuses the enlistment of a permanently banned person.

        Raises:
            Refusal: BANNED.
        """
        if any(sanction.kind is SanctionKind.BAN for sanction in await self.sanctions(user)):
            raise Refusal(Reason.BANNED)

    async def impose(self, account: Account, sanction: Sanction, actor: str, cause: str) -> None:
        """Imposes a sanction in place of an earlier one of its kind; a ban ends the account's connection.

        Args:
            account: The account of the sanctioned person.
            sanction: The sanction.
            actor: Whose action led to the sanction, for the journal.
            cause: Why, for the journal.
        """
        await self.store.standing.put(account.external_user, sanction, account.account_id)
        until = "for good" if sanction.expires_at_ms is None else f"until {sanction.expires_at_ms}"
        kind = f"{sanction.kind.name.lower()} {sanction.sub_code or ''}".rstrip()
        self.journal.record(
            actor,
            "standing.sanction",
            "done",
            account.jid,
            requirement="ABU-05",
            cause=cause,
            detail=f"{kind}, {until}",
        )
        if sanction.kind in BANS:
            self.connections.end(account.account_id, BANS[sanction.kind])

    async def lift(self, user: ExternalUser, actor: str, *kinds: SanctionKind, account_id: int = 0) -> None:
        """Lifts sanctions of some kinds.

        Args:
            user: The sanctioned person.
            actor: Who lifts the sanctions, for the journal.
            kinds: The kinds to lift.
            account_id: The person's account, if they are known by it: then those of whoever has it now are lifted.
        """
        await self.store.standing.delete(user, kinds, account_id)
        what = ", ".join(kind.name.lower() for kind in kinds)
        subject = f"{user.integrator}:{user.external_id}"
        self.journal.record(actor, "standing.lift", "done", subject, requirement="ABU-05", detail=what)

    def sweeps(self) -> tuple[Sweep, ...]:
        """Sanctions that ended (ABU-08)."""
        kept_ms = self.limits.ended_sanction_days * DAY_MS
        end_ms, delete = self.store.standing.next_end_ms, self.store.standing.delete_ended
        return (Sweep("ended_sanctions", "ABU-08", kept_ms, end_ms, delete),)


def scripted_sanction(kind: SanctionKind, sub_code: int, expires_after_seconds: int, now_ms: int) -> Sanction:
    """Returns the sanction that an operator asks for.

    Raises:
        Refusal: REQUEST_MALFORMED when kind, sub-code and duration do not belong together.
    """
    if kind is SanctionKind.TEMPORARY_BAN and sub_code not in SUB_CODES:
        detail = "`sub_code` of a temporary ban is 101, 102, 103, 104 or 106"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="sub_code", requirement="ABU-05")
    if kind is not SanctionKind.TEMPORARY_BAN and sub_code:
        raise Refusal(
            Reason.REQUEST_MALFORMED, "`sub_code` belongs to a temporary ban", field="sub_code", requirement="ABU-05"
        )
    if kind is SanctionKind.BAN:
        if expires_after_seconds:
            detail = "`expires_after_seconds` of a ban for good is 0"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="expires_after_seconds", requirement="ABU-05")
        return Sanction(kind)
    if not 1 <= expires_after_seconds <= MAX_SANCTION_SECONDS:
        detail = f"`expires_after_seconds` lies in 1 to {MAX_SANCTION_SECONDS:,}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="expires_after_seconds", requirement="ABU-05")
    return Sanction(kind, sub_code, now_ms + expires_after_seconds * SECOND_MS)
