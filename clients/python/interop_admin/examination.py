"""Looks at all that a simulator on this machine needs, and at what old ones have left; changes nothing.

Each look is a function that yields findings. A finding is a sentence; what is wrong says what to do.
"""

import importlib
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from interop_admin.holders import holder_of
from interop_admin.running import Running, is_held, running_simulators, this_users_folder
from interop_protocol.state_files import READY_SUFFIX, UNFINISHED_SUFFIX

OLDEST_PYTHON = (3, 11)
DEFAULT_PORTS = {"grpc": 4460, "admin": 4461, "http": 4462}
"""Where a simulator without flags listens, on loopback."""
LEAST_FREE_BYTES = 100_000_000
"""Free space below which a run with media soon fails."""
LEAST_FILES = 256
"""Open files below which a few clients use up what a server may have."""
_TEMPORARY_FOLDERS = "interopsim-*"
_DISTRIBUTIONS = ("interopsim", "grpcio", "protobuf", "cryptography")
_LATEST_YEAR = 9_999


class Finding(NamedTuple):
    """What one look has found."""

    about: str
    is_wrong: bool
    sentence: str


def examine() -> list[Finding]:
    """Returns all findings, in the order in which a start would meet them."""
    return [finding for look in _LOOKS for finding in look()]


def _python() -> Iterator[Finding]:
    here = ".".join(map(str, sys.version_info[:3]))
    is_old = sys.version_info[:2] < OLDEST_PYTHON
    more = ": version 3.11 or newer is needed" if is_old else ""
    yield Finding("python", is_old, f"Python {here} at {sys.executable}{more}.")


def _packages() -> Iterator[Finding]:
    versions = ", ".join(f"{name} {version(name)}" for name in _DISTRIBUTIONS)
    try:
        for name in ("grpc", "interop_api.v1.chat_pb2", "interop_api.v1.chat_pb2_grpc"):
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever a package that does not fit raises when it is loaded
        yield Finding("packages", True, f"{versions} do not work together: {error}. Install interopsim anew.")
    else:
        yield Finding("packages", False, f"{versions}.")


def _ports() -> Iterator[Finding]:
    running = running_simulators()
    for surface, port in DEFAULT_PORTS.items():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                yield _taken(surface, port, running, error)
            else:
                yield Finding(f"port {port}", False, f"free for --{surface}.")


def _taken(surface: str, port: int, running: list[Running], error: OSError) -> Finding:
    for each in running:
        if any(str(each.facts[name]).endswith(f":{port}") for name in DEFAULT_PORTS):
            return Finding(f"port {port}", False, f"held by the simulator {each.name}.")
    holder = holder_of(port) or error.strerror
    advice = f"`interopsim up` needs --{surface} 127.0.0.1:0, or another port"
    return Finding(f"port {port}", True, f"not free ({holder}): {advice}.")


def _clock() -> Iterator[Finding]:
    now = datetime.fromtimestamp(time.time(), UTC)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    is_wrong = now < installed or now.year >= _LATEST_YEAR
    more = f", although interopsim was installed at {installed:%Y-%m-%dT%H:%M:%SZ}: set it" if is_wrong else ""
    yield Finding("clock", is_wrong, f"it is {now:%Y-%m-%dT%H:%M:%SZ}{more}.")


def _disk() -> Iterator[Finding]:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    is_wrong = free < LEAST_FREE_BYTES
    more = ": too little, so free some, or name another folder in TMPDIR" if is_wrong else ""
    yield Finding("disk", is_wrong, f"{free // 1_000_000:,} MB free in {folder}{more}.")


def _files() -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        yield Finding("file limit", False, "as many files may be open as one likes.")
        return
    is_wrong = hard < LEAST_FILES
    more = ": too few for more than some clients, so raise it with `ulimit -Hn`" if is_wrong else ""
    yield Finding("file limit", is_wrong, f"{hard:,} files may be open{more}.")


def _state() -> Iterator[Finding]:
    folder = this_users_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            mode = folder.stat().st_mode
    except OSError as error:
        advice = "commands must be told with --admin where a simulator is, or name another in INTEROPSIM_STATE"
        yield Finding("state folder", True, f"{folder} cannot be written ({error.strerror}): {advice}.")
        return
    is_open = bool(mode & 0o022)
    more = f": others may write there, so `chmod go-w {folder}`" if is_open else " can be written"
    yield Finding("state folder", is_open, f"{folder}{more}.")


def _stale_files() -> Iterator[Finding]:
    """Must come before any look that sweeps them: that of the ports does."""
    folder = this_users_folder()
    stale = [path for path in _listed(folder, f"*{READY_SUFFIX}", f".*{UNFINISHED_SUFFIX}") if _is_left(path)]
    names = ", ".join(path.name for path in stale)
    if names:
        yield Finding("state files", True, f"{names} in {folder}: left by simulators that were killed; delete them.")
    else:
        yield Finding("state files", False, "none is left of a simulator that has gone.")


def _stale_folders() -> Iterator[Finding]:
    folders = _listed(Path(tempfile.gettempdir()), _TEMPORARY_FOLDERS)
    stale = [each for each in folders if (each / "interopsim.db").is_file() and _is_left(each / "interopsim.db")]
    names = ", ".join(map(str, stale))
    if names:
        yield Finding("temporary folders", True, f"{names}: left by simulators that were killed; delete them.")
    else:
        yield Finding("temporary folders", False, "none is left of a simulator that has gone.")


def _listed(folder: Path, *patterns: str) -> list[Path]:
    try:
        return sorted(path for pattern in patterns for path in folder.glob(pattern))
    except OSError:
        return []


def _is_left(path: Path) -> bool:
    """Says whether a file of this user's is one that the process that made it no longer holds."""
    try:
        if path.stat().st_uid != os.getuid():
            return False
        with path.open("rb") as file:
            return not is_held(file.fileno())
    except OSError:
        return False


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _stale_files,
    _stale_folders,
    _ports,
    _clock,
    _disk,
    _files,
    _state,
)
