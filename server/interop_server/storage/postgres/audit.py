"""What is kept about one person, in PostgreSQL: which rows of each table are about them; knows no field's purpose."""

from collections.abc import Sequence

from interop_server.core.abuse.store import AuditStore, KeptValue
from interop_server.core.messages import NotificationType, StanzaKind
from interop_server.core.model import ExternalUser
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.records import user_sha256

# $1 is the account's id, $2 the JID, $3 the integrator, $4 the hash of the person; what is unknown matches no row.
_ABOUT = {
    "account": "account_id = $1",
    "blocked": "account_id = $1 OR jid = $2",
    "chat": "whatsapp_id = $1 OR third_party_id = $1",
    "counted_report": "(integrator = $3 AND reported_sha256 = $4) OR reporter_sha256 = $4",
    "given_jid": "jid = $2",
    "interop_settings": "account_id = $1",
    "kem_prekey": "account_id = $1",
    "kem_prekey_history": "account_id = $1",
    "mailbox": "recipient_id = $1 OR sender_id = $1",
    "media": "owner_id = $1",
    "muted_partner": "account_id = $1",
    "one_time_prekey": "account_id = $1",
    "one_time_prekey_history": "account_id = $1",
    "opt_in": "account_id = $1",
    "prekey_publication": "account_id = $1",
    "published_keys": "account_id = $1",
    "reachability_ping": "sender_id = $1 OR recipient_id = $1",
    "sanction": "integrator = $3 AND user_sha256 = $4",
    "sent_message": "sender_id = $1 OR recipient_id = $1",
}
"""Which rows of a table are about the person."""
NOT_ABOUT_PEOPLE = frozenset(
    {"partner", "jwks", "server", "noted_time", "node", "turn", "bucket", "secret", "schema_version"}
)
"""Tables that are about partners and about the server itself, or name nobody: a bucket is a hash and a level."""
SHOWN_AS_IN_MEMORY = frozenset({"challenge", "connection"})
"""Tables of what a process that is alone has in memory only: it is shown as that, whichever node it belongs to."""
COUNTED = {
    ("published_keys", "one_time_count"): (
        "(SELECT count(*) FROM one_time_prekey WHERE one_time_prekey.account_id = published_keys.account_id)"
    ),
    ("published_keys", "kem_count"): (
        "(SELECT count(*) FROM kem_prekey WHERE kem_prekey.account_id = published_keys.account_id)"
    ),
}
"""What this engine counts when it is asked, and keeps in no column."""

_ACCOUNT_COLUMNS = frozenset({"account_id", "recipient_id", "sender_id", "owner_id", "whatsapp_id", "third_party_id"})
"""Columns with row ids, which never leave the server: they are shown as JIDs."""
_OTHER = "'another user'"


def _jid_of(column: str) -> str:
    jid = f"(SELECT peer.jid FROM account AS peer WHERE peer.account_id = {column})"
    without_account = f"CASE WHEN {column} = 0 THEN 'the server' ELSE 'an account that is gone' END"
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE coalesce({jid}, {without_account}) END"


_IS_PING = f"kind = {StanzaKind.NOTIFICATION:d} AND subtype = {NotificationType.REACHABILITY_PING:d}"
_SHOWN = {
    # Only the recipient may see contents.
    ("mailbox", "content"): "length(content) || ' bytes'",
    # The person may not learn which user has blocked, reported or pinged them.
    ("blocked", "account_id"): f"CASE WHEN account_id = $1 THEN $2 ELSE {_OTHER} END",
    ("counted_report", "reporter_sha256"): (
        f"CASE WHEN reporter_sha256 = $4 THEN reporter_sha256 ELSE convert_to({_OTHER}, 'UTF8') END"
    ),
    ("reachability_ping", "sender_id"): f"CASE WHEN sender_id = $1 THEN $2 ELSE {_OTHER} END",
    ("mailbox", "sender_id"): (
        f"CASE WHEN {_IS_PING} AND sender_id <> $1 THEN {_OTHER} ELSE {_jid_of('mailbox.sender_id')} END"
    ),
    **COUNTED,
}


def _expression(table: str, column: str) -> str:
    if (table, column) in _SHOWN:
        return _SHOWN[table, column]
    return _jid_of(f"{table}.{column}") if column in _ACCOUNT_COLUMNS else column


_TYPES = "$1::bigint, $2::text, $3::bigint, $4::bytea"
"""Named in each statement, which need not use them all."""


class PostgresAudit(Concern, AuditStore):
    """All tables, as seen from one person."""

    async def list_rows(
        self,
        table: str,
        columns: Sequence[str],
        about: tuple[int | None, str | None, ExternalUser | None],
        page: tuple[int, int],
    ) -> list[tuple[KeptValue, ...]]:
        account_id, jid, user = about
        integrator, sha256 = (None, None) if user is None else (user.integrator, user_sha256(user))
        shown = ", ".join(_expression(table, column) for column in columns)
        order = ", ".join(await self._key_of(table))
        sql = f"""
            SELECT {shown} FROM {table}, (SELECT {_TYPES}) AS known
            WHERE {_ABOUT[table]} ORDER BY {order} OFFSET $5 LIMIT $6
        """
        rows = await self._rows(sql, account_id, jid, integrator, sha256, *page)
        return [tuple(_readable(value) for value in row) for row in rows]

    _KEY_OF = """
        SELECT attname::text FROM pg_index CROSS JOIN unnest(indkey::smallint[]) WITH ORDINALITY AS part (number, place)
        JOIN pg_attribute ON attrelid = indrelid AND attnum = number
        WHERE indrelid = $1::text::regclass AND indisprimary AND place <= indnkeyatts ORDER BY place
    """

    async def _key_of(self, table: str) -> list[str]:
        """Returns the columns of a table's primary key: the order of its rows is stable by it."""
        return [f"{table}.{name}" for (name,) in await self._rows(self._KEY_OF, table)]


_OTHER_BYTES = b"another user"


def _readable(value: KeptValue) -> KeptValue:
    return "another user" if value == _OTHER_BYTES else value
