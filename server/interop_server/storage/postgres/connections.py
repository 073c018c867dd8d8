"""Which connections must end because of what else a transaction changes; knows neither nodes nor streams.

Where one process is alone, its connections are its own, and none stands in the database.
"""

from interop_server.core.errors import Reason
from interop_server.core.model import ConnectionMode, Partner, PartnerStatus
from interop_server.storage.postgres.session import Session

# By account, whoever ends several: two that meet must not wait for each other.
_END = """
    WITH locked AS MATERIALIZED (
        SELECT account_id FROM connection WHERE {which} AND seat <> 0 AND end_reason IS NULL
        ORDER BY account_id FOR NO KEY UPDATE
    )
    UPDATE connection SET end_reason = $1, changed_in = pg_current_xact_id() FROM locked
    WHERE connection.account_id = locked.account_id
"""
_END_OF_ACCOUNT = _END.format(which="account_id = $2")
_END_OF_PARTNER = _END.format(which="integrator = $2 AND mode = ANY ($3::integer[])")


async def end_connection(db: Session, account_id: int, reason: Reason) -> None:
    """Has an account's connection end, at whatever node, once the transaction is durable."""
    if db.seat:
        await db.change(_END_OF_ACCOUNT, reason.value, account_id)


async def end_connections_of(db: Session, partner: Partner) -> None:
    """Has the connections of a partner's users end that the partner has no right to any more, likewise."""
    if not db.seat:
        return
    if partner.status is not PartnerStatus.ACTIVE:
        await db.change(_END_OF_PARTNER, Reason.PARTNER_NOT_ACTIVE.value, partner.integrator, list(ConnectionMode))
    elif not partner.proxy_allowed:
        await db.change(_END_OF_PARTNER, Reason.PROXY_NOT_ALLOWED.value, partner.integrator, [ConnectionMode.PROXY])
