"""All checks: loads their modules, and selects; knows no subject."""

import difflib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from interop_conformance.check import Check, Level, Subject, registered

_MODULES = {
    Subject.CLIENT: (
        "enlistment",
        "channel",
        "proxy",
        "keys",
        "messages",
        "deliveries",
        "sessions",
        "forgeries",
        "contents",
        "receipts",
        "retries",
        "consent",
        "media",
        "abuse",
        "lifecycle",
        "dishonest_keys",
        "dishonest_messages",
        "dishonest_senders",
        "dishonest_receipts",
        "dishonest_media",
    ),
    Subject.BOT: ("bots",),
    Subject.PARTNER: ("partner_keys", "partner_tokens", "partner_pushes", "partner_media"),
    Subject.PROXY: ("partner_proxy",),
}
"""Below `checks`, in the order in which checks are listed."""


_FEW = 30
"""So many names are told in a sentence."""


class UnknownName(Exception):
    """There is no check, area, milestone or profile of that name. The text is a sentence that names the nearest."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody has asked for; empty fields ask for everything."""

    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    areas: Sequence[str] = ()
    level: str = ""
    milestones: Sequence[int] = ()

    def __str__(self) -> str:
        parts = {
            "only": ", ".join(self.only),
            "without": ", ".join(self.skip),
            "area": ", ".join(self.areas),
            "level": self.level,
            "milestone": ", ".join(str(each) for each in self.milestones),
        }
        return "; ".join(f"{name} {value}" for name, value in parts.items() if value)


def load(subject: Subject) -> Mapping[str, Check]:
    """Returns all checks of a subject, by id."""
    for name in _MODULES[subject]:
        importlib.import_module(f"interop_conformance.checks.{name}")
    return registered(subject)


def select(checks: Mapping[str, Check], scope: Scope) -> list[Check]:
    """Returns the checks that a scope asks for, in their order.

    Raises:
        UnknownName: It names what does not exist.
    """
    areas = list(dict.fromkeys(check.area for check in checks.values()))
    for name in (*scope.only, *scope.skip):
        require(name, checks, "check")
    wanted = [each.upper() for each in scope.areas]
    for area in wanted:
        require(area, areas, "area")
    return [
        check
        for check in checks.values()
        if (not scope.only or check.id in scope.only)
        and check.id not in scope.skip
        and (not wanted or check.area in wanted)
        and (not scope.level or check.level is Level(scope.level))
        and (not scope.milestones or check.milestone in scope.milestones)
    ]


def require(name: str, known: Iterable[str], what: str) -> None:
    """Refuses a name that does not exist.

    Raises:
        UnknownName: The sentence names the nearest one.
    """
    names = list(known)
    if name in names:
        return
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        hint = f"did you mean {near[0]}?"
    elif len(names) <= _FEW:
        hint = f"there is {', '.join(sorted(names))}."
    else:
        hint = "`interopsim conformance list` shows them all."
    raise UnknownName(f"there is no {what} {name!r}: {hint}")
