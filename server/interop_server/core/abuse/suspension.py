"""Suspends a partner as a whole when many of its users are banned; knows no cause of those bans."""

from dataclasses import dataclass
from typing import Protocol

from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits


class Partners(Protocol):
    """The operator's rules, which can suspend partners. They know routing, and routing knows this module."""

    async def suspend(self, integrator: int) -> bool:
        """Suspends a partner; returns False when it is not active."""
        ...


@dataclass(frozen=True, slots=True)
class Suspension:
    """Suspends partners with many banned users. Off by default; policy. Source: ABU-07."""

    store: StoreForAbuse
    partners: Partners
    journal: Journal
    limits: Limits

    async def after_ban(self, integrator: int) -> None:
        """Checks the partner of a user who has just been permanently banned; ignores 0, WhatsApp."""
        until = self.limits.banned_users_until_suspension
        if not integrator or not until:
            return
        banned = await self.store.standing.count_banned(integrator)
        if banned >= until and await self.partners.suspend(integrator):
            self.journal.record(
                SERVER,
                "standing.suspend",
                "done",
                str(integrator),
                requirement="ABU-07",
                cause=f"{banned} of its users are banned for good",
            )
