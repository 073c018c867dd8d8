"""First contacts: where they stand, marks of trust, and the chats that nobody has answered."""

import pytest

from interop_server.core.mailbox_content import TrustedContact, encode
from interop_server.core.messages import ChatEntry, MailboxItem, RequestAnswer, StanzaKind
from interop_server.core.model import Account, MessageRequestState
from interop_server.core.store import Store

from .conftest import NOW_MS, World

REQUESTED, ACCEPTED, DECLINED = MessageRequestState


def notice(user: Account, peer: Account) -> MailboxItem:
    mark = TrustedContact(user.jid, NOW_MS)
    return encode(mark, peer.account_id, NOW_MS, sender_id=user.account_id, sender_jid=user.jid)


def answer(user: Account, peer: Account, state: MessageRequestState, until_ms: int = 0) -> RequestAnswer:
    mark = notice(user, peer) if until_ms else None
    return RequestAnswer(user.account_id, peer.account_id, state, until_ms, mark)


async def stands(store: Store, user: Account, peer: Account) -> tuple[MessageRequestState | None, int]:
    """Where the first contact stands: the same from both ends."""
    outgoing = (await store.routes.get_facts(user, [peer.jid]))[peer.jid]
    incoming = (await store.routes.get_facts(peer, [user.jid]))[user.jid]
    assert (incoming.request_state, incoming.trusted_until_ms) == (outgoing.request_state, outgoing.trusted_until_ms)
    return outgoing.request_state, outgoing.trusted_until_ms


async def test_who_writes_first_decides_how_a_contact_begins(store: Store, world: World) -> None:
    """A request when it is the third party; what comes later changes nothing by itself (OPT-14)."""
    user, ada, bea = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2),
    )
    assert await stands(store, user, ada) == (None, 0)
    await store.mailbox.put([world.message(ada, user, "1"), world.message(user, bea, "1")])
    await store.mailbox.put([world.message(user, ada, "2"), world.message(bea, user, "2")])
    assert (await stands(store, user, ada), await stands(store, user, bea)) == ((REQUESTED, 0), (ACCEPTED, 0))


async def test_an_answer_changes_a_contact_that_there_is(store: Store, world: World) -> None:
    """That of others stays; one that nobody has made stays unmade, and nobody is told of it."""
    user, ada, bea = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2),
    )
    await store.mailbox.put([world.message(ada, user, "1")])
    for state in (DECLINED, ACCEPTED, DECLINED, DECLINED):
        await store.chats.put_answers([answer(user, ada, state), answer(user, bea, ACCEPTED, NOW_MS)])
        assert await stands(store, user, ada) == (state, 0)
    assert await stands(store, user, bea) == (None, 0)
    assert await world.waiting(bea) == []
    assert [chat.request_state for chat in await store.chats.list_page(user.account_id, None, 10)] == [DECLINED]


async def test_a_mark_that_lasts_longer_is_put_with_its_notice(store: Store, world: World) -> None:
    """One that lasts no longer than the last is neither put nor told; it survives another answer."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(ada, user, "1")])
    for until_ms, notices in ((10, 1), (10, 1), (5, 1), (20, 2)):
        await store.chats.put_answers([answer(user, ada, ACCEPTED, until_ms)])
        assert len(await world.waiting(ada)) == notices
    await store.chats.put_answers([answer(user, ada, DECLINED)])
    assert await stands(store, user, ada) == (DECLINED, 20)
    assert set(await world.waiting(ada)) == {notice(user, ada)}


async def test_a_message_that_is_stored_answers(store: Store, world: World) -> None:
    """What it answers is stored with it, behind it; a repetition and a message of somebody else answer nothing."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(ada, user, "1")])
    dropped = world.message(user, ada, "1", answer=answer(user, ada, ACCEPTED), is_dropped=True)
    await store.mailbox.put([dropped])
    assert (await stands(store, user, ada), await world.waiting(ada)) == ((ACCEPTED, 0), [])
    accepts = answer(user, ada, ACCEPTED, 10)
    await store.mailbox.put([world.message(user, ada, stanza_id, answer=accepts) for stanza_id in ("2", "3")])
    waiting = await world.waiting(ada)
    assert [(item.kind, item.stanza_id) for item in waiting] == [
        (StanzaKind.MESSAGE, "2"),
        (StanzaKind.MESSAGE, "3"),
        (StanzaKind.NOTIFICATION, ""),
    ]
    await store.chats.put_answers([answer(user, ada, DECLINED)])
    again = world.message(user, ada, "3", answer=answer(user, ada, ACCEPTED, 20))
    await store.mailbox.put([again])
    assert (await stands(store, user, ada), await world.waiting(ada)) == ((DECLINED, 10), waiting)


