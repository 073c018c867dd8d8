"""WhatsApp users' settings in SQLite: one row per user, written by several concerns; knows no meaning of a setting."""

import sqlite3


def put_setting(db: sqlite3.Connection, account_id: int, column: str, value: int) -> None:
    """Changes one of an account's settings; settings that were never changed have their defaults."""
    db.execute(
        f"""
        INSERT INTO interop_settings (account_id, {column}) VALUES (?1, ?2)
        ON CONFLICT (account_id) DO UPDATE SET {column} = excluded.{column}
        """,
        (account_id, value),
    )
