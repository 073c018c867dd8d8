"""The client in TypeScript behind its driver: conformant, when it connects itself and by its messenger's proxy."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.kit import conformance
from tests.evidence import record_driven
from tests.node import built_node_client


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["direct", "proxy"])
def test_the_client_in_typescript_is_conformant(tmp_path: Path, mode: str) -> None:
    """Every check of the newest profile holds, and nothing of the driver is left."""
    driver = built_node_client() / "driver.js"
    arguments = ("--command", f"{shutil.which('node')} {driver}", "--mode", mode)
    outcome = conformance(tmp_path, "client", *arguments)
    bad = {name: verdict for name, verdict in outcome.verdicts().items() if verdict != "pass"}
    assert (outcome.status, bad) == (0, {}), outcome.stdout
    assert list(outcome.folder.iterdir()) == []
    record_driven("typescript", outcome.report["use"])
