"""Where time and entropy come from, and what the rules may import: read from the source, so that nothing can slip."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interop_server
import interop_workbench
import partner_server

ROOT = Path(next(iter(interop_server.__path__)))
MODULES = sorted(ROOT.rglob("*.py"))
CORE = sorted((ROOT / "core").glob("*.py"))
EDGES = [
    module
    for package in (interop_server, interop_workbench, partner_server)
    for module in sorted(Path(next(iter(package.__path__))).rglob("*.py"))
    if "aiohttp" in module.read_text()
]
"""What answers or asks over HTTP."""
READ_BY_AIOHTTP = {"content_type", "charset"}, {"text", "json", "post", "multipart"}
"""Of a request or a response that came: its attributes, and its methods, that parse the Content-Type."""

SOURCES = {"runtime/clock.py", "runtime/rng.py"}
"""The only modules that may read time or entropy."""
FORBIDDEN_MODULES = {"time", "datetime", "random", "secrets", "uuid", "sched", "signal"}
FORBIDDEN_NAMES = {"os.urandom", "os.getrandom", "os.times", "asyncio.sleep", "loop.time", "ssl.RAND_bytes"}
TIMERS = {"call_later", "call_at"}
"""Of an event loop."""
DEADLINES = {"asyncio.timeout", "asyncio.timeout_at", "asyncio.wait_for", "asyncio.wait(timeout)", "ClientTimeout"}
"""Bounds in real time: for waits that somebody outside this process can draw out, and for no others."""
NETWORK_WAITS = {
    "workbench.py": "people, who are a process beside the server",
    "telemetry.py": "a collector that does not take the last spans",
    "runtime/shutdown.py": "a step of the stop that hangs",
    "rpc/handshake.py": "a client that does not go on with its handshake (CHN-01)",
    "rpc/chat.py": "a client that does not read the last word",
    "rpc/interceptor.py": "a request that does not come",
    "rpc/media.py": "an upload that stands still (MED-07)",
    "blobs/bucket.py": "an object store that does not answer (SIM-03)",
    "http/forms.py": "a body that does not come",
    "http/downloads.py": "a reader that does not take in what it asked for",
    "http/outbound.py": "a messenger's server, as a whole",
    "http/jwks.py": "a messenger's key set (ENL-03)",
    "http/partner_media.py": "a messenger's media server (MED-03)",
}
KEY_GENERATORS = {"generate", "generate_key", "generate_private_key"}
"""Of `cryptography`: they read entropy on their own."""
ALLOWED = {
    ("runtime/jwt.py", "rsa.generate_private_key"): "RSA needs primes: no sequence of random bytes stands for a key",
    ("http/connections.py", "asyncio.get_running_loop().call_later"): "a connection on which no request comes",
    ("rpc/turns.py", "asyncio.sleep"): "a round of the event loop, and no time",
    ("storage/postgres/holds.py", "asyncio.sleep"): "another node, which is to let go of a blob",
    ("blobs/bucket.py", "datetime.timedelta"): "a length of time, as obstore wants it",
    ("process.py", "signal"): "signals of the process, not its alarm clock",
    ("cli.py", "signal"): "likewise",
    ("app.py", "asyncio.sleep"): "a disk that fails or comes back knows no clock of the simulator's",
    ("http/listener.py", "asyncio.sleep"): "descriptors, which others give back in real time",
    ("nodes/asking.py", "asyncio.sleep"): "a follower at another node, who may have gone",
    ("nodes/merging.py", "asyncio.sleep"): "other nodes, which are asked again what they have recorded",
    ("nodes/node.py", "asyncio.sleep"): "other nodes and the database, which know only real time",
    ("nodes/bus.py", "asyncio.sleep"): "a server that goes away or comes back knows no clock of the simulator's",
    ("runtime/memory.py", "asyncio.sleep"): "memory, of which the system has as much at any simulated time",
    ("runtime/shutdown.py", "asyncio.get_running_loop().time"): "a process ends in real time",
    ("crash_points.py", "signal"): "SIGKILL, not its alarm clock",
    ("tls.py", "datetime.UTC"): "certificates have dates; the time is handed in",
    ("tls.py", "datetime.datetime"): "likewise",
    ("tls.py", "datetime.timedelta"): "likewise",
    ("tls.py", "ec.generate_private_key"): "keys of TLS, which nothing that is simulated depends on",
}

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
            is_forbidden = name in FORBIDDEN_NAMES or name.endswith("get_running_loop().time")
            if is_forbidden or node.attr in KEY_GENERATORS | TIMERS:
                yield name


def deadlines(tree: ast.AST) -> Iterator[str]:
    """Names of all that bounds a wait in real time."""
    for name in imported(tree):
        if name in DEADLINES or name.rpartition(".")[2] in DEADLINES:
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in DEADLINES:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.wait":
            yield from ("asyncio.wait(timeout)" for keyword in node.keywords if keyword.arg in ("timeout", None))


def read_by_aiohttp(tree: ast.AST) -> Iterator[str]:
    """All that has aiohttp parse a Content-Type."""
    attributes, methods = READ_BY_AIOHTTP
    for node in ast.walk(tree):
        if (isinstance(node, ast.Attribute) and node.attr in attributes) or (
            isinstance(node, ast.Call) and not node.args and getattr(node.func, "attr", "") in methods
        ):
            yield ast.unparse(node)


@pytest.mark.requirement("SIM-04")
@pytest.mark.parametrize("module", [each for each in MODULES if place(each) not in SOURCES], ids=place)
def test_only_clock_and_rng_read_time_and_entropy(module: Path) -> None:
    """Everything else takes them through ports, so that a test can move one and repeat the other (SIM-04)."""
    found = {(place(module), name) for name in clocks_and_dice(ast.parse(module.read_text()))}
    assert found <= ALLOWED.keys()


@pytest.mark.parametrize("module", [each for each in MODULES if place(each) not in SOURCES], ids=place)
def test_only_waits_for_the_network_are_in_real_time(module: Path) -> None:
    """Everything else that waits does so by the clock, and passes when it is advanced (SIM-04)."""
    found = set(deadlines(ast.parse(module.read_text())))
    assert bool(found) == (place(module) in NETWORK_WAITS), found


def test_what_is_allowed_is_there() -> None:
    """An exception that nobody needs any more is none."""
    for file, name in ALLOWED:
        assert name in clocks_and_dice(ast.parse((ROOT / file).read_text()))


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
        "from datetime import datetime as d",
        "def f():\n    self._loop.call_later(1, print)",
        "loop.call_at(1, print)",
        "import asyncio\nasyncio.sleep(0)",
        "from asyncio import sleep",
        "import uuid",
        "import secrets as s",
        "import asyncio\nasyncio.get_running_loop().time()",
        "X25519PrivateKey.generate()",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    """A search that finds nothing proves something only if it can find."""
    assert list(clocks_and_dice(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.timeout(1)",
        "from asyncio import wait_for",
        "import asyncio\nasyncio.wait(tasks, timeout=1)",
        "import asyncio\nasyncio.wait(tasks, **bound)",
        "from aiohttp import ClientTimeout",
    ],
)
def test_the_search_for_deadlines_finds_what_it_looks_for(source: str) -> None:
    """And nothing where there is none."""
    assert list(deadlines(ast.parse(source)))
    assert not list(deadlines(ast.parse("import asyncio\nasyncio.wait(tasks)")))


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


@pytest.mark.parametrize("module", EDGES, ids=lambda path: path.name)
def test_no_edge_has_aiohttp_read_what_a_body_is(module: Path) -> None:
    """Its parser of Content-Type takes seconds for some headers, and fails on others: see `read_content_type`."""
    assert not list(read_by_aiohttp(ast.parse(module.read_text())))


@pytest.mark.parametrize(
    "use",
    ["request.content_type", "self._request.charset", "request.text()", "await request.json()", "request.post()"],
)
def test_the_search_for_bodies_finds_what_it_looks_for(use: str) -> None:
    """And not what a response is given."""
    assert list(read_by_aiohttp(ast.parse(f"async def f():\n    x = {use}")))
    assert not list(read_by_aiohttp(ast.parse('web.Response(content_type="text/html", charset="utf-8")')))


def test_files_are_answered_with_by_what_looks_at_their_conditions() -> None:
    """aiohttp's own answer with a file fails on some dates."""
    assert [path.name for path in EDGES if "web.FileResponse" in path.read_text()] == ["files.py"]
