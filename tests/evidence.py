"""What a run of the tests proved, for the ledger stage: which marked tests passed, and what they had simulators do.

A pytest plugin, for one process and for xdist: each test carries its marks in its report, the simulators of end-to-end
tests write their journals into one folder, and tests of one client put there what that was seen to use. The process
that gets all reports writes `.evidence/outcomes.json` at the end. Knows nothing of what the ledger says.
"""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

FOLDER = ".evidence"
OUTCOMES = "outcomes.json"
JOURNALS = "journals"
LEDGER_STAGE = "tests/ledger/"
_PROPERTY = "evidence"
_SOURCES = {
    "tests": ("py",),
    "server": ("py", "sql"),
    "clients": ("py",),
    "clients/node/src": ("ts",),
    "clients/node/samples": ("ts",),
    "clients/node/test": ("ts",),
    "protos": ("py", "proto"),
}
_JOURNAL, _DRIVEN = ".jsonl", ".driven"


@dataclass
class Outcome:
    """What became of a test, and what it proves if it passed."""

    test: str
    """Its node id."""
    requirements: list[str] = field(default_factory=list)
    threats: list[str] = field(default_factory=list)
    outcome: str = "passed"
    """Otherwise `failed`, `skipped`, `xfailed` or `xpassed`."""


@dataclass
class Wire:
    """What end-to-end tests got simulators to do, by their journals."""

    reasons: set[str] = field(default_factory=set)
    """For which they refused."""
    accepted: set[str] = field(default_factory=set)
    """Actions, such as `InteropService.Resolve`, that succeeded at least once."""
    refused: set[str] = field(default_factory=set)
    """Those that were refused at least once."""
    refusals: set[str] = field(default_factory=set)
    """Action, reason and requirement of each, one space between them."""

    def read(self, lines: Iterable[str]) -> None:
        """Takes in a journal: JSON objects, one a line; a simulator that was killed may have left half of its last."""
        for line in lines:
            if not line.endswith("\n"):
                return
            entry = json.loads(line)
            if entry.get("fault"):
                continue  # what an ordered fault did, or what followed from it, is not the server's own doing
            if entry["outcome"] == "refused":
                self.reasons.add(entry["reason"])
                self.refused.add(entry["action"])
                self.refusals.add(f"{entry['action']} {entry['reason']} {entry['requirement']}")
            elif entry["outcome"] == "accepted":
                self.accepted.add(entry["action"])


@dataclass
class Driven:
    """What a client was seen to use of the contract, by simulators' journals and traces."""

    calls: set[str] = field(default_factory=set)
    """Actions that were accepted, such as `InteropService.Resolve`."""
    sent: set[str] = field(default_factory=set)
    """Stanzas and handshake messages that it sent, such as `retry_receipt`."""
    taken: set[str] = field(default_factory=set)
    """Those that it was sent; of notifications also the event: `notification.prekeys_low`."""


@dataclass(frozen=True)
class Evidence:
    """All that a run proved."""

    partial: str
    """Why the run says nothing about the whole; empty when it was of the whole suite."""
    sources: str
    """Digest of the sources that the run was made with."""
    outcomes: list[Outcome]
    """The marked tests."""
    wire: Wire
    driven: dict[str, Driven]
    """By client; without those that did not run here."""


class EvidenceMissing(Exception):
    """There is no evidence of a whole run of these sources; the message says what to do."""


