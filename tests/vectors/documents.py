"""What a file of vectors is, as Python; knows neither how a vector is made nor how it is replayed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "protos" / "vectors"
"""Where the files are committed."""
SCHEMA_NAME = "schema.json"

Vector = dict[str, Any]
"""One vector: `name`, `comment` and the fields of its file."""


@dataclass(frozen=True)
class Document:
    """One file of vectors."""

    name: str
    """The file's name without its ending."""
    description: str
    """What its vectors show, and what a client does with one."""
    requirements: tuple[str, ...]
    """Ids of the requirements that they serve."""
    fields: dict[str, Any]
    """JSON Schema of each field of a vector but `name` and `comment`, in the order in which the file has them."""
    vectors: list[Vector]
    """In the order of the file."""

    def encode(self) -> bytes:
        """Returns the bytes of the file: the same for the same vectors, in ASCII, so that no editor changes them."""
        return encode(
            {
                "name": self.name,
                "description": self.description,
                "requirements": list(self.requirements),
                "vectors": self.vectors,
            }
        )


def encode(document: Any) -> bytes:
    """Returns a JSON document as the bytes of a file."""
    return (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def read(name: str) -> Any:
    """Returns a committed file of vectors, parsed."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
