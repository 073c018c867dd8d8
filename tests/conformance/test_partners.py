"""The sample messenger's server is conformant; wrong ones are caught by the checks that their register names."""

import asyncio
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from interop_conformance.catalogue import load
from interop_conformance.check import Level, Subject
from interop_conformance.partner_cli import partner
from interop_wrong.partner import load as load_wrong
from interop_wrong.register import Wrong
from tests.conformance.kit import COMMANDS, conformance
from tests.conformance.matrix import complaints_after
from tests.conformance.matrix_partners import judge, serving

pytestmark = pytest.mark.timeout(600)
GROUPS = 6
AT_ONCE = 2
CHECKS = {**load(Subject.PARTNER), **load(Subject.PROXY)}
WRONG = list(load_wrong().values())
BY_MUST = [wrong for wrong in WRONG if any(CHECKS[name].level is Level.MUST for name in wrong.caught_by)]
WRONG_USE = {
    "no URL": (("--base-url", "messenger"), "--base-url"),
    "another scheme": (("--base-url", "ftp://127.0.0.1:1"), "--base-url"),
    "nobody there": (("--base-url", "http://127.0.0.1:1"), "127.0.0.1:1"),
    "elsewhere": (("--base-url", "http://192.0.2.1"), "--allow-remote"),
    "a port without an end": (("--base-url", "http://127.0.0.1:1", "--listen", f"[::1]:{'9' * 5_000}"), "--listen"),
    "no token command": (("--base-url", "http://127.0.0.1:1", "--token-command", ""), "--token-command"),
    "no media": (("--base-url", "http://127.0.0.1:1", "--media-url", "http://127.0.0.1:1/m"), "--media-reference"),
}


def test_the_sample_is_conformant(tmp_path: Path) -> None:
    """Its key set, tokens, pushes and media, and its proxy: every check passes, and nothing is left behind.

    With the command of the page.
    """
    (tmp_path / "server").mkdir()

    async def run() -> None:
        async with serving() as facts:
            port = facts.base_url.rpartition(":")[2]
            command = COMMANDS[-1].replace("8080", port).replace('"python ', f'"{sys.executable} ')
            arguments = shlex.split(command)[2:]
            outcome = await asyncio.to_thread(conformance, tmp_path, *arguments)
            bad = {name: verdict for name, verdict in outcome.verdicts().items() if verdict != "pass"}
            assert (outcome.status, bad) == (0, {}), outcome.stdout
            assert list(outcome.folder.iterdir()) == []
            repeat = shlex.split(outcome.report["checks"][0]["repeat"])
            assert partner.make_context("partner", repeat[3:]).params["media_put"] is True
            assert outcome.report["kind"] == "partner" and json.dumps(outcome.report).count("eyJ") == 0

    asyncio.run(run())


def test_a_verdict_on_a_part_says_so(tmp_path: Path) -> None:
    """Nobody has named where pushes, media and the proxy are."""

    async def run() -> None:
        async with serving() as facts:
            token = f"{sys.executable} -m partner_server token --url {facts.base_url}"
            named = ("--base-url", facts.base_url, "--token-command", token)
            outcome = await asyncio.to_thread(conformance, tmp_path, "partner", *named)
            line = (tmp_path / "report" / "summary.md").read_text().splitlines()[0]
            assert outcome.status == 0 and "conformant in what was judged" in line, outcome.stdout
            for option in ("push-url", "media-url", "proxy"):
                assert f"--{option}" in line.replace("\\", "")

    asyncio.run(run())


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_a_sentence_and_status_2(name: str, tmp_path: Path) -> None:
    """Before any check."""
    arguments, sentence = WRONG_USE[name]
    extra = () if "--token-command" in arguments else ("--token-command", "true")
    outcome = conformance(tmp_path, "partner", *arguments, *extra)
    assert outcome.status == 2 and sentence in outcome.stderr, outcome.stderr
    assert "Traceback" not in outcome.stderr and list(outcome.folder.iterdir()) == []


def test_wrong_servers_name_checks_that_exist() -> None:
    """Those that must catch them, and those that may say so, too."""
    assert len(BY_MUST) >= 15
    assert {name for wrong in WRONG for name in (*wrong.caught_by, *wrong.also)} <= CHECKS.keys()


def with_grounds(names: Iterable[str]) -> list[str]:
    """Checks, after those that they rest on."""
    found: list[str] = []
    for name in names:
        found += [each for each in (*with_grounds(CHECKS[name].after), name) if each not in found]
    return found


@pytest.mark.parametrize("group", range(GROUPS))
def test_each_wrong_server_is_caught_by_its_checks(group: int) -> None:
    """By name. `make matrix` shows that no other check blames it."""

    async def run() -> list[str]:
        turn = asyncio.Semaphore(AT_ONCE)

        async def judge_one(wrong: Wrong) -> list[str]:
            async with turn:
                return await complaints_after(wrong, lambda: judge(wrong.name, with_grounds(wrong.caught_by)))

        found = await asyncio.gather(*(judge_one(wrong) for wrong in BY_MUST[group::GROUPS]))
        return [complaint for some in found for complaint in some]

    assert asyncio.run(run()) == []
