"""`python -m tests.conformance.matrix_partners [NAME…]`: runs the whole kit against each wrong messenger's server.

A wrong server must be caught by the checks that its register names, and by no other that the register does not allow.
`--right` runs it against the sample as it is.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from interop_conformance.catalogue import Scope, select
from interop_conformance.catalogue import load as load_checks
from interop_conformance.check import Subject
from interop_conformance.partner_run import run_checks
from interop_conformance.partner_subject import PartnerChoices, PartnerFacts
from interop_conformance.verdict import Result, Verdict
from interop_demo.processes import Child
from interop_wrong import ask_token
from interop_wrong.partner import load
from tests.conformance.matrix import complaints

AT_ONCE = 2


@asynccontextmanager
async def serving(name: str = "") -> AsyncIterator[PartnerFacts]:
    """Runs a wrong server, or the right one without a name, and says where it is."""
    with tempfile.TemporaryDirectory(prefix="interopsim-matrix-") as folder:
        module = ["interop_wrong.partner", name] if name else ["partner_server"]
        arguments = ["-m", *module, "--data", f"{folder}/data"]
        async with Child(name or "the server", arguments, Path(folder) / "log") as server:
            url = str(server.ready["base_url"])
            yield PartnerFacts(
                base_url=url,
                issuer=str(server.ready["issuer"]),
                token_command=(sys.executable, "-I", "-S", ask_token.__file__, url),
                push_url=str(server.ready["push_url"]),
                media_url=str(server.ready["media_url"]),
                media_put=True,
                proxy_url=str(server.ready["proxy_url"]),
                proxy_key_url=f"{server.ready['proxy_url']}/authkey",
                hook_url=f"{url}/admin/simulator",
            )


async def judge(name: str = "", only: Sequence[str] = ()) -> list[Result]:
    """Runs the kit, or some checks, against a wrong server, or the right one."""
    checks = select({**load_checks(Subject.PARTNER), **load_checks(Subject.PROXY)}, Scope(only=only))
    async with serving(name) as facts:
        return await run_checks(facts, PartnerChoices(), checks, lambda _: None, lambda _: None)


async def judge_all(names: Sequence[str]) -> int:
    """Prints a line for each wrong server; returns 1 when one is not judged as its register says."""
    turn, status = asyncio.Semaphore(AT_ONCE), 0

    async def judge_one(name: str) -> list[str]:
        async with turn:
            wrongly = complaints(wrongs[name], await judge(name))
        print(f"{name}: {'; '.join(wrongly) or 'caught by ' + ', '.join(wrongs[name].caught_by)}", flush=True)
        return wrongly

    wrongs = load()
    for wrongly in await asyncio.gather(*(judge_one(name) for name in wrongs if not names or name in names)):
        status |= bool(wrongly)
    return status


async def judge_right() -> int:
    """Prints what is not as it should be with the sample; returns 1 when there is something."""
    results = await judge()
    bad = [result for result in results if result.verdict is not Verdict.PASS]
    for result in bad:
        print(f"{result.verdict} {result.check.id}: expected {result.expected}; got {result.got}")
    print(f"{len(results)} checks")
    return int(bool(bad))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(asyncio.run(judge_right() if arguments == ["--right"] else judge_all(arguments)))
