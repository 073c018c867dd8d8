"""Two nodes, one world, one operator: whichever node is asked tells what all have decided, and says which is silent."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import faults_pb2, journal_pb2
from interop_api.v1 import errors_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import TextReceived
from partner_server import SigningKeys
from tests.e2e.nodes.conftest import SECONDS, Both, Nodes, at_both, come_about
from tests.e2e.nodes.test_connections import second_of
from tests.e2e.outcomes import refused
from tests.e2e.program import run
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message

pytestmark = pytest.mark.requirement("SIM-07")

BUSY = errors_pb2.ERROR_REASON_RATE_LIMITED
NODES = ("node-1", "node-2")
LOGINS = 4
"""Of the third-party user who is spread over the nodes: one to be known, and three in turns."""
Entries = list[journal_pb2.JournalEntry]


async def journal(admin: AdminClient, **wanted: object) -> tuple[Entries, list[str]]:
    """What a node shows of the journal, and which nodes it names as silent."""
    entries: Entries = []
    silent: list[str] = []
    async for response in admin.read_journal(**wanted):
        silent = list(response.silent_nodes) if response.has_silence_changed else silent
        if response.HasField("entry"):
            entries.append(response.entry)
    return entries, silent


def names(entries: Entries) -> list[tuple[str, int]]:
    return [(entry.node, entry.number) for entry in entries]


async def decide(both: Both) -> str:
    """Has something be decided at either node, in turns, until nothing is left to decide; returns whose it is."""
    bob = await both.here.third_party("bob", QUIET)
    for world in (both.there, both.here, both.there):
        bob = second_of(bob, "bob", world)
        await bob.connect()
        assert await refused(bob.resolve("nobody")) == "REQUEST_MALFORMED"

    async def all_but_the_last_have_ended() -> bool:
        entries, _ = await journal(both.here.admin, actor=bob.jid)
        return sum(entry.action == "chat.closed" for entry in entries) == LOGINS - 1

    await come_about(all_but_the_last_have_ended)
    return bob.jid


async def test_either_node_shows_what_both_decided(both: Both) -> None:
    """In the order of the world's time, each with its node, and once; one node alone when that is asked for."""
    jid = await decide(both)
    shown = []
    for world in (both.here, both.there):
        entries, silent = await journal(world.admin, actor=jid)
        assert not silent
        shown.append(names(entries))
        assert [entry.at_ms for entry in entries] == sorted(entry.at_ms for entry in entries)
        assert len(set(names(entries))) == len(entries)
        logins = [entry.node for entry in entries if entry.action == "chat.login"]
        assert logins == ["node-1", "node-2", "node-1", "node-2"]
        alone, _ = await journal(world.admin, actor=jid, this_node_only=True)
        own = NODES[world is both.there]
        assert names(alone) == [each for each in names(entries) if each[0] == own]
    assert sorted(shown[0]) == sorted(shown[1])


async def test_a_reader_goes_on_where_it_was(both: Both) -> None:
    """After each entry, at either node: what it has read of each node is in the token.

    What two nodes decided in the same millisecond comes in either order.
    """
    jid = await decide(both)
    entries, _ = await journal(both.here.admin, actor=jid)
    for number, entry in enumerate(entries, 1):
        rest, _ = await journal((both.here, both.there)[number % 2].admin, actor=jid, resume_token=entry.resume_token)
        assert sorted(names(rest)) == sorted(names(entries[number:]))
    with pytest.raises(ServerRefusal, match="REQUEST_MALFORMED"):
        await journal(both.here.admin, resume_token=f"{entries[-1].resume_token}x")


async def test_what_is_decided_later_comes_from_both(both: Both) -> None:
    """Whoever follows at one node gets it as it comes, in order, more than one part of it."""
    there = await both.there.third_party("bob", QUIET)
    entries: Entries = []

    async def follow() -> None:
        async with aclosing(both.here.admin.read_journal(actor=there.jid, follow=True)) as responses:
            async for response in responses:
                entries.append(response.entry)

    following = asyncio.create_task(follow())
    here = second_of(there, "bob", both.here)
    for client in (here, there, here, there):
        before = len(entries)
        await client.connect()
        for _ in range(20):
            await client.count_prekeys()
        node = NODES[client is there]

        async def has_come(client: InteropClient = client, before: int = before, node: str = node) -> bool:
            await client.count_prekeys()
            new = [entry for entry in entries[before:] if entry.action == "chat.login"]
            return any(entry.node == node for entry in new)

        await come_about(has_come)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert [entry.at_ms for entry in entries] == sorted(entry.at_ms for entry in entries)


async def test_a_refusal_is_explained_at_either_node(both: Both) -> None:
    """Wherever it was refused; one that is nobody's is not."""
    there = await both.there.third_party("bob", QUIET)
    with pytest.raises(ServerRefusal) as caught:
        await there.resolve("nobody")
    request_id = caught.value.request_id
    for world in (both.here, both.there):
        explained = await world.admin.explain_refusal(request_id)
        assert (explained.entry.node, explained.entry.reason) == ("node-2", "REQUEST_MALFORMED")
        assert explained.advice and not explained.silent_nodes
    assert await refused(both.here.admin.explain_refusal("0" * 16)) == "NOT_REGISTERED"


