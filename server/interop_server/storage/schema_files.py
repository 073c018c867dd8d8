"""The numbered files that an engine's schema is made of, and which version of it each of them leads to; knows no SQL.

A release may add a file, which brings a database of an older release up, and never changes one that was released.
"""

import zlib
from collections.abc import Sequence
from importlib.resources import files


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
