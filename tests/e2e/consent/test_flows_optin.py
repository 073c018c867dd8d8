"""Third-party chats as a WhatsApp user controls them: off at first, per messenger, in force from the next stanza."""

import pytest

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused

NOT_REACHABLE = "RECIPIENT_NOT_REACHABLE"


async def talk(sender: InteropClient, recipient: InteropClient, text: str) -> TextReceived:
    """Sends a text and returns what arrives."""
    await sender.send_text(recipient.jid, text)
    received = await recipient.wait_for(TextReceived)
    assert received.text == text
    return received


async def chats_page(
    client: WhatsAppClient, page_size: int, page_token: str = ""
) -> interop_pb2.ListThirdPartyChatsResponse:
    request = interop_pb2.ListThirdPartyChatsRequest(page_size=page_size, page_token=page_token)
    method = "/interop_api.v1.InteropService/ListThirdPartyChats"
    return await client.transport.call(method, request, interop_pb2.ListThirdPartyChatsResponse)


@pytest.mark.requirement("OPT-01", "OPT-03")
async def test_third_party_chats_are_off_until_the_user_turns_them_on(world: World) -> None:
    """Before the opt-in nobody finds anybody, in either direction; the terms come first (OPT-01, OPT-03)."""
    alice, bob = await world.whatsapp(opted_in=False), await world.third_party("bob")
    settings = await alice.get_settings()
    assert (settings.enabled, list(settings.integrators), settings.terms_accepted) == (False, [], False)
    assert settings.eligible
    before = await world.stored()

    assert await refused(bob.send_text(alice.jid, "Hello?")) == NOT_REACHABLE
    assert await refused(bob.resolve(f"+{alice.jid.partition('@')[0]}")) == NOT_REACHABLE
    assert await refused(alice.send_text(bob.jid, "Hello?")) == "SENDER_NOT_OPTED_IN"
    assert await refused(alice.resolve("bob", world.integrator)) == NOT_REACHABLE
    assert await refused(alice.opt_in([world.integrator])) == "TERMS_NOT_ACCEPTED"
    assert await refused(alice.record_terms(interop_pb2.TERMS_RESULT_ACCEPTED)) == "TERMS_NOT_ACCEPTED"
    assert await world.stored() == before

    await alice.accept_terms()
    await alice.opt_in([world.integrator])
    assert await bob.resolve(f"+{alice.jid.partition('@')[0]}") == alice.jid
    assert await alice.resolve("bob", world.integrator) == bob.jid
    await talk(bob, alice, "Hello")


@pytest.mark.requirement("OPT-02")
async def test_a_change_holds_from_the_very_next_stanza(world: World) -> None:
    """Alice opts out and in again between two texts on connections that stay open (OPT-02)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(bob, alice, "before")
    await talk(alice, bob, "before, too")

    await alice.opt_out([world.integrator])
    assert await refused(bob.send_text(alice.jid, "in between")) == NOT_REACHABLE
    assert await refused(alice.send_text(bob.jid, "in between")) == "SENDER_NOT_OPTED_IN"

    await alice.opt_in([world.integrator])
    await talk(bob, alice, "after")
    await talk(alice, bob, "after, too")


@pytest.mark.requirement("OPT-02")
async def test_turning_it_off_as_a_whole_keeps_what_was_chosen(world: World) -> None:
    """Off reaches every messenger at once, on brings the same ones back (OPT-02)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")

    await alice.set_third_party_chats(False)
    assert await refused(bob.send_text(alice.jid, "Hello?")) == NOT_REACHABLE
    assert list((await alice.get_settings()).integrators) == [world.integrator]

    await alice.set_third_party_chats(True)
    await talk(bob, alice, "Hello")


