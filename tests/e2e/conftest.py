"""A running simulator in a child process, and a world of one's own in it: a messenger, its users, WhatsApp users."""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import admin_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child, simulator
from interop_protocol.endpoint import Endpoint
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.recorded import RecordedAdmin
from tests.evidence import new_journal
from tests.registration import registration

# A world takes 999 messengers. Those of the samples, which run in the same simulator, are 101 and on.
_integrators: defaultdict[bytes, Iterator[int]] = defaultdict(lambda: itertools.count(200))
"""The next messenger's number, by the root key of the world."""
_numbers = itertools.count(10_000_000)


CLIENT_IP = "203.0.113.7"
"""Where a proxied client's phone is, if a test does not say otherwise; reserved for documentation (RFC 5737)."""


class World:
    """One test's own messenger and people; other tests' are invisible to it."""

    def __init__(
        self, integrator: int, endpoint: Endpoint, partner: PartnerServer, admin: AdminClient, stack: AsyncExitStack
    ) -> None:
        self.integrator = integrator
        self.endpoint = endpoint
        self.partner = partner
        self.admin = admin
        self._stack = stack

    async def register(self, **changes: object) -> admin_pb2.Partner:
        """Registers the messenger, or changes how it is registered."""
        entry = registration(self.partner, self.integrator, f"Messenger {self.integrator}")
        entry.MergeFrom(admin_pb2.Partner(**changes))  # type: ignore[arg-type]
        await self.admin.put_partner(entry)
        return entry

    def device(
        self, user: str, options: ClientOptions | None = None, state: ClientState | None = None
    ) -> ThirdPartyClient:
        """A third-party user's client, not enlisted and not connected; closed at the end of the test."""

        async def get_token() -> str:
            return self.partner.issue_token(user)

        client = ThirdPartyClient.direct(self.endpoint, state or ClientState.generate(), get_token, options=options)
        self._stack.push_async_callback(client.close)
        return client

    def close_later(self, client: InteropClient) -> None:
        """Closes a client at the end of the test."""
        self._stack.push_async_callback(client.close)

    async def third_party(self, user: str, options: ClientOptions | None = None) -> ThirdPartyClient:
        """An enlisted and connected third-party user with published prekeys."""
        client = self.device(user, options)
        await client.enlist(self.partner.issue_token(user))
        await client.connect()
        await client.publish_prekeys(20)
        return client

    async def proxied(
        self, user: str, options: ClientOptions | None = None, client_ip: str = CLIENT_IP
    ) -> ThirdPartyClient:
        """A third-party user's client behind the messenger's proxy, enlisted with its auth key; not connected."""

        async def get_token() -> str:
            return self.partner.issue_token(user)

        url, state = f"{self.partner.base_url}/proxy/authkey", ClientState.generate()
        async with aiohttp.ClientSession() as http, http.get(url, params={"user": user}) as response:
            auth_public_key = bytes.fromhex((await response.json())["public_key"])
        jid = await self.device(user, state=state).enlist_over_http(
            self.endpoint.http, await get_token(), auth_public_key
        )
        transport = ProxyTransport(self.partner.proxy_url, ProxyLogin(user, jid, get_token), client_ip)
        client = ThirdPartyClient(transport, state, options=options)
        self._stack.push_async_callback(client.close)
        return client

    async def third_party_by_proxy(self, user: str, options: ClientOptions | None = None) -> ThirdPartyClient:
        """An enlisted third-party user, connected through the messenger's proxy, with published prekeys."""
        client = await self.proxied(user, options)
        await client.connect()
        await client.publish_prekeys(20)
        return client

    async def whatsapp_device(self, options: ClientOptions | None = None) -> WhatsAppClient:
        """A registered WhatsApp user's client, not connected; closed at the end of the test."""
        state = ClientState.generate()
        state.jid = await self.admin.put_whatsapp_user(f"+49151{next(_numbers)}", state.auth_public_key)
        client = WhatsAppClient.direct(self.endpoint, state, options=options)
        self._stack.push_async_callback(client.close)
        return client

    async def whatsapp(self, *, opted_in: bool = True, options: ClientOptions | None = None) -> WhatsAppClient:
        """A connected WhatsApp user with published prekeys, by default opted in for this world's messenger."""
        client = await self.whatsapp_device(options)
        await client.connect()
        await client.publish_prekeys(20)
        if opted_in:
            await client.accept_terms()
            await client.opt_in([self.integrator])
        return client

    async def stored(self) -> dict[str, int]:
        """Rows in the simulator's store, by table."""
        return dict((await self.admin.get_statistics()).stored)


def recorded_simulator(log: Path, db: Path | None = None, arguments: Sequence[str] = ()) -> Child:
    """Describes a simulator whose decisions count as evidence of what end-to-end tests provoke."""
    return simulator(log, db, ["--journal", str(new_journal()), *arguments])


@asynccontextmanager
async def shared_simulator(folder: Path, arguments: Sequence[str] = ()) -> AsyncIterator[Child]:
    """A simulator for several tests, each of which has a world of its own in it."""
    async with recorded_simulator(folder / "simulator.log", None, arguments) as child:
        # The key for pushes is made in the background at the first one: in whichever test counts rows just then.
        async with aiohttp.ClientSession() as http, http.get(f"{child.ready['http']}/.well-known/jwks") as key_set:
            key_set.raise_for_status()
        yield child


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Child]:
    """One simulator for all tests of the session."""
    async with shared_simulator(tmp_path_factory.mktemp("simulator")) as child:
        yield child


@pytest.fixture
def endpoint(simulator_process: Child) -> Endpoint:
    """Where the shared simulator is."""
    return Endpoint.from_ready_line(json.dumps(dict(simulator_process.ready)))


@pytest.fixture(scope="session")
def signing_keys() -> SigningKeys:
    """One RSA key for all messengers of the session: making one takes long."""
    return SigningKeys()


@asynccontextmanager
async def open_world(
    endpoint: Endpoint, signing_keys: SigningKeys, folder: Path, now: Callable[[], float] = time.time
) -> AsyncIterator[World]:
    """Registers a messenger of its own with a simulator; closes everything at the end.

    Its issuer is not its address: the system gives the port of a messenger that is gone to a later one, and an issuer
    belongs to one integrator for ever. The messenger tells the time by `now`: seconds since the UNIX epoch.
    """
    integrator = next(_integrators[endpoint.root_public_key])
    settings = PartnerSettings(folder, issuer=f"https://messenger-{integrator}.example", endpoint=endpoint)
    async with AsyncExitStack() as stack:
        partner = await stack.enter_async_context(PartnerServer(settings, keys=signing_keys, now=now))
        admin = await stack.enter_async_context(RecordedAdmin(endpoint.admin))
        world = World(integrator, endpoint, partner, admin, stack)
        await world.register()
        yield world


@pytest_asyncio.fixture
async def world(endpoint: Endpoint, signing_keys: SigningKeys, tmp_path: Path) -> AsyncIterator[World]:
    """A messenger of one's own, registered with the shared simulator."""
    async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
        yield world


@pytest_asyncio.fixture
async def second_world(endpoint: Endpoint, signing_keys: SigningKeys, tmp_path: Path) -> AsyncIterator[World]:
    """Another messenger, registered with the same simulator."""
    async with open_world(endpoint, signing_keys, tmp_path / "second_partner") as world:
        yield world
