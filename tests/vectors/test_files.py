"""The committed files are those that `make vectors` writes, have the form that they say, and name what exists."""

import re
from itertools import zip_longest
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from interop_server.ledger import load_ledger
from tests.vectors.documents import FOLDER, SCHEMA_NAME, read
from tests.vectors.write import written

README = (FOLDER / "README.md").read_text(encoding="utf-8")
SCHEMA = read(SCHEMA_NAME.removesuffix(".json"))
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
NAMES = [name.removesuffix(".json") for name in FILES if name != SCHEMA_NAME]


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """What `make vectors` writes, by file, in the order in which a client uses it."""
    return written()


def vector_at(content: bytes, position: int) -> str:
    """The name of the vector to which a byte of a file belongs."""
    line_end = content.find(b"\n", position)
    names = re.findall(rb'^ {6}"name": "([\w-]+)"', content[:line_end], re.MULTILINE)
    return names[-1].decode() if names else "none, but what stands before them"


def test_the_files_are_those_that_are_written(made: dict[str, bytes]) -> None:
    """None is missing, and none is left over."""
    assert sorted(made) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_is_written(name: str, made: dict[str, bytes]) -> None:
    """Byte for byte; when it is not, the first vector that differs is named. `make vectors` writes it anew."""
    committed, right = (FOLDER / name).read_bytes(), made[name]
    if committed != right:
        pairs = enumerate(zip_longest(committed, right))
        position = next(position for position, (one, other) in pairs if one != other)
        where = vector_at(right, position)
        pytest.fail(f"{name} is not what `make vectors` writes, from byte {position} on; vector: {where}")


def test_what_is_written_is_the_same_every_time(made: dict[str, bytes]) -> None:
    """Nothing in it comes from a clock or from chance."""
    assert written() == made


@pytest.mark.parametrize("name", NAMES)
def test_a_file_satisfies_the_schema(name: str) -> None:
    """The one that is written beside it, which knows every field."""
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(read(name))] == []


def test_the_schema_is_one() -> None:
    """By the rules of its own dialect."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described(name: str) -> None:
    """A reader of the schema learns of each field what it is."""

    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        own = [path] if schema.get("type") and "description" not in schema else []
        inner = [undescribed(field, f"{path}.{key}") for key, field in schema.get("properties", {}).items()]
        return own + [each for found in inner for each in found]

    fields = SCHEMA["$defs"][name]["properties"]["vectors"]["items"]["properties"]
    assert [each for key, field in fields.items() for each in undescribed(field, key)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_vectors_of_a_file_have_names_of_their_own(name: str) -> None:
    """So that a name says which one."""
    names = [vector["name"] for vector in read(name)["vectors"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_serves_requirements_that_exist(name: str) -> None:
    """Those that it names stand in docs/requirements.toml, and are modelled to some degree."""
    rows = load_ledger().rows
    for requirement in read(name)["requirements"]:
        assert requirement in rows, requirement
        assert rows[requirement].status != "not_modelled", requirement


def test_the_page_lists_the_files_with_their_requirements_in_the_order_of_use(made: dict[str, bytes]) -> None:
    """README.md beside them."""
    rows = re.findall(r"^\| \[(\w+)\]\((\w+\.json)\) \| \S.*? \| (.+?) \|$", README, re.MULTILINE)
    names = [name.removesuffix(".json") for name in made if name != SCHEMA_NAME]
    assert rows == [(name, f"{name}.json", ", ".join(read(name)["requirements"])) for name in names]