@pytest.mark.requirement("OPT-02", "OPT-03", "OPT-07")
async def test_each_messenger_is_chosen_by_itself(world: World, second_world: World) -> None:
    """Alice chose Bob's messenger, not Carol's; then both; then only Carol's (OPT-03, OPT-07)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    carol = await second_world.third_party("carol")
    both = [world.integrator, second_world.integrator]
    await talk(bob, alice, "Hello")
    assert await refused(carol.send_text(alice.jid, "Hello?")) == NOT_REACHABLE

    await alice.opt_in(both)
    await talk(bob, alice, "Hello again")
    await talk(carol, alice, "Hello, too")
    listed = {listing.integrator: listing.opted_in for listing in await alice.list_partners()}
    assert [listed[integrator] for integrator in both] == [True, True]

    await alice.opt_in(both[1:])
    assert await refused(bob.send_text(alice.jid, "Anyone?")) == NOT_REACHABLE
    await talk(carol, alice, "Still here")


@pytest.mark.requirement("OPT-05")
@pytest.mark.requirement("OPT-07")
async def test_a_listing_shows_all_that_a_messenger_is_registered_with(world: World, second_world: World) -> None:
    """Number, name, state, icon, kind of identifier, whether it is chosen, and whether it is for groups (OPT-07)."""
    alice = await world.whatsapp()
    await second_world.register(
        icon="https://icons.example/owl.png",
        identifier_type=interop_pb2.IDENTIFIER_TYPE_EMAIL,
        status=interop_pb2.PARTNER_STATUS_ONBOARDING,
        group_messaging=True,
    )
    listed = {listing.integrator: listing for listing in await alice.list_partners()}
    assert listed[world.integrator] == interop_pb2.PartnerListing(
        integrator=world.integrator,
        name=f"Messenger {world.integrator}",
        status=interop_pb2.PARTNER_STATUS_ACTIVE,
        identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
        opted_in=True,
    )
    assert listed[second_world.integrator] == interop_pb2.PartnerListing(
        integrator=second_world.integrator,
        name=f"Messenger {second_world.integrator}",
        status=interop_pb2.PARTNER_STATUS_ONBOARDING,
        icon="https://icons.example/owl.png",
        identifier_type=interop_pb2.IDENTIFIER_TYPE_EMAIL,
        group_messaging=True,
    )
    registered = {each.integrator: each.group_messaging for each in await world.admin.list_partners()}
    assert (registered[world.integrator], registered[second_world.integrator]) == (False, True)


async def test_the_inbox_mode_comes_with_each_message_and_changes_no_routing(world: World) -> None:
    """Also with one that waited; Bob sees no mode (OPT-05)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    assert (await talk(bob, alice, "1")).inbox_mode == "SEPARATE"
    await alice.set_inbox_mode(stanza_pb2.INBOX_MODE_COMBINED)
    assert (await alice.get_settings()).inbox_mode == stanza_pb2.INBOX_MODE_COMBINED
    assert (await talk(bob, alice, "2")).inbox_mode == "COMBINED"
    assert (await talk(alice, bob, "3")).inbox_mode == ""

    await alice.set_inbox_mode(stanza_pb2.INBOX_MODE_SEPARATE)
    await alice.close()
    await bob.send_text(alice.jid, "4")
    await alice.connect()
    waited = await alice.wait_for(TextReceived)
    assert (waited.text, waited.offline, waited.inbox_mode) == ("4", True, "SEPARATE")


@pytest.mark.requirement("OPT-06")
async def test_chats_are_listed_newest_first_page_by_page_and_can_be_deleted(world: World) -> None:
    """Seven chats come in pages of three; a new message moves a chat up; a deleted one is off the list (OPT-06)."""
    alice = await world.whatsapp()
    people = [await world.third_party(f"user{number}") for number in range(7)]
    for number, person in enumerate(people):
        await talk(person, alice, f"Hello {number}")
    await talk(alice, people[2], "Hello yourself")

    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = await chats_page(alice, 3, token)
        pages.append([chat.external_id for chat in page.chats])
        token = page.next_page_token
    assert [len(page) for page in pages] == [3, 3, 1]
    listed = [name for page in pages for name in page]
    assert sorted(listed) == [f"user{number}" for number in range(7)]
    chats = [chat async for chat in alice.list_chats()]
    times = [chat.last_message_at_ms for chat in chats]
    assert times == sorted(times, reverse=True)
    assert times[listed.index("user2")] == times[0]
    assert {(chat.integrator, chat.read_only) for chat in chats} == {(world.integrator, False)}

    await alice.delete_chat(people[4].jid)
    await alice.delete_chat(people[4].jid)
    assert "user4" not in [chat.external_id async for chat in alice.list_chats()]
    await talk(people[4], alice, "Back again")
    assert "user4" in [chat.external_id async for chat in alice.list_chats()]
    assert await refused(chats_page(alice, 1_001)) == "REQUEST_MALFORMED"
    assert await refused(chats_page(alice, 3, "no token of yours")) == "REQUEST_MALFORMED"


