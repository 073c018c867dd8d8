"""Which checks of the conformance kit judge a requirement in somebody else's implementation: `judged_by` in the ledger.

`make docs` writes it from the kit. A row that no check judges says why, in `unjudged`, by hand.
"""

import re

from interop_conformance.catalogue import load
from interop_conformance.check import Subject

_ROW = re.compile(r"^\[([A-Z]{3}-[0-9]{2})\]\n.*?(?=^\[|^# ──|\Z)", re.MULTILINE | re.DOTALL)
_JUDGED = re.compile(r"^judged_by = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def judges() -> dict[str, list[str]]:
    """Returns the ids of all checks, by requirement."""
    found: dict[str, list[str]] = {}
    for subject in Subject:
        for check in load(subject).values():
            found.setdefault(check.requirement, []).append(check.id)
    return {requirement: sorted(ids) for requirement, ids in found.items()}


def with_judges(text: str) -> str:
    """Returns the ledger's file with the checks of each row written anew, at the end of the row."""
    known = judges()

    def write(match: re.Match[str]) -> str:
        row = _JUDGED.sub("", match[0])
        ids = known.get(match[1], [])
        listed = "".join(f'  "{each}",\n' for each in ids)
        return f"{row.rstrip()}\njudged_by = [\n{listed}]\n\n" if ids else row

    return _ROW.sub(write, text).rstrip() + "\n"
