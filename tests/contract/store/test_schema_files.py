"""The files of the schema say truly for which programs they leave all that these use."""

import re

import pytest

from interop_server.storage.schema_files import schema_files, works_for

EXPANDS = "-- Expands: programs of the versions before go on.\n"
CONTRACTS = "-- Contracts: programs of the version before go on, older ones do not.\n"
FILES = [
    (engine, number, file)
    for engine in ("sqlite", "postgres")
    for number, file in enumerate(schema_files(f"interop_server.storage.{engine}"), 1)
]
_ADDS = re.compile(
    r"CREATE (UNLOGGED )?(TABLE|SEQUENCE|VIEW) |CREATE INDEX |"
    r"ALTER TABLE \w+\s+ADD COLUMN (?!.*\bUNIQUE\b)(?:(?!NOT NULL).|NOT NULL DEFAULT)*$",
    re.DOTALL,
)
"""Statements of which programs that do not know what they add notice nothing. A unique index is not one of them."""


@pytest.mark.parametrize(("engine", "number", "file"), FILES, ids=[f"{engine}-{n}" for engine, n, _ in FILES])
def test_what_expands_only_adds(engine: str, number: int, file: str) -> None:
    """What older programs read is there, and what they write is taken."""
    if works_for(file, 2, [1]) == [1, 2]:
        statements = [each.strip() for each in re.sub(r"--[^\n]*", "", file).split(";")]
        assert all(_ADDS.match(each) for each in statements if each), (engine, number)


@pytest.mark.parametrize(
    ("statement", "adds"),
    [
        ("ALTER TABLE node ADD COLUMN x INTEGER", True),
        ("ALTER TABLE node ADD COLUMN x INTEGER NOT NULL DEFAULT 0, ADD COLUMN y TEXT", True),
        ("CREATE INDEX x ON node (name)", True),
        ("ALTER TABLE node ADD COLUMN x INTEGER NOT NULL", False),
        ("ALTER TABLE node ADD COLUMN x INTEGER NOT NULL DEFAULT 0, ADD COLUMN y TEXT NOT NULL", False),
        ("ALTER TABLE node ADD COLUMN x INTEGER UNIQUE", False),
        ("ALTER TABLE node DROP COLUMN x", False),
        ("CREATE UNIQUE INDEX x ON node (name)", False),
        ("UPDATE node SET name = ''", False),
    ],
)
def test_it_would_be_noticed(statement: str, adds: bool) -> None:
    """The rule above tells one from the other."""
    assert bool(_ADDS.match(statement)) == adds


def test_whose_programs_go_on() -> None:
    """All of them, only the last, or none: a file that does not say it breaks them."""
    assert works_for(f"{EXPANDS}CREATE TABLE a (b);", 3, [1, 2]) == [1, 2, 3]
    assert works_for(f"{CONTRACTS}DROP TABLE a;", 3, [1, 2]) == [3]
    assert works_for(f"DROP TABLE a;\n{EXPANDS}", 3, [1, 2]) == []
