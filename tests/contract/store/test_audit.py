"""What the store shows of somebody: all of it, and nothing of anybody else's business."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from interop_server.core.abuse.audit import STORED
from interop_server.core.messages import MailboxItem, NotificationType, StanzaKind
from interop_server.core.model import (
    Account,
    ExternalUser,
    KemPreKeys,
    MediaBlob,
    PingBounds,
    ReachabilitySettings,
    Sanction,
    SanctionKind,
)
from interop_server.core.stores import KeptValue, Store
from interop_server.storage import SqliteStore
from interop_server.storage.sqlite.audit import ABOUT_NOBODY

from .conftest import BATS, NOW_MS, World, key, one_time_prekeys
from .test_kem_prekeys import kem_prekey

pytestmark = pytest.mark.requirement("ABU-08")


async def test_every_column_has_a_purpose(tmp_path: Path) -> None:
    """Whoever adds a column says in core/abuse/audit.py what it is kept for, or that its table is about nobody."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
        columns = {
            (table, column)
            for table in tables
            if not table.startswith("sqlite_") and table not in ABOUT_NOBODY
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
        }
    explained = {(table, column) for table, kept in STORED.items() for column in kept.fields}
    assert columns - explained == set(), "add them to STORED in core/abuse/audit.py, with what they are kept for"
    assert explained - columns == set(), "these are not in the schema any more"
    assert set(tables) >= ABOUT_NOBODY and not ABOUT_NOBODY & STORED.keys()


async def shown(store: Store, table: str, account: Account, *columns: str) -> list[tuple[KeptValue, ...]]:
    whom = (account.account_id, account.jid, account.external_user)
    return await store.list_kept(table, columns, whom, (0, 1_000))


def ping(sender: Account, recipient: Account) -> MailboxItem:
    """A reachability ping, whose sender the recipient does not learn."""
    kind, subtype = StanzaKind.NOTIFICATION, NotificationType.REACHABILITY_PING
    return MailboxItem(recipient.account_id, sender.account_id, "", kind, subtype, 0, "", NOW_MS, b"{}")


async def test_every_table_shows_what_is_about_somebody(store: Store, world: World) -> None:
    """In either role; of everybody else nothing is there."""
    user, ada, eve = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2, seed=9),
    )
    await store.put_opt_in(user.account_id, [BATS])
    await store.add_one_time_prekeys(ada.account_id, one_time_prekeys(1, 2))
    await store.add_kem_prekeys(ada.account_id, KemPreKeys(kem_prekey(9), (kem_prekey(1),)))
    await store.put_messages([world.message(user, ada, "to-ada"), world.message(ada, user, "from-ada")])
    await store.put_block(user.account_id, ada.jid)
    await store.put_sanction(ada.external_user, Sanction(SanctionKind.BAN))
    await store.add_report(ada.external_user, user.external_user, NOW_MS, 0)
    await store.put_media(MediaBlob("/v/t62/1", key(1), 5, user.account_id, NOW_MS, NOW_MS + 1))
    await store.put_reachability(user.account_id, ReachabilitySettings(muted=frozenset({BATS})))
    await store.put_ping(ada.account_id, NOW_MS, PingBounds(0, 9, 0, 9), ping(ada, user))
    for table, kept in STORED.items():
        columns = sorted(kept.fields)
        about = {who.jid: await shown(store, table, who, *columns) for who in (user, ada, eve)}
        assert about[user.jid] or about[ada.jid], table
        own = {"account", "given_jid", "published_keys"}
        assert len(about[eve.jid]) == (1 if table in own else 0), table
        assert all(len(row) == len(columns) for row in about[user.jid] + about[ada.jid])
    assert await shown(store, "chat", ada, "third_party_id", "whatsapp_id") == [(ada.jid, user.jid)]
    assert sorted(await shown(store, "mailbox", ada, "recipient_id", "sender_id")) == sorted(
        [(ada.jid, user.jid), (user.jid, ada.jid), (user.jid, ada.jid)]
    )
    assert len(await shown(store, "sent_message", user, "stanza_id")) == 2


async def test_contents_and_row_ids_are_not_shown(store: Store, world: World) -> None:
    """A content is its length, an account its JID, the server itself, or one that is gone."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.put_messages([world.message(ada, user, "m1", content=b"\x00secret ciphertext")])
    await store.put_items([world.notification(user)])
    rows = await shown(store, "mailbox", user, "content", "kind", "recipient_id", "sender_id")
    assert rows == [
        ("18 bytes", StanzaKind.MESSAGE, user.jid, ada.jid),
        ("1 bytes", StanzaKind.NOTIFICATION, user.jid, "the server"),
    ]
    await store.delete_account(ada.account_id)
    assert (await shown(store, "mailbox", user, "sender_id"))[0] == ("an account that is gone",)


async def test_who_has_something_against_somebody_is_not_named(store: Store, world: World) -> None:
    """Blocks and reports of others show that they are; one's own show whom they are about."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    for blocker, blocked in ((user, ada), (ada, user)):
        await store.put_block(blocker.account_id, blocked.jid)
        await store.add_report(blocked.external_user, blocker.external_user, NOW_MS, 0)
    blocks = await shown(store, "blocked", ada, "account_id", "jid")
    assert sorted(blocks, key=repr) == [(ada.jid, user.jid), ("another user", ada.jid)]
    await store.put_ping(ada.account_id, NOW_MS, PingBounds(0, 9, 0, 9), ping(ada, user))
    for table in ("reachability_ping", "mailbox"):
        assert await shown(store, table, user, "sender_id", "recipient_id") == [("another user", user.jid)]
        assert await shown(store, table, ada, "sender_id", "recipient_id") == [(ada.jid, user.jid)]
    reporters = [reporter for (reporter,) in await shown(store, "counted_report", ada, "reporter_sha256")]
    assert sorted(map(type, reporters), key=repr) == [bytes, str] and "another user" in reporters


async def test_what_outlives_an_account_is_found_without_it(store: Store, world: World) -> None:
    """Its JID by the JID, how its person stands by the person; the server's own rows are nobody's."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.put_sanction(ada.external_user, Sanction(SanctionKind.BAN))
    await store.put_items([world.notification(user)])
    await store.delete_account(ada.account_id)
    nobody: tuple[None, None, ExternalUser] = (None, None, ada.external_user)
    assert await store.list_kept("given_jid", ["jid"], (None, ada.jid, None), (0, 9)) == [(ada.jid,)]
    assert await store.list_kept("sanction", ["kind"], nobody, (0, 9)) == [(SanctionKind.BAN,)]
    for table in STORED:
        if table not in ("given_jid", "sanction"):
            assert (
                await store.list_kept(table, list(STORED[table].fields), (None, ada.jid, ada.external_user), (0, 9))
                == []
            )


async def test_many_rows_come_in_pages(store: Store, world: World) -> None:
    """Each once."""
    ada = await world.third_party_user(1)
    await store.add_one_time_prekeys(ada.account_id, one_time_prekeys(1, 25))
    whom = (ada.account_id, ada.jid, ada.external_user)
    ids: list[KeptValue] = []
    while page := await store.list_kept("one_time_prekey", ["key_id"], whom, (len(ids), 10)):
        ids += [key_id for (key_id,) in page]
    assert ids == list(range(1, 26))
