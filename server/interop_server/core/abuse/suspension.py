"""What many bans mean for a messenger: it is suspended as a whole; knows nothing of what its users were banned for."""

from dataclasses import dataclass
from typing import Protocol

from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits


class Partners(Protocol):
    """Who can suspend partners: the operator's rules, which know routing, as routing knows this."""

    async def suspend(self, integrator: int) -> bool:
        """Suspends a partner; False when it is not active."""
        ...


@dataclass(frozen=True, slots=True)
class Suspension:
    """Suspends partners whose users are banned in numbers. Off by default; policy. Source: ABU-07."""

    store: StoreForAbuse
    partners: Partners
    journal: Journal
    limits: Limits

    async def after_ban(self, integrator: int) -> None:
        """Looks at a partner of whose users another one was banned for good; 0, WhatsApp, is none."""
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
