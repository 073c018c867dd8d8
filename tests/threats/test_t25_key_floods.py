"""T25: an account publishes prekeys again and again, to fill the server's disk and keep others waiting."""

import asyncio
import time

import pytest

from interop_client.client import InteropClient
from interop_client.messaging.events import TextReceived
from interop_demo.processes import Child
from tests.e2e.conftest import World
from tests.e2e.keys.test_refusals_keys import call, set_prekeys
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, one_time_prekeys
from tests.threats.bystanders import MIB, MOST_BYTES, forget_peak, peak_bytes
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T25"), pytest.mark.requirement("SIM-06")]

LISTS = 18
LIST_LENGTH = 20_000
MOST_PUBLISHED = 60_000
"""The burst of the limit, and what its rate adds while the attack lasts."""


async def longest_wait(client: InteropClient, until: asyncio.Event) -> float:
    """Pings until it is told to stop; returns the longest wait in milliseconds."""
    longest = 0.0
    while not until.is_set():
        begun = time.perf_counter()
        await client.ping()
        longest = max(longest, time.perf_counter() - begun)
    return longest * 1_000


@pytest.mark.requirement("KEY-03", "KEY-04")
async def test_nobody_fills_the_server_with_prekeys(world: World, simulator_process: Child, attack: Attack) -> None:
    """Each list is fresh and as long as may be; one account publishes two, and somebody else's message arrives."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    mallory = await world.third_party("mallory", QUIET)
    # Made before, so that what the others wait for is the server.
    floods = [set_prekeys(mallory, one_time_prekeys=one_time_prekeys(LIST_LENGTH)) for _ in range(LISTS)]
    before, is_over = await world.stored(), asyncio.Event()
    forget_peak(simulator_process.pid)
    attack.tries(f"Publishing {LISTS} lists of {LIST_LENGTH:,} fresh prekeys from one account, one after the other")
    waiting = asyncio.create_task(longest_wait(bob, is_over))
    outcomes = [await refused(call(mallory, "SetPreKeys", flood)) for flood in floods]
    begun = time.perf_counter()
    await alice.send_text(bob.jid, "Still there?")
    assert (await bob.wait_for(TextReceived)).text == "Still there?"
    delivered_ms = (time.perf_counter() - begun) * 1_000
    is_over.set()
    longest_ms = await waiting
    grown = {table: count - before[table] for table, count in (await world.stored()).items()}
    assert outcomes[0] == "" and set(outcomes) == {"", "RATE_LIMITED"}
    assert grown["one_time_prekey"] <= LIST_LENGTH
    assert grown["one_time_prekey_history"] <= MOST_PUBLISHED
    peak = peak_bytes(simulator_process.pid)
    assert peak < MOST_BYTES
    attack.holds(
        f"RATE_LIMITED after {outcomes.count('')} lists; {grown['one_time_prekey_history']:,} keys are remembered"
    )
    attack.measures(
        f"Peak memory {peak // MIB} MiB; somebody else's ping took {longest_ms:.0f} ms at most, and a message "
        f"{delivered_ms:.0f} ms afterwards"
    )
