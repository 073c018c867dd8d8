"""What has changed between two runs; reads no file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interop_conformance.verdict import HELD, Verdict

_ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Change:
    """One check whose verdict, or score, is another one."""

    id: str
    old: str
    """Verdict and score; `absent` when the run did not have the check."""
    new: str
    is_worse: bool
    """Whether it held and does not any more, or is gone."""
    is_better: bool
    """Whether it holds and did not, or was not there. What is neither has another score, or fails in another way."""

    def shown(self) -> dict[str, Any]:
        """Returns it for machines."""
        return asdict(self)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Returns the changes from one report to another, by id."""
    before, after = ({check["id"]: check for check in report["checks"]} for report in (old, new))
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, now = _said(before.get(name)), _said(after.get(name))
        if was != now:
            held, holds = _held(before.get(name)), _held(after.get(name))
            found.append(Change(name, was, now, is_worse=held and not holds, is_better=holds and not held))
    return found


def _said(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return _ABSENT
    score = check.get("score")
    return f"{check['verdict']}, {score}" if score else str(check["verdict"])


def _held(check: Mapping[str, Any] | None) -> bool:
    return check is not None and Verdict(check["verdict"]) in HELD
