"""What is kept about somebody, in SQLite: which rows of each table are about them; knows not what they are for."""

import sqlite3
from collections.abc import Sequence

from interop_server.core.messages import NotificationType, StanzaKind
from interop_server.core.model import ExternalUser
from interop_server.core.stores import AuditStore, KeptValue
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.standing import user_sha256

_ABOUT = {
    "account": "account_id = :account_id",
    "blocked": "account_id = :account_id OR jid = :jid",
    "chat": "whatsapp_id = :account_id OR third_party_id = :account_id",
    "counted_report": "(integrator = :integrator AND reported_sha256 = :sha256) OR reporter_sha256 = :sha256",
    "given_jid": "jid = :jid",
    "interop_settings": "account_id = :account_id",
    "kem_prekey": "account_id = :account_id",
    "kem_prekey_history": "account_id = :account_id",
    "mailbox": "recipient_id = :account_id OR sender_id = :account_id",
    "media": "owner_id = :account_id",
    "muted_partner": "account_id = :account_id",
    "one_time_prekey": "account_id = :account_id",
    "one_time_prekey_history": "account_id = :account_id",
    "opt_in": "account_id = :account_id",
    "published_keys": "account_id = :account_id",
    "reachability_ping": "sender_id = :account_id OR recipient_id = :account_id",
    "sanction": "integrator = :integrator AND user_sha256 = :sha256",
    "sent_message": "sender_id = :account_id OR recipient_id = :account_id",
}
"""Which rows of a table are about somebody. Parameters that are not known are NULL, and find nothing."""
ABOUT_NOBODY = frozenset({"partner", "jwks", "server", "secret"})
"""Tables that are about messengers and about the server itself."""

_ACCOUNT_COLUMNS = frozenset({"account_id", "recipient_id", "sender_id", "owner_id", "whatsapp_id", "third_party_id"})
"""Row ids never leave the server: they are shown as JIDs."""


def _jid_of(column: str) -> str:
    jid = f"(SELECT peer.jid FROM account AS peer WHERE peer.account_id = {column})"
    return f"iif({column} IS NULL, NULL, coalesce({jid}, iif({column} = 0, 'the server', 'an account that is gone')))"


_IS_PING = f"kind = {StanzaKind.NOTIFICATION:d} AND subtype = {NotificationType.REACHABILITY_PING:d}"
_SHOWN = {
    # Contents are nobody's business but their recipient's.
    ("mailbox", "content"): "length(content) || ' bytes'",
    # Who has blocked, reported or asked for somebody is not for them to know.
    ("blocked", "account_id"): "iif(account_id = :account_id, :jid, 'another user')",
    ("counted_report", "reporter_sha256"): "iif(reporter_sha256 = :sha256, reporter_sha256, 'another user')",
    ("reachability_ping", "sender_id"): "iif(sender_id = :account_id, :jid, 'another user')",
    ("mailbox", "sender_id"): (
        f"iif({_IS_PING} AND sender_id <> :account_id, 'another user', {_jid_of('mailbox.sender_id')})"
    ),
}


def _expression(table: str, column: str) -> str:
    if (table, column) in _SHOWN:
        return _SHOWN[table, column]
    return _jid_of(f"{table}.{column}") if column in _ACCOUNT_COLUMNS else column


class SqliteAudit(EngineUser, AuditStore):
    """All tables, as seen from one person."""

    async def list_kept(  # noqa: D102
        self,
        table: str,
        columns: Sequence[str],
        whom: tuple[int | None, str | None, ExternalUser | None],
        page: tuple[int, int],
    ) -> list[tuple[KeptValue, ...]]:
        account_id, jid, user = whom
        parameters = {
            "account_id": account_id,
            "jid": jid,
            "integrator": None if user is None else user.integrator,
            "sha256": None if user is None else user_sha256(user),
            "offset": page[0],
            "limit": page[1],
        }
        shown = ", ".join(_expression(table, column) for column in columns)
        sql = f"SELECT {shown} FROM {table} WHERE {_ABOUT[table]} LIMIT :limit OFFSET :offset"

        def list_rows(db: sqlite3.Connection) -> list[tuple[KeptValue, ...]]:
            return db.execute(sql, parameters).fetchall()

        return await self._engine.read(list_rows)