async def test_a_message_is_explained_at_either_node(both: Both) -> None:
    """Wherever it came in. A refusal of the same id at another node goes before it."""
    alice, bob = await both.here.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
    with pytest.raises(ServerRefusal) as caught:
        await alice.resolve("nobody")
    await bob.close()
    async with Wire(bob.transport) as wire:
        for message_id in ("of-node-2", caught.value.request_id):
            await wire.send(sealed_message(alice.jid, message_id))
        await wire.ping()
    for world in (both.here, both.there):
        entry = (await world.admin.explain_refusal("of-node-2")).entry
        assert (entry.node, entry.actor, entry.outcome) == ("node-2", bob.jid, journal_pb2.JOURNAL_OUTCOME_ACCEPTED)
        entry = (await world.admin.explain_refusal(caught.value.request_id)).entry
        assert (entry.node, entry.actor, entry.reason) == ("node-1", alice.jid, "REQUEST_MALFORMED")


async def test_counters_are_sums(both: Both) -> None:
    """Of both nodes, and each says what it counted."""
    before = await both.here.admin.get_statistics()
    alice, bob = await both.here.whatsapp(), await both.there.third_party("bob")
    await bob.send_text(alice.jid, "Hello")
    await alice.wait_for(TextReceived)
    for world in (both.here, both.there):
        after = await world.admin.get_statistics()
        assert sorted(each.node for each in after.nodes) == list(NODES)
        assert after.nodes[0].node == NODES[world is both.there]
        assert not any(each.is_silent or each.troubles for each in after.nodes)
        assert after.counted["prekey_taken"] == before.counted["prekey_taken"] + 1
        assert after.counted["prekey_taken"] == sum(each.counted["prekey_taken"] for each in after.nodes)
        assert after.stored["account"] >= 2
        assert {each.version for each in after.nodes} == {after.version} == {version("interopsim")}
        assert all(each.connections and each.uptime_ms for each in after.nodes)
        assert after.connections == sum(each.connections for each in after.nodes)
        assert not after.is_draining and not any(each.is_draining for each in after.nodes)


def fault(name: str) -> faults_pb2.Fault:
    match = faults_pb2.FaultMatch(call="InteropService.Resolve")
    return faults_pb2.Fault(name=name, match=match, refuse=faults_pb2.FaultRefuse(reason=BUSY, requirement="OPT-09"))


