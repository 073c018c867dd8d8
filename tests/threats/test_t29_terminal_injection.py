"""T29: text from outside wants to command the operator's terminal, or to forge a line of the journal or the log."""

import asyncio
import signal
import unicodedata
from pathlib import Path

import pytest

from interop_api.v1 import enlistment_pb2
from interop_client.errors import ServerRefusal
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.program import run, running
from tests.e2e.raw import QUIET, WAIT_SECONDS, enlistment
from tests.e2e.wire import Wire, sealed_message
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T29"), pytest.mark.requirement("SIM-06", "SIM-07")]

HOSTILE = ("\x1b[2J\x1b[31m", "\x9b31m", "\nforged accepted", "\r", "\u202egnp.exe", "\u2028", "\x08\x08", "\x7f")


def unfit(shown: str) -> set[str]:
    """What of a command's output a terminal would obey, but for the ends of its lines."""
    controls = {each for each in shown if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return controls - {"\n"}


async def test_what_is_not_printable_does_not_come_in(world: World, attack: Attack) -> None:
    """Names and addresses of a messenger, and ids of messages and reports, are refused with it."""
    attack.tries("Registering a messenger whose name, issuer or URLs hold escape sequences, line ends and bidi marks")
    before = await world.admin.list_partners()
    for text in HOSTILE:
        for name in ("name", "issuer", "base_url", "push_url", "media_url", "icon"):
            url = f"http://127.0.0.1/{text}" if name not in ("name", "issuer") else f"a{text}"
            assert await refused(world.register(**{name: url})) == "REQUEST_MALFORMED", (name, text)
    assert await world.admin.list_partners() == before
    attack.holds("Each is refused, and the entry stays as it was")


async def test_commands_show_nothing_that_a_terminal_obeys(world: World, tmp_path: Path, attack: Attack) -> None:
    """Whatever stands in tokens, addresses and look-ups: `journal`, `explain` and `audit` show it escaped."""
    attack.tries("Tokens, addresses and look-ups full of escape sequences, then reading journal, explanation and audit")
    bob = await world.third_party("bob", QUIET)
    request_ids = []
    for text in HOSTILE:
        for attempt in (bob.resolve(f"+49{text}"), bob.block(f"x{text}@interop"), bob.take_prekey_bundle(f"{text}@x")):
            with pytest.raises(ServerRefusal) as raised:
                await attempt
            request_ids.append(raised.value.request_id)
        device = world.device("eve")
        await bob.transport.call(
            "/interop_api.v1.EnlistmentService/Enlist",
            enlistment(device.state, f"a.{text}.b"),
            enlistment_pb2.EnlistResponse,
        )
    admin = ("--admin", world.endpoint.admin)
    commands = [
        ("journal",),
        ("journal", "--json"),
        ("trace",),
        ("trace", "--json"),
        ("audit", bob.jid),
        ("audit", bob.jid, "--json"),
    ]
    commands += [("explain", request_id) for request_id in request_ids[:3] if request_id]
    for command in commands:
        ended = await run(tmp_path, *command, *admin)
        assert unfit(ended.stdout) == unfit(ended.stderr) == set(), command
        assert not [line for line in ended.stdout.splitlines() if line.startswith("forged")]
    attack.holds("No control character, bidi mark or forged line reaches the terminal, as text or as JSON")


async def test_the_trace_shows_nothing_that_a_terminal_obeys(world: World, tmp_path: Path, attack: Attack) -> None:
    """Whatever a client puts into a stanza's ids and addresses, whether or not it is refused."""
    attack.tries("Stanzas with escape sequences, line ends and bidi marks in ids and addresses, while `trace` follows")
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    for form in ((), ("--json",)):
        arguments = ("trace", "--follow", *form, bob.jid, "--admin", world.endpoint.admin)
        async with running(tmp_path, *arguments) as program:
            assert program.stderr is not None
            async with asyncio.timeout(WAIT_SECONDS):
                assert b"Recording" in await program.stderr.readline()
            async with Wire(bob.transport) as wire:
                await wire.send(*(sealed_message(text, text) for text in HOSTILE))
                await wire.take_until("send_acks")
            shown = await program.lines_until("send_acks")
            program.signal(signal.SIGINT)
            assert (await program.end()).code == 0
        assert len([line for line in shown if "to_jid" in line]) == len(HOSTILE)
        assert unfit("".join(shown)) == set(), form
        assert not [line for line in shown if line.startswith("forged")]
    attack.holds("Each stands in the trace, escaped, on a line of its own, as text and as JSON")
