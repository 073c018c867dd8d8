"""The simulator in test suites of pytest: fixtures, a marker, and on failure what the server saw.

    def test_hello(alice, bob):
        bob.send(alice, "Hello")
        assert alice.receive().text == "Hello"

One server serves all tests of a process, and of a worker of pytest-xdist; each test has a messenger and people of its
own in it. A test that moves the clock, adds faults or is marked has a server of its own. See docs/testing.md.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interopsim.in_process import Running
    from interopsim.people import Messenger, Person, User
    from partner_server import SigningKeys

MARKER = "interopsim"
SEED_FLAG = "--interopsim-seed"
_OWN = frozenset({"clock", "faults"})
"""Fixtures with which a test changes the server for everybody."""
_SHOWN_ENTRIES = 200
_MAX_MESSENGERS = 999
_used = pytest.StashKey["tuple[Running, str]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Says what the marker means."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(seed=N, freeze_at=TIME, limits={{NAME: VALUE}}, faults=FILE): gives the test a simulator of its "
        "own, which begins so",
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the seed."""
    group = parser.getgroup("interopsim", "the simulator")
    group.addoption(
        SEED_FLAG, type=_seed, metavar="N", help="Derive ids and keys of unmarked tests' simulators from N: repeatable."
    )


def _seed(text: str) -> int:
    from interop_protocol.whole_numbers import read_whole

    seed = read_whole(text, 0)
    if seed is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: a whole number from 0 on is one")
    return seed


def pytest_report_header(config: pytest.Config) -> str:
    """Says which versions are at work, and which seed."""
    from importlib.metadata import version

    seed = config.getoption(SEED_FLAG)
    sown = f"without a seed, {SEED_FLAG} sets one" if seed is None else f"seed {seed}"
    return f"interopsim: {version('interopsim')}, grpcio {version('grpcio')}, {sown}"


class Clock:
    """The simulator's clock."""

    def __init__(self, sim: "Running") -> None:
        self._sim = sim

    def now_ms(self) -> int:
        """Returns the time: milliseconds since the UNIX epoch."""
        return self._sim.call(self._sim.admin.get_clock()).now_ms

    def freeze(self) -> None:
        """Lets time stand still."""
        self._sim.call(self._sim.admin.freeze_clock())

    def advance(self, duration: str) -> None:
        """Lets time pass, such as `30d`, `90m` or `1.5h`; everything that falls due is done when this returns.

        To a server, clients that say nothing for so long are gone: those that are to go on `connect` again.

        Raises:
            ValueError: That is no duration.
        """
        from interop_protocol.times import parse_duration

        self._sim.call(self._sim.admin.advance_clock(parse_duration(duration)), seconds=600)

    def resume(self) -> None:
        """Lets time go on."""
        self._sim.call(self._sim.admin.resume_clock())


class Faults:
    """What the simulator does wrong on purpose."""

    def __init__(self, sim: "Running") -> None:
        self._sim = sim

    def add(self, toml: str) -> None:
        """Adds faults, written as `interopsim docs faults` has them.

        Raises:
            FaultFileWrong: The text is no such file; the message says where.
            ServerRefusal: The simulator cannot do that.
        """
        from interop_api.admin.v1alpha1 import faults_pb2
        from interop_protocol.fault_files import FaultFile

        wanted = faults_pb2.AddFaultsRequest()
        FaultFile("the fault", toml.encode()).write(wanted.faults)
        self._sim.call(self._sim.admin.add_faults(wanted.faults))

    def fired(self) -> dict[str, int]:
        """Returns how often each has done something, by name."""
        listed = self._sim.call(self._sim.admin.list_faults())
        return {state.fault.name: state.fired for state in listed.faults}

    def clear(self) -> None:
        """Removes all."""
        self._sim.call(self._sim.admin.clear_faults())


class JournalReader:
    """What the server has decided since the test began."""

    def __init__(self, sim: "Running", since: str) -> None:
        self._sim = sim
        self._since = since

    def entries(self, **wanted: Any) -> list[dict[str, Any]]:
        """Returns the entries, oldest first, as `interopsim journal --json` shows them.

        Args:
            **wanted: Fields of ReadJournalRequest: `actor`, `reason`, `requirement`, …
        """
        from interop_admin.commands.journal import entry_as_json

        async def read() -> list[dict[str, Any]]:
            stream = self._sim.admin.read_journal(resume_token=self._since, **wanted)
            return [entry_as_json(response.entry) async for response in stream]

        return self._sim.call(read())

    def refusals(self) -> list[str]:
        """Returns the reasons of what was refused, oldest first."""
        return [entry["reason"] for entry in self.entries() if entry["outcome"] == "refused"]


@pytest.fixture(scope="session")
def interopsim_server(pytestconfig: pytest.Config) -> "Iterator[Running]":
    """The simulator of this process; a test usually takes `interopsim`."""
    from interopsim.in_process import running

    with running(trace=True, seed=pytestconfig.getoption(SEED_FLAG)) as sim:
        yield sim


