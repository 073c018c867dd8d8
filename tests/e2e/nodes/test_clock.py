"""Two nodes have one clock: whichever is asked, both move, and what was due is done at both."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from interop_admin.client import AdminClient
from partner_server import SigningKeys
from tests.e2e.nodes.conftest import Nodes, at_both, come_about
from tests.e2e.nodes.test_connections import jids
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.recorded import RecordedAdmin
from tests.e2e.wire import Wire, message_ids, sealed_message

pytestmark = pytest.mark.requirement("SIM-04")

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def shown(admin: AdminClient) -> tuple[int, bool]:
    """The time, and whether it stands."""
    clock = await admin.get_clock()
    return clock.now_ms, clock.is_frozen


async def test_two_nodes_have_one_clock(own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> None:
    """Frozen at one, advanced at either, resumed at the one.

    1. What comes in at one node, and a second later at the other, is in the order of its time.
    2. Thirty-one days pass: connections have ended where they were, and what was kept for thirty days is gone.
    3. Resumed, time runs at both.
    """
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        here, there = both.here.admin, both.there.admin
        first = (await there.freeze_clock()).clock
        assert await shown(here) == await shown(there) == (first.now_ms, True)
        alice, bob = await both.here.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
        carol, dan = await both.there.whatsapp(options=QUIET), await both.here.third_party("dan", QUIET)
        await dan.close()
        await alice.send_encrypted(sealed_message(dan.jid, "first").message)
        await there.advance_clock(1_000)
        await carol.send_encrypted(sealed_message(dan.jid, "second").message)
        async with Wire(dan.transport) as wire:
            await wire.ask(10)
            assert message_ids(await wire.take_until("offline_end")) == ["first", "second"]

        await carol.close()
        await bob.send_encrypted(sealed_message(carol.jid, "late").message)
        answer = await here.advance_clock(31 * DAY_MS)
        fired = {timers.name: timers.count for timers in answer.fired}
        assert fired["silence"] >= 2 and fired["mailbox_items"] == 1 and "enlistments" in fired, fired
        assert await shown(here) == await shown(there) == (first.now_ms + 31 * DAY_MS + 1_000, True)
        assert await jids(here) == await jids(there) == []
        assert (await both.there.stored())["mailbox"] == 0

        await here.resume_clock()
        before, between, after = await shown(here), await shown(there), await shown(here)
        assert first.now_ms + 31 * DAY_MS + 1_000 <= before[0] <= between[0] <= after[0]
        assert not before[1] and not between[1]


async def test_a_move_outlives_a_node(own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> None:
    """One that is killed is not waited for when it is found out; back again, it begins where the others are."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        here = both.here.admin
        first = (await here.freeze_clock()).clock
        await own_nodes.children[1].kill()
        await here.advance_clock(DAY_MS)
        assert await shown(here) == (first.now_ms + DAY_MS, True)
        await own_nodes.children[1].start()
        async with RecordedAdmin(own_nodes.endpoint(1).admin) as there:
            assert await shown(there) == await shown(here)
            await there.resume_clock()
            assert not (await shown(here))[1] and not (await shown(there))[1]


async def test_a_leader_that_is_killed_leaves_no_time_that_stands(own_nodes: Nodes) -> None:
    """A running world that it had stopped for its move comes to the end of it, and runs on."""
    first, second = own_nodes.children
    async with RecordedAdmin(own_nodes.endpoint(0).admin) as here, RecordedAdmin(own_nodes.endpoint(1).admin) as there:
        began_ms, _ = await shown(there)
        os.kill(second.pid, signal.SIGSTOP)
        move = asyncio.create_task(refused(here.advance_clock(HOUR_MS)))

        async def has_moved() -> bool:
            return (await shown(here))[0] >= began_ms + HOUR_MS

        await come_about(has_moved)
        await first.kill()
        os.kill(second.pid, signal.SIGCONT)
        assert await move

        seen: set[int] = set()

        async def runs_on() -> bool:
            now_ms, is_frozen = await shown(there)
            if now_ms >= began_ms + HOUR_MS:
                seen.add(now_ms)
            return len(seen) > 1 and not is_frozen

        await come_about(runs_on)
