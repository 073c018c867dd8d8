"""CONTRIBUTING.md tells the truth: its examples apply, work and cost what it says; its snippets are code that runs."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
FOLDER = ROOT / "docs" / "examples"
COPIED = ("clients", "docs", "protos", "server", "tests")
COPIED_FILES = ("Makefile", "README.md", "pyproject.toml")
GENERATED = (
    "docs/clients.md",
    "docs/limits.md",
    "docs/reasons.md",
    "protos/interop_api/v1/errors.proto",
    "protos/python/interop_api/",
)
"""What `make gen` and `make docs` may write beside what the diff changes."""
GUARDS = {
    "limit": ("tests/unit/test_limit_list.py", "tests/unit/test_contract_comments.py"),
    "reason": ("tests/unit/test_errors.py", "tests/unit/test_contract_comments.py"),
    "stanza": ("tests/unit/test_contract_comments.py",),
}
"""Tests that watch over changes of the example's kind, beside its own."""
TOOLS = Path(sys.executable).parent
SECONDS = 280


class Example(NamedTuple):
    """What CONTRIBUTING.md says of an example."""

    count: int
    """How many files its heading names."""
    files: list[str]
    """The files in its table."""


class ExampleBroken(Exception):
    """A command failed in the copy; the message ends with what it said."""


