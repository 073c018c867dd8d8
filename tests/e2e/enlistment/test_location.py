"""Where third-party users must be: the policies that an operator can choose, at enlistment and at each connection."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interop_api.v1 import interop_pb2
from interop_client.client import InteropClient
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import LoginRefused
from interop_client.messaging.events import TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.program import ANY_PORTS, run
from tests.e2e.raw import QUIET, check, refused

pytestmark = pytest.mark.requirement("ENL-16")

NETWORKS = """
203.0.113.0/24 DE   # where Carol lives
198.51.100.0/24 US  # where she travels
"""


@asynccontextmanager
async def located(folder: Path, keys: SigningKeys, arguments: Sequence[str]) -> AsyncIterator[World]:
    """A world in a simulator with a location policy of its own."""
    async with recorded_simulator(folder / "simulator.log", arguments=arguments) as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, keys, folder / "partner") as world:
            yield world


def networks(folder: Path, text: str) -> list[str]:
    """What chooses a list of networks on the command line."""
    (folder / "networks").write_text(text)
    return ["--location", "networks", "--location-networks", str(folder / "networks")]


async def check_login(client: InteropClient) -> None:
    """Asserts that a client is refused for where it is, with the code for what nothing that it does can change."""
    with pytest.raises(LoginRefused) as raised:
        await client.connect()
    check(raised.value, "LOCATION_NOT_ALLOWED")
    assert (raised.value.code, raised.value.requirement) == (403, "ENL-16")


def travelled(world: World, carol: ThirdPartyClient, client_ip: str) -> ThirdPartyClient:
    """Carol's client at another address."""

    async def get_token() -> str:
        return world.partner.issue_token("carol")

    login = ProxyLogin("carol", carol.jid, get_token)
    return ThirdPartyClient(ProxyTransport(world.partner.proxy_url, login, client_ip), carol.state, options=QUIET)


@pytest.mark.requirement("PRX-02")
async def test_who_travels_out_of_the_area_is_kept_out_until_they_return(
    tmp_path: Path, signing_keys: SigningKeys
) -> None:
    """By proxy the client's address counts, at each connection; what came meanwhile waits.

    1. Carol connects at home. Bob connects from this machine, of which nothing is known.
    2. She travels: no connection from a country outside, nor from nobody knows where.
    3. Back home she reads what Alice wrote.
    """
    async with located(tmp_path, signing_keys, networks(tmp_path, NETWORKS)) as world:
        alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
        carol = await world.third_party_by_proxy("carol", QUIET)
        await carol.close()
        for client_ip in ("198.51.100.7", "192.0.2.7"):
            await check_login(travelled(world, carol, client_ip))
        await alice.send_text(carol.jid, "How is the journey?")
        async with travelled(world, carol, "203.0.113.9") as home:
            assert (await home.wait_for(TextReceived)).text == "How is the journey?"
        await bob.ping()


async def test_who_is_outside_is_not_enlisted(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Here this machine is abroad, and the messenger's server is known by another name, so its address is a client's.

    Over gRPC and over HTTP alike; of it nothing stays. WhatsApp users are not asked.
    """
    async with located(tmp_path, signing_keys, networks(tmp_path, "127.0.0.0/8 US")) as world:
        entry = await world.register()
        for name in ("base_url", "push_url", "media_url"):
            setattr(entry, name, getattr(entry, name).replace("127.0.0.1", "localhost"))
        await world.admin.put_partner(entry)
        bob, token = world.device("bob", QUIET), world.partner.issue_token("bob")
        with refused("LOCATION_NOT_ALLOWED"):
            await bob.enlist(token)
        with pytest.raises(Exception, match="LOCATION_NOT_ALLOWED"):
            await bob.enlist_over_http(world.endpoint.http, token)
        assert (await world.stored())["account"] == 0
        await world.whatsapp(options=QUIET)


async def test_where_the_messengers_server_enlists_the_connection_decides(
    tmp_path: Path, signing_keys: SigningKeys
) -> None:
    """The address is registered as the server's: it says nothing of the client, whose own connection does."""
    async with located(tmp_path, signing_keys, networks(tmp_path, "127.0.0.0/8 US")) as world:
        bob = world.device("bob", QUIET)
        await bob.enlist(world.partner.issue_token("bob"))
        await check_login(bob)


async def test_a_phone_number_must_be_of_the_area(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Where the messenger calls its users by their numbers; a user name says nothing."""
    async with located(tmp_path, signing_keys, ["--location", "number"]) as world:
        await world.third_party("bob", QUIET)
        await world.register(identifier_type=interop_pb2.IDENTIFIER_TYPE_PHONE)
        await world.third_party("+49 151 1234567", QUIET)
        amy = world.device("+1 555 1234567", QUIET)
        with refused("LOCATION_NOT_ALLOWED"):
            await amy.enlist(world.partner.issue_token("+1 555 1234567"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--location", "networks"), "go together"),
        (("--location-networks", "networks"), "go together"),
        (("--location", "number", "--location-networks", "networks"), "go together"),
        (("--location", "networks", "--location-networks", "networks"), "line 2"),
        (("--location", "networks", "--location-networks", "missing"), "missing"),
        (("--location", "moon"), "moon"),
    ],
)
async def test_a_choice_that_makes_no_sense_is_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """And nothing starts."""
    (tmp_path / "networks").write_text("203.0.113.0/24 DE\n203.0.113.0 Germany\n")
    ended = await run(tmp_path, "up", *ANY_PORTS, *arguments)
    assert ended.code == 2
    assert said in ended.stderr
    assert ended.stdout == ""
