"""How the fields of vectors are described in the JSON Schema; knows no file.

Bytes are lower-case hexadecimal text. Numbers that a proto holds in 64 bits are decimal text, as in protobuf's own
JSON: not every language reads them as numbers without loss.
"""

from typing import Any

Field = dict[str, Any]
"""JSON Schema of one field."""


def octets(what: str, length: int | None = None) -> Field:
    """Bytes; of that length, if it is given."""
    pattern = "^([0-9a-f]{2})*$" if length is None else f"^[0-9a-f]{{{2 * length}}}$"
    return {"type": "string", "pattern": pattern, "description": what}


def text(what: str) -> Field:
    """Any text."""
    return {"type": "string", "description": what}


def choice(what: str, *values: str) -> Field:
    """One of these texts."""
    return {"type": "string", "enum": list(values), "description": what}


def number(what: str) -> Field:
    """A whole number of at most 32 bits, not negative."""
    return {"type": "integer", "minimum": 0, "maximum": 4294967295, "description": what}


def big(what: str) -> Field:
    """A whole number of at most 64 bits, as text."""
    return {"type": "string", "pattern": "^(0|-?[1-9][0-9]*)$", "description": what}


def flag(what: str) -> Field:
    """True or false."""
    return {"type": "boolean", "description": what}


def optional(field: Field) -> Field:
    """The field, or null."""
    described = {**field, "type": [field["type"], "null"]}
    if "enum" in field:
        described["enum"] = [*field["enum"], None]
    return described


def anything(what: str) -> Field:
    """An object of any form."""
    return {"type": "object", "description": what}


def several(what: str, item: Field) -> Field:
    """A list."""
    return {"type": "array", "items": item, "description": what}


def record(what: str, fields: dict[str, Field]) -> Field:
    """An object that has exactly these fields."""
    return {
        "type": "object",
        "description": what,
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
