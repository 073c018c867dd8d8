"""Lock files of npm: they pin every package by its hash, and leave where it comes from to whoever installs it."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK_FILES = [ROOT / "clients" / "node" / "package-lock.json", ROOT / "tests/conformance/node_driver/package-lock.json"]
PERMISSIVE = {"Apache-2.0", "MIT", "ISC", "BSD-3-Clause", "(Apache-2.0 AND BSD-3-Clause)"}


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.parent.name)
def test_a_lock_file_names_no_host(path: Path) -> None:
    """A registry's address in it would be asked by everybody, whatever registry they use."""
    text = path.read_text()
    assert "://" not in text
    packages = {name: facts for name, facts in json.loads(text)["packages"].items() if name}
    assert packages
    assert [name for name, facts in packages.items() if "integrity" not in facts or "resolved" in facts] == []


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.parent.name)
def test_what_a_client_needs_is_under_permissive_licences(path: Path) -> None:
    """Only tests may bring others: CONTRIBUTING.md names them."""
    packages = json.loads(path.read_text())["packages"]
    needed = {name: facts["license"] for name, facts in packages.items() if not facts.get("dev")}
    assert {name: licence for name, licence in needed.items() if licence not in PERMISSIVE} == {}
