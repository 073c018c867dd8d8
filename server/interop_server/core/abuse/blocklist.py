"""Blocking; knows no wire format."""

from dataclasses import dataclass

from interop_protocol.digest import blocklist_digest
from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.addressing import check_address
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.model import Account


@dataclass(frozen=True, slots=True)
class Blocklist:
    """The JIDs that each account has blocked; for a WhatsApp user the interop blocklist. Source: ABU-01, ABU-02."""

    store: StoreForAbuse
    limits: Limits

    async def blocked(self, account: Account) -> tuple[list[str], bytes]:
        """Returns the blocked JIDs, ascending, and the hash of the list: 32 bytes."""
        jids = await self.store.blocklist.list_jids(account.account_id)
        return jids, blocklist_digest(jids)

    async def block(self, account: Account, jid: str) -> None:
        """Blocks a JID, whether or not it exists.

        Raises:
            Refusal: As `check_address`, or QUOTA_EXCEEDED.
        """
        address = check_address(jid, "jid").text
        if not await self.store.blocklist.put(account.account_id, address, self.limits.max_blocked):
            raise Refusal(
                Reason.QUOTA_EXCEEDED, f"{self.limits.max_blocked:,} users are blocked already", requirement="ABU-01"
            )

    async def unblock(self, account: Account, jid: str) -> None:
        """Unblocks a JID.

        Raises:
            Refusal: As `check_address`.
        """
        await self.store.blocklist.delete(account.account_id, check_address(jid, "jid").text)
