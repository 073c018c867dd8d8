"""`make mutants`: which changes it makes of a piece of code, which tests it tries on them, and what it says."""

import ast
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from tests.mutants.__main__ import choose
from tests.mutants.attempt import KILLED, SURVIVED, TIMED_OUT
from tests.mutants.hunt import FIRST_FILES, FIRST_TESTS, UNDECIDED, UNREACHED, Trial, rounds
from tests.mutants.judged import Judged, read_judged, verdict_on
from tests.mutants.mutants import Mutant, mutants_of, read_mutants
from tests.mutants.reach import Reach
from tests.mutants.report import Report
from tests.mutants.rooms import ROOT, Room, module_name, rooms

FILE = "server/interop_server/core/example.py"
LATE = "server/interop_server/core/late.py"


def mutants(source: str) -> list[Mutant]:
    return mutants_of("core", FILE, textwrap.dedent(source))


def changed(source: str) -> set[tuple[str, str, str]]:
    """What is changed in the body of a function: operator, before, after."""
    body = textwrap.indent(textwrap.dedent(source).strip(), "    ")
    found = mutants(f"async def rule(self, a, b):\n{body}\n")
    return {(mutant.operator, mutant.before, mutant.after) for mutant in found}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {("comparison", "a < b", "a <= b")}),
        ("a is not None", {("comparison", "a is not None", "a is None")}),
        ("not a", {("negation", "not a", "a")}),
        ("a and b", {("and/or", "a and b", "a or b")}),
        ("a + b", {("arithmetic", "a + b", "a - b")}),
        ("a, 7", {("constant", "7", "8"), ("constant", "7", "6")}),
        ("a, True", {("constant", "True", "False")}),
        ("a, 'user_id'", {("string", "'user_id'", "'mutant'")}),
        ("a, 'a sentence for people'", set()),
        ("min(a, b)", {("min/max", "min(a, b)", "max(a, b)"), ("removed statement", "min(a, b)", "pass")}),
        ("a(b=b)", {("removed argument", "a(b=b)", "a()"), ("removed statement", "a(b=b)", "pass")}),
        ("zip(a, b, strict=True)", {("removed statement", "zip(a, b, strict=True)", "pass")}),
        ("await a", {("removed await", "await a", "a"), ("removed statement", "await a", "pass")}),
        ("raise a", {("removed raise", "raise a", "pass")}),
        ("return a", {("return value", "return a", "return None")}),
        ("return None", set()),
        ("a.b = b", {("removed statement", "a.b = b", "pass")}),
        ("[a for a in b if a]", {("removed filter", "(_ for a in b if a)", "(_ for a in b)")}),
        ("(Reason.ONE, Reason.TWO)", {
            ("swapped reason", "Reason.ONE", "Reason.TWO"), ("swapped reason", "Reason.TWO", "Reason.ONE"),
        }),
        ("record('why it was', requirement='X-1')", {
            ("string", "'why it was'", "'mutant'"), ("string", "'X-1'", "'mutant'"),
            ("removed argument", "record('why it was', requirement='X-1')", "record('why it was')"),
            ("removed statement", "record('why it was', requirement='X-1')", "pass"),
        }),
        ("a, 'SELECT x FROM y WHERE a < ?1 AND b = ?2'", {
            ("SQL", "'SELECT x FROM y WHERE a < ?1 AND b = ?2'", f"'SELECT x FROM y WHERE {after}'")
            for after in ("a <= ?1 AND b = ?2", "a < ?1 OR b = ?2", "a < ?1 AND b != ?2")
        }),
        ("assert a < b", set()),
    ],
)  # fmt: skip
def test_each_operator_changes_one_thing(source: str, expected: set[tuple[str, str, str]]) -> None:
    """And leaves alone what is for people or for the type checker."""
    assert changed(source) == expected


