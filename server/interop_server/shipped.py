"""What is shipped beside the code: the contract's protos, its test vectors, and the documentation; knows no server.

A wheel has them in a folder of this package, and a checkout where they are written.
"""

from collections.abc import Mapping
from pathlib import Path

_SHIPPED = Path(__file__).with_name("shipped")
_ROOT = _SHIPPED if _SHIPPED.is_dir() else Path(__file__).parents[2]
_NAMES = {"protos/README.md": "protos", "protos/SPEC.md": "spec", "protos/vectors/README.md": "vectors"}
"""Pages outside the folder of the documentation."""


def pages() -> Mapping[str, Path]:
    """Returns the pages, in Markdown, by name."""
    written = {path.stem: path for path in (_ROOT / "docs").glob("*.md")}
    return dict(sorted({**written, **{name: _ROOT / path for path, name in _NAMES.items()}}.items()))


def protos() -> Mapping[str, Path]:
    """Returns the contract's files by the names under which they import each other, and its OpenAPI document."""
    folder = _ROOT / "protos"
    files = [*sorted(folder.rglob("*.proto")), *sorted(folder.glob("openapi/*.yaml"))]
    return {path.relative_to(folder).as_posix(): path for path in files}


def vectors() -> Mapping[str, Path]:
    """Returns the files of test vectors, with their schema and the page about them, by name."""
    folder = _ROOT / "protos" / "vectors"
    return {path.name: path for path in sorted((*folder.glob("*.json"), folder / "README.md"))}
