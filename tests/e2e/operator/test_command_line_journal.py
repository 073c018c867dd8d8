"""`interopsim journal` and `interopsim explain` as an operator uses them: the real command against a running server."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from interop_admin.endpoint import Endpoint
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from tests.e2e.conftest import World
from tests.e2e.program import ANY_PORTS, run, running
from tests.e2e.raw import QUIET


async def refused_lookup(world: World) -> tuple[str, ServerRefusal]:
    """JID of a third-party user who looks up nobody, and what they are told."""
    bob = await world.third_party("bob", QUIET)
    with pytest.raises(ServerRefusal) as raised:
        await bob.resolve("+4915100000000")
    return bob.jid, raised.value


async def entries_after(folder: Path, admin: tuple[str, str], token: str) -> list[dict[str, Any]]:
    """What the journal of a server has after a token."""
    ended = await run(folder, "journal", "--json", "--after", token, *admin)
    assert (ended.code, ended.stderr) == (0, "")
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.requirement("SIM-07")
async def test_a_refusal_is_explained_in_plain_words(world: World, tmp_path: Path) -> None:
    """What, by which rule and on what evidence, what would have helped, and what was not told (SIM-07)."""
    jid, refusal = await refused_lookup(world)
    ended = await run(tmp_path, "explain", refusal.request_id, "--admin", world.endpoint.admin)
    assert (ended.code, ended.stderr) == (0, "")
    for said in (
        "InteropService.Resolve",
        jid,
        "OPT-09",
        "analogous practice",
        "resolve_burst=1024",
        "No such account",
    ):
        assert said in " ".join(ended.stdout.split()), said
    assert refusal.advice in " ".join(ended.stdout.split())
    ended = await run(tmp_path, "explain", refusal.request_id, "--json", "--admin", world.endpoint.admin)
    explained = json.loads(ended.stdout)
    assert explained["entry"]["request_id"] == refusal.request_id
    assert (explained["entry"]["requirement"], explained["advice"]) == ("OPT-09", refusal.advice)
    assert explained["statement"] and explained["evidence"] and explained["policy"]


@pytest.mark.requirement("ABU-02", "SIM-07")
async def test_a_message_is_explained_in_plain_words(world: World, tmp_path: Path) -> None:
    """By its id: that it was accepted, or dropped and why, which its sender was not told."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    accepted = await bob.send_text(alice.jid, "Hello")
    await alice.block(bob.jid)
    dropped = await bob.send_text(alice.jid, "unheard")
    for sent, outcome, rule, is_cause_told in (
        (accepted, f"accepted for {alice.jid}.", "MSG-06", False),
        (dropped, f"dropped, which looks like accepted to its sender; it was for {alice.jid}.", "ABU-02", True),
    ):
        ended = await run(tmp_path, "explain", sent.id, "--admin", world.endpoint.admin)
        assert (ended.code, ended.stderr) == (0, "")
        words = " ".join(ended.stdout.split())
        assert words.startswith(f"What was decided stanza.message of {bob.jid} about {sent.id}, at ")
        assert outcome in words and f"By which rule: {rule}" in words
        assert ("Why, which the caller was not told" in words) == is_cause_told
        assert "What would have made it succeed" not in words


