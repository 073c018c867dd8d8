"""The driver protocol end to end: the SDK, driven over both transports, against a running server."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.messaging.events import (
    DeletionReceived,
    EditReceived,
    MediaReceived,
    ReachabilityPing,
    ReactionReceived,
    ReceiptReceived,
    TextReceived,
    Typing,
)
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import CLIENT_IP, World
from tests.e2e.driver.kit import TRANSPORTS, Kit

pytestmark = pytest.mark.timeout(240)  # on a busy machine a start alone takes seconds

COMMANDS = {field.name for field in pb.DriveRequest.DESCRIPTOR.oneofs_by_name["command"].fields}
DEVICE = "bobs_phone"


@pytest_asyncio.fixture(params=TRANSPORTS)
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """A run over one of the transports."""
    (tmp_path / "driver").mkdir()
    async with TRANSPORTS[request.param](tmp_path / "driver") as kit:
        yield kit
    assert list((tmp_path / "driver").iterdir()) == []


def start_of(world: World, **changes: Any) -> pb.StartDeviceCommand:
    """What the kit says of a device of Bob's."""
    fields: dict[str, Any] = {
        "grpc": world.endpoint.grpc,
        "http": world.endpoint.http,
        "root_public_key": world.endpoint.root_public_key,
        "user": "bob",
        "media_url": world.partner.media_url,
    }
    return pb.StartDeviceCommand(**fields | changes)


async def connected(kit: Kit, world: World, **changes: Any) -> str:
    """Starts Bob's device, enlists and connects him, publishes prekeys; his JID."""
    await kit.do(DEVICE, start_device=start_of(world, **changes))
    jid: str = (await kit.do(DEVICE, enlist={"token": world.partner.issue_token("bob")})).jid
    await kit.do(DEVICE, connect={"token": world.partner.issue_token("bob")})
    assert (await kit.event(DEVICE, "connection_changed")).is_connected
    await kit.do(DEVICE, publish_prekeys={"count": 20})
    return jid


async def test_every_command_does_what_it_says(kit: Kit, world: World, tmp_path: Path) -> None:
    """A life of two people, one of whom is driven: what each does, the other is shown."""
    alice = await world.whatsapp()
    described = await kit.do(describe={})
    assert set(described.commands) == COMMANDS and described.max_devices >= 1
    bob = await connected(kit, world)
    assert (await kit.do(DEVICE, resolve={"external_id": phone_of(alice)})).jid == alice.jid
    await talk(kit, alice, bob)
    await exchange_files(kit, alice, bob, tmp_path)
    await block_and_report(kit, alice, bob)
    await come_and_go(kit, world, alice, bob)
    await begin_anew(kit, world, alice)
    assert kit.used == COMMANDS


def phone_of(alice: WhatsAppClient) -> str:
    return "+" + alice.jid.partition("@")[0]


async def talk(kit: Kit, alice: WhatsAppClient, bob: str) -> None:
    """Texts, an answer, a reaction and its removal, an edit, a deletion, receipts, typing."""
    first = await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "hello"})
    text = await alice.wait_for(TextReceived)
    assert (text.id, text.text, text.sender) == (first.message_id, "hello", bob)
    assert (await kit.event(DEVICE, "receipt_shown")).message_ids == [first.message_id]
    await alice.mark_read(text)
    assert (await kit.event(DEVICE, "receipt_shown")).is_read
    answer = await alice.send_text(bob, "hi", text)
    shown = await kit.event(DEVICE, "text_shown")
    assert (shown.sender_jid, shown.message_id, shown.text, shown.reply_to) == (alice.jid, answer.id, "hi", text.id)
    await kit.do(DEVICE, mark_read={"sender_jid": alice.jid, "message_ids": [answer.id]})
    await alice.wait_for(lambda event: isinstance(event, ReceiptReceived) and event.is_read)
    await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "well", "reply_to": answer.id})
    assert (await alice.wait_for(TextReceived)).reply_to == answer.id
    for emoji in ("🐝", ""):
        await kit.do(DEVICE, send_reaction={"to_jid": alice.jid, "message_id": answer.id, "emoji": emoji})
        assert (await alice.wait_for(ReactionReceived)).emoji == emoji
    await kit.do(DEVICE, send_edit={"to_jid": alice.jid, "message_id": first.message_id, "text": "Hello"})
    assert (await alice.wait_for(EditReceived)).text == "Hello"
    await kit.do(DEVICE, send_deletion={"to_jid": alice.jid, "message_id": first.message_id})
    assert (await alice.wait_for(DeletionReceived)).target_id == first.message_id
    await alice.send_reaction(bob, answer.id, "🌻", is_own_message=True)
    assert (await kit.event(DEVICE, "reaction_shown")).emoji == "🌻"
    await alice.send_edit(bob, answer.id, "Hi")
    assert (await kit.event(DEVICE, "edit_shown")).text == "Hi"
    await alice.send_deletion(bob, answer.id)
    assert (await kit.event(DEVICE, "deletion_shown")).target_id == answer.id
    await kit.do(DEVICE, show_typing={"to_jid": alice.jid, "activity": pb.TYPING_ACTIVITY_RECORDING})
    assert (await alice.wait_for(Typing)).state == "RECORDING"
    await alice.send_typing(bob)
    assert (await kit.event(DEVICE, "typing_shown")).activity == pb.TYPING_ACTIVITY_COMPOSING


