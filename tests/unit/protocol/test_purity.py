"""The package stays pure: it reads no clock, no entropy, no file and no socket."""

import ast
import sys
from pathlib import Path

import pytest

import interop_protocol

FORBIDDEN = {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}
ALLOWED = (set(sys.stdlib_module_names) | {"cryptography", "interop_protocol", "xeddsa"}) - FORBIDDEN
PROTOBUFS = {"certificates"}
"""What the observed wire writes as protobufs may read them."""
MODULES = sorted(Path(next(iter(interop_protocol.__path__))).glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_is_pure(module: Path):
    """Randomness and time are arguments; bytes are the only currency."""
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "interop_protocol").partition(".")[0])
    assert imported <= ALLOWED | ({"google", "interop_api"} if module.stem in PROTOBUFS else set())


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_says_what_it_is(module: Path):
    """Reading starts at the docstring."""
    assert ast.get_docstring(ast.parse(module.read_text()))
