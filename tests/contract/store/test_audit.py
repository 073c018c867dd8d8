"""What the store shows of somebody: all of it, and nothing of anybody else's business."""

import pytest

from interop_server.core.abuse.audit import STORED
from interop_server.core.abuse.store import KeptValue
from interop_server.core.mailbox_content import ReachabilityPing, encode
from interop_server.core.messages import MailboxItem, StanzaKind
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
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, World, key, one_time_prekeys
from .test_kem_prekeys import kem_prekey

pytestmark = pytest.mark.requirement("ABU-08")


NUMBERS_OF_ACCOUNTS = {"account_id", "recipient_id", "sender_id", "owner_id", "whatsapp_id", "third_party_id"}
"""Columns whose numbers mean something inside the server only: whom they stand for is shown."""


async def shown(store: Store, table: str, account: Account, *columns: str) -> list[tuple[KeptValue, ...]]:
    whom = (account.account_id, account.jid, account.external_user)
    return await store.audit.list_rows(table, columns, whom, (0, 1_000))


def ping(sender: Account, recipient: Account) -> MailboxItem:
    """A reachability ping, whose sender the recipient does not learn."""
    return encode(ReachabilityPing(BATS, "Bats", "Ada"), recipient.account_id, NOW_MS, sender_id=sender.account_id)


async def test_every_table_shows_what_is_about_somebody(store: Store, world: World) -> None:
    """In either role; of everybody else nothing is there."""
    user, ada, eve = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2, seed=9),
    )
    await store.opt_in.put(user.account_id, [BATS])
    await store.prekeys.add_one_time(ada.account_id, one_time_prekeys(1, 2))
    await store.prekeys.add_kem(ada.account_id, KemPreKeys(kem_prekey(9), (kem_prekey(1),)))
    await store.mailbox.put([world.message(user, ada, "to-ada"), world.message(ada, user, "from-ada")])
    await store.blocklist.put(user.account_id, ada.jid)
    await store.standing.put(ada.external_user, Sanction(SanctionKind.BAN))
    await store.reports.add(ada.external_user, user.external_user, NOW_MS, 0)
    await store.media.put(MediaBlob("/v/t62/1", key(1), 5, user.account_id, NOW_MS, NOW_MS + 1))
    await store.reachability.put(user.account_id, ReachabilitySettings(muted=frozenset({BATS})))
    await store.reachability.put_ping(ada.account_id, NOW_MS, PingBounds(0, 9, 0, 9), ping(ada, user))
    for table, kept in STORED.items():
        columns = sorted(kept.fields)
        about = {who.jid: await shown(store, table, who, *columns) for who in (user, ada, eve)}
        assert about[user.jid] or about[ada.jid], table
        own = {"account", "given_jid", "published_keys"}
        assert len(about[eve.jid]) == (1 if table in own else 0), table
        assert all(len(row) == len(columns) for row in about[user.jid] + about[ada.jid])
        of_accounts = [columns.index(column) for column in columns if column in NUMBERS_OF_ACCOUNTS]
        named = {row[place] for row in about[user.jid] + about[ada.jid] for place in of_accounts}
        assert named <= {user.jid, ada.jid, "another user", None}, table
    assert await shown(store, "chat", ada, "third_party_id", "whatsapp_id") == [(ada.jid, user.jid)]
    assert sorted(await shown(store, "mailbox", ada, "recipient_id", "sender_id")) == sorted(
        [(ada.jid, user.jid), (user.jid, ada.jid), (user.jid, ada.jid)]
    )
    assert len(await shown(store, "sent_message", user, "stanza_id")) == 2


async def test_contents_and_row_ids_are_not_shown(store: Store, world: World) -> None:
    """A content is its length, an account its JID, the server itself, or one that is gone."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(ada, user, "m1", content=b"\x00secret ciphertext")])
    await store.mailbox.put([world.notification(user)])
    rows = await shown(store, "mailbox", user, "content", "kind", "recipient_id", "sender_id")
    assert rows == [
        ("18 bytes", StanzaKind.MESSAGE, user.jid, ada.jid),
        (f"{len(world.notification(user).content)} bytes", StanzaKind.NOTIFICATION, user.jid, "the server"),
    ]
    await store.accounts.delete(ada.account_id)
    assert (await shown(store, "mailbox", user, "sender_id"))[0] == ("an account that is gone",)


async def test_who_has_something_against_somebody_is_not_named(store: Store, world: World) -> None:
    """Blocks and reports of others show that they are; one's own show whom they are about."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    for blocker, blocked in ((user, ada), (ada, user)):
        await store.blocklist.put(blocker.account_id, blocked.jid)
        await store.reports.add(blocked.external_user, blocker.external_user, NOW_MS, 0)
    blocks = await shown(store, "blocked", ada, "account_id", "jid")
    assert sorted(blocks, key=repr) == [(ada.jid, user.jid), ("another user", ada.jid)]
    await store.reachability.put_ping(ada.account_id, NOW_MS, PingBounds(0, 9, 0, 9), ping(ada, user))
    for table in ("reachability_ping", "mailbox"):
        assert await shown(store, table, user, "sender_id", "recipient_id") == [("another user", user.jid)]
        assert await shown(store, table, ada, "sender_id", "recipient_id") == [(ada.jid, user.jid)]
    reporters = [reporter for (reporter,) in await shown(store, "counted_report", ada, "reporter_sha256")]
    assert sorted(map(type, reporters), key=repr) == [bytes, str] and "another user" in reporters


async def test_what_outlives_an_account_is_found_without_it(store: Store, world: World) -> None:
    """Its JID by the JID, how its person stands by the person; the server's own rows are nobody's."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.standing.put(ada.external_user, Sanction(SanctionKind.BAN))
    await store.mailbox.put([world.notification(user)])
    await store.accounts.delete(ada.account_id)
    nobody: tuple[None, None, ExternalUser] = (None, None, ada.external_user)
    assert await store.audit.list_rows("given_jid", ["jid"], (None, ada.jid, None), (0, 9)) == [(ada.jid,)]
    assert await store.audit.list_rows("sanction", ["kind"], nobody, (0, 9)) == [(SanctionKind.BAN,)]
    for table in STORED:
        if table not in ("given_jid", "sanction"):
            assert (
                await store.audit.list_rows(
                    table, list(STORED[table].fields), (None, ada.jid, ada.external_user), (0, 9)
                )
                == []
            )


async def test_many_rows_come_in_pages(store: Store, world: World) -> None:
    """Each once."""
    ada = await world.third_party_user(1)
    await store.prekeys.add_one_time(ada.account_id, one_time_prekeys(1, 25))
    whom = (ada.account_id, ada.jid, ada.external_user)
    ids: list[KeptValue] = []
    while page := await store.audit.list_rows("one_time_prekey", ["key_id"], whom, (len(ids), 10)):
        ids += [key_id for (key_id,) in page]
    assert ids == list(range(1, 26))
