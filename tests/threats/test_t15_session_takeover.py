"""T15: somebody takes over a user's account, from a second device or with new keys, and wants it to stay unseen."""

import asyncio

import pytest

from interop_client.connection.login import third_party_login
from interop_client.messaging.events import ConnectionLost, IdentityChanged, TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, RawStream
from tests.e2e.wire import Wire, sealed_message
from tests.threats.doors import log_in_as
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T15"), pytest.mark.requirement("SIM-06")]

RACERS = 20


@pytest.mark.requirement("CHN-11")
async def test_a_second_login_shows_and_ends_the_first(world: World, attack: Attack) -> None:
    """Whoever has the auth key and a token can log in; but not beside the user."""
    bob = await world.third_party("bob", QUIET)
    attack.tries("Logging in beside the user, with everything that the user has")
    assert await log_in_as(world, bob, world.partner.issue_token("bob"), bob.state.auth_private_key) == ""
    assert (await bob.wait_for(ConnectionLost)).reason == "CONNECTION_REPLACED"
    assert await refused(bob.count_prekeys()) == "SESSION_DEAD"
    await bob.connect()
    attack.holds("The user's connection ends with CONNECTION_REPLACED, and its session token dies: nobody reads along")


@pytest.mark.requirement("CHN-11")
async def test_of_many_logins_at_once_one_is_left(world: World, attack: Attack) -> None:
    """A race for the account: exactly one connection may win, and only its session may live."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    payload = third_party_login(bob.jid, world.partner.issue_token("bob"))
    attack.tries(f"Logging in {RACERS} times at once to one account, to have two connections live")

    async def race(stream: RawStream) -> str:
        await stream.log_in(bob.state.auth_private_key, payload)
        return (await stream.ending()).reason

    streams = [RawStream(world.endpoint.grpc) for _ in range(RACERS)]
    racing = [asyncio.create_task(race(stream)) for stream in streams]
    ended: set[asyncio.Task[str]] = set()
    while len(ended) < RACERS - 1:
        done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert done
        ended |= done
        racing = [task for task in racing if task not in done]
    assert {task.result() for task in ended} == {"CONNECTION_REPLACED"}
    assert [connection.jid for connection in await world.admin.list_connections()].count(bob.jid) == 1
    await alice.send_encrypted(sealed_message(bob.jid, "to-the-one").message)
    racing[0].cancel()
    await asyncio.gather(*racing, return_exceptions=True)
    for stream in streams:
        await stream.__aexit__()
    attack.holds(f"{RACERS - 1} end with CONNECTION_REPLACED; one connection is left, and deliveries go to it alone")


@pytest.mark.requirement("ENL-13", "ENL-14", "KEY-17")
async def test_new_keys_take_over_nothing_that_was_there(world: World, attack: Attack) -> None:
    """A takeover through the messenger: new keys are enlisted. What waited for the user was not for the thief."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.send_text(alice.jid, "Hello")
    await alice.wait_for(TextReceived)
    await bob.close()
    await alice.send_encrypted(sealed_message(bob.jid, "for-bob-only").message)
    thief = world.device("bob", QUIET)
    attack.tries("Enlisting new keys for a user while messages wait for the old ones, and reading what is there")
    await thief.enlist(world.partner.issue_token("bob"))
    async with Wire(thief.transport) as wire:
        assert wire.preview.messages == 0
        await wire.ask(200)
        assert not [stanza for stanza in await wire.take_until("offline_end") if stanza.HasField("message")]
    assert await alice.wait_for(IdentityChanged) == IdentityChanged(bob.jid)
    assert not alice.state.signal.has_session(bob.jid)
    assert await refused(bob.connect()) == "AUTH_KEY_MISMATCH"
    attack.holds("The queue is empty, peers are told and drop their sessions, and the user learns of it too")


async def test_a_new_auth_key_of_a_whatsapp_user_ends_what_the_old_one_opened(world: World, attack: Attack) -> None:
    """A number that was given to somebody else: the connection and the session of the one before are over."""
    alice = await world.whatsapp(options=QUIET)
    other = await world.whatsapp_device(QUIET)
    attack.tries("Keeping a connection and a session token while the number is registered with other keys")
    await world.admin.put_whatsapp_user(f"+{alice.jid.partition('@')[0]}", other.state.auth_public_key)
    assert (await alice.wait_for(ConnectionLost)).reason == "KEYS_REPLACED"
    assert await refused(alice.get_settings()) == "SESSION_DEAD"
    assert await refused(alice.connect()) == "AUTH_KEY_MISMATCH"
    attack.holds("Both end at once, and the old auth key logs in no more")
