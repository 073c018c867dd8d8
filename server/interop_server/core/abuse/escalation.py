"""What abuse leads to, step by step: a lock on new chats, temporary bans, a permanent ban; knows no report's content.

Every threshold is policy. The graduated answers with these codes are observed; their thresholds are not public.
"""

from dataclasses import dataclass

from interop_server.core.abuse.scoring import Scoring
from interop_server.core.abuse.standing import REPORTED_BY_MANY, TOO_MANY_NEW_CHATS, Standing
from interop_server.core.abuse.suspension import Suspension
from interop_server.core.limits import HOUR_MS, SECOND_MS, Limits
from interop_server.core.model import Account, Sanction, SanctionKind
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import Buckets, SharedRate, Terms


def answer_to_reports(reporters: int, score: int, now_ms: int, limits: Limits) -> Sanction | None:
    """Returns the sanction that another counted report leads to. Source: ABU-05, ABU-07.

    Args:
        reporters: People whose reports of the user count, this one included.
        score: The user's score, all points together.
        now_ms: The time now.
        limits: The thresholds.
    """
    beyond = reporters - limits.reports_until_ban
    bans, is_step = divmod(beyond, max(1, limits.reports_until_next_ban))
    if beyond >= 0 and bans >= limits.temporary_bans:
        return Sanction(SanctionKind.BAN)
    if beyond >= 0 and is_step == 0:
        expires_at_ms = now_ms + (limits.temporary_ban_hours * HOUR_MS << bans)
        return Sanction(SanctionKind.TEMPORARY_BAN, REPORTED_BY_MANY, expires_at_ms)
    if reporters >= limits.reports_until_lock or score >= limits.score_until_lock:
        return Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, now_ms + limits.new_chats_lock_hours * HOUR_MS)
    return None


def capped_rate(buckets: Buckets, limits: Limits) -> SharedRate:
    """Returns the counter of a sender's attempts to open chats beyond the cap (ABU-05)."""
    per_second = max(1, limits.capped_until_ban) * SECOND_MS / limits.new_chats_ms
    return SharedRate(buckets, Terms.of("capped", limits.capped_until_ban, per_second, "ABU-05"))


@dataclass(frozen=True, slots=True)
class Escalation:
    """Imposes the sanctions that follow from abuse. Source: ABU-05."""

    standing: Standing
    scoring: Scoring
    suspension: Suspension
    clock: Clock
    limits: Limits
    capped_rate: SharedRate

    async def impose(self, account: Account, sanction: Sanction, actor: str, cause: str) -> None:
        """Imposes a sanction, with the consequences for the account's partner. See `Standing.impose`."""
        await self.standing.impose(account, sanction, actor, cause)
        if sanction.kind is SanctionKind.BAN:
            await self.suspension.after_ban(account.integrator)

    async def after_report(self, reported: Account, reporter: Account, reporters: int) -> None:
        """Answers a report that counts.

        Args:
            reported: The account that was reported.
            reporter: The account that reported it.
            reporters: People whose reports count, this one included.
        """
        score = (await self.scoring.score(reported)).total
        sanction = answer_to_reports(reporters, score, self.clock.now_ms(), self.limits)
        if sanction is not None and not await self._is_outlasted(reported, sanction):
            cause = f"reported by {reporters}, score {score}"
            await self.impose(reported, sanction, reporter.jid, cause)

    async def went_too_far(self, sender: Account, attempts: int) -> bool:
        """Counts attempts to open chats beyond the cap, and says whether they were too many.

        Args:
            sender: The account that tried. It must not hear of the attempts before: who hangs up then gained them.
            attempts: The number of new attempts.
        """
        return bool(await self.capped_rate.take(sender.account_id, attempts))

    async def after_capped(self, sender: Account) -> None:
        """Answers too many attempts to open chats beyond the cap: the sender is banned for a time (sub-code 101)."""
        expires_at_ms = self.clock.now_ms() + self.limits.temporary_ban_hours * HOUR_MS
        sanction = Sanction(SanctionKind.TEMPORARY_BAN, TOO_MANY_NEW_CHATS, expires_at_ms)
        if not await self._is_outlasted(sender, sanction):
            await self.impose(sender, sanction, sender.jid, "went on beyond the cap on new chats")

    async def _is_outlasted(self, account: Account, sanction: Sanction) -> bool:
        """Says whether a sanction of the same kind in force ends later or at the same time, such as a scripted one."""
        return any(
            known.kind is sanction.kind and (known.expires_at_ms or 0) >= (sanction.expires_at_ms or 0)
            for known in await self.standing.sanctions(account.external_user)
        )