def sources_digest(root: Path) -> str:
    """Returns a digest of all that a run depends on, but for the ledger stage."""
    digest = hashlib.sha256()
    for folder, suffixes in _SOURCES.items():
        files = (file for suffix in suffixes for file in (root / folder).rglob(f"*.{suffix}"))
        for file in sorted(files):
            place = file.relative_to(root).as_posix()
            if not place.startswith(LEDGER_STAGE):
                digest.update(f"{place}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def read_evidence(root: Path) -> Evidence:
    """Reads the evidence of the last run.

    Raises:
        EvidenceMissing: There is none, it is of a part of the suite, or of other sources.
    """
    try:
        stored: dict[str, Any] = json.loads((root / FOLDER / OUTCOMES).read_text())
    except FileNotFoundError:
        raise EvidenceMissing("no run of the tests has left evidence here: run `make test`") from None
    wire = Wire(**{name: set(values) for name, values in stored["wire"].items()})
    outcomes = [Outcome(**each) for each in stored["outcomes"]]
    driven = {
        client: Driven(**{way: set(names) for way, names in ways.items()})
        for client, ways in stored.get("driven", {}).items()
    }
    evidence = Evidence(**stored | {"outcomes": outcomes, "wire": wire, "driven": driven})
    if evidence.partial:
        raise EvidenceMissing(f"the last run was not of the whole suite ({evidence.partial}): run `make test`")
    if evidence.sources != sources_digest(root):
        raise EvidenceMissing("the sources have changed since the last run of the tests: run `make test`")
    return evidence


_WAYS = [each.name for each in fields(Driven)]
_journals: Path | None = None
_numbers = itertools.count(1)


def new_journal() -> Path:
    """Returns a file that does not exist yet: what a simulator writes into it counts as evidence."""
    return _new_file(_JOURNAL)


def record_driven(client: str, used: Mapping[str, Iterable[str]]) -> None:
    """Says what a client was seen to use, in a test that has found it right.

    Args:
        client: Which one: `python` or `typescript`.
        used: Names by the fields of `Driven`.
    """
    _new_file(_DRIVEN).write_text(json.dumps({"client": client} | {way: sorted(used[way]) for way in _WAYS}))


def _new_file(suffix: str) -> Path:
    assert _journals is not None, "pytest has not been configured"
    return _journals / f"{os.getpid()}-{next(_numbers)}{suffix}"


class Recorder:
    """Gathers the reports of a run and writes down what it proved."""

    def __init__(self, config: pytest.Config, journals: Path) -> None:
        self._config = config
        self._journals = journals
        self._sources = sources_digest(config.rootpath)
        self._outcomes: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = self._outcomes.setdefault(report.nodeid, Outcome(report.nodeid))
        for name, value in report.user_properties:
            if name == _PROPERTY and report.when == "setup":
                assert isinstance(value, dict)
                outcome.requirements, outcome.threats = value["requirements"], value["threats"]
        if (ended := _ended(report)) != "passed" and outcome.outcome != "failed":
            outcome.outcome = ended

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tells a worker of xdist where journals go."""
        node.workerinput[JOURNALS] = str(self._journals)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        wire, driven = Wire(), dict[str, Driven]()
        for file in sorted(self._journals.iterdir()):
            with file.open(encoding="utf-8") as lines:
                if file.suffix == _JOURNAL:
                    wire.read(lines)
                    continue
                used = json.load(lines)
                for way in _WAYS:
                    getattr(driven.setdefault(used["client"], Driven()), way).update(used[way])
        if not any(not test.startswith(LEDGER_STAGE) for test in self._outcomes):
            return
        outcomes = [each for each in self._outcomes.values() if each.requirements or each.threats]
        outcomes.sort(key=lambda each: each.test)
        evidence = Evidence("; ".join(self._partial(exitstatus)), self._sources, outcomes, wire, driven)
        text = json.dumps(asdict(evidence), indent=1, default=sorted)
        (self._config.rootpath / FOLDER / OUTCOMES).write_text(text + "\n")

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._journals)

    def _partial(self, exitstatus: int) -> Iterator[str]:
        if self._config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
            yield f"arguments {' '.join(self._config.args)}"
        for option in ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "maxfail"):
            if value := self._config.getoption(option, None):  # None without the plugin that has it
                yield f"{option} {value}"
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            yield f"exit code {int(exitstatus)}"


def _ended(report: pytest.TestReport) -> str:
    if not hasattr(report, "wasxfail"):
        return report.outcome
    return "xfailed" if report.skipped else "xpassed"


def pytest_configure(config: pytest.Config) -> None:
    """Records where the reports come together: in the controller, or in the only process."""
    global _journals
    if hasattr(config, "workerinput"):
        _journals = Path(config.workerinput[JOURNALS])
        return
    folder = config.rootpath / FOLDER
    folder.mkdir(exist_ok=True)
    _journals = Path(tempfile.mkdtemp(prefix=f"{JOURNALS}-", dir=folder))
    config.pluginmanager.register(Recorder(config, _journals), "evidence-recorder")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Puts a test's marks where they travel with its reports."""
    requirements = sorted({name for mark in item.iter_markers("requirement") for name in mark.args})
    threats = sorted({name for mark in item.iter_markers("threat") for name in mark.args})
    if requirements or threats:
        item.user_properties.append((_PROPERTY, {"requirements": requirements, "threats": threats}))
