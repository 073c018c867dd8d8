"""Absence: an enlistment ends after thirty days without a connection; knows no timer."""

from dataclasses import dataclass

from interop_server.core.enlistment.store import StoreForEnlistment
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import TIMER, Journal
from interop_server.core.limits import Limits
from interop_server.core.model import Account, AccountEnd
from interop_server.core.ports import Clock, Connections
from interop_server.core.sweeps import Sweep

_AT_ONCE = 200
"""Accounts un-enlisted in one transaction: more would delay messages."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Records when accounts were last connected, and ends expired enlistments. Source: LIF-01, LIF-04."""

    store: StoreForEnlistment
    connections: Connections
    journal: Journal
    clock: Clock
    limits: Limits

    async def begin(self, account: Account) -> None:
        """Records the end of a connection: the account is absent from now on."""
        await self.store.accounts.set_last_connected([account.account_id], self.clock.now_ms())

    async def note_connected(self) -> None:
        """Records which accounts are still connected, so that a crash does not lengthen an absence (LIF-04)."""
        await self.store.accounts.set_last_connected(sorted(self.connections.connected()), self.clock.now_ms())

    async def is_over(self, account: Account) -> bool:
        """Says whether an account's enlistment has expired, and ends it if it is due, without waiting for the sweep."""
        until_ms = self.clock.now_ms() - self.limits.unenlist_ms
        if account.is_whatsapp or account.last_connected_at_ms > until_ms:
            return False
        if account.account_id in self.connections.connected():
            return False
        return bool(await self._unenlist([account.account_id], until_ms))

    async def refusal_of(self, jid: str) -> Refusal:
        """Returns why no client can log in as a missing account (LIF-03, LIF-04).

        Only the expiry itself is remembered of an expired enlistment. Any client with a token of the same partner is
        told.
        """
        end = (await self.store.accounts.list_ends([jid])).get(jid)
        if end is AccountEnd.EXPIRED:
            return Refusal(Reason.ENLISTMENT_EXPIRED)
        cause = "deleted by its user" if end is AccountEnd.DELETED else "never enlisted"
        return Refusal(Reason.NOT_ENLISTED, cause=cause)

    def sweeps(self) -> tuple[Sweep, ...]:
        """Enlistments without a connection for thirty days (LIF-04)."""
        limits = self.limits
        return (
            Sweep(
                "enlistments", "LIF-04", limits.unenlist_ms, self.store.accounts.oldest_connection_ms, self._end_before
            ),
        )

    async def _end_before(self, before_ms: int, most: int) -> int:
        await self.note_connected()  # or accounts that have been connected for long would look as if they were away
        until_ms = before_ms - 1
        while absent := await self.store.accounts.list_absent(until_ms, min(_AT_ONCE, most)):
            if count := await self._unenlist(absent, until_ms):
                return count
        return 0

    async def _unenlist(self, account_ids: list[int], until_ms: int) -> int:
        jids = await self.store.accounts.unenlist(account_ids, until_ms)
        for jid in jids:
            self.journal.record(TIMER, "timer.unenlist", "done", jid, requirement="LIF-04")
        return len(jids)
