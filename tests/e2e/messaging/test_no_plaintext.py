"""No server sees what people write: canaries go directly and by proxy, and are looked for wherever servers keep things.

Simulator and messenger, whose proxy speaks Noise for its users, are processes of their own. Searched are the database
with its write-ahead log, blobs, logs, the journal, all that the messenger keeps, and the memory of both processes.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.client import InteropClient
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.media.upload import media_host
from interop_client.messaging.events import MediaReceived, TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child, partner_server, simulator
from interop_demo.search import Secret, file_secret, files_under, key_secret, search, text_secret
from interop_protocol.endpoint import Endpoint
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import sealed_message

pytestmark = pytest.mark.requirement("PRX-06", "MSG-02", "MED-01")

INTEGRATOR = 17
CLIENT_IP = "203.0.113.7"
CANARY = ": the canary "
MEMORY_CHUNK_BYTES = 1 << 24


@dataclass
class Talk:
    """What was said between people on two servers, and where the servers keep what they keep."""

    folder: Path
    simulator: Child
    messenger: Child
    secrets: list[Secret] = field(default_factory=list)
    """What must be found nowhere."""
    known_to_simulator: list[Secret] = field(default_factory=list)
    """What must be found there: without it, a search that finds nothing would prove nothing."""
    known_to_messenger: list[Secret] = field(default_factory=list)

    def say(self, name: str) -> str:
        """Returns a text like no other, to be searched for."""
        text = f"{name}{CANARY}{os.urandom(8).hex()} sings"
        self.secrets.append(text_secret(name, text))
        return text

    def file(self, name: str, length: int) -> Path:
        """Makes a file like no other, to be searched for: by its content and by its name."""
        path = self.folder / "devices" / f"{os.urandom(8).hex()}-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(length))
        self.secrets += [file_secret(name, path), text_secret(f"the name of {name}", path.name)]
        return path

    def keep_keys(self, name: str, client: InteropClient) -> None:
        """Notes a person's private keys."""
        signal = client.state.signal
        self.secrets.append(key_secret(f"{name}'s identity key", signal.identity.private_key))
        for number, prekey in signal.signed_prekeys.items():
            self.secrets.append(key_secret(f"{name}'s signed prekey {number}", prekey.key_pair.private_key))
        for number, private_key in signal.one_time_prekeys.items():
            self.secrets.append(key_secret(f"{name}'s one-time prekey {number}", private_key))


class People:
    """Alice at WhatsApp, Bob who connects directly, and Carol behind her messenger's proxy."""

    def __init__(self, endpoint: Endpoint, admin: AdminClient, messenger: str, http: aiohttp.ClientSession) -> None:
        self.endpoint = endpoint
        self._admin = admin
        self._messenger = messenger
        self._http = http
        self.alice: WhatsAppClient
        self.bob: ThirdPartyClient
        self.carol: ThirdPartyClient

    async def gather(self, stack: AsyncExitStack, issuer: str) -> None:
        """Registers everybody, and connects them."""
        addresses = {
            "grpc": self.endpoint.grpc,
            "http": self.endpoint.http,
            "root_public_key": self.endpoint.root_public_key.hex(),
        }
        async with self._http.post(f"{self._messenger}/admin/simulator", json=addresses) as response:
            assert response.ok, await response.text()
        await self._admin.put_partner(
            admin_pb2.Partner(
                integrator=INTEGRATOR,
                name="Pigeon",
                issuer=issuer,
                base_url=self._messenger,
                push_url=f"{self._messenger}/whatsapp/push",
                media_url=f"{self._messenger}/media",
                status=interop_pb2.PARTNER_STATUS_ACTIVE,
                identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
                proxy_allowed=True,
            )
        )
        self.alice = await self._alice()
        self.bob, self.carol = await self._third_party("bob"), await self._third_party("carol", CLIENT_IP)
        for client in (self.alice, self.bob, self.carol):
            await stack.enter_async_context(client)
            await client.publish_prekeys(20)
        await self.alice.accept_terms()
        await self.alice.opt_in([INTEGRATOR])

    async def _alice(self) -> WhatsAppClient:
        state = ClientState.generate()
        state.jid = await self._admin.put_whatsapp_user("+491701234567", state.auth_public_key)
        return WhatsAppClient.direct(self.endpoint, state, options=QUIET)

    async def _third_party(self, user: str, client_ip: str = "") -> ThirdPartyClient:
        state, get_token = ClientState.generate(), self._token_source(user)
        direct = ThirdPartyClient.direct(self.endpoint, state, get_token, options=QUIET)
        if not client_ip:
            await direct.enlist(await get_token())
            return direct
        async with self._http.get(f"{self._messenger}/proxy/authkey", params={"user": user}) as response:
            auth_key = bytes.fromhex((await response.json())["public_key"])
        jid = await direct.enlist_over_http(self.endpoint.http, await get_token(), auth_key)
        transport = ProxyTransport(f"{self._messenger}/proxy", ProxyLogin(user, jid, get_token), client_ip)
        return ThirdPartyClient(transport, state, options=QUIET)

    def _token_source(self, user: str) -> Callable[[], Awaitable[str]]:
        async def get_token() -> str:
            async with self._http.post(f"{self._messenger}/tokens", json={"user": user}) as response:
                return str((await response.json())["token"])

        return get_token


