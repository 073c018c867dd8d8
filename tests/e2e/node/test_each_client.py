"""Each client among people of its own kind alone: what it calls, sends and takes there is evidence that it drives that.

The kit's runs say the same of third-party users. Here are WhatsApp users, too, and what the kit does not ask for.
"""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from interop_api.admin.v1alpha1 import journal_pb2, trace_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import ClientOptions
from interop_client.errors import LoginRefused
from interop_client.media.upload import media_host
from interop_client.messaging.events import (
    ChallengeCode,
    ConnectionLost,
    MediaReceived,
    PreKeysLow,
    ReachabilityPing,
    StanzaRefused,
    TextReceived,
    TrustedContact,
)
from interop_conformance.record import Stanza
from interop_conformance.use import Use
from interop_server.core.limits import Limits
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import refused
from tests.evidence import record_driven
from tests.node import built_node_client

KEM_PREKEYS = 10
NODE_TESTS = ("calls", "chats")
"""Of clients/node/test/e2e."""


async def test_the_client_in_python(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """It alone connects to this simulator."""
    async with own_world(tmp_path, signing_keys, Limits(kem_prekeys=True), trace=True) as (world, _):
        await choose(world)
        await exchange_files(world, tmp_path)
        await keep_prekeys_up(world)
        await be_refused(world)
        journal = [each.entry async for each in world.admin.read_journal()]
        wire = [each.entry async for each in world.admin.read_trace() if each.HasField("entry")]
    use = Use()
    use.add(journal, map(Stanza, wire))
    record_driven("python", use.as_lists())


async def choose(world: World) -> None:
    """A WhatsApp user makes every choice that there is about third-party chats."""
    alice, bob = await world.whatsapp(opted_in=False), await world.third_party("bob")
    assert [each.integrator for each in await alice.list_partners()] == [world.integrator]
    with refused("TERMS_NOT_ACCEPTED"):
        await alice.opt_in([world.integrator])
    await bob.send_reachability_ping(f"+{alice.jid.partition('@')[0]}", "Bob")
    assert (await alice.wait_for(ReachabilityPing)).display_name == "Bob"
    await alice.accept_terms()
    await alice.opt_in([world.integrator])
    await alice.set_inbox_mode(stanza_pb2.INBOX_MODE_COMBINED)
    assert list((await alice.get_settings()).integrators) == [world.integrator]
    await bob.send_text(alice.jid, "May I?")
    asked = await alice.wait_for(TextReceived)
    await alice.accept_message_request(bob.jid)
    assert (await bob.wait_for(TrustedContact)).jid == alice.jid
    assert await alice.report(bob.jid, [asked], reveal=True)
    await alice.block(bob.jid)
    assert await alice.get_blocklist() == [bob.jid]
    await alice.unblock(bob.jid)
    assert [each.peer_jid async for each in alice.list_chats()] == [bob.jid]
    await alice.set_reachability(False, [world.integrator])
    assert list((await alice.get_reachability()).muted_integrators) == [world.integrator]
    await alice.delete_chat(bob.jid)
    await alice.opt_out([world.integrator])
    await alice.set_third_party_chats(False)
    assert not (await alice.get_settings()).enabled


async def exchange_files(world: World, folder: Path) -> None:
    """Both ways."""
    alice, carol = await world.whatsapp(), await world.third_party("carol")
    file, copy = folder / "picture.png", folder / "copy"
    file.write_bytes(os.urandom(300_000))
    await carol.send_image(alice.jid, file, media_host(world.partner.media_url))
    await alice.download((await alice.wait_for(MediaReceived)).media, copy)
    await alice.send_document(carol.jid, file)
    await carol.download((await carol.wait_for(MediaReceived)).media, copy)
    assert copy.read_bytes() == file.read_bytes()


async def keep_prekeys_up(world: World) -> None:
    """Of both kinds, and the signed one."""
    alice = await world.whatsapp()
    dave = await world.third_party("dave", ClientOptions(kem_prekeys=KEM_PREKEYS))
    assert (await alice.take_prekey_bundle(dave.jid)).kem_prekey is not None
    await dave.wait_for(PreKeysLow)
    while len(dave.state.signal.kem.one_time) <= KEM_PREKEYS:
        await dave.ping()  # the client makes new ones by itself
    await dave.add_prekeys(5)
    await dave.rotate_signed_prekey()
    assert await dave.has_intact_prekeys()


async def be_refused(world: World) -> None:
    """A call between people, and the login of an account that is gone; before that a challenge is answered."""
    erin, alice = await world.third_party("erin"), await world.whatsapp()
    call = stanza_pb2.CallOffer(id="call", to_jid=alice.jid)
    await erin.transport.send(stanza_pb2.Stanza(call_offer=call))
    assert (await erin.wait_for(StanzaRefused)).reason == "CALLS_NOT_SUPPORTED"
    challenge = await erin.request_challenge()
    code = await erin.wait_for(ChallengeCode)
    await erin.answer_challenge(challenge.challenge_id, code.digits)
    await erin.delete_account()
    assert (await erin.wait_for(ConnectionLost)).reason
    with pytest.raises(LoginRefused):
        await erin.connect()


@pytest.mark.timeout(180)
async def test_the_client_in_typescript(tmp_path: Path) -> None:
    """Its own tests of a whole simulator, each of which starts one, and keeps what that saw."""
    tests = [str(built_node_client() / "test" / "e2e" / f"{name}.test.js") for name in NODE_TESTS]
    node = shutil.which("node")
    assert node is not None
    command = str(Path(sys.executable).with_name("interopsim"))
    environment = {**os.environ, "INTEROPSIM_SEEN": str(tmp_path), "INTEROPSIM_COMMAND": command}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, "--test", *tests, env=environment, stdout=pipe)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    record_driven("typescript", kept_use(tmp_path).as_lists())


def kept_use(folder: Path) -> Use:
    """Returns what stands in the files that the tests in TypeScript have kept."""
    use = Use()
    for journal in folder.glob("*.journal"):
        use.add(map(decision, lines_of(journal)), map(stanza, lines_of(journal.with_suffix(".trace"))))
    return use


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def decision(entry: dict[str, Any]) -> journal_pb2.JournalEntry:
    """Reads what counts of a line of `interopsim journal --json`."""
    outcome = journal_pb2.JournalOutcome.Value(f"JOURNAL_OUTCOME_{entry['outcome'].upper()}")
    return journal_pb2.JournalEntry(action=entry["action"], outcome=outcome, fault=entry.get("fault", ""))


def stanza(entry: dict[str, Any]) -> Stanza:
    """Reads what counts of a line of `interopsim trace --json`."""
    direction = trace_pb2.TraceDirection.Value(f"TRACE_DIRECTION_{entry['direction'].upper()}")
    content = json.dumps(entry["content"])
    return Stanza(trace_pb2.TraceEntry(kind=entry["kind"], direction=direction, content_json=content))
