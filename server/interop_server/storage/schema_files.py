"""The numbered files that an engine's schema is made of, and which version of it each of them leads to; knows no SQL.

A release may add a file, which brings a database of an older release up, and never changes one that was released.

Nodes of two releases work on one database while they are rolled. So a change that would break the older one is made in
two steps, in two releases. A file that expands leaves all that programs before it use. One that contracts takes away
what the program of the version before uses no more, and older ones did. The first line of a file says which it is; one
that says nothing breaks all programs before it.
"""

import zlib
from collections.abc import Sequence
from importlib.resources import files

_EXPANDS = "-- Expands: programs of the versions before go on.\n"
_CONTRACTS = "-- Contracts: programs of the version before go on, older ones do not.\n"


def works_for(file: str, before: int, older: Sequence[int]) -> list[int]:
    """Returns the versions whose programs go on when a file is applied.

    Args:
        file: Its text.
        before: The version to which it is applied.
        older: The versions whose programs went on with that one.
    """
    if file.startswith(_EXPANDS):
        return [*older, before]
    return [before] if file.startswith(_CONTRACTS) else []


def schema_files(package: str) -> list[str]:
    """Returns the text of each file in the folder `schema` of a package, in the order of their numbers."""
    folder = files(package).joinpath("schema")
    return [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def version(schema: Sequence[str]) -> int:
    """Returns the version of a database to which these files were applied: a positive number, below 2^31.

    It stands for their text, so that a database that was made by a changed file is not taken for another.
    """
    return zlib.crc32("\0".join(schema).encode()) >> 1 | 1


def missing_files(schema: Sequence[str], present: int) -> Sequence[str] | None:
    """Returns the files that bring a database of a version up to date; None when no release has made that version."""
    for count in range(len(schema), 0, -1):
        if version(schema[:count]) == present:
            return schema[count:]
    return None
