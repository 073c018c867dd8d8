"""What WhatsApp users choose, and their third-party chats."""

from interop_server.core.messages import Chat
from interop_server.core.model import InboxMode, InteropSettings, MessageRequestState
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, World


async def test_everything_is_off_at_first(store: Store, world: World) -> None:
    """OPT-01."""
    user = await world.whatsapp_user("491")
    assert await store.opt_in.get(user.account_id) == InteropSettings()


async def test_terms_shown_and_accepted_are_two_things(store: Store, world: World) -> None:
    """Neither implies the other (OPT-03)."""
    first, second = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    await store.opt_in.put_terms(first.account_id, accepted=False, now_ms=NOW_MS)
    await store.opt_in.put_terms(second.account_id, accepted=True, now_ms=NOW_MS)
    assert await store.opt_in.get(first.account_id) == InteropSettings(terms_shown=True)
    assert await store.opt_in.get(second.account_id) == InteropSettings(terms_accepted=True)


async def test_opting_in_chooses_exactly_these_partners(store: Store, world: World) -> None:
    """It turns third-party chats on; the next choice replaces the first (OPT-02, OPT-03)."""
    user = await world.whatsapp_user("491")
    await store.opt_in.put(user.account_id, [BATS, OWLS])
    assert await store.opt_in.get(user.account_id) == InteropSettings(True, frozenset({BATS, OWLS}))
    await store.opt_in.put_enabled(user.account_id, False)
    await store.opt_in.put(user.account_id, [OWLS, OWLS])
    assert await store.opt_in.get(user.account_id) == InteropSettings(True, frozenset({OWLS}))


async def test_opting_out_removes_the_named_partners(store: Store, world: World) -> None:
    """Others stay chosen; twice is as good as once."""
    user = await world.whatsapp_user("491")
    await store.opt_in.put(user.account_id, [BATS, OWLS])
    for _ in range(2):
        await store.opt_in.delete(user.account_id, [BATS, 300])
    assert await store.opt_in.get(user.account_id) == InteropSettings(True, frozenset({OWLS}))


async def test_switching_off_keeps_the_choice(store: Store, world: World) -> None:
    """The global switch and the choice of partners are independent (OPT-02)."""
    user = await world.whatsapp_user("491")
    await store.opt_in.put(user.account_id, [BATS])
    await store.opt_in.put_inbox_mode(user.account_id, InboxMode.COMBINED)
    await store.opt_in.put_enabled(user.account_id, False)
    assert await store.opt_in.get(user.account_id) == InteropSettings(False, frozenset({BATS}), InboxMode.COMBINED)


async def test_chats_are_paged_newest_first_then_by_jid(store: Store, world: World) -> None:
    """A page starts after (last_message_at_ms, peer_jid); every chat comes once."""
    user = await world.whatsapp_user("491")
    peers = [await world.third_party_user(number) for number in range(1, 6)]
    times = [NOW_MS, NOW_MS + 2, NOW_MS + 1, NOW_MS + 1, NOW_MS + 1]
    await store.mailbox.put([world.message(peer, user, "m", at) for peer, at in zip(peers, times, strict=True)])
    expected = ["100-2@interop", "100-3@interop", "100-4@interop", "100-5@interop", "100-1@interop"]
    pages, before = [], None
    while page := await store.chats.list_page(user.account_id, before, 2):
        pages.append([chat.peer_jid for chat in page])
        before = (page[-1].last_message_at_ms, page[-1].peer_jid)
    assert pages == [expected[:2], expected[2:4], expected[4:]]


async def test_a_message_either_way_touches_the_chat(store: Store, world: World) -> None:
    """The newest time wins; receipts, duplicates and late messages do not."""
    user, peer = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.opt_in.put(user.account_id, [BATS])
    await store.mailbox.put([world.message(peer, user, "1", NOW_MS + 1), world.message(user, peer, "2", NOW_MS + 7)])
    await store.mailbox.put([world.message(peer, user, "3", NOW_MS + 3), world.message(peer, user, "1", NOW_MS + 9)])
    await store.mailbox.put([world.receipt(peer, user, NOW_MS + 11)])
    [chat] = await store.chats.list_page(user.account_id, None, 10)
    assert chat == Chat(peer.jid, BATS, "user1", NOW_MS + 7, False, MessageRequestState.REQUESTED)
    assert await store.chats.list_page(peer.account_id, None, 10) == []


async def test_a_chat_is_read_only_while_its_user_is_not_opted_in(store: Store, world: World) -> None:
    """By the partner's choice and by the global switch (OPT-06)."""
    user, peer = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(peer, user, "m")])

    async def read_only() -> bool:
        [chat] = await store.chats.list_page(user.account_id, None, 10)
        return chat.read_only

    assert await read_only()
    await store.opt_in.put(user.account_id, [OWLS])
    assert await read_only()
    await store.opt_in.put(user.account_id, [BATS])
    assert not await read_only()
    await store.opt_in.put_enabled(user.account_id, False)
    assert await read_only()


async def test_a_deleted_chat_comes_back_with_the_next_message(store: Store, world: World) -> None:
    """Deletion concerns the one chat; twice is as good as once."""
    user = await world.whatsapp_user("491")
    peer, other = await world.third_party_user(1), await world.third_party_user(2)
    await store.mailbox.put([world.message(peer, user, "1"), world.message(other, user, "1")])
    for _ in range(2):
        await store.chats.delete(user.account_id, peer.jid)
    assert [chat.peer_jid for chat in await store.chats.list_page(user.account_id, None, 10)] == [other.jid]
    await store.mailbox.put([world.message(user, peer, "2")])
    assert len(await store.chats.list_page(user.account_id, None, 10)) == 2