def test_a_mutant_is_the_file_with_one_change() -> None:
    """Its key stays when lines move, and tells it from its twin."""
    source = "def rule(a):\n    return a + 1, a + 1\n"
    found = mutants(source)
    assert ast.unparse(found[0].tree(source)) == "def rule(a):\n    return None"
    assert {ast.unparse(mutant.tree(source)).splitlines()[1].strip() for mutant in found} == {
        "return None", "return (a - 1, a + 1)", "return (a + 1, a - 1)", "return (a + 2, a + 1)",
        "return (a + 0, a + 1)", "return (a + 1, a + 2)", "return (a + 1, a + 0)",
    }  # fmt: skip
    moved = mutants(f"\n\nX = 1\n{source}")
    keys = [mutant.key for mutant in found]
    assert len(set(keys)) == len(keys)
    assert keys == [mutant.key for mutant in moved if mutant.function == "rule"]


def test_a_sample_stays_when_other_code_changes() -> None:
    """What is drawn of a room is the same whatever else there is; another seed draws others."""
    some = [room for room in rooms() if room.name in ("protocol", "core/media")]
    sample = [(mutant.room, mutant.key) for mutant in choose(some, 60, 1, ())]
    assert len(sample) == 60 and {room for room, _ in sample} == {room.name for room in some}
    for room in some:
        drawn = [key for name, key in sample if name == room.name]
        assert drawn == [mutant.key for mutant in choose([room], len(drawn), 1, ())]
        assert drawn != [mutant.key for mutant in choose([room], len(drawn), 2, ())]


def test_every_room_has_mutants_that_compile() -> None:
    """One in fifty of each file; the names by which their modules are imported are right."""
    for room in rooms():
        assert room.files, room.name
        for file in room.files:
            source = (ROOT / file).read_text()
            for mutant in read_mutants(ROOT, room.name, file)[::50]:
                compile(mutant.tree(source), file, "exec")
    assert module_name("protos/python/interop_protocol/jid.py") == "interop_protocol.jid"
    assert module_name("clients/python/interop_client/signal/__init__.py") == "interop_client.signal"


def test_a_verdict_is_on_a_mutant_that_is_there() -> None:
    """A verdict on a line that has changed since says nothing; each says why."""
    for judged in read_judged():
        assert judged.why.strip()
        assert any(judged.covers(mutant) for mutant in read_mutants(ROOT, "", judged.file)), judged


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    """Of a file with a constant and two rules, one of which nothing runs."""
    code = tmp_path / FILE
    code.parent.mkdir(parents=True)
    code.write_text("LIMIT = 3\n\n\ndef rule(a):\n    return a < LIMIT\n\n\ndef idle(a):\n    return a < 1\n")
    tests = tmp_path / "tests" / "test_it.py"
    tests.parent.mkdir()
    tests.write_text("from x import rule\n")
    seconds = {"tests/test_it.py::test_one": 0.2, "tests/test_it.py::test_two": 0.1}
    return Reach(tmp_path, seconds, list(seconds), {FILE: {"1": [], "4": [], "5": [0], "9": []}})


def test_tests_that_run_the_line_or_what_uses_its_name_are_tried(reach: Reach) -> None:
    """A constant has no line that a test runs: it is reached by its name."""
    found = {mutant.function: mutant for mutant in mutants_of("core", FILE, (reach.root / FILE).read_text())}
    assert reach.of(found["rule"]) == {"tests/test_it.py::test_one"}
    assert reach.of(found["LIMIT"]) == {"tests/test_it.py::test_one"}
    assert reach.of(found["idle"]) == set()


