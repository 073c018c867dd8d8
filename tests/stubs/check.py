"""Whether the contract's stubs compile, language by language; remembers what did, and knows no command line."""

import shutil
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from tests.proto_sources import PROTOS
from tests.stubs.languages import LANGUAGES, TOOLS, Language, StubsBroken, digest_of


class Outcome(Enum):
    """What became of one language."""

    COMPILED = "generated and compiled"
    MISSING = "not compiled"
    BROKEN = "broken"


class Result(NamedTuple):
    """What became of one language, and why."""

    language: str
    outcome: Outcome
    detail: str = ""
    how_to_get: str = ""
    """The command that installs what is missing."""

    def __str__(self) -> str:
        parts = (self.detail, f"to get it: {self.how_to_get}" if self.how_to_get else "")
        details = "; ".join(part for part in parts if part)
        return f"{self.language:10} {self.outcome.value}{f': {details}' if details else ''}"


def check(language: Language, protos: Path = PROTOS, tools: Path = TOOLS) -> Result:
    """Generates and compiles the stubs of one language, unless these very ones compiled before.

    Args:
        language: Which.
        protos: The contract.
        tools: Where stubs are generated, and where it stands which did compile.
    """
    if missing := language.missing():
        return Result(language.name, Outcome.MISSING, f"no {', no '.join(missing)}", language.how_to_get)
    work, stamp, digest = tools / language.name.lower(), tools / f"{language.name.lower()}.compiled", digest_of(protos)
    if stamp.exists() and stamp.read_text() == digest:
        return Result(language.name, Outcome.COMPILED, "as before")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        language.compile(protos, work)
    except StubsBroken as error:
        return Result(language.name, Outcome.BROKEN, str(error))
    stamp.write_text(digest)
    return Result(language.name, Outcome.COMPILED)


def check_all(protos: Path, tools: Path) -> list[Result]:
    """Checks every language; see `check`."""
    return [check(language, protos, tools) for language in LANGUAGES]