async def exchange_files(kit: Kit, alice: WhatsAppClient, bob: str, folder: Path) -> None:
    """Each way one, and what is shown is what was sent."""
    media = {"to_jid": alice.jid, "content": b"picture ", "copies": 100, "mimetype": "image/jpeg", "caption": "me"}
    await kit.do(DEVICE, send_media=media)
    received = await alice.wait_for(MediaReceived)
    await alice.download(received.media, folder / "received")
    assert (folder / "received").read_bytes() == b"picture " * 100
    assert (received.media.mimetype, received.media.name) == ("image/jpeg", "me")
    (folder / "plan.txt").write_bytes(b"x" * 5_000)
    sent = await alice.send_document(bob, folder / "plan.txt")
    file = await kit.event(DEVICE, "media_shown")
    assert (file.sender_jid, file.message_id, file.name, file.size_bytes) == (alice.jid, sent.id, "plan.txt", 5_000)
    assert file.sha256 == hashlib.sha256(b"x" * 5_000).digest()


async def block_and_report(kit: Kit, alice: WhatsAppClient, bob: str) -> None:
    """A report of what came, the blocklist, a ping, and the refusal that a client meets."""
    rude = await alice.send_text(bob, "rude")
    assert (await kit.event(DEVICE, "text_shown")).message_id == rude.id
    report = {"jid": alice.jid, "message_ids": [rude.id], "reveals": True}
    assert (await kit.do(DEVICE, report_messages=report)).report_id
    await kit.do(DEVICE, block={"jid": alice.jid})
    assert list((await kit.do(DEVICE, list_blocked={})).jids) == [alice.jid]
    refused = (await kit.ask(DEVICE, send_text={"to_jid": alice.jid, "text": "?"})).refused
    assert (refused.reason, refused.requirement[:3]) == ("RECIPIENT_BLOCKED_BY_SENDER", "MSG")
    assert refused.advice and refused.request_id
    await kit.do(DEVICE, unblock={"jid": alice.jid})
    assert list((await kit.do(DEVICE, list_blocked={})).jids) == []


async def come_and_go(kit: Kit, world: World, alice: WhatsAppClient, bob: str) -> None:
    """What waited comes, whichever way the connection had ended; a client asks for the token that it was not given."""
    for number, ending in enumerate((pb.ENDING_CLEAN, pb.ENDING_ABRUPT)):
        await kit.do(DEVICE, disconnect={"ending": ending})
        gone = await kit.event(DEVICE, "connection_changed")
        assert (gone.is_connected, gone.reason) == (False, "CLOSED")
        await alice.send_text(bob, f"while away {number}")
        connecting = await kit.begin(DEVICE, connect={})
        await kit.event(DEVICE, "token_wanted")
        await kit.do(DEVICE, supply_token={"token": world.partner.issue_token("bob")})
        assert (await connecting).HasField("done")
        assert (await kit.event(DEVICE, "connection_changed")).is_connected
        assert (await kit.event(DEVICE, "text_shown")).text == f"while away {number}"
    await kit.do(DEVICE, restart={})
    assert not (await kit.event(DEVICE, "connection_changed")).is_connected
    await alice.send_text(bob, "again")
    await kit.do(DEVICE, connect={"token": world.partner.issue_token("bob")})
    assert (await kit.event(DEVICE, "connection_changed")).is_connected
    assert (await kit.event(DEVICE, "text_shown")).text == "again"
    listed = await kit.do(DEVICE, list_shown={})
    texts = [event.text_shown.text for event in listed.events if event.HasField("text_shown")]
    assert texts == ["hi", "rude", "while away 0", "while away 1", "again"]
    assert [event.number for event in listed.events] == list(range(1, len(listed.events) + 1))
    rest = await kit.do(DEVICE, list_shown={"after": listed.events[-2].number})
    assert list(rest.events) == [listed.events[-1]] and not rest.has_more


