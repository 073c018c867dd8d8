"""T17: somebody outside the area where third-party chats are offered uses them all the same."""

from contextlib import suppress
from pathlib import Path

import pytest

from interop_api.v1 import interop_pb2
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.errors import LoginRefused, ServerRefusal
from interop_client.messaging.events import TextReceived
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.enlistment.test_location import located, networks, travelled
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.threats.doors import enlist, log_in
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T17"), pytest.mark.requirement("SIM-06")]

AREA = """
203.0.113.0/24 DE
198.51.100.0/24 US
2001:db8:1::/48 FR
2001:db8:2::/48 US
"""
OUTSIDE = ("198.51.100.7", "2001:db8:2::7", "192.0.2.7", "::ffff:198.51.100.7")
"""Of another country, in both families, of nobody knows where, and one country's address in the other family's form."""


@pytest.mark.requirement("ENL-16", "PRX-02")
async def test_a_client_abroad_does_not_get_in_by_proxy(
    tmp_path: Path, signing_keys: SigningKeys, attack: Attack
) -> None:
    """The proxy says where the client is; without saying it, there is no connection either."""
    attack.tries("Connecting from abroad by proxy, with addresses of both families, and hiding where one is")
    async with located(tmp_path, signing_keys, networks(tmp_path, AREA)) as world:
        alice = await world.whatsapp(options=QUIET)
        carol = await world.third_party_by_proxy("carol", QUIET)
        await carol.close()
        for address in OUTSIDE:
            with pytest.raises(LoginRefused) as raised:
                await travelled(world, carol, address).connect()
            assert raised.value.reason in ("LOCATION_NOT_ALLOWED", "CLIENT_ADDRESS_INVALID"), address
        await alice.send_text(carol.jid, "How is the journey?")
        async with travelled(world, carol, "2001:db8:1::7") as home:
            assert (await home.wait_for(TextReceived)).text == "How is the journey?"
        assert await hidden(world) == {"CLIENT_ADDRESS_INVALID"}
    attack.holds("LOCATION_NOT_ALLOWED each time, CLIENT_ADDRESS_INVALID without an address; at home everything waits")


async def hidden(world: World) -> set[str]:
    """Logs in by proxy without an address that tells where the client is."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    reasons = set()
    for address in ("", "127.0.0.1", "10.0.0.1", "somewhere"):
        login = third_party_login(bob.jid, world.partner.issue_token("bob"), LoginOptions(client_ip="203.0.113.7"))
        login.client_ip = address
        reasons.add(await log_in(world, bob.state.auth_private_key, login))
    return reasons


@pytest.mark.requirement("ENL-16")
async def test_who_is_abroad_is_not_enlisted_and_does_not_connect(
    tmp_path: Path, signing_keys: SigningKeys, attack: Attack
) -> None:
    """This machine is abroad. The messenger's server may enlist from where it likes: the connection decides."""
    attack.tries("Enlisting and connecting directly from abroad, and having the messenger's server enlist instead")
    async with located(tmp_path, signing_keys, networks(tmp_path, "127.0.0.0/8 US")) as world:
        bob = world.device("bob", QUIET)
        with suppress(ServerRefusal):
            await bob.enlist(world.partner.issue_token("bob"))
        assert await refused(bob.connect()) in ("LOCATION_NOT_ALLOWED", "NOT_ENLISTED")
        assert not await world.admin.list_connections()
        alice = await world.whatsapp(options=QUIET)
        await alice.ping()
    attack.holds("No connection comes about, whoever enlisted; WhatsApp's own users are not asked where they are")


@pytest.mark.requirement("ENL-16")
async def test_a_number_of_another_country_is_not_enlisted(
    tmp_path: Path, signing_keys: SigningKeys, attack: Attack
) -> None:
    """By the number that the messenger calls its users by, written in every way it can be written."""
    attack.tries("Enlisting numbers from outside the area, with spaces, zeros and a country code in disguise")
    async with located(tmp_path, signing_keys, ["--location", "number"]) as world:
        await world.register(identifier_type=interop_pb2.IDENTIFIER_TYPE_PHONE)
        for number in ("+1 555 1234567", "+15551234567", "+44 20 7946 0000", "+7 495 0000000", "0015551234567"):
            response = await enlist(world, world.partner.issue_token(number))
            assert response.failure.error.requirement in ("ENL-16", "ENL-07"), number
        assert (await enlist(world, world.partner.issue_token("+49 151 1234567"))).HasField("success")
    attack.holds("LOCATION_NOT_ALLOWED, or no number at all; a number of the area is enlisted")