async def hear(recipient: InteropClient, text: str) -> TextReceived:
    received = await recipient.wait_for(TextReceived)
    assert received.text == text
    return received


async def chat(talk: Talk, people: People, name: str, peer: ThirdPartyClient) -> None:
    """Everything that two people can say to each other."""
    alice = people.alice
    for number in range(3):  # the first messages begin a session, the later ones go on with it
        text = talk.say(f"{name} to Alice {number}")
        await peer.send_text(alice.jid, text)
        received = await hear(alice, text)
        text = talk.say(f"Alice to {name} {number}")
        await alice.send_text(peer.jid, text, received)
        received = await hear(peer, text)
        await peer.mark_read(received)
    await alice.send_reaction(peer.jid, received.id, talk.say(f"Alice's reaction to {name}"), is_own_message=True)

    async def host(blob: Path) -> str:
        content = await asyncio.to_thread(blob.read_bytes)
        talk.known_to_messenger.append(Secret(f"{name}'s blob, encrypted", (content[:64],)))
        return await media_host(f"{people._messenger}/media")(blob)

    picture, caption = talk.file(f"{name}'s picture", 100_000), talk.say(f"{name}'s caption")
    await peer.send_image(alice.jid, picture, host, caption=caption)
    media = (await alice.wait_for(MediaReceived)).media
    await alice.download(media, talk.folder / "devices" / f"received {name} picture", people.endpoint.http)
    talk.secrets.append(key_secret(f"{name}'s media key", media.media_key))
    await alice.send_document(peer.jid, talk.file(f"Alice's document for {name}", 100_000))
    media = (await peer.wait_for(MediaReceived)).media
    await peer.download(media, talk.folder / "devices" / f"received {name} document", people.endpoint.http)
    talk.secrets.append(key_secret(f"Alice's media key for {name}", media.media_key))


async def leave_things_behind(talk: Talk, people: People) -> None:
    """What waits for somebody who is away, what is refused, and what nobody can read."""
    known = b"ciphertext that the server has to keep " + os.urandom(16)
    talk.known_to_simulator.append(Secret("a ciphertext that waits", (known,)))
    for name, client in (("Bob", people.bob), ("Carol", people.carol)):
        await client.close()
        await people.alice.send_text(client.jid, talk.say(f"what waits for {name}"))
        await people.alice.send_encrypted(sealed_message(client.jid, f"sealed-for-{name}", known).message)
    nobody = f"{INTEGRATOR}-12345@interop"
    assert await refused(people.alice.send_text(nobody, talk.say("what nobody gets"))) == "RECIPIENT_NOT_REACHABLE"
    await people.alice.block(people.bob.jid)
    blocked = people.alice.send_text(people.bob.jid, talk.say("to whom she blocks"))
    assert await refused(blocked) == "RECIPIENT_BLOCKED_BY_SENDER"


@asynccontextmanager
async def both_servers(folder: Path) -> AsyncIterator[Talk]:
    """A simulator that logs all it can, and a messenger's server with its proxy; each has a folder of its own."""
    for name in ("simulator", "messenger"):
        (folder / name).mkdir()
    journal = ["--journal", str(folder / "simulator" / "journal.jsonl"), "--log-level", "debug"]
    async with (
        simulator(folder / "simulator" / "log", folder / "simulator" / "db", journal) as whatsapp,
        partner_server(folder / "messenger" / "log", folder / "messenger" / "data") as messenger,
    ):
        yield Talk(folder, whatsapp, messenger)


