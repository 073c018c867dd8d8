"""What is kept about one person, in SQLite: which rows of each table are about them; knows no purpose of a field."""

from collections.abc import Sequence

from interop_server.core.abuse.store import AuditStore, KeptValue
from interop_server.core.messages import NotificationType, StanzaKind
from interop_server.core.model import ExternalUser
from interop_server.storage.records import user_sha256
from interop_server.storage.sqlite.concern import Concern, choose

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
    "prekey_publication": "account_id = :account_id",
    "published_keys": "account_id = :account_id",
    "reachability_ping": "sender_id = :account_id OR recipient_id = :account_id",
    "sanction": "integrator = :integrator AND user_sha256 = :sha256",
    "sent_message": "sender_id = :account_id OR recipient_id = :account_id",
}
"""Which rows of a table are about the person. An unknown parameter is NULL, and matches no row."""
NOT_ABOUT_PEOPLE = frozenset({"partner", "jwks", "server", "secret"})
"""Tables that are about partners and about the server itself."""

_ACCOUNT_COLUMNS = frozenset({"account_id", "recipient_id", "sender_id", "owner_id", "whatsapp_id", "third_party_id"})
"""Columns with row ids, which never leave the server: they are shown as JIDs."""


_OTHER = "'another user'"


def _jid_of(column: str) -> str:
    jid = f"(SELECT peer.jid FROM account AS peer WHERE peer.account_id = {column})"
    without_account = choose(f"{column} = 0", "'the server'", "'an account that is gone'")
    return choose(f"{column} IS NULL", "NULL", f"coalesce({jid}, {without_account})")


_IS_PING = f"kind = {StanzaKind.NOTIFICATION:d} AND subtype = {NotificationType.REACHABILITY_PING:d}"
_SHOWN = {
    # Only the recipient may see contents.
    ("mailbox", "content"): "length(content) || ' bytes'",
    # The person may not learn which user has blocked, reported or pinged them.
    ("blocked", "account_id"): choose("account_id = :account_id", ":jid", _OTHER),
    ("counted_report", "reporter_sha256"): choose("reporter_sha256 = :sha256", "reporter_sha256", _OTHER),
    ("reachability_ping", "sender_id"): choose("sender_id = :account_id", ":jid", _OTHER),
    ("mailbox", "sender_id"): choose(f"{_IS_PING} AND sender_id <> :account_id", _OTHER, _jid_of("mailbox.sender_id")),
}


def _expression(table: str, column: str) -> str:
    if (table, column) in _SHOWN:
        return _SHOWN[table, column]
    return _jid_of(f"{table}.{column}") if column in _ACCOUNT_COLUMNS else column


class SqliteAudit(Concern, AuditStore):
    """All tables, as seen from one person."""

    async def list_rows(
        self,
        table: str,
        columns: Sequence[str],
        about: tuple[int | None, str | None, ExternalUser | None],
        page: tuple[int, int],
    ) -> list[tuple[KeptValue, ...]]:
        account_id, jid, user = about
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
        return await self._engine.read(lambda db: db.execute(sql, parameters).fetchall())