@pytest.mark.requirement("SIM-01")
async def test_faults_are_those_of_both_nodes(own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> None:
    """Ordered at one, met at either, listed with the sum, refused as a whole, and cleared at the other."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        assert await both.here.admin.add_faults([fault("busy")]) == []
        bob = await both.here.third_party("bob", QUIET)
        for world in (both.here, both.there, both.there):
            bob = second_of(bob, "bob", world)
            await bob.connect()
            assert await refused(bob.resolve("nobody")) == "RATE_LIMITED"
        for world in (both.here, both.there):
            listed = await world.admin.list_faults()
            assert [(state.fault.name, state.matched, state.fired) for state in listed.faults] == [("busy", 3, 3)]
            assert not listed.never_fired and not listed.silent_nodes
        assert await refused(both.there.admin.add_faults([fault("new"), fault("busy")])) == "ALREADY_REGISTERED"
        assert await refused(both.there.admin.release_fault("new")) == "NOT_REGISTERED"
        assert await both.there.admin.release_fault("busy") == 0
        assert [(state.fault.name, state.fired) for state in await both.there.admin.clear_faults()] == [("busy", 3)]
        assert not (await both.here.admin.list_faults()).faults
        assert await refused(bob.resolve("nobody")) == "REQUEST_MALFORMED"


async def test_the_wire_is_followed_at_both(both: Both) -> None:
    """Every node records while somebody follows at one of them."""
    there = await both.there.third_party("bob", QUIET)
    await there.close()
    async with aclosing(both.here.admin.read_trace(jid=there.jid, follow=True)) as responses:
        assert not (await anext(responses)).HasField("entry")

        async def is_recorded() -> bool:
            """The other node has been asked by now."""
            await there.connect()
            await there.ping()
            await there.close()
            return bool([each async for each in both.there.admin.read_trace(this_node_only=True) if each.entry.jid])

        await come_about(is_recorded)
        async with asyncio.timeout(SECONDS):
            seen = await anext(responses)
        assert (seen.entry.node, seen.entry.jid) == ("node-2", there.jid)


@asynccontextmanager
async def stopped(nodes: Nodes) -> AsyncIterator[None]:
    """The second node hangs."""
    os.kill(nodes.children[1].pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(nodes.children[1].pid, signal.SIGCONT)


@asynccontextmanager
async def killed(nodes: Nodes) -> AsyncIterator[None]:
    """The second node is gone, and not found out yet."""
    await nodes.children[1].kill()
    yield


@asynccontextmanager
async def without_bus(nodes: Nodes) -> AsyncIterator[None]:
    nodes.nats.kill()
    yield


@pytest.mark.parametrize("loss", [stopped, killed, without_bus])
async def test_who_does_not_answer_is_named(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path, loss: Callable[[Nodes], Awaitable[None]]
) -> None:
    """What the node that is asked knows itself is told all the same, by every call."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        bob = await both.here.third_party("bob", QUIET)
        with pytest.raises(ServerRefusal) as caught:
            await bob.resolve("nobody")
        admin = both.here.admin
        async with loss(own_nodes):  # type: ignore[attr-defined]
            # At once: after some seconds it is taken for dead, and belongs to the world no more.
            (entries, silent), explained, statistics, without, listed = await asyncio.gather(
                journal(admin, actor=bob.jid),
                admin.explain_refusal(caught.value.request_id),
                admin.get_statistics(),
                admin.add_faults([fault("busy")]),
                admin.list_faults(),
            )
            assert entries and {entry.node for entry in entries} == {"node-1"}
            nodes = [(each.node, each.is_silent) for each in statistics.nodes]
            assert nodes == [("node-1", False), ("node-2", True)]
            assert silent == without == explained.silent_nodes == listed.silent_nodes == ["node-2"]
            assert await refused(bob.resolve("nobody")) == "RATE_LIMITED"


async def test_a_follower_hears_of_a_node_that_comes_back(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """It is told that one is silent, goes on with the other meanwhile, and gets what it was not told, late."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        silences: list[list[str]] = []
        entries: Entries = []

        async def follow() -> None:
            async with aclosing(both.here.admin.read_journal(follow=True)) as responses:
                async for response in responses:
                    if response.has_silence_changed:
                        silences.append(list(response.silent_nodes))
                    if response.HasField("entry"):
                        entries.append(response.entry)

        following = asyncio.create_task(follow())
        await both.there.third_party("bob", QUIET)

        async def shown(node: str, count: int) -> bool:
            await both.here.admin.get_clock()
            return sum(entry.node == node for entry in entries) > count

        await come_about(lambda: shown("node-2", 0))
        async with stopped(own_nodes):
            count = sum(entry.node == "node-1" for entry in entries)
            await both.here.whatsapp(options=QUIET)
            await come_about(lambda: shown("node-1", count))
        count = sum(entry.node == "node-2" for entry in entries)
        carol = both.there.device("carol", QUIET)
        await carol.enlist(both.there.partner.issue_token("carol"))
        await come_about(lambda: shown("node-2", count))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert silences[:2] in ([["node-2"], []], [["node-2"]], []) and len(set(names(entries))) == len(entries)


async def status_of(nodes: Nodes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[dict[str, Any]]]:
    """What `interopsim status` says at the second node, to people of nodes, and to programs."""
    monkeypatch.setenv("INTEROPSIM", json.dumps(dict(nodes.children[1].ready)))
    shown, as_json = await asyncio.gather(run(folder, "status"), run(folder, "status", "--json"))
    [facts] = json.loads(as_json.stdout)["simulators"]
    listed: list[dict[str, Any]] = facts["nodes"]
    return "\n".join(line for line in shown.stdout.splitlines() if line.startswith("  node ")), listed


async def test_status_lists_the_nodes(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is asked first: how each is, since when, of which release, and how many are connected there."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        await both.here.third_party("bob", QUIET)
        shown, listed = await status_of(own_nodes, tmp_path, monkeypatch)
        release = version("interopsim")
        told = [(each["node"], each["health"], each["version"], each["connections"]) for each in listed]
        assert told == [("node-2", "works", release, 0), ("node-1", "works", release, 1)]
        assert all(each["uptime_seconds"] > 0 and each["troubles"] == {} for each in listed)
        line = rf"  node node-{{}}: works, up \d+ s, version {re.escape(release)}, {{}}"
        assert re.fullmatch(f"{line.format(2, '0 connections')}\n{line.format(1, '1 connection')}", shown), shown
        async with without_bus(own_nodes):
            shown, listed = await status_of(own_nodes, tmp_path, monkeypatch)
            assert listed[1] == {"node": "node-1", "health": "silent"}
            assert (listed[0]["health"], list(listed[0]["troubles"])) == ("troubled", ["bus"])
            assert shown.endswith("  node node-1: silent")


async def test_the_commands_say_whose_it_is_and_who_is_silent(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """Each line names its node; on stderr stands who has not answered."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        jid = await decide(both)
        admin = ("--admin", own_nodes.endpoint(0).admin)
        shown = await run(tmp_path, "journal", "--actor", jid, *admin)
        assert (shown.code, shown.stderr) == (0, "")
        logins = [line.split()[1] for line in shown.stdout.splitlines() if "chat.login" in line]
        assert ["@" in number for number in logins] == [False, True, False, True], logins
        assert logins[1].endswith("@node-2")
        async with without_bus(own_nodes):
            for command in (("journal", "--actor", jid), ("explain",), ("faults", "list")):
                shown = await run(tmp_path, *command, *admin)
                assert (shown.code, shown.stderr) == (0, "No answer from node-2: what is known there is missing\n")