async def test_the_newest_refusal_is_explained_without_its_id(tmp_path: Path) -> None:
    """So that nobody has to copy an id; while there is none, that is said. What the operator mistypes comes last."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        endpoint = Endpoint.from_ready_line(json.dumps(await program.ready_line()))
        none = await run(tmp_path, "explain")
        assert none.code == 1 and "nothing was refused yet" in none.stderr
        assert (await run(tmp_path, "journal", "--reason", "NOPE")).code
        of_operator = await run(tmp_path, "explain", "--json")
        assert json.loads(of_operator.stdout)["entry"]["actor"] == "operator"
        client = ThirdPartyClient.direct(endpoint, ClientState.generate(), no_token)
        for token in ("no token", "a.b.c"):
            with pytest.raises(ServerRefusal) as caught:
                await client.enlist(token)
        await client.close()
        assert (await run(tmp_path, "journal", "--reason", "NOPE")).code
        ended = await run(tmp_path, "explain", "--json")
        assert json.loads(ended.stdout)["entry"]["request_id"] == caught.value.request_id


async def no_token() -> str:
    """Nobody logs in here."""
    raise NotImplementedError


async def test_what_cannot_be_explained_is_told_in_a_sentence(world: World, tmp_path: Path) -> None:
    """No stack trace, and what to do."""
    for request_id, said, code in (("0" * 16, "NOT_REGISTERED", 1), ("no id", "1 to 64 characters", 2)):
        ended = await run(tmp_path, "explain", request_id, "--admin", world.endpoint.admin)
        assert (ended.code, ended.stdout) == (code, "")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
    ended = await run(tmp_path, "explain", "0" * 16, "--admin", "127.0.0.1:1")
    assert ended.code == 1
    assert "no simulator answers at 127.0.0.1:1" in ended.stderr


async def test_the_journal_is_shown_to_people_and_to_machines(world: World, tmp_path: Path) -> None:
    """A line each, filtered by who, what, outcome, reason and rule."""
    jid, refusal = await refused_lookup(world)
    admin = ("--admin", world.endpoint.admin)
    ended = await run(tmp_path, "journal", "--actor", jid, *admin)
    assert ended.code == 0
    lines = ended.stdout.splitlines()
    assert any("chat.login accepted" in line for line in lines)
    assert any("RECIPIENT_NOT_REACHABLE (OPT-09)" in line and refusal.request_id in line for line in lines)
    filters = ("--outcome", "refused", "--reason", "RECIPIENT_NOT_REACHABLE", "--requirement", "OPT-09")
    ended = await run(tmp_path, "journal", "--json", "--actor", jid, "--action", "InteropService.", *filters, *admin)
    [entry] = [json.loads(line) for line in ended.stdout.splitlines()]
    told = (entry["request_id"], entry["outcome"], entry["cause"])
    assert told == (refusal.request_id, "refused", "no such account")
    ended = await run(tmp_path, "journal", "--json", "--actor", jid, *admin)
    entries = [json.loads(line) for line in ended.stdout.splitlines()]
    ended = await run(tmp_path, "journal", "--actor", jid, "--after", entries[-1]["resume_token"], *admin)
    assert (ended.code, ended.stdout) == (0, "")


async def test_an_entry_says_which_node_decided_and_where_to_read_on(tmp_path: Path) -> None:
    """After a restart a token of the start before leads to the first entry since."""
    token = ""
    for _ in range(2):
        async with running(tmp_path, "up", "--node", "east-1", "--db", "sim.db", *ANY_PORTS) as program:
            admin = ("--admin", str((await program.ready_line())["admin"]))
            assert (await run(tmp_path, "clock", "resume", *admin)).code == 0
            entries = await entries_after(tmp_path, admin, token)
            assert {(entry["node"], entry["outcome"]) for entry in entries} == {("east-1", "accepted")}
            assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
            token = entries[-1]["resume_token"]
            assert len(token) <= 128
            assert await entries_after(tmp_path, admin, token) == []


async def test_a_follower_sees_what_happens_until_interrupted(world: World, tmp_path: Path) -> None:
    """Ctrl-C ends it without a stack trace."""
    bob = await world.third_party("bob", QUIET)
    arguments = ("journal", "--follow", "--json", "--actor", bob.jid, "--admin", world.endpoint.admin)
    async with running(tmp_path, *arguments) as program:
        seen = ""
        while seen != "PreKeyService.SetPreKeys":
            seen = (await program.ready_line())["action"]
        await bob.count_prekeys()
        assert (await program.ready_line())["action"] == "PreKeyService.CountOneTimePreKeys"
        program.signal(signal.SIGINT)
        ended = await program.end()
    assert (ended.code, ended.stderr) == (0, "")
