"""The code that is mutated, by room, and where a room's own tests are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("server", "clients/python", "protos/python")
TESTS = ("tests/unit", "tests/contract")
"""The tests that count: those that run the code in their own process and are quick. The simulator of an end-to-end test
is a process of its own, and the property tests walk for longer than all others together."""
NOT_COUNTED = ("tests/unit/test_worked_examples.py",)
"""Runs tests of a copy, not of this code."""

GENERATED = "interop_api"
"""The package that is generated from the contract."""
_SIGNAL = "clients/python/interop_client"
_CORE = "server/interop_server/core"
_ROOMS = {
    "protocol": ("protos/python/interop_protocol/*.py", "tests/unit/protocol/"),
    "signal": (f"{_SIGNAL}/signal/*.py", "tests/unit/client/signal/"),
    "signal/media": (f"{_SIGNAL}/media/crypto.py", "tests/unit/client/media/"),
    "storage": ("server/interop_server/storage/**/*.py", "tests/contract/store/"),
    "core": (f"{_CORE}/*.py", "tests/unit/core/test_"),
}


@dataclass(frozen=True)
class Room:
    """One area of the code."""

    name: str
    files: tuple[str, ...]
    """Paths from the root of the project, in order."""
    near: str
    """How the paths of its own tests begin."""


def rooms(root: Path = ROOT) -> Iterator[Room]:
    """Yields all rooms."""
    named = dict(_ROOMS)
    for folder in sorted(path for path in (root / _CORE).iterdir() if (path / "__init__.py").exists()):
        named[f"core/{folder.name}"] = (f"{_CORE}/{folder.name}/*.py", f"tests/unit/core/{folder.name}/")
    for name, (pattern, near) in named.items():
        yield Room(name, tuple(sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))), near)


def module_name(file: str) -> str:
    """Returns the name that a file of the code is imported by."""
    root = next(root for root in SOURCE_ROOTS if file.startswith(f"{root}/"))
    return file.removeprefix(f"{root}/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def sources(root: Path) -> list[Path]:
    """Returns all modules of the code, but the generated ones."""
    found = (path for source_root in SOURCE_ROOTS for path in (root / source_root).rglob("*.py"))
    return sorted(path for path in found if GENERATED not in path.parts)
