"""Pushes for a connection that ended before everything was acked (LIF-01); knows no stream and no timer."""

from dataclasses import dataclass

from interop_server.core.connection.store import StoreForConnection
from interop_server.core.errors import Reason
from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits
from interop_server.core.messaging.mailbox import kept_since_ms
from interop_server.core.model import Account
from interop_server.core.ports import Clock, Connections, PushGateway

_NO_PUSH = frozenset(
    {
        Reason.CONNECTION_REPLACED,
        Reason.KEYS_REPLACED,
        Reason.NOT_ENLISTED,
        Reason.TEMPORARILY_BANNED,
        Reason.BANNED,
        Reason.SERVER_DRAINING,
    }
)
"""Ends after which a push is useless: the client is connected, may not connect, or was told to reconnect."""


@dataclass(frozen=True, slots=True)
class UnackedPush:
    """Pushes once to a third-party user whose connection ended before everything was acked. Source: LIF-01."""

    store: StoreForConnection
    connections: Connections
    push: PushGateway
    journal: Journal
    clock: Clock
    limits: Limits

    async def send(self, account: Account, reason: Reason | None) -> None:
        """Pushes once when a third-party user disconnected and left messages or retry receipts un-acked (LIF-01).

        Args:
            account: The account whose connection ended; it has no other connection.
            reason: Why the server ended the connection; None when the client ended it.
        """
        if account.is_whatsapp or reason in _NO_PUSH:
            return
        backlog = await self.store.mailbox.get_backlog(
            account.account_id, kept_since_ms(self.clock.now_ms(), self.limits)
        )
        left = backlog.messages + backlog.retry_receipts
        if left and account.account_id not in self.connections.connected():
            self.push.notify(account.integrator, account.known_as)
            detail = f"{left} messages and retry receipts were left un-acked"
            self.journal.record(SERVER, "push", "done", account.jid, requirement="LIF-01", detail=detail)