@pytest_asyncio.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    """Everything has been said; the servers still run, and the journal lies with the simulator's files."""
    async with AsyncExitStack() as stack:
        talk = await stack.enter_async_context(both_servers(tmp_path))
        endpoint = Endpoint.from_ready_line(json.dumps(dict(talk.simulator.ready)))
        admin = await stack.enter_async_context(AdminClient(endpoint.admin))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        people = People(endpoint, admin, str(talk.messenger.ready["base_url"]), http)
        await people.gather(stack, str(talk.messenger.ready["issuer"]))
        for name, client in (("Alice", people.alice), ("Bob", people.bob), ("Carol", people.carol)):
            talk.keep_keys(name, client)
        talk.known_to_simulator += [
            text_secret("Bob's JID", people.bob.jid),
            text_secret("Carol's JID", people.carol.jid),
        ]
        await chat(talk, people, "Bob", people.bob)
        await chat(talk, people, "Carol", people.carol)
        await leave_things_behind(talk, people)
        entries = [str(response.entry) async for response in admin.read_journal()]
        told = [*entries, str(await admin.get_statistics()), str(await admin.list_partners())]
        (tmp_path / "simulator" / "told to the operator").write_text("\n".join(told))
        yield talk


def found_nowhere(talk: Talk) -> None:
    """Asserts that the search finds in each folder what must be there, and of the secrets none."""
    assert len(talk.secrets) > 80
    for name, known in (("simulator", talk.known_to_simulator), ("messenger", talk.known_to_messenger)):
        found = {hit.rpartition(" in ")[0] for hit in search(known, files_under(talk.folder / name)).hits}
        assert found == {secret.name for secret in known}
        findings = search(talk.secrets, files_under(talk.folder / name))
        assert findings.files > 2 and findings.hits == ()


async def test_what_people_say_is_in_no_file(talk: Talk) -> None:
    """Neither while the servers run, nor after they have stopped and put everything in order."""
    devices = {hit.rpartition(" in ")[0] for hit in search(talk.secrets, files_under(talk.folder / "devices")).hits}
    assert {"Bob's picture", "Alice's document for Carol"} <= devices, "the search finds nothing even where it is"
    kept = {path.name for path in files_under(talk.folder / "simulator")}
    assert {"db", "db-wal", "log", "journal.jsonl", "told to the operator"} < kept
    await asyncio.to_thread(found_nowhere, talk)
    await talk.simulator.stop()
    await talk.messenger.stop()
    assert not (talk.folder / "simulator" / "db-wal").exists()
    await asyncio.to_thread(found_nowhere, talk)


async def test_what_people_say_is_not_in_the_memory_of_a_server(talk: Talk) -> None:
    """The proxy holds the keys of the channel, and what goes through it is still sealed."""
    if not os.access(f"/proc/{talk.simulator.pid}/mem", os.R_OK):
        pytest.skip("the memory of another process cannot be read here")
    keys = {secret.name: secret.patterns[0] for secret in talk.secrets if "prekey" not in secret.name}
    secrets = {name: pattern for name, pattern in keys.items() if CANARY.encode() not in pattern}
    assert {"Bob's identity key", "Carol's media key", "Bob's picture"} <= set(secrets)
    known = {secret.name: secret.patterns[0] for secret in talk.known_to_simulator[1:]}
    for child in (talk.simulator, talk.messenger):
        found = await asyncio.to_thread(in_memory, child.pid, {"a text": CANARY.encode(), **secrets, **known})
        assert found <= set(known), child.name
        assert "Carol's JID" in found, "the search does not even find who has just been connected"


def in_memory(pid: int, patterns: dict[str, bytes]) -> set[str]:
    """Looks into the memory that a process keeps data in; returns the names of the patterns found."""
    overlap = max(map(len, patterns.values())) - 1
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in data_of(pid):
            tail = b""
            for at in range(start, end, MEMORY_CHUNK_BYTES):
                memory.seek(at)
                try:
                    chunk = memory.read(min(MEMORY_CHUNK_BYTES, end - at))
                except OSError:
                    break  # it has just been given back
                part = tail + chunk
                found.update(name for name, pattern in patterns.items() if pattern in part)
                tail = part[-overlap:]
    return found


def data_of(pid: int) -> Iterator[tuple[int, int]]:
    """Yields where a process keeps data: what it can write to."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, permissions = line.split()[:2]
        if permissions.startswith("rw"):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)
