"""Ways to be left alone, through the running server: blocking, deletion, one connection, no read receipts."""

import asyncio

import pytest

from interop_api.v1 import integrity_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions
from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import ConnectionLost, OfflinePreview, ReceiptReceived, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.digest import blocklist_digest
from tests.e2e.conftest import World
from tests.e2e.outcomes import ended, refused
from tests.e2e.wire import Wire

SIDES = ("WhatsApp blocks", "the third party blocks")
NOBODY = "49123456789@s.whatsapp.net"


async def two_people(world: World, side: str) -> tuple[InteropClient, InteropClient]:
    """Two people in a conversation: who blocks, and who is blocked."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(alice, bob, "before")
    await talk(bob, alice, "before")
    return (alice, bob) if side == SIDES[0] else (bob, alice)


async def talk(sender: InteropClient, recipient: InteropClient, text: str) -> TextReceived:
    """Sends a text and returns what arrives: nothing else may have come before it."""
    await sender.send_text(recipient.jid, text)
    received = await recipient.wait_for(TextReceived)
    assert received.text == text
    return received


async def blocklist_of(client: InteropClient) -> integrity_pb2.GetBlocklistResponse:
    return await client.transport.call(
        "/interop_api.v1.IntegrityService/GetBlocklist",
        integrity_pb2.GetBlocklistRequest(),
        integrity_pb2.GetBlocklistResponse,
    )


@pytest.mark.requirement("ABU-02")
@pytest.mark.parametrize("side", SIDES)
async def test_what_a_blocked_person_sends_is_acked_and_goes_nowhere(world: World, side: str) -> None:
    """Not delivered, not stored, also not while the blocker is away; the one after the unblocking comes (ABU-02)."""
    blocker, blocked = await two_people(world, side)
    await blocker.block(blocked.jid)

    assert (await blocked.send_text(blocker.jid, "unheard")).timestamp_ms > 0
    assert await refused(blocker.send_text(blocked.jid, "?")) == "RECIPIENT_BLOCKED_BY_SENDER"
    await blocker.close()
    assert (await blocked.send_text(blocker.jid, "unheard while away")).timestamp_ms > 0
    async with Wire(blocker.transport) as wire:
        assert wire.preview.messages == 0

    await blocker.connect()
    await blocker.unblock(blocked.jid)
    await talk(blocked, blocker, "after")
    await talk(blocker, blocked, "after, too")


@pytest.mark.requirement("ABU-02", "OPT-09")
@pytest.mark.parametrize("side", SIDES)
async def test_a_block_does_not_show(world: World, side: str) -> None:
    """The blocked still gets a bundle; but a name does not resolve, as if nobody were there (ABU-02, OPT-09)."""
    blocker, blocked = await two_people(world, side)
    await blocker.block(blocked.jid)

    (await blocked.take_prekey_bundle(blocker.jid)).verify()
    if isinstance(blocked, WhatsAppClient):
        attempt = blocked.resolve("bob", world.integrator)
    else:
        attempt = blocked.resolve(f"+{blocker.jid.partition('@')[0]}")
    assert await refused(attempt) == "RECIPIENT_NOT_REACHABLE"


@pytest.mark.requirement("ABU-01", "ABU-02")
async def test_a_blocklist_is_sorted_has_a_digest_and_changes_idempotently(world: World) -> None:
    """A JID that does not exist can be blocked like any other (ABU-01, OPT-09)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    eve = await world.third_party("eve")
    assert await blocklist_of(alice) == integrity_pb2.GetBlocklistResponse(digest=blocklist_digest([]))

    for jid in (bob.jid, eve.jid, NOBODY, bob.jid):
        await alice.block(jid)
    listed = await blocklist_of(alice)
    assert list(listed.jids) == sorted([bob.jid, eve.jid, NOBODY])
    assert listed.digest == blocklist_digest(list(listed.jids))

    for jid in (eve.jid, NOBODY, NOBODY):
        await alice.unblock(jid)
    assert await alice.get_blocklist() == [bob.jid]
    assert (await blocklist_of(alice)).digest == blocklist_digest([bob.jid])
    assert await refused(alice.block("bob")) == "USER_VISIBLE_IDENTIFIER"


@pytest.mark.requirement("ABU-01")
async def test_everybody_has_a_list_of_their_own(world: World) -> None:
    """Alice's block is not Bob's, nor Carol's: Bob is only kept from Alice (ABU-01)."""
    alice, bob = await two_people(world, SIDES[0])
    carol = await world.whatsapp()
    await alice.block(bob.jid)

    assert await bob.get_blocklist() == []
    assert await carol.get_blocklist() == []
    await talk(bob, carol, "Hello Carol")
    await bob.block(carol.jid)
    assert await alice.get_blocklist() == [bob.jid]
    assert await bob.get_blocklist() == [carol.jid]


