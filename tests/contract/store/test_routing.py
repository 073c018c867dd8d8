"""Facts that decide whether a sender may reach a recipient."""

import pytest

from interop_server.core.messages import RouteFacts
from interop_server.core.model import PartnerStatus
from interop_server.core.store import Store

from .conftest import BATS, OWLS, World, partner, published_keys


async def test_facts_of_everything_in_order(store: Store, world: World) -> None:
    """Seen from both ends of an opted-in pair (MSG-06)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.opt_in.put(user.account_id, [BATS])
    no_blocks = {"sender_blocked_recipient": False, "recipient_blocked_sender": False}
    reachable = {"partner_active": True, "opted_in": True, **no_blocks, "read_receipts": True}
    assert await store.routes.get_facts(account, [user.jid]) == {
        user.jid: RouteFacts(user.account_id, user.jid, 0, "491", mailbox_items=0, mailbox_bytes=0, **reachable)
    }
    assert await store.routes.get_facts(user, [account.jid]) == {
        account.jid: RouteFacts(
            account.account_id,
            account.jid,
            BATS,
            "user1",
            mailbox_items=0,
            mailbox_bytes=0,
            registration_id=published_keys(7).registration_id,
            **reachable,
        )
    }


async def test_unknown_jids_have_no_facts(store: Store, world: World) -> None:
    """Those beside them have, each once."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    odd = ['100-"2"@interop', "100-9@interop", account.jid, account.jid, ""]
    assert list(await store.routes.get_facts(user, odd)) == [account.jid]
    assert await store.routes.get_facts(user, []) == {}


@pytest.mark.parametrize("status", [status for status in PartnerStatus if status is not PartnerStatus.ACTIVE])
async def test_the_partner_of_the_third_party_end_counts(store: Store, world: World, status: PartnerStatus) -> None:
    """Whichever side sends."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.partners.put(partner(BATS, status=status))
    assert (await store.routes.get_facts(account, [user.jid]))[user.jid].partner_active is False
    assert (await store.routes.get_facts(user, [account.jid]))[account.jid].partner_active is False


async def test_the_choice_of_the_whatsapp_end_counts(store: Store, world: World) -> None:
    """Whichever side sends: the partner must be chosen and the switch be on (OPT-02)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)

    async def opted_in() -> tuple[bool, bool]:
        outgoing = (await store.routes.get_facts(user, [account.jid]))[account.jid]
        incoming = (await store.routes.get_facts(account, [user.jid]))[user.jid]
        return outgoing.opted_in, incoming.opted_in

    assert await opted_in() == (False, False)
    await store.opt_in.put(user.account_id, [OWLS])
    assert await opted_in() == (False, False)
    await store.opt_in.put(user.account_id, [BATS])
    assert await opted_in() == (True, True)
    await store.opt_in.put_enabled(user.account_id, False)
    assert await opted_in() == (False, False)


@pytest.mark.requirement("OPT-09")
async def test_a_look_up_finds_the_same_by_identifier(store: Store, world: World) -> None:
    """One answer each, in order, also for the same one twice; but for what waits, which is not counted (OPT-09)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.opt_in.put(user.account_id, [BATS])
    await store.blocklist.put(user.account_id, account.jid)
    await store.mailbox.put([world.message(account, user, "1"), world.message(user, account, "2")])
    for asker, asked, found in (
        (account, [(0, "491"), (0, "492"), (0, "491"), (BATS, "user1"), (OWLS, "user1"), (0, ""), (998, "x")], user),
        (user, [(BATS, "user1"), (BATS, "user2"), (BATS, "user1"), (0, "491"), (OWLS, "user1")], account),
    ):
        facts = await store.routes.look_up(asker, asked)
        by_jid = await store.routes.get_facts(asker, [user.jid, account.jid])
        expected = {jid: each._replace(mailbox_items=0, mailbox_bytes=0) for jid, each in by_jid.items()}
        assert facts[0] == facts[2] == expected[found.jid]
        assert facts[3] == expected[asker.jid]
        assert [each for number, each in enumerate(facts) if number not in (0, 2, 3)] == [None] * (len(asked) - 3)
    assert await store.routes.look_up(user, []) == []


async def test_ends_of_the_same_side_are_never_opted_in(store: Store, world: World) -> None:
    """Between WhatsApp users there is no partner; between third-party users it is the recipient's."""
    users = [await world.whatsapp_user("491"), await world.whatsapp_user("492")]
    accounts = [await world.third_party_user(1), await world.third_party_user(2, OWLS)]
    for user in users:
        await store.opt_in.put(user.account_id, [BATS, OWLS])
    between_users = (await store.routes.get_facts(users[0], [users[1].jid]))[users[1].jid]
    assert (between_users.opted_in, between_users.partner_active) == (False, False)
    between_accounts = (await store.routes.get_facts(accounts[0], [accounts[1].jid]))[accounts[1].jid]
    assert (between_accounts.opted_in, between_accounts.partner_active) == (False, True)


async def test_blocks_show_from_both_ends(store: Store, world: World) -> None:
    """Who has blocked whom is never mixed up, with each other or with whom they or others have blocked besides."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    other, another = await world.whatsapp_user("492"), await world.third_party_user(2)
    await store.blocklist.put(user.account_id, account.jid)
    for blocker, blocked in ((account, other), (user, another), (other, account), (another, user)):
        await store.blocklist.put(blocker.account_id, blocked.jid)
    outgoing = (await store.routes.get_facts(user, [account.jid]))[account.jid]
    incoming = (await store.routes.get_facts(account, [user.jid]))[user.jid]
    assert (outgoing.sender_blocked_recipient, outgoing.recipient_blocked_sender) == (True, False)
    assert (incoming.sender_blocked_recipient, incoming.recipient_blocked_sender) == (False, True)


async def test_usage_counts_what_waits(store: Store, world: World) -> None:
    """Items and content bytes, messages and receipts alike, until they are acked; of who may be written to (MSG-11)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.opt_in.put(user.account_id, [BATS])
    await store.mailbox.put([world.message(user, account, str(n), content=bytes(100)) for n in range(3)])
    await store.mailbox.put([world.receipt(user, account)])

    async def usage() -> tuple[int, int]:
        facts = (await store.routes.get_facts(user, [account.jid]))[account.jid]
        return facts.mailbox_items, facts.mailbox_bytes

    assert await usage() == (4, 303)
    [first, *_] = await store.mailbox.list_deliveries(account.account_id, 0, 1, 0)
    await store.mailbox.delete(account.account_id, [first.delivery_id])
    assert await usage() == (3, 203)
    await store.opt_in.put(user.account_id, [])
    assert await usage() == (0, 0)
