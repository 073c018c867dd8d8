"""The simulator is killed while people write, and started again on its database: nothing acked is lost or doubled."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from interop_api.v1 import prekeys_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.connection.calls import unary_call
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import ConnectionLost, OfflineEnd, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire
from tests.invariants import violations, violations_on_server
from tests.postgres import fresh_database

SENDERS = 4
ACKED_BEFORE_THE_KILL = 200
AFTER_THE_RESTART = 5
WAIT_SECONDS = 30.0


@dataclass
class Writer:
    """Someone who writes without a pause, and remembers what became of it."""

    client: WhatsAppClient
    name: str
    acked: list[str] = field(default_factory=list)
    unsettled: tuple[str, str] | None = None
    """Id and text of the message that was on its way when the connection ended."""

    async def write(self, to: str, count: int, progress: asyncio.Semaphore) -> None:
        """Writes texts one after the other until the connection ends, or that many."""
        for _ in range(count):
            message_id = self.client.state.take_message_id()
            text = f"{self.name} {len(self.acked)}"
            self.unsettled = (message_id, text)
            await self.client.send_message(to, text_content(text), message_id)
            self.acked.append(text)
            self.unsettled = None
            progress.release()

    async def settle(self, to: str) -> None:
        """Sends what was on its way again, with the id of the first attempt: the server takes it once (MSG-04)."""
        if self.unsettled is not None:
            message_id, text = self.unsettled
            await self.client.send_message(to, text_content(text), message_id)
            self.acked.append(text)
            self.unsettled = None


@dataclass
class Restartable:
    """A simulator that is not shared, on a database that stays, and a world in it."""

    folder: Path
    world: World
    child: Child
    stack: AsyncExitStack
    store: tuple[Path | None, Sequence[str]]
    """The file, or what names the database on a server."""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.from_ready_line(json.dumps(dict(self.child.ready)))

    async def start_again(self) -> None:
        """Starts another simulator on the same database; the messenger is told where it is."""
        self.child = await self.stack.enter_async_context(recorded_simulator(self.folder / "second.log", *self.store))
        self.world.partner.set_simulator(self.endpoint)

    async def whatsapp(self, before: WhatsAppClient) -> WhatsAppClient:
        """The same person's client, connected to the simulator that runs now."""
        return await self.stack.enter_async_context(WhatsAppClient.direct(self.endpoint, before.state))

    def device(self, before: ThirdPartyClient, user: str, options: ClientOptions | None = None) -> ThirdPartyClient:
        """The same person's client, for the simulator that runs now."""

        async def get_token() -> str:
            return self.world.partner.issue_token(user)

        return ThirdPartyClient.direct(self.endpoint, before.state, get_token, options=options)

    async def third_party(self, before: ThirdPartyClient, user: str) -> ThirdPartyClient:
        """The same person's client, connected to the simulator that runs now."""
        return await self.stack.enter_async_context(self.device(before, user))


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def restartable(
    request: pytest.FixtureRequest, tmp_path: Path, signing_keys: SigningKeys
) -> AsyncIterator[Restartable]:
    file, url = tmp_path / "simulator.db", ""
    async with AsyncExitStack() as around:
        if request.param == "postgres":
            url = await around.enter_async_context(fresh_database())
        store = (None, ("--store", url, "--blobs", str(tmp_path))) if url else (file, ())
        async with AsyncExitStack() as stack:
            child = await stack.enter_async_context(recorded_simulator(tmp_path / "first.log", *store))
            endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
            world = await stack.enter_async_context(open_world(endpoint, signing_keys, tmp_path / "partner"))
            yield Restartable(tmp_path, world, child, stack, store)
        assert not (await violations_on_server(url) if url else violations(file))


async def texts_by_sender(*clients: InteropClient) -> dict[str, list[str]]:
    """All texts that closed clients of one account have received, by sender, in order of arrival."""
    texts: dict[str, list[str]] = defaultdict(list)
    for client in clients:
        async for event in client.events():
            if isinstance(event, TextReceived):
                texts[event.sender].append(event.text)
    return texts


