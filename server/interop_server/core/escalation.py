"""What reports lead to, step by step: a lock on new chats, temporary bans, a ban for good; knows no report's content.

Every threshold is policy: that abuse has graduated answers with these codes is observed, at how many is not public.
"""

from dataclasses import dataclass

from interop_server.core.limits import HOUR_MS, Limits
from interop_server.core.model import Account, Sanction, SanctionKind
from interop_server.core.ports import Clock
from interop_server.core.scoring import Scoring
from interop_server.core.standing import REPORTED_BY_MANY, Standing


def answer_to_reports(reporters: int, score: int, now_ms: int, limits: Limits) -> Sanction | None:
    """Returns what another report that counts leads to. Source: ABU-05, ABU-07.

    Args:
        reporters: People whose reports of somebody count, this one included.
        score: Everything that speaks against them.
        now_ms: Now.
        limits: The steps.
    """
    beyond = reporters - limits.reports_until_ban
    bans, is_step = divmod(beyond, max(1, limits.reports_until_next_ban))
    if beyond >= 0 and bans >= limits.temporary_bans:
        return Sanction(SanctionKind.BAN)
    if beyond >= 0 and is_step == 0:
        ends_at_ms = now_ms + (limits.temporary_ban_hours * HOUR_MS << bans)
        return Sanction(SanctionKind.TEMPORARY_BAN, REPORTED_BY_MANY, ends_at_ms)
    if reporters >= limits.reports_until_lock or score >= limits.score_until_lock:
        return Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, now_ms + limits.new_chats_lock_hours * HOUR_MS)
    return None


@dataclass(frozen=True, slots=True)
class Escalation:
    """Imposes what follows. Source: ABU-05."""

    standing: Standing
    scoring: Scoring
    clock: Clock
    limits: Limits

    async def after_report(self, reported: Account, reporter: Account, reporters: int) -> None:
        """Answers a report that counts.

        Args:
            reported: Who was reported.
            reporter: By whom.
            reporters: People whose reports count, this one included.
        """
        score = (await self.scoring.score(reported)).total
        sanction = answer_to_reports(reporters, score, self.clock.now_ms(), self.limits)
        if sanction is not None and not await self._is_outlasted(reported, sanction):
            cause = f"reported by {reporters}, score {score}"
            await self.standing.impose(reported, sanction, reporter.jid, cause)

    async def _is_outlasted(self, account: Account, sanction: Sanction) -> bool:
        """Says whether one of its kind that is in force ends no earlier: a longer one was scripted."""
        return any(
            known.kind is sanction.kind and (known.ends_at_ms or 0) >= (sanction.ends_at_ms or 0)
            for known in await self.standing.sanctions(account.external_user)
        )