@pytest.fixture(scope="session")
def interopsim_keys() -> "SigningKeys":
    """What all messengers of this process sign tokens with: making a key takes tenths of a second."""
    from partner_server import SigningKeys

    return SigningKeys()


@pytest.fixture
def interopsim(request: pytest.FixtureRequest) -> "Iterator[Running]":
    """A running simulator: that of this process, or one of the test's own when it is marked or changes the server."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None and not _OWN & set(request.fixturenames):
        yield _begun(request, request.getfixturevalue("interopsim_server"))
        return
    from interopsim.in_process import running

    if marker is not None and marker.args:
        raise pytest.UsageError(f"@pytest.mark.{MARKER} takes named choices: seed, freeze_at, limits, faults.")
    usual = {"trace": True, "seed": request.config.getoption(SEED_FLAG)}
    with ExitStack() as stack:
        try:
            sim = stack.enter_context(running(**{**usual, **(marker.kwargs if marker else {})}))
        except (TypeError, ValueError) as error:
            raise pytest.UsageError(f"@pytest.mark.{MARKER}: {error}") from error
        yield _begun(request, sim)


@pytest.fixture
def messenger(
    interopsim: "Running", interopsim_keys: "SigningKeys", request: pytest.FixtureRequest
) -> "Iterator[Messenger]":
    """A third-party messenger of the test's own, with a server of its own."""
    from interopsim.people import Messenger

    taken = request.config.stash.setdefault(_taken, {})
    key = interopsim.endpoint.admin
    taken[key] = taken.get(key, 0) % _MAX_MESSENGERS + 1
    with (
        tempfile.TemporaryDirectory(prefix="interopsim-messenger-") as folder,
        Messenger(interopsim, taken[key], Path(folder), interopsim_keys) as messenger,
    ):
        yield messenger


_taken = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def make_user(messenger: "Messenger") -> "Callable[[str], User]":
    """Makes users of the test's messenger: `make_user("carol")`."""
    return messenger.user


@pytest.fixture
def make_person(messenger: "Messenger") -> "Callable[..., Person]":
    """Makes people of WhatsApp: `make_person(opted_in=False)`."""
    return messenger.person


@pytest.fixture
def bob(messenger: "Messenger") -> "User":
    """A user of the test's messenger."""
    return messenger.user("bob")


@pytest.fixture
def alice(messenger: "Messenger") -> "Person":
    """A person of WhatsApp who has opted in for the test's messenger."""
    return messenger.person()


@pytest.fixture
def clock(interopsim: "Running") -> Clock:
    """The clock of a simulator of the test's own."""
    return Clock(interopsim)


@pytest.fixture
def faults(interopsim: "Running") -> Faults:
    """What a simulator of the test's own does wrong on purpose."""
    return Faults(interopsim)


@pytest.fixture
def journal(interopsim: "Running", request: pytest.FixtureRequest) -> JournalReader:
    """What the server has decided since the test began."""
    return JournalReader(interopsim, request.node.stash[_used][1])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attaches to a failed test what the server decided, and what went over the wire, since it began."""
    report: Any = yield
    if call.when == "call" and report.failed and (used := item.stash.get(_used, None)) is not None:
        sim, since = used
        try:
            report.sections += sim.call(_what_happened(sim.admin, since), seconds=10)
        except Exception as error:  # noqa: BLE001 - a report of a failure must not fail
            report.sections.append(("interopsim", f"The simulator says nothing: {error!r}"))
    return report  # type: ignore[no-any-return]


def _begun(request: pytest.FixtureRequest, sim: "Running") -> "Running":
    async def newest() -> str:
        token = ""
        async for response in sim.admin.read_journal():
            token = response.entry.resume_token
        return token

    request.node.stash[_used] = (sim, sim.call(newest()))
    return sim


async def _what_happened(admin: "AdminClient", since: str) -> list[tuple[str, str]]:
    from interop_admin.commands.journal import line_of as journal_line
    from interop_admin.commands.trace import line_of as trace_line

    journal = [response.entry async for response in admin.read_journal(resume_token=since)]
    begun_ms = journal[0].at_ms if journal else 0
    trace = [each.entry async for each in admin.read_trace() if each.HasField("entry") and each.entry.at_ms >= begun_ms]
    return [
        ("interopsim: journal", _newest([journal_line(entry) for entry in journal])),
        ("interopsim: wire", _newest([trace_line(entry) for entry in trace])),
    ]


def _newest(lines: list[str]) -> str:
    import click

    shown = lines[-_SHOWN_ENTRIES:]
    older = [f"({len(lines) - len(shown)} older entries are left out)"] if len(lines) > len(shown) else []
    return click.unstyle("\n".join([*older, *shown]))