def told(guide: str) -> dict[str, Example]:
    """The examples of the guide, by the name of their diff."""
    examples = {}
    for heading, section in re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", guide, re.MULTILINE | re.DOTALL):
        if counted := re.search(r": (\d+) files$", heading):
            [name] = re.findall(r"\]\(docs/examples/(\w+)\.diff\)", section)
            examples[name] = Example(int(counted[1]), re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    return examples


def changed_by(diff: str) -> list[str]:
    """The files that a diff touches."""
    return re.findall(r"^\+\+\+ b/(.+)$", diff, re.MULTILINE)


def problems(example: Example, diff: str) -> list[str]:
    """How what is told of an example differs from its diff."""
    found = []
    if sorted(example.files) != sorted(changed_by(diff)):
        found.append(f"the table names {sorted(example.files)}, the diff changes {sorted(changed_by(diff))}")
    if example.count != len(changed_by(diff)):
        found.append(f"the heading says {example.count} files, the diff changes {len(changed_by(diff))}")
    return found


def copy_sources(to: Path) -> Path:
    """Copies everything that an example changes, or that runs it."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for file in COPIED_FILES:
        shutil.copy2(ROOT / file, to / file)
    return to


def run(copy: Path, *command: str | Path) -> None:
    """Runs a command in the copy, which imports from the copy alone.

    Raises:
        ExampleBroken: It failed.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MAKE"))}
    imports = os.pathsep.join(str(copy / folder) for folder in ("server", "clients/python", "protos/python"))
    ended = subprocess.run(
        command,
        cwd=copy,
        # Without the ceiling, git would take a copy inside another repository for a part of that.
        env=inherited | {"PYTHONPATH": imports, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if ended.returncode:
        raise ExampleBroken(f"{' '.join(map(str, command))} failed: {ended.stdout[-4_000:]}")


def apply(copy: Path, diff: Path, *options: str) -> None:
    run(copy, "git", "apply", *options, diff)


def generate(copy: Path) -> None:
    """Does what `make gen` and `make docs` do, with the tools of this environment."""
    run(copy, "make", "--silent", "--old-file=.venv/.installed", f"BIN={TOOLS}", "NODE_REQUIRED=", "gen", "docs")


def run_tests(copy: Path, tests: Sequence[str]) -> None:
    run(copy, sys.executable, "-m", "pytest", "-q", *tests)


def contents(copy: Path) -> dict[str, bytes]:
    files = (file for file in copy.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(copy).as_posix(): file.read_bytes() for file in files}


EXAMPLES = told(GUIDE.read_text())


def test_every_diff_is_told_and_every_example_has_its_diff() -> None:
    """And each kind of change is watched over by more tests than its own."""
    assert EXAMPLES.keys() == {file.stem for file in FOLDER.iterdir()} == GUARDS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_touches_the_files_that_the_guide_names(name: str) -> None:
    """As many as its heading says, and each stands in its table with a sentence why."""
    assert problems(EXAMPLES[name], (FOLDER / f"{name}.diff").read_text()) == []


@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_applies_and_works(name: str, tmp_path: Path) -> None:
    """Nothing else has to change but what is generated; its style is right; its tests pass, and those of its kind."""
    copy, diff = copy_sources(tmp_path), FOLDER / f"{name}.diff"
    before = contents(copy)
    apply(copy, diff)
    generate(copy)
    after = contents(copy)
    changed = {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}
    assert {file for file in changed if not file.startswith(GENERATED)} == set(EXAMPLES[name].files)
    modules = [file for file in EXAMPLES[name].files if file.endswith(".py")]
    run(copy, TOOLS / "ruff", "check", *modules)
    run(copy, TOOLS / "ruff", "format", "--check", *modules)
    own = [file for file in modules if file.startswith("tests/")]
    assert own
    run_tests(copy, [*own, *GUARDS[name]])


@pytest.mark.timeout(SECONDS + 20)
def test_an_example_that_is_half_done_fails(tmp_path: Path) -> None:
    """Its test shows something only if it fails without the change."""
    copy = copy_sources(tmp_path)
    apply(copy, FOLDER / "limit.diff", "--include=tests/*")
    with pytest.raises(ExampleBroken, match="max_display_name_characters"):
        run_tests(copy, [file for file in EXAMPLES["limit"].files if file.startswith("tests/unit/core/")])


def test_a_diff_that_has_fallen_behind_is_noticed(tmp_path: Path) -> None:
    """It does not apply where its context has changed."""
    diff = tmp_path / "old.diff"
    diff.write_text(
        (FOLDER / "limit.diff").read_text().replace("-        _check_display_name(", "-        _check_name(")
    )
    copy = tmp_path / "copy"
    for file in changed_by(diff.read_text()):
        if (ROOT / file).exists():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, copy / file)
    with pytest.raises(ExampleBroken, match="does not apply"):
        apply(copy, diff)


def test_a_wrong_count_and_a_wrong_table_are_noticed() -> None:
    """A comparison that finds nothing proves something only if it can find."""
    guide = "### A thing: 2 files\n\n[a](docs/examples/thing.diff)\n\n| `a.py` | why |\n| `b.py` | why |\n\n## Next\n"
    diff = "--- a/a.py\n+++ b/a.py\n--- a/b.py\n+++ b/b.py\n"
    example = told(guide)["thing"]
    assert problems(example, diff) == []
    assert len(problems(example._replace(count=3), diff)) == 1
    assert len(problems(example, diff + "+++ b/c.py\n")) == 2


def missing_snippets(guide: str, sources: str) -> list[str]:
    """Python snippets of the guide that stand nowhere in the sources, indented as in the guide."""
    snippets = re.findall(r"^( *)```python\n(.*?)^ *```$", guide, re.MULTILINE | re.DOTALL)
    unindented = [re.sub(rf"^{margin}", "", text, flags=re.MULTILINE) for margin, text in snippets]
    return [text for text in unindented if text not in sources]


def test_the_snippets_stand_in_the_tests_that_the_guide_names() -> None:
    """They are code that runs."""
    guide = GUIDE.read_text()
    assert guide.count("```python") >= 8
    files = re.findall(r"\[`(tests/[\w/]+\.py)`\]", guide)
    assert missing_snippets(guide, "\n".join((ROOT / file).read_text() for file in files)) == []
    invented = textwrap.indent("```python\nassert 1 == 2\n```\n", "   ")
    assert missing_snippets(invented, "assert 1 == 1") == ["assert 1 == 2\n"]


def test_the_map_names_every_room_and_its_tests() -> None:
    """A room of the core has tests of its own, at both levels, in folders of its name; the protos are there."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([^|]+) \|$", GUIDE.read_text(), re.MULTILINE)
    rooms = [room for room, _ in rows]
    core = ROOT / "server" / "interop_server" / "core"
    assert sorted(rooms) == sorted(file.parent.name for file in core.glob("*/__init__.py"))
    for place in ("tests/unit/core", "tests/e2e"):
        assert [room for room in rooms if not any((ROOT / place / room).glob("test_*.py"))] == []
    api = ROOT / "protos" / "interop_api"
    named = {file for _, protos in rows for name in re.findall(r"`([^`]+)`", protos) for file in api.glob(name)}
    assert {file.name for file in api.rglob("*.proto")} - {file.name for file in named} == {
        "bus.proto",
        "errors.proto",
        "driver.proto",
        "content.proto",
        "session.proto",
    }