async def test_a_blocklist_outlives_the_connection(world: World) -> None:
    """It belongs to the account."""
    alice, bob = await two_people(world, SIDES[0])
    await alice.block(bob.jid)
    await alice.close()
    await alice.connect()
    assert await alice.get_blocklist() == [bob.jid]


@pytest.mark.requirement("LIF-03")
async def test_a_deleted_account_is_gone_with_everything_it_had(world: World) -> None:
    """Bob deletes his account while two messages wait for him (LIF-03).

    1. His connection ends; nobody reaches him, and nothing says why.
    2. Mailbox and keys are gone from the store.
    3. Enlisted again he has another JID and nothing of before.
    """
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(bob, alice, "before")
    old_jid = bob.jid
    await bob.close()
    await alice.send_text(old_jid, "waits")
    await alice.send_text(old_jid, "waits, too")
    async with Wire(bob.transport) as wire:
        assert wire.preview.messages == 2
        prekeys, rows = await bob.count_prekeys(), await world.stored()

        await bob.delete_account()

        assert await ended(wire.take_until("stream_error")) == "NOT_ENLISTED"
        assert await refused(bob.count_prekeys()) == "SESSION_DEAD"
    assert await refused(alice.send_text(old_jid, "?")) == "RECIPIENT_NOT_REACHABLE"
    assert await refused(alice.take_prekey_bundle(old_jid)) == "RECIPIENT_NOT_REACHABLE"
    assert await refused(alice.resolve("bob", world.integrator)) == "RECIPIENT_NOT_REACHABLE"
    assert await refused(bob.connect()) == "NOT_ENLISTED"
    left = await world.stored()
    assert left["account"] == rows["account"] - 1
    assert left["one_time_prekey"] == rows["one_time_prekey"] - prekeys
    assert left["mailbox"] <= rows["mailbox"] - 2

    new_bob = await world.third_party("bob")
    assert new_bob.jid != old_jid
    assert await new_bob.wait_for(OfflinePreview) == OfflinePreview(0, 0, 0)
    await talk(alice, new_bob, "Hello again")


async def test_only_third_party_accounts_are_deleted_here(world: World) -> None:
    """A WhatsApp user's account ends elsewhere (LIF-03)."""
    alice, bob = await two_people(world, SIDES[0])
    assert isinstance(bob, ThirdPartyClient)
    as_third_party = ThirdPartyClient(alice.transport, alice.state)
    assert await refused(as_third_party.delete_account()) == "CALLER_NOT_THIRD_PARTY_USER"
    await talk(bob, alice, "still here")


@pytest.mark.requirement("CHN-11", "SIM-02")
@pytest.mark.parametrize("kind", ["WhatsApp", "third party"])
async def test_a_second_login_replaces_the_first(world: World, kind: str) -> None:
    """The first is told why, and its session is dead at once (CHN-11)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    first: InteropClient
    second: InteropClient
    peer: InteropClient
    if kind == "WhatsApp":
        first, peer = alice, bob
        second = WhatsAppClient.direct(world.endpoint, alice.state)
    else:
        first, peer = bob, alice
        second = world.device("bob", state=bob.state)
    async with second:
        lost = await first.wait_for(ConnectionLost)
        assert lost.reason == "CONNECTION_REPLACED" and lost.advice
        assert await refused(first.count_prekeys()) == "SESSION_DEAD"
        assert await ended(first.ping()) == "CONNECTION_REPLACED"
        await second.ping()
        await peer.send_text(second.jid, "to the second")
        assert (await second.wait_for(TextReceived)).text == "to the second"
        open_ones = [seen for seen in await world.admin.list_connections() if seen.jid == second.jid]
        assert len(open_ones) == 1


@pytest.mark.requirement("RCP-01")
@pytest.mark.parametrize("quiet", ["the reader", "the writer"])
async def test_no_read_receipt_arrives_unless_both_have_them_on(world: World, quiet: str) -> None:
    """One side is enough to keep it back; that of delivery comes all the same (RCP-01)."""
    bob = await world.third_party("bob")
    device = await world.whatsapp()
    await device.close()
    options = LoginOptions(read_receipts=False)
    async with WhatsAppClient.direct(world.endpoint, device.state, login=options) as alice:
        people: tuple[InteropClient, InteropClient] = (alice, bob) if quiet == "the reader" else (bob, alice)
        reader, writer = people
        received = await talk(writer, reader, "Hello")
        assert not (await writer.wait_for(ReceiptReceived)).is_read

        await reader.mark_read(received)
        await reader.ping()
        again = await talk(writer, reader, "Hello again")

        # Receipts come in order: one of reading would be before that of the second delivery.
        receipt = await writer.wait_for(ReceiptReceived)
        assert (receipt.is_read, receipt.message_ids) == (False, (again.id,))


async def test_a_client_that_was_closed_sends_nothing(world: World) -> None:
    """And says so, instead of waiting (CHN-11)."""
    bob = await world.third_party("bob")
    await bob.close()
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await bob.ping()