def test_what_is_called_at_import_only_is_reached_by_what_it_makes(tmp_path: Path) -> None:
    """However often what it makes is made into something else before a test uses it."""
    code = tmp_path / FILE
    code.parent.mkdir(parents=True)
    code.write_text(
        "def made(a):\n    return a + 1\n\n\nONE = made(1)\nTWO: int = ONE * 2\n\n\ndef rule():\n    return TWO\n"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("from x import rule\n")
    seconds = {"tests/test_it.py::test_one": 0.2, "tests/test_it.py::test_two": 0.1}
    reach = Reach(tmp_path, seconds, list(seconds), {FILE: {"2": [], "5": [], "6": [], "10": [1]}})
    [mutant] = (each for each in mutants_of("core", FILE, code.read_text()) if each.before == "a + 1")
    assert reach.of(mutant) == {"tests/test_it.py::test_two"}


def test_the_rooms_own_and_quickest_tests_come_first(tmp_path: Path) -> None:
    """After those that have noticed mutants; so few that it takes a moment, the rest only if they notice nothing."""
    seconds = {f"tests/{folder}/test_{n % 10}.py::test_{n}": float(n) for folder in "ab" for n in range(100)}
    reach, room, killers = Reach(tmp_path, seconds, list(seconds), {}), Room("b", (), "tests/b/"), {}
    first, rest = rounds(reach, room, seconds, killers)
    assert first[:2] == ["tests/b/test_0.py::test_0", "tests/b/test_1.py::test_1"]
    killers = {"tests/a/test_9.py::test_99": 1, "tests/b/test_8.py::test_98": 2}
    assert rounds(reach, room, seconds, killers)[0][:3] == [*sorted(killers, key=killers.__getitem__)[::-1], first[0]]
    assert len(first) == FIRST_TESTS and len({test.partition("::")[0] for test in first}) == FIRST_FILES
    assert {*first, *rest} == {*seconds} and not {*first} & {*rest}


def test_the_report_gives_the_rate_of_what_is_not_equivalent() -> None:
    """By room and in all, with each survivor by name; a mutant that hangs is noticed, one that no test runs is not."""
    found = mutants("def rule(a):\n    return a < 1, a > 2, a == [3]\n")
    twin = Judged(FILE, "rule", "comparison", found[0].text, "it is the same", "a > 2", "a >= 2")
    by_change = {(mutant.before, mutant.after): mutant for mutant in found}
    report = Report([twin])
    report.add(Trial(by_change["a < 1", "a <= 1"], KILLED, 3))
    report.add(Trial(by_change["a == [3]", "a != [3]"], TIMED_OUT, 3))
    report.add(Trial(by_change["a > 2", "a >= 2"], SURVIVED, 3))
    assert report.is_good and [(row.room, row.rate) for row in report.rows] == [("core", 1.0), ("all", 1.0)]
    report.add(Trial(by_change["3", "4"], UNREACHED, 0))
    assert not report.is_good and report.rows[-1].rate == pytest.approx(2 / 3)
    printed = io.StringIO()
    report.print(Console(file=printed, width=120))
    for text in ("66.7%", UNREACHED, f"{FILE}:2", "3  →  4"):
        assert text in printed.getvalue()
    [core, _] = json.loads(report.as_json())
    assert (core["noticed"], core["equivalent"], [each["after"] for each in core["survivors"]]) == (2, 1, ["4"])
    assert verdict_on(by_change["3", "4"], [twin]) is None


PROJECT = {
    "server/interop_server/__init__.py": "",
    "server/interop_server/core/__init__.py": "",
    FILE: """
        import itertools

        def is_small(a: int) -> bool:
            return a < 10

        def first(a: int) -> int:
            for number in itertools.count():
                if number >= a:
                    break
            return number

        def idle(a: int) -> int:
            return a * 2

        def rested(a: int) -> bool:
            return a > 10

        def tired(a: int) -> bool:
            return a > 10
    """,
    LATE: """
        def make() -> int:
            return 3

        MADE = make()
    """,
    "tests/unit/test_busy.py": """
        from pathlib import Path
        from interop_server.core.example import rested, tired

        FAILS_TWICE = Path(__file__).with_name("twice")
        FAILS = Path(__file__).with_name("always")

        def test_rested() -> None:
            left = FAILS_TWICE.read_text() if FAILS_TWICE.exists() else ""
            FAILS_TWICE.write_text(left[1:])
            assert rested(11) and not rested(9) and not left

        def test_late() -> None:
            from interop_server.core import late
            assert late

        def test_tired() -> None:
            assert tired(11) and not tired(9) and not FAILS.exists()
    """,
    "tests/unit/core/test_example.py": """
        from pathlib import Path
        from interop_server.core.example import first, is_small

        async def test_small() -> None:
            assert is_small(9) and not is_small(11)

        def test_first_of_all() -> None:
            with Path(__file__).with_name("runs").open("a") as runs:
                runs.write("x")

        def test_first() -> None:
            assert first(3) == 3
    """,
}
HUNT = """
    import sys
    from pathlib import Path
    from tests.mutants import hunt, session
    from tests.mutants.mutants import read_mutants
    from tests.mutants.measuring import TestsFail, measure
    from tests.mutants.rooms import Room

    root = Path(sys.argv[1])
    session.warm_up()
    always, runs = root / "tests/unit/always", root / "tests/unit/core/runs"
    always.touch()
    try:
        measure(root, ["tests/unit"])
    except TestsFail as failing:
        print("failing", str(failing), "", 0, sep="|")
    always.unlink()
    reach = measure(root, ["tests/unit"])
    print("runs", runs.read_text(), "", len(reach.tests), sep="|")
    print("late", "", "", *{len(reach.of(mutant)) for mutant in read_mutants(root, "core", sys.argv[3])}, sep="|")
    room = Room("core", (sys.argv[2],), "tests/unit/core/")
    trials = hunt.Hunt(reach, {"core": room}, root, jobs=1, patience_seconds=10.0)
    assert trials.check_unmutated([room]) == []
    (root / "tests/unit/twice").write_text("12")
    always.touch()
    asked = {"a <= 10", "a >= 10", "return None", "number > a", "pass", "a // 2"}
    mutants = [mutant for mutant in read_mutants(root, "core", sys.argv[2]) if mutant.after in asked]
    for trial in trials.trials(mutants):
        print(trial.mutant.function, trial.mutant.after, trial.outcome, trial.tests, sep="|")

    tests = root / "tests/unit/core/test_example.py"
    tests.write_text(tests.read_text().replace("is_small", "idle").replace("idle(9) and not idle(11)", "idle(2) == 4"))
    reach = measure(root, ["tests/unit"])
    for mutant in read_mutants(root, "core", sys.argv[2]):
        print("then", mutant.function, mutant.after, "", len(reach.of(mutant)), sep="|")
"""


@pytest.mark.timeout(300)
def test_a_hunt_in_a_small_project(tmp_path: Path) -> None:
    """What is noticed, what hangs, what survives at an edge that nobody tries, and what no test runs.

    Tests that fail without the mutant, too, prove nothing: they are tried again, and in the end nobody knows. Only
    tests in files that have changed are measured again: one of the others would fail by then. So are those of a folder
    in which one has failed, and of no other. A test that imports a module runs none of its lines by that.
    """
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    path, files = os.pathsep.join([str(tmp_path / "server"), str(ROOT)]), tmp_path / "files"
    files.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HUNT), str(tmp_path), FILE, LATE],
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(files)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outcomes = {}
    for line in run.stdout.splitlines():
        *mutant, outcome, tests = line.split("|")
        outcomes[tuple(mutant)] = (outcome, int(tests))
    assert outcomes["is_small", "a <= 10"] == (SURVIVED, 1)
    assert outcomes["is_small", "return None"] == (KILLED, 1)
    assert outcomes["first", "number > a"] == (KILLED, 1)
    assert outcomes["first", "pass"] == (TIMED_OUT, 1)
    assert outcomes["idle", "a // 2"] == (UNREACHED, 0)
    assert outcomes["rested", "a >= 10"] == (SURVIVED, 1)
    assert outcomes["rested", "return None"] == (KILLED, 1)
    assert outcomes["tired", "a >= 10"] == outcomes["tired", "return None"] == (UNDECIDED, 1)
    reached = {function: outcomes["then", function, "return None"][1] for function in ("is_small", "idle", "tired")}
    assert reached == {"is_small": 0, "idle": 1, "tired": 1}
    assert "test_busy.py::test_tired" in next(text for name, text in outcomes if name == "failing")
    assert outcomes["runs", "x"] == ("", 6)
    assert outcomes["late", ""] == ("", 0)
    assert list(files.iterdir()) == []
    assert "10" in PROJECT[FILE] and (tmp_path / FILE).read_text() == textwrap.dedent(PROJECT[FILE])
