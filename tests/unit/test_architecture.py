"""Where time and entropy come from, and what the rules may import: read from the source, so that nothing can slip."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interop_server

ROOT = Path(next(iter(interop_server.__path__)))
MODULES = sorted(ROOT.rglob("*.py"))
CORE = sorted((ROOT / "core").glob("*.py"))

SOURCES = {"runtime/clock.py", "runtime/rng.py"}
"""The only modules that may read time or entropy."""
FORBIDDEN_MODULES = {"time", "random", "secrets", "uuid"}
FORBIDDEN_NAMES = {
    "os.urandom",
    "os.getrandom",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "asyncio.sleep",
    "loop.time",
}
KEY_GENERATORS = {"generate", "generate_key", "generate_private_key"}
"""Of `cryptography`: they read entropy on their own."""
ALLOWED = {("runtime/jwt.py", "rsa.generate_private_key")}
"""RSA needs primes: no sequence of random bytes stands for a key."""

CORE_MAY_IMPORT = (
    set(sys.stdlib_module_names) - FORBIDDEN_MODULES - {"asyncio", "os", "socket", "logging", "sqlite3"}
) | {"interop_protocol"}


def place(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of all that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def clocks_and_dice(tree: ast.AST) -> Iterator[str]:
    """Names of all that reads time or entropy."""
    for name in imported(tree):
        if name.partition(".")[0] in FORBIDDEN_MODULES or name in FORBIDDEN_NAMES:
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in FORBIDDEN_NAMES or node.attr in KEY_GENERATORS or name.endswith("get_running_loop().time"):
                yield name


@pytest.mark.requirement("SIM-04")
@pytest.mark.parametrize("module", [each for each in MODULES if place(each) not in SOURCES], ids=place)
def test_only_clock_and_rng_read_time_and_entropy(module: Path) -> None:
    """Everything else takes them through ports, so that a test can move one and repeat the other (SIM-04)."""
    found = {(place(module), name) for name in clocks_and_dice(ast.parse(module.read_text()))}
    assert found <= ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "def f():\n    import random",
        "import os\nos.urandom(8)",
        "from os import urandom",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\nx = datetime.datetime.utcnow",
        "import uuid",
        "import secrets as s",
        "import asyncio\nasyncio.get_running_loop().time()",
        "X25519PrivateKey.generate()",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    """A search that finds nothing proves something only if it can find."""
    assert list(clocks_and_dice(ast.parse(source)))


def test_the_sources_of_time_and_entropy_are_where_they_are_said_to_be() -> None:
    """Both exist, and both are needed."""
    for source in SOURCES:
        assert list(clocks_and_dice(ast.parse((ROOT / source).read_text())))


@pytest.mark.parametrize("module", CORE, ids=place)
def test_the_rules_import_nothing_but_the_rules(module: Path) -> None:
    """The standard library without the outside world, the protocol package, and each other."""
    for name in imported(ast.parse(module.read_text())):
        assert name.partition(".")[0] in CORE_MAY_IMPORT or name.startswith("interop_server.core."), name


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_a_module_says_what_it_is(module: Path) -> None:
    """Reading starts at the docstring."""
    assert ast.get_docstring(ast.parse(module.read_text()))
