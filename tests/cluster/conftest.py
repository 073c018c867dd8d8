"""Where what is started here keeps its files."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where it keeps its files: a short path, that PostgreSQL has a socket in, and that its user may enter."""
    with tempfile.TemporaryDirectory(prefix="interopsim-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
