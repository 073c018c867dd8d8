"""WhatsApp users' settings in PostgreSQL: one row per user, written by several concerns; knows no setting's meaning."""

from interop_server.storage.postgres.session import Session


async def put_setting(db: Session, account_id: int, column: str, value: int) -> None:
    """Changes one of an account's settings; settings that were never changed have their defaults."""
    await db.change(
        f"""
        INSERT INTO interop_settings (account_id, {column}) VALUES ($1, $2)
        ON CONFLICT (account_id) DO UPDATE SET {column} = excluded.{column}
        """,
        account_id,
        value,
    )