@pytest.mark.requirement("MSG-04", "MSG-09", "SIM-03")
async def test_what_was_acked_before_a_kill_arrives_once_and_in_order(restartable: Restartable) -> None:
    """Four people write to Bob, who is reading, and to Carol, who is away, when the server is killed (MSG-04, MSG-09).

    1. SIGKILL once 200 texts are acked, with others on their way.
    2. A second server on the same database is the same server.
    3. Everybody comes back with what their clients remember; what was on its way is sent again.
    4. Bob and Carol have every text once, and each sender's in order.
    """
    world = restartable.world
    bob, carol = await world.third_party("bob"), await world.third_party("carol")
    await carol.close()
    readers = {bob.jid: [Writer(await world.whatsapp(), f"to Bob from {number}") for number in range(SENDERS)]}
    readers[carol.jid] = [Writer(writer.client, f"to Carol from {writer.client.jid}") for writer in readers[bob.jid]]
    progress = asyncio.Semaphore(0)
    writing = [asyncio.create_task(writer.write(jid, 100_000, progress)) for jid in readers for writer in readers[jid]]
    async with asyncio.timeout(WAIT_SECONDS):
        for _ in range(ACKED_BEFORE_THE_KILL):
            await progress.acquire()
        await restartable.child.kill()
        ends = await asyncio.gather(*writing, return_exceptions=True)
    assert all(isinstance(end, ConnectionEnded) for end in ends), ends
    assert isinstance(await bob.wait_for(ConnectionLost), ConnectionLost)

    root_public_key = restartable.endpoint.root_public_key
    await restartable.start_again()
    assert restartable.endpoint.root_public_key == root_public_key
    bob_again = await restartable.third_party(bob, "bob")
    carol_again = await restartable.third_party(carol, "carol")
    clients = {writer.client.jid: await restartable.whatsapp(writer.client) for writer in readers[bob.jid]}
    for jid, writers in readers.items():
        for writer in writers:
            writer.client = clients[writer.client.jid]
            await writer.settle(jid)
            await writer.write(jid, AFTER_THE_RESTART, progress)

    for reader, before in ((bob_again, bob), (carol_again, carol)):
        await reader.wait_for(OfflineEnd)
        last = {(writer.client.jid, writer.acked[-1]) for writer in readers[reader.jid]}
        arrived: list[TextReceived] = []
        while last:
            text = await reader.wait_for(TextReceived)
            arrived.append(text)
            last.discard((text.sender, text.text))
        await reader.close()
        await before.close()
        received = await texts_by_sender(before)
        for event in arrived:
            received[event.sender].append(event.text)
        assert received == {writer.client.jid: writer.acked for writer in readers[reader.jid]}
        assert await texts_by_sender(reader) == {}


@dataclass
class Newcomer:
    """Somebody who enlists and publishes two one-time prekeys, and of whom Alice takes bundles."""

    client: ThirdPartyClient
    user: str
    jid: str = ""
    is_published: bool = False
    taken: list[int | None] = field(default_factory=list)
    """One-time prekeys that Alice has got; None where there was none left."""

    async def arrive(self, world: World, alice: WhatsAppClient, progress: asyncio.Semaphore) -> None:
        """Goes on from wherever it was broken off; enlisting twice is enlisting once (ENL-17)."""
        self.jid = await self.client.enlist(world.partner.issue_token(self.user))
        progress.release()
        await self.client.connect()
        if not self.is_published:
            await self.client.publish_prekeys(2)
            self.is_published = True
            progress.release()
        await self.take(alice)
        progress.release()

    async def take(self, alice: WhatsAppClient) -> None:
        """Has Alice take a bundle."""
        self.taken.append((await alice.take_prekey_bundle(self.jid)).one_time_prekey_id)


