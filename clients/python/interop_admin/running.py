"""The simulators of this user that run on this machine, by the files that they leave; opens no connection.

The form is that of `interop_protocol.state_files`.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop_protocol.json_text import read_json
from interop_protocol.state_files import READY_SUFFIX, state_folder

_LOOK_SECONDS = 0.02
"""How often it is looked whether a process has ended: no call of the system waits for one that is not a child."""


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that runs."""

    name: str
    """As chosen with `--name`, or its process id."""
    line: str
    """Its ready line."""
    facts: dict[str, Any]
    """What the ready line says."""
    since: float
    """When it was ready, in seconds since the UNIX epoch."""
    path: Path
    """Its file."""

    @property
    def admin(self) -> str:
        """Address of the admin service, `host:port`."""
        return str(self.facts["admin"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.facts["pid"])

    def is_here(self) -> bool:
        """Says whether its process id means it here: in another container, it would be another process's."""
        descriptors = Path(f"/proc/{self.pid}/fd")
        if not Path("/proc/self/fd").is_dir():
            return True  # no such container on this system
        try:
            return any(os.path.samestat(each.stat(), self.path.stat()) for each in _present(descriptors))
        except OSError:
            return False

    @contextmanager
    def watched(self) -> Iterator["Watch"]:
        """Lets its end be waited for, also when its file is gone meanwhile."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            yield Watch(None)
            return
        try:
            yield Watch(descriptor)
        finally:
            os.close(descriptor)


class Watch:
    """Waits for the end of a process that holds a file."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def ended_within(self, seconds: float) -> bool:
        """Waits for the end; says whether it came within so many seconds."""
        end = time.monotonic() + seconds
        while self._descriptor is not None and is_held(self._descriptor):
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_SECONDS)
        return True


def _present(folder: Path) -> Iterator[Path]:
    """Yields what lies in a folder and leads somewhere."""
    return (path for path in folder.iterdir() if path.exists())


def this_users_folder() -> Path:
    """Returns the state folder of this user."""
    try:
        home = Path.home()
    except RuntimeError:  # there is none
        home = Path("/nonexistent")
    return state_folder(os.environ, home)


def running_simulators() -> list[Running]:
    """Returns the simulators of this user that run, the oldest first; removes the files of those that have gone."""
    found = []
    for path in _files():
        with suppress(OSError, ValueError, KeyError, TypeError):  # gone meanwhile, or no such file
            if (running := _read(path)) is not None:
                found.append(running)
    return sorted(found, key=lambda each: (each.since, each.name))


def _files() -> list[Path]:
    try:
        return [path for path in this_users_folder().iterdir() if path.suffix == READY_SUFFIX]
    except OSError:
        return []


def _read(path: Path) -> Running | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        if not is_held(descriptor):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                path.unlink()
            return None
        line = file.read().strip()
        facts = read_json(line)
        for name in ("admin", "grpc", "http", "root_public_key", "pid"):
            facts[name]
        return Running(path.name.removesuffix(READY_SUFFIX), line, facts, os.fstat(descriptor).st_mtime, path)


def is_held(descriptor: int) -> bool:
    """Says whether a process holds the open file with this descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
