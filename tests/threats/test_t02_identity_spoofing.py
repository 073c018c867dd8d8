"""T2: a user of a messenger, with a good token of their own, tries to be another user of the same messenger."""

import pytest

from interop_client.errors import ServerRefusal
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, no_trace
from tests.threats.doors import enlist, log_in_as, message_from
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T2"), pytest.mark.requirement("SIM-06")]

LOOKALIKES = (
    "b\N{CYRILLIC SMALL LETTER O}b",
    "bob\N{ZERO WIDTH SPACE}",
    "bob.",
    "b0b",
    "\N{FULLWIDTH LATIN SMALL LETTER B}ob2",
)


@pytest.mark.requirement("ENL-07")
async def test_a_token_opens_no_account_but_its_own(world: World, attack: Attack) -> None:
    """Mallory knows Bob's JID, and even Bob's auth key."""
    bob, mallory = await world.third_party("bob", QUIET), await world.third_party("mallory", QUIET)
    await mallory.close()
    token = world.partner.issue_token("mallory")
    attack.tries("Logging in to another user's account with one's own token, with one's own auth key and with theirs")
    async with no_trace(world.admin):
        for key in (mallory.state.auth_private_key, bob.state.auth_private_key):
            assert await log_in_as(world, bob, token, key) == "TOKEN_SUBJECT_MISMATCH"
    await bob.ping()
    attack.holds("TOKEN_SUBJECT_MISMATCH, whichever key; the victim's own connection is not touched")


@pytest.mark.requirement("ENL-07")
async def test_enlisting_changes_no_account_but_the_tokens_own(world: World, attack: Attack) -> None:
    """The form names nobody: who is enlisted is what the token says. Names that look like Bob's are not Bob's."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    attack.tries("Enlisting the victim's own public keys, and names that look like the victim's, with one's own token")
    stolen = await enlist(world, world.partner.issue_token("mallory"), bob.state)
    assert stolen.success.login not in ("", bob.jid)
    for name in LOOKALIKES:
        response = await enlist(world, world.partner.issue_token(name))
        assert response.success.login != bob.jid, name
    assert await alice.resolve("bob", world.integrator) == bob.jid
    assert (await alice.take_prekey_bundle(bob.jid)).identity_key == bob.state.signal.publishable.identity_key
    await bob.ping()
    attack.holds("Each gets an account of its own or none; the victim's JID, keys and connection stay as they were")


async def test_a_message_cannot_name_another_user_as_its_sender(world: World, attack: Attack) -> None:
    """The recipient sees who is connected, not who is claimed."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    mallory = await world.third_party("mallory", QUIET)
    attack.tries("Sending a message with another user as its sender")
    with pytest.raises(ServerRefusal) as raised:
        await mallory.send_encrypted(message_from(bob.jid, alice.jid))
    assert raised.value.reason == "CONNECTION_MULTIPLEXED"
    await mallory.send_encrypted(message_from("", alice.jid, "honest"))
    attack.holds("CONNECTION_MULTIPLEXED; a delivered message always has its connection's account as sender")
