"""The places at which a process can be told to kill itself: all of them are named, and each name is one place."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interop_server
from interop_server.crash_points import NODE_POINTS, OBJECT_POINTS, POINTS, VARIABLE, Fuse

ROOT = Path(next(iter(interop_server.__path__)))
MODULES = [path for folder in ("storage", "blobs") for path in sorted((ROOT / folder).rglob("*.py"))]
ENGINE = ROOT / "storage" / "postgres"
"""The engine that names the same steps as the default one."""
STATEMENTS = ("BEGIN", "COMMIT")
"""How a transaction begins and ends."""
CHANGES = {"executescript", "fsync", "fdatasync", "write", "mkdir", "replace", "rename", "unlink", "rmdir", "utime"}
"""Calls that change what is on the disk, wherever they stand in a module that is not about SQL."""


def changes_disk(call: ast.Call) -> bool:
    """Whether a call takes a step that a kill can come before."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return False
    first = call.args[0] if call.args else None
    if function.attr == "execute":
        return isinstance(first, ast.Constant) and str(first.value).startswith(STATEMENTS)
    if function.attr == "replace" and len(call.args) != 1:
        return False  # of a string, or of a dataclass
    is_engine = isinstance(function.value, ast.Attribute) and function.value.attr in ("engine", "_engine")
    return function.attr in CHANGES and not is_engine


def named(function: ast.AST) -> Iterator[str]:
    """The points that a piece of code passes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "passing":
            [point] = node.args
            assert isinstance(point, ast.Constant)
            yield str(point.value)


def unnamed_steps(tree: ast.AST) -> Iterator[int]:
    """Lines of steps on the disk that no point comes directly before."""
    for block in ast.walk(tree):
        for body in (getattr(block, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(body, list):
                continue
            for at, statement in enumerate(body):
                calls = [node for node in own_nodes(statement) if isinstance(node, ast.Call)]
                if any(map(changes_disk, calls)) and not any(
                    name for before in body[max(0, at - 1) : at] for name in named(before)
                ):
                    yield statement.lineno


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """All nodes of a statement but those of the blocks in it, which are looked at for themselves."""
    if not hasattr(statement, "body"):
        yield from ast.walk(statement)


def test_each_step_on_the_disk_has_a_name_of_its_own() -> None:
    """What is added to the storage or the blobs without a name is found here, by its module and line."""
    trees = {path: ast.parse(path.read_text()) for path in MODULES if ENGINE not in path.parents}
    unnamed = [f"{path.relative_to(ROOT)}:{line}" for path, tree in trees.items() for line in unnamed_steps(tree)]
    assert unnamed == []
    assert sorted(name for tree in trees.values() for name in named(tree)) == sorted((*POINTS, *OBJECT_POINTS))


def test_the_other_engine_has_the_same_names_for_the_same_steps() -> None:
    """One place for each name of the store's; what the server does with its own disk is not ours."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(ENGINE.rglob("*.py"))}
    unnamed = [f"{path.relative_to(ROOT)}:{line}" for path, tree in trees.items() for line in unnamed_steps(tree)]
    assert unnamed == []
    names = [point for point in POINTS if not point.startswith("blob.")]
    assert sorted(name for tree in trees.values() for name in named(tree)) == sorted(names)


def test_what_several_nodes_do_has_the_names_of_its_own() -> None:
    """One place for each."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "nodes").rglob("*.py"))]
    assert sorted(name for tree in trees for name in named(tree)) == sorted(NODE_POINTS)


@pytest.mark.parametrize(
    "text",
    ["os.fsync(file.fileno())", "self._part.replace(self._blob)", "db.execute('COMMIT')", "part.unlink()"],
)
def test_a_step_without_a_name_is_noticed(text: str) -> None:
    """A check that finds everything right proves nothing."""
    assert list(unnamed_steps(ast.parse(f"def step():\n    {text}"))) == [2]
    assert list(unnamed_steps(ast.parse(f"def step():\n    passing('x')\n    {text}"))) == []


@pytest.mark.parametrize("told", ["write.commit", "write.commit:0", "write.commit:x", "nowhere:1", ":1"])
def test_what_names_no_passage_is_refused(told: str) -> None:
    """Rather than never reached; the sentence names all points."""
    with pytest.raises(ValueError, match=r"INTEROPSIM_CRASH_AT is POINT:NUMBER.*blob\.sync_folder"):
        Fuse.told(told)


@pytest.mark.parametrize(("told", "passed"), [("", 3), ("write.commit:3", 2), ("write.begin:1", 3)])
def test_a_process_dies_at_the_passage_that_was_told(told: str, passed: int) -> None:
    """Not before, not at another point, and not at all where nothing is told."""
    program = "from interop_server.crash_points import passing\n" + (
        "for _ in range(3):\n    passing('write.commit')\n    print('passed', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, VARIABLE: told}, stdout=subprocess.PIPE, check=False
    )
    assert ended.stdout.split() == [b"passed"] * passed
    assert ended.returncode == (-signal.SIGKILL if passed < 3 else 0)
