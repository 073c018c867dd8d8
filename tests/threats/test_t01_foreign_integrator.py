"""T1: a messenger, registered and trusted for its own users, tries to speak for those of another one."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.enlistment.test_refusals_tokens import Doors, claims_of, sign
from tests.e2e.raw import QUIET, no_trace
from tests.threats.doors import enlist, log_in_as, message_from
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T1"), pytest.mark.requirement("SIM-06")]


@pytest_asyncio.fixture
async def rival(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[World]:
    """A messenger with keys of its own, active and in good standing."""
    async with open_world(endpoint, SigningKeys(), tmp_path / "rival") as rival:
        yield rival


@pytest.mark.requirement("ENL-01")
async def test_a_token_that_names_another_messenger_opens_nothing(world: World, rival: World, attack: Attack) -> None:
    """The rival signs with its own key what only the victim's messenger may say."""
    bob = await world.third_party("bob", QUIET)
    own, theirs = rival.partner.keys.current, world.partner.keys.current
    claims = claims_of(world, "bob")
    attack.tries("Enlisting over gRPC and HTTP, and logging in, with tokens that name another messenger as issuer")
    forged = {
        "the rival's kid": (sign({"alg": "RS256", "kid": str(own.kid)}, claims, own), "TOKEN_KEY_UNKNOWN"),
        "the victim's kid": (sign({"alg": "RS256", "kid": str(theirs.kid)}, claims, own), "TOKEN_SIGNATURE_INVALID"),
        "nobody's issuer": (rival.partner.issue_token("bob", iss=f"{world.partner.issuer}/"), "BAD_INTEGRATOR"),
        "a key set address as issuer": (rival.partner.issue_token("bob", iss=rival.partner.base_url), "BAD_INTEGRATOR"),
    }
    async with aiohttp.ClientSession() as http, no_trace(world.admin):
        for name, (token, reason) in forged.items():
            await Doors(world, bob, http).check_refused(name, token, reason)
    await bob.ping()
    attack.holds("Each is refused: a token is verified under the keys of the issuer that it names, and no other's")


@pytest.mark.requirement("ENL-07")
async def test_a_good_token_reaches_no_account_of_another_messenger(world: World, rival: World, attack: Attack) -> None:
    """The rival vouches for a user of the same name, and asks for the victim's account number."""
    bob = await world.third_party("bob", QUIET)
    token = rival.partner.issue_token("bob")
    attack.tries("Logging in to another messenger's account, and enlisting a user of the same name, with a good token")

    assert await log_in_as(rival, bob, token, bob.state.auth_private_key) == "NOT_ENLISTED"
    namesake = (await enlist(rival, token)).success.login
    assert namesake != bob.jid
    assert namesake.startswith(f"{rival.integrator}-")
    await bob.ping()
    attack.holds("The account number is looked up among the issuer's own; the namesake gets a JID with its own number")


async def test_a_message_cannot_be_sent_in_the_name_of_another_messengers_user(
    world: World, rival: World, attack: Attack
) -> None:
    """A stanza's `from` is the connection's account or nothing."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    await alice.opt_in([world.integrator, rival.integrator])
    mallory = await rival.third_party("bob", QUIET)
    attack.tries("Sending a message with another messenger's user as its sender")
    with pytest.raises(ServerRefusal) as raised:
        await mallory.send_encrypted(message_from(bob.jid, alice.jid))
    assert raised.value.reason == "CONNECTION_MULTIPLEXED"
    attack.holds("A connection speaks for its own account only: CONNECTION_MULTIPLEXED")