@pytest.mark.requirement("SIM-03", "ENL-13", "KEY-05", "KEY-06")
@pytest.mark.parametrize("returned", [5, 16, 31])
async def test_enlistments_and_bundles_outlive_a_kill(restartable: Restartable, returned: int) -> None:
    """People enlist, publish and are taken bundles of, three at a time, when the server is killed.

    1. SIGKILL once so many calls have returned, with others on their way.
    2. On a second server whoever was enlisted still is, with the JID that was told; the others enlist again.
    3. No one-time prekey is given out twice: Alice gets both of each newcomer's, less one that was on its way.
    """
    world, progress = restartable.world, asyncio.Semaphore(0)
    alice = await world.whatsapp()
    people: list[Newcomer] = []

    async def arrive_one_after_the_other() -> None:
        while True:
            user = f"user{len(people)}"
            people.append(Newcomer(world.device(user, QUIET), user))
            await people[-1].arrive(world, alice, progress)

    arriving = [asyncio.create_task(arrive_one_after_the_other()) for _ in range(3)]
    async with asyncio.timeout(WAIT_SECONDS):
        for _ in range(returned):
            await progress.acquire()
        await restartable.child.kill()
        ends = await asyncio.gather(*arriving, return_exceptions=True)
    assert all(isinstance(end, ServerRefusal | ConnectionEnded) for end in ends), ends

    await restartable.start_again()
    alice_again = await restartable.whatsapp(alice)
    for newcomer in people:
        told = newcomer.jid
        newcomer.client = restartable.device(newcomer.client, newcomer.user, QUIET)
        if told:
            await newcomer.client.connect()
        await newcomer.arrive(world, alice_again, progress)
        assert told in ("", newcomer.jid)
        for _ in range(2):
            await newcomer.take(alice_again)
        one_time = [prekey for prekey in newcomer.taken if prekey is not None]
        assert len(one_time) == len(set(one_time)), "a one-time prekey was given out twice"
        assert 1 <= len(one_time) <= 2 and newcomer.taken[-1] is None
        await newcomer.client.close()


async def test_a_session_dies_with_the_server_and_a_new_login_makes_another(restartable: Restartable) -> None:
    """Tokens live in the connection, accounts in the database (CHN-01)."""
    bob = await restartable.world.third_party("bob")
    await bob.close()
    async with Wire(bob.transport) as wire:
        token = wire.login.session_token
        await restartable.child.kill()
    await restartable.start_again()

    async with grpc.aio.insecure_channel(restartable.endpoint.grpc) as channel:

        async def count(token: str) -> prekeys_pb2.CountOneTimePreKeysResponse:
            return await unary_call(
                channel,
                "/interop_api.v1.PreKeyService/CountOneTimePreKeys",
                prekeys_pb2.CountOneTimePreKeysRequest(),
                prekeys_pb2.CountOneTimePreKeysResponse,
                (("authorization", f"Bearer {token}"),),
            )

        assert await refused(count(token)) == "SESSION_DEAD"
        again = await restartable.third_party(bob, "bob")
        assert await again.count_prekeys() == 20
        assert await again.has_intact_prekeys()
        assert await refused(count(token)) == "SESSION_DEAD"


@pytest.mark.requirement("SIM-03")
async def test_choices_blocks_and_chats_outlive_the_server(restartable: Restartable) -> None:
    """What a user has chosen is in the database, and holds for the first stanza after the restart (OPT-02)."""
    world = restartable.world
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    eve = await world.third_party("eve")
    await bob.send_text(alice.jid, "before")
    await alice.wait_for(TextReceived)
    await alice.block(eve.jid)
    await restartable.child.kill()
    await restartable.start_again()

    alice_again = await restartable.whatsapp(alice)
    bob_again, eve_again = await restartable.third_party(bob, "bob"), await restartable.third_party(eve, "eve")
    await eve_again.send_text(alice.jid, "unheard")
    await bob_again.send_text(alice.jid, "after")
    assert (await alice_again.wait_for(TextReceived)).text == "after"
    assert await alice_again.get_blocklist() == [eve.jid]
    assert [chat.external_id async for chat in alice_again.list_chats()] == ["bob"]
    assert list((await alice_again.get_settings()).integrators) == [world.integrator]


async def test_a_server_that_is_gone_is_told_as_such(restartable: Restartable) -> None:
    """A client that connects to nobody gets a refusal that it can act on, and no other error."""
    bob = await restartable.world.third_party("bob")
    await restartable.child.kill()
    await bob.wait_for(ConnectionLost)
    assert await refused(bob.connect()) == "UNAVAILABLE"
