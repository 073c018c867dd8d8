"""`make stubs`: generates the contract's stubs in every language, compiles them, and says what became of each.

Exits with 1 when stubs cannot be generated or do not compile; a compiler that is not there is told, and no failure.
`--install` first gets the compilers, where npm and apt-get are to be had.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.proto_sources import PROTOS
from tests.stubs.check import Outcome, check_all
from tests.stubs.languages import LANGUAGES, ROOT, TOOLS


def main(arguments: Sequence[str], protos: Path = PROTOS, tools: Path = TOOLS) -> int:
    """Checks all languages and prints a line for each. See `check` for the folders."""
    if "--install" in arguments:
        install()
    results = check_all(protos, tools)
    for result in results:
        print(result)
    return 1 if any(result.outcome is Outcome.BROKEN for result in results) else 0


def install() -> None:
    """Gets the tools of every language that lacks some; what cannot be had is told when it is needed."""
    commands: dict[tuple[str, ...], set[str]] = {}
    for language in LANGUAGES:
        if language.missing():
            commands.setdefault(language.installer, set()).update(language.packages)
    if any(installer[0] == "apt-get" for installer in commands) and _may_run("apt-get"):
        _try(("apt-get", "update"))
    for installer, packages in commands.items():
        if _may_run(installer[0]):
            _try((*installer, *sorted(packages)))


def _may_run(program: str) -> bool:
    return shutil.which(program) is not None and (program != "apt-get" or os.geteuid() == 0)


def _try(command: Sequence[str]) -> None:
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    if done.returncode:
        print(f"{' '.join(command)} failed:\n{done.stderr}".rstrip(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
