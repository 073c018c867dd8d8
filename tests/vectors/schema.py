"""The JSON Schema of the files of vectors, from what each says of its fields."""

from typing import Any

from tests.vectors.documents import Document
from tests.vectors.fields import record, text
from tests.vectors.made.sessions import SESSION_SCHEMA

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "description": "Names the vector in its file."}
_REQUIREMENT = {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"}


def schema(documents: list[Document]) -> dict[str, Any]:
    """Returns the schema that every file satisfies; `$defs` has one for each, and what several share."""
    return {
        "$schema": _DIALECT,
        "title": "Test vectors of the interop protocol",
        "description": "A file of protos/vectors. Bytes are lower-case hexadecimal text; numbers that a proto holds in "
        "64 bits are decimal text.",
        "oneOf": [{"$ref": f"#/$defs/{document.name}"} for document in documents],
        "$defs": {**{document.name: _file(document) for document in documents}, "session": SESSION_SCHEMA},
    }


def _file(document: Document) -> dict[str, Any]:
    vector = record("One vector.", {"name": _NAME, "comment": text("What it shows."), **document.fields})
    return record(
        document.description,
        {
            "name": {"const": document.name},
            "description": text("What the vectors show, and what a client does with one."),
            "requirements": {"type": "array", "items": _REQUIREMENT, "minItems": 1, "uniqueItems": True},
            "vectors": {"type": "array", "items": vector, "minItems": 1},
        },
    )