async def test_deliveries_say_where_the_contact_stands_now(store: Store, world: World) -> None:
    """To the WhatsApp end, and of messages only (OPT-14)."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(ada, user, "1"), world.message(user, ada, "1")])
    await store.mailbox.put([world.receipt(ada, user), world.notification(user)])

    async def states(account: Account) -> list[MessageRequestState | None]:
        return [
            delivery.request_state for delivery in await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
        ]

    assert (await states(user), await states(ada)) == ([REQUESTED, None, None], [None])
    await store.chats.put_answers([answer(user, ada, ACCEPTED)])
    assert await states(user) == [ACCEPTED, None, None]


async def test_a_deleted_chat_keeps_where_the_contact_stands(store: Store, world: World) -> None:
    """So that a decline outlives it, and a new message brings it back as it was (OPT-06, OPT-14)."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(ada, user, "1")])
    await store.chats.put_answers([answer(user, ada, DECLINED)])
    await store.chats.delete(user.account_id, ada.jid)
    assert (await store.chats.list_page(user.account_id, None, 10), await stands(store, user, ada)) == (
        [],
        (DECLINED, 0),
    )
    await store.mailbox.put([world.message(ada, user, "2")])
    assert [chat.request_state for chat in await store.chats.list_page(user.account_id, None, 10)] == [DECLINED]


@pytest.mark.requirement("ABU-02", "MSG-04")
async def test_a_dropped_message_is_remembered_as_far_as_its_sender_can_see(store: Store, world: World) -> None:
    """Its id, its time and the chat are taken as ever; no mailbox and no list of the recipient's shows it."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    dropped = world.message(ada, user, "1", is_dropped=True)
    for duplicate in (False, True):
        [stored] = await store.mailbox.put([dropped._replace(timestamp_ms=NOW_MS + duplicate)])
        assert (stored.timestamp_ms, stored.duplicate) == (NOW_MS, duplicate)
    assert (await world.waiting(user), await store.chats.list_page(user.account_id, None, 10)) == ([], [])
    assert await stands(store, user, ada) == (REQUESTED, 0)

    await store.mailbox.put([world.message(ada, user, "2", NOW_MS + 5)])
    await store.mailbox.put([world.message(ada, user, "3", NOW_MS + 9, is_dropped=True)])
    assert [item.stanza_id for item in await world.waiting(user)] == ["2"]
    assert [chat.last_message_at_ms for chat in await store.chats.list_page(user.account_id, None, 10)] == [NOW_MS + 5]

    await store.mailbox.put([world.message(user, ada, "4", NOW_MS + 10, is_dropped=True)])
    assert await world.waiting(ada) == []
    assert [chat.last_message_at_ms for chat in await store.chats.list_page(user.account_id, None, 10)] == [NOW_MS + 10]


@pytest.mark.parametrize("state", list(MessageRequestState))
async def test_a_message_says_how_it_opens_a_chat(store: Store, world: World, state: MessageRequestState) -> None:
    """The store takes the state and the listing from the first message; a later one can only list the chat (OPT-14)."""
    ada, user = await world.third_party_user(1), await world.whatsapp_user("491")
    entry = ChatEntry(user.account_id, ada.account_id, state, is_listed=False)
    await store.mailbox.put([world.message(ada, user, "1")._replace(chat=entry)])
    assert (await stands(store, user, ada), await store.chats.list_page(user.account_id, None, 10)) == ((state, 0), [])
    await store.mailbox.put([world.message(ada, user, "2")._replace(chat=None)])
    assert await store.chats.list_page(user.account_id, None, 10) == []
    await store.mailbox.put([world.message(user, ada, "3")])
    assert [chat.request_state for chat in await store.chats.list_page(user.account_id, None, 10)] == [state]


@pytest.mark.requirement("ABU-05")
async def test_chats_that_nobody_has_answered_are_listed_newest_first(store: Store, world: World) -> None:
    """Whatever the recipient has done but accept; those of others, older ones, and more than asked for are left out."""
    ada, bea = await world.third_party_user(1), await world.third_party_user(2)
    users = [await world.whatsapp_user(f"49{number}") for number in range(1, 7)]
    opened = [world.message(ada, user, f"{n}", NOW_MS + n) for n, user in enumerate(users)]
    opened[4] = world.message(ada, users[4], "4", NOW_MS + 4, is_dropped=True)
    await store.mailbox.put([*opened, world.message(bea, users[0], "0", NOW_MS + 50)])
    await store.mailbox.put([world.message(ada, users[1], "again", NOW_MS + 60)])
    await store.chats.put_answers(
        [
            answer(users[1], ada, DECLINED),
            answer(users[2], ada, ACCEPTED),
            answer(users[3], ada, ACCEPTED, NOW_MS + 99),
            answer(users[3], ada, DECLINED),
        ]
    )
    await store.chats.delete(users[5].account_id, ada.jid)

    async def listed(since_ms: int, limit: int = 10) -> list[int]:
        times = await store.new_chats.list_unanswered(ada.account_id, since_ms, limit)
        return [at_ms - NOW_MS for at_ms in times]

    assert await listed(0) == [5, 4, 1, 0]
    assert await listed(0, 3) == [5, 4, 1]
    assert await listed(NOW_MS + 1) == [5, 4]
    await store.new_chats.reset(ada.account_id, NOW_MS + 4)
    assert (await listed(0), await listed(NOW_MS + 5)) == ([5], [])
    assert await store.new_chats.list_unanswered(bea.account_id, 0, 10) == [NOW_MS + 50]