async def begin_anew(kit: Kit, world: World, alice: WhatsAppClient) -> None:
    """A new installation has new keys; the old contact's device is warned of none, a changed peer's is accepted."""
    await kit.do(DEVICE, accept_identity={"jid": alice.jid})
    await kit.do(DEVICE, wipe={})
    failed = (await kit.ask(DEVICE, connect={"token": "x"})).failed
    assert failed.kind == pb.FAILURE_KIND_WRONG_COMMAND
    await kit.do(DEVICE, enlist={"token": world.partner.issue_token("bob")})
    await kit.do(DEVICE, connect={"token": world.partner.issue_token("bob")})
    await kit.do(DEVICE, publish_prekeys={"count": 5})
    other = await world.whatsapp(opted_in=False)
    await kit.do(DEVICE, ping_reachability={"phone_number": phone_of(other), "display_name": "Bob"})
    assert (await other.wait_for(ReachabilityPing)).display_name == "Bob"
    await kit.do(DEVICE, delete_account={})
    for _ in range(2):
        await kit.do(DEVICE, stop_device={})


async def test_a_client_behind_its_messengers_proxy_is_driven_alike(kit: Kit, world: World) -> None:
    """It enlists with the proxy's key, and its texts and receipts go the same ways."""
    alice = await world.whatsapp()
    url = f"{world.partner.base_url}/proxy/authkey"
    async with aiohttp.ClientSession() as http, http.get(url, params={"user": "bob"}) as response:
        auth_public_key = bytes.fromhex((await response.json())["public_key"])
    proxy = pb.ClientProxy(url=world.partner.proxy_url, auth_public_key=auth_public_key, client_ip=CLIENT_IP)
    bob = await connected(kit, world, proxy=proxy)
    await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "hello"})
    await alice.send_text(bob, "hi", await alice.wait_for(TextReceived))
    assert (await kit.event(DEVICE, "text_shown")).text == "hi"
    [connection] = [each for each in await world.admin.list_connections() if each.jid == bob]
    assert connection.client_ip == CLIENT_IP
    await kit.do(DEVICE, disconnect={"ending": pb.ENDING_ABRUPT})
    await kit.do(DEVICE, connect={"token": world.partner.issue_token("bob")})
    await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "back"})
    assert (await alice.wait_for(TextReceived)).text == "back"


async def test_a_device_that_meets_trouble_says_so_and_the_run_goes_on(kit: Kit, world: World) -> None:
    """Commands that are wrong, unknown or out of place, another server's root, a peer who cannot be reached."""
    alice = await world.whatsapp(opted_in=False)
    wrong = pb.FAILURE_KIND_WRONG_COMMAND
    assert (await kit.ask("nobody", wipe={})).failed.kind == wrong
    for name in ("", "a b", "x" * 65):
        assert (await kit.ask(name, start_device=start_of(world))).failed.kind == wrong, name
    for changes in ({"root_public_key": b"short"}, {"proxy": pb.ClientProxy(client_ip="nowhere")}):
        assert (await kit.ask(DEVICE, start_device=start_of(world, **changes))).failed.kind == wrong, changes
    assert (await kit.ask(DEVICE)).HasField("unsupported")
    await connected(kit, world)
    assert (await kit.ask(DEVICE, start_device=start_of(world))).failed.kind == wrong
    for command in (
        {"disconnect": {}},
        {"show_typing": {"to_jid": alice.jid}},
        {"send_text": {"to_jid": alice.jid, "text": "?", "reply_to": "unknown"}},
        {"mark_read": {"sender_jid": alice.jid, "message_ids": ["unknown"]}},
        {"send_media": {"to_jid": alice.jid, "content": b"x", "copies": 129}},
    ):
        assert (await kit.ask(DEVICE, **command)).failed.kind == wrong, command
    refused = (await kit.ask(DEVICE, send_text={"to_jid": alice.jid, "text": "hello"})).refused
    assert refused.reason == "RECIPIENT_NOT_REACHABLE"
    await kit.do("misled", start_device=start_of(world, root_public_key=bytes(range(32))))
    await kit.do("misled", enlist={"token": world.partner.issue_token("eve")})
    failed = (await kit.ask("misled", connect={"token": world.partner.issue_token("eve")})).failed
    assert failed.kind == pb.FAILURE_KIND_UNTRUSTED_SERVER and failed.detail
    await kit.do(DEVICE, disconnect={"ending": pb.ENDING_CLEAN})
    ended = (await kit.ask(DEVICE, show_typing={"to_jid": alice.jid, "activity": pb.TYPING_ACTIVITY_PAUSED})).failed
    assert ended.kind == pb.FAILURE_KIND_CONNECTION_ENDED
    assert (await kit.ask(DEVICE, connect={"token": "no token"})).refused.reason == "TOKEN_MALFORMED"
