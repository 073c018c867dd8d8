"""The client in TypeScript talks with the one in Python, in both roles, directly and through the messenger's proxy."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from interop_client.client import InteropClient
from interop_client.media.upload import media_host
from interop_client.messaging.events import MediaReceived, ReceiptReceived, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_demo.devices import node_device
from interop_demo.people import Person, Refused
from tests.e2e.conftest import CLIENT_IP, World
from tests.node import built_node_client

_numbers = itertools.count(10_000_000)

TURNS = 20
"""How many texts a chat has; every other one is an answer, so the ratchet turns with each."""

BothWays = pytest.mark.parametrize("by_proxy", [False, True], ids=["direct", "by-proxy"])

MakePerson = Callable[..., Awaitable[Person]]


@pytest.fixture(scope="session")
def node_client() -> Path:
    """The client in TypeScript, built."""
    return built_node_client()


@pytest_asyncio.fixture
async def person(node_client: Path, world: World, tmp_path: Path) -> AsyncIterator[MakePerson]:
    """Makes people whose devices are the client in TypeScript, in a process for each."""
    assert node_client, "it is there to be built before"
    async with AsyncExitStack() as stack:

        async def make(user: str, **settings: str) -> Person:
            made = Person(user, "Node.js", tmp_path / "devices", {"user": user, **settings}, node_device())
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        yield make


async def third_party_in_node(world: World, person: MakePerson, *, by_proxy: bool) -> Person:
    """A connected third-party user in TypeScript."""
    settings = {"client_ip": CLIENT_IP} if by_proxy else {}
    bob = await person("bob", messenger=world.partner.base_url, **settings)
    bob.jid = (await bob.ask("enlist", simulator=simulator(world)))["jid"]
    await bob.ask("connect", simulator=simulator(world))
    assert await bob.ask("publish_prekeys") == {"count": 50, "intact": True}
    return bob


async def whatsapp_in_node(world: World, person: MakePerson) -> Person:
    """A connected WhatsApp user in TypeScript, who has opted in."""
    number = f"+49152{next(_numbers)}"
    alice = await person(number)
    auth_key = bytes.fromhex((await alice.ask("make_keys"))["auth_public_key"])
    alice.jid = await world.admin.put_whatsapp_user(number, auth_key)
    await alice.ask("connect", simulator=simulator(world))
    await alice.ask("publish_prekeys")
    for step in ("see_terms", "accept_terms"):
        await alice.ask(step)
    await alice.ask("opt_in", integrators=[world.integrator])
    return alice


def simulator(world: World) -> dict[str, Any]:
    endpoint = world.endpoint
    return {"grpc": endpoint.grpc, "http": endpoint.http, "root_public_key": endpoint.root_public_key.hex()}


def content(downloaded: dict[str, Any]) -> bytes:
    return Path(downloaded["file"]).read_bytes()


async def chat(node: Person, python: InteropClient) -> None:
    """Both write in turn, each answers the other, and each sees that it was delivered and read."""
    for turn in range(TURNS):
        sent = await node.ask("send_text", to=python.jid, text=f"from Node.js {turn}")
        received = await python.wait_for(TextReceived)
        assert (received.text, received.id, received.sender) == (f"from Node.js {turn}", sent["id"], node.jid)
        assert received.evidence is not None, "the reporting token is right"
        await node.ask("wait_for_receipts", ids=[sent["id"]], is_read=False)
        await python.mark_read(received)
        await node.ask("wait_for_receipts", ids=[sent["id"]], is_read=True)

        answer = await python.send_text(node.jid, f"from Python {turn}", received)
        heard = await node.ask("wait_for_text")
        assert (heard["text"], heard["id"], heard["reply_to"]) == (f"from Python {turn}", answer.id, sent["id"])
        assert not (await python.wait_for(ReceiptReceived)).is_read
        await node.ask("mark_read", message_id=answer.id)
        assert (await python.wait_for(ReceiptReceived)).is_read


async def mend(world: World, node: Person, python: InteropClient) -> None:
    """The device in TypeScript goes back to an old state: what it cannot read, it asks for and gets again."""
    await node.ask("back_up")
    await python.send_text(node.jid, "read before the loss")
    await node.ask("wait_for_text")
    await node.ask("send_text", to=python.jid, text="written before the loss")
    await python.wait_for(TextReceived)
    await node.ask("restore_backup", simulator=simulator(world))
    await python.send_text(node.jid, "after the loss")
    assert (await node.ask("wait_for_text"))["text"] == "after the loss"
    await node.ask("send_text", to=python.jid, text="and back")
    assert (await python.wait_for(TextReceived)).text == "and back"


async def wait_offline(world: World, node: Person, python: InteropClient) -> None:
    """What was written while the device in TypeScript was off, its process too, comes when it is back, in order."""
    await node.stop()
    texts = [f"while you were away {number}" for number in range(3)]
    for text in texts:
        await python.send_text(node.jid, text)
    await node.start()
    await node.ask("connect", simulator=simulator(world))
    backlog = await node.ask("take_backlog")
    assert [text["text"] for text in backlog["texts"]] == texts


@BothWays
async def test_a_third_party_user_in_typescript(
    world: World, person: MakePerson, tmp_path: Path, by_proxy: bool
) -> None:
    """With a WhatsApp user in Python: chat, files both ways, a backlog, and a session that breaks and mends."""
    bob = await third_party_in_node(world, person, by_proxy=by_proxy)
    alice: WhatsAppClient = await world.whatsapp()
    await chat(bob, alice)

    picture, document, copy = tmp_path / "cat.png", tmp_path / "paper.pdf", tmp_path / "copy"
    picture.write_bytes(os.urandom(300_000))
    document.write_bytes(os.urandom(1_500_000))
    await bob.ask("send_image", to=alice.jid, file=str(picture), mimetype="image/png")
    await alice.download((await alice.wait_for(MediaReceived)).media, copy)
    assert copy.read_bytes() == picture.read_bytes()
    sent = await alice.send_document(bob.jid, document, mimetype="application/pdf")
    assert (await bob.ask("wait_for_media"))["id"] == sent.id
    # Blobs do not go through a proxy.
    downloaded = await bob.ask("download", message_id=sent.id, http=world.endpoint.http if by_proxy else "")
    assert (downloaded["name"], downloaded["mimetype"]) == ("paper.pdf", "application/pdf")
    assert content(downloaded) == document.read_bytes()

    await wait_offline(world, bob, alice)
    await mend(world, bob, alice)


@BothWays
async def test_a_whatsapp_user_in_typescript(world: World, person: MakePerson, tmp_path: Path, by_proxy: bool) -> None:
    """With a third-party user in Python: the same."""
    alice = await whatsapp_in_node(world, person)
    bob: ThirdPartyClient = await (world.third_party_by_proxy if by_proxy else world.third_party)("bob")
    assert (await alice.ask("resolve", external_id="bob", integrator=world.integrator))["jid"] == bob.jid
    await chat(alice, bob)

    picture, document, copy = tmp_path / "cat.png", tmp_path / "paper.pdf", tmp_path / "copy"
    picture.write_bytes(os.urandom(300_000))
    document.write_bytes(os.urandom(1_500_000))
    sent = await bob.send_image(alice.jid, picture, media_host(world.partner.media_url))
    await alice.ask("wait_for_media")
    assert content(await alice.ask("download", message_id=sent.id)) == picture.read_bytes()
    await alice.ask("send_document", to=bob.jid, file=str(document), mimetype="application/pdf")
    media = (await bob.wait_for(MediaReceived)).media
    await bob.download(media, copy, world.endpoint.http if by_proxy else "")
    assert copy.read_bytes() == document.read_bytes() and media.name == "paper.pdf"
    chats = (await alice.ask("list_chats"))["chats"]
    assert chats == [{"peer": bob.jid, "name": "bob", "read_only": False}]

    await wait_offline(world, alice, bob)
    await mend(world, alice, bob)


async def test_a_reset_device_and_a_new_identity_key(world: World, person: MakePerson) -> None:
    """A device in TypeScript that was set up anew has a new identity, and both sides go on with it."""
    bob = await third_party_in_node(world, person, by_proxy=False)
    alice = await world.whatsapp()
    await chat(bob, alice)
    await bob.stop()
    (bob.folder / "state").unlink()
    await bob.start()
    assert (await bob.ask("enlist", simulator=simulator(world)))["jid"] == bob.jid
    await bob.ask("connect", simulator=simulator(world))
    await bob.ask("publish_prekeys")
    await bob.ask("send_text", to=alice.jid, text="from my new phone")
    assert (await alice.wait_for(TextReceived)).text == "from my new phone"
    await alice.send_text(bob.jid, "to your new phone")
    assert (await bob.ask("wait_for_text"))["text"] == "to your new phone"


async def test_a_refusal_is_the_same_in_both(world: World, person: MakePerson) -> None:
    """Reason, requirement, code and advice of a refusal are what the Python client has of it."""
    bob = await third_party_in_node(world, person, by_proxy=False)
    stranger = await world.whatsapp(opted_in=False)
    with pytest.raises(Refused) as refused:
        await bob.ask("send_text", to=stranger.jid, text="Hello?")
    assert (refused.value.reason, refused.value.requirement) == ("RECIPIENT_NOT_REACHABLE", "OPT-09")
    assert refused.value.request_id and refused.value.advice
