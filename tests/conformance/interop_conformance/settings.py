"""What somebody has asked the kit for on the command line, judged once; knows no check's content."""

import ipaddress
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interop_conformance import profile
from interop_conformance.catalogue import Scope, UnknownName, load, require, select
from interop_conformance.check import Check, Subject
from interop_conformance.reading import read_text
from interop_protocol.toml_text import read_toml
from interop_protocol.whole_numbers import read_whole

MAX_FILE_BYTES = 1 << 20
"""Longest file of expected failures."""


class WrongUse(Exception):
    """What was asked for cannot be done. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run of any kind needs to know."""

    scope: Scope = field(default_factory=Scope)
    profile: str = profile.DEFAULT
    expected_failures: Path | None = None
    report: Path | None = None
    seed: int = 1
    time_factor: float = 1.0
    pauses: bool = False
    as_json: bool = False
    arguments: Sequence[str] = ()
    """The command that runs this again, without what selects checks."""

    def repeat(self, check: Check) -> str:
        """Returns the command that runs one check alone."""
        return shlex.join([*self.arguments, "--only", check.id, "--seed", str(self.seed)])


def checks_of(settings: Settings, *subjects: Subject, mode: str = "") -> list[Check]:
    """Returns the checks that were asked for.

    Args:
        settings: What was asked for.
        *subjects: Whom the checks judge.
        mode: How a client is connected: checks about the other mode are left out.

    Raises:
        WrongUse: Nothing, or something that does not exist.
    """
    try:
        require(settings.profile, profile.names(), "profile")
        everything = {name: check for subject in subjects for name, check in load(subject).items()}
        chosen = select(everything, settings.scope)
    except UnknownName as error:
        raise WrongUse(str(error)) from error
    inside = profile.load(settings.profile).checks
    named = settings.scope.only
    chosen = [each for each in chosen if each.id in inside or each.id in named]
    chosen = [each for each in chosen if not mode or mode in each.modes]
    if not chosen:
        raise WrongUse("no check is left to run: `interopsim conformance list` shows them all.")
    return chosen


def expected_failures(path: Path | None, *subjects: Subject) -> Mapping[str, str]:
    """Reads the file of expected failures: TOML, an id and the reason in each line. Not all of them need be run.

    Raises:
        WrongUse: It cannot be read, or names a check that does not exist, or gives no reason.
    """
    if path is None:
        return {}
    try:
        table = read_toml(read_text(path, MAX_FILE_BYTES))
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise WrongUse(f'{path} is no TOML with lines such as "KEY-09.refills" = "Why": {error}.') from error
    names = [name for subject in subjects for name in load(subject)]
    for name, reason in table.items():
        if not isinstance(reason, str) or not reason.strip():
            raise WrongUse(f'{path}: give {name} a reason, as in "KEY-09.refills" = "Why".')
        try:
            require(name, names, "check")
        except UnknownName as error:
            raise WrongUse(f"{path}: {error}") from error
    return table


def parse_scope(values: Sequence[str]) -> list[int]:
    """Reads `milestone:3`, `milestone:1-4` and `milestone`, which is all six.

    Raises:
        WrongUse: It is none of them.
    """
    milestones: list[int] = []
    for value in values:
        kind, _, number = value.partition(":")
        first, _, last = number.partition("-")
        try:
            low, high = (1, 6) if not number else (int(first), int(last or first))
        except ValueError:
            low, high = 0, 0
        if kind != "milestone" or not 1 <= low <= high <= 6:
            raise WrongUse(f"{value!r} is no scope: milestone:1 to milestone:6, milestone:1-3, or milestone for all.")
        milestones += range(low, high + 1)
    return milestones


def require_local(address: str, *, allow_remote: bool, what: str) -> None:
    """Refuses an address that is not this machine's, unless that was allowed.

    Raises:
        WrongUse: It is elsewhere, or no `host:port`.
    """
    host, _, port = address.rpartition(":")
    if not host or read_whole(port, 1, 65_535) is None:
        raise WrongUse(f"{what} must be HOST:PORT, such as 127.0.0.1:5555.")
    if not allow_remote and not is_loopback(host.strip("[]")):
        raise WrongUse(f"{what} {address} is not on this machine: --allow-remote lets the kit go there.")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Show = Callable[[str], None]
"""Prints a line."""