@pytest.mark.requirement("OPT-06")
async def test_chats_are_read_only_after_the_opt_out(world: World, second_world: World) -> None:
    """Only those with the messenger that was left; opting in again makes them writable (OPT-06)."""
    alice = await world.whatsapp()
    await alice.opt_in([world.integrator, second_world.integrator])
    await talk(await world.third_party("bob"), alice, "Hello")
    await talk(await second_world.third_party("carol"), alice, "Hello")

    await alice.opt_out([world.integrator])
    assert {chat.external_id: chat.read_only async for chat in alice.list_chats()} == {"bob": True, "carol": False}

    await alice.set_third_party_chats(False)
    assert {chat.external_id: chat.read_only async for chat in alice.list_chats()} == {"bob": True, "carol": True}

    await alice.opt_in([world.integrator, second_world.integrator])
    assert {chat.external_id: chat.read_only async for chat in alice.list_chats()} == {"bob": False, "carol": False}


@pytest.mark.requirement("OPT-04")
async def test_a_number_that_does_not_qualify_ends_participation(world: World) -> None:
    """Alice moves to a number outside the region: her old JID is gone, the new one cannot be reached (OPT-04)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(bob, alice, "Hello")
    old = alice.jid

    moved = await world.admin.change_number(old, f"+1555{old.partition('@')[0][-7:]}")

    assert not moved.eligible
    assert (await alice.wait_for(ConnectionLost)).reason == "NOT_ENLISTED"
    assert await refused(bob.send_text(old, "Hello?")) == NOT_REACHABLE
    assert await refused(bob.send_text(moved.jid, "Hello?")) == NOT_REACHABLE
    assert await refused(alice.connect()) == "NOT_ENLISTED"
    alice.state.jid = moved.jid
    await alice.connect()
    settings = await alice.get_settings()
    assert (settings.enabled, settings.eligible) == (False, False)
    assert await refused(alice.opt_in([world.integrator])) == "NOT_ELIGIBLE"
    assert await refused(alice.set_third_party_chats(True)) == "NOT_ELIGIBLE"


async def test_a_number_that_qualifies_keeps_what_was_chosen(world: World) -> None:
    """Only the JID is another one; who writes to the old one reaches nobody (OPT-04)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    old = alice.jid

    moved = await world.admin.change_number(old, f"+3167{old.partition('@')[0][-7:]}")

    assert moved.eligible
    assert await refused(bob.send_text(old, "Hello?")) == NOT_REACHABLE
    alice.state.jid = moved.jid
    await alice.connect()
    await talk(bob, alice, "Hello")


@pytest.mark.requirement("ENL-01")
async def test_a_messenger_that_is_suspended_is_cut_off_in_the_middle_of_a_conversation(world: World) -> None:
    """Its users' connections end, they reach nobody and nobody reaches them, until it is active again (ENL-01)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(bob, alice, "before")

    await world.register(status=interop_pb2.PARTNER_STATUS_SUSPENDED)
    assert (await bob.wait_for(ConnectionLost)).reason == "PARTNER_NOT_ACTIVE"
    assert await refused(alice.send_text(bob.jid, "in between")) == NOT_REACHABLE
    newcomer = world.device("newcomer")
    assert await refused(newcomer.enlist(world.partner.issue_token("newcomer"))) == "PARTNER_NOT_ACTIVE"
    assert await refused(alice.opt_in([world.integrator])) == "PARTNER_UNKNOWN"
    assert await refused(bob.connect()) == "PARTNER_NOT_ACTIVE"

    await world.register()
    await bob.connect()
    await talk(bob, alice, "after")
    await talk(alice, bob, "after, too")
