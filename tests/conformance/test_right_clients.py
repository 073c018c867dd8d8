"""The SDK, by itself and through a proxy: conformant, without one false alarm."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from interop_conformance.report.document import SCHEMA
from interop_conformance.report.files import NAMES
from tests.conformance.kit import DRIVER, conformance
from tests.evidence import record_driven

pytestmark = pytest.mark.timeout(600)


@pytest.mark.requirement("SIM-05")
@pytest.mark.parametrize("mode", ["direct", "proxy"])
def test_the_sdk_is_conformant(mode: str, tmp_path: Path) -> None:
    """Every must ran and holds, no should warns, no attack harms it; six reports are written, nothing else is left."""
    outcome = conformance(tmp_path, "client", "--command", DRIVER, "--mode", mode)
    bad = {name: verdict for name, verdict in outcome.verdicts().items() if verdict != "pass"}
    assert (outcome.status, bad) == (0, {}), outcome.stdout
    report = outcome.report
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["is_conformant"] and report["attacks"]["harmed"] == 0
    assert {check["milestone"] for check in report["checks"] if "milestone" in check} == {1, 2, 3, 4, 5, 6}
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(NAMES)
    assert len(ElementTree.parse(tmp_path / "report" / "junit.xml").findall(".//testcase")) == len(report["checks"])
    assert list(outcome.folder.iterdir()) == []
    record_driven("python", report["use"])
