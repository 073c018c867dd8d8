"""The files of a report: whatever a subject calls itself, sends or logs, no terminal and no page obeys it."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from interop_conformance.catalogue import load
from interop_conformance.check import Score, Subject
from interop_conformance.cli import conformance
from interop_conformance.ending import begin, finish
from interop_conformance.report.document import ReportUnusable, read_report
from interop_conformance.report.files import NAMES, write
from interop_conformance.settings import Settings
from interop_conformance.terminal import Terminal
from interop_conformance.verdict import Result, Run, Verdict

HOSTILE = "a\x1b[31m\x9b2J\x7f\u202e\u2066\u2028\x85\u200b\rb</pre><script>x</script> `c` | ![d](e)"
SHOWN = r"a\x1b[31m\x9b2J\x7f\u202e\u2066\u2028\x85\u200b\x0db"

pytestmark = pytest.mark.requirement("SIM-06")


def hostile_run() -> Run:
    """A run with every verdict in it, and a hostile text wherever a subject's can stand."""
    results = [
        Result(check, verdict, HOSTILE, HOSTILE, log=f"{HOSTILE}\n\tat {HOSTILE}\r\n", repeat=HOSTILE)
        for check, verdict in zip(load(Subject.CLIENT).values(), Verdict, strict=False)
    ]
    for result in results:
        result.wire = [
            {
                "at_ms": 1,
                "jid": HOSTILE,
                "direction": "to_server",
                "kind": HOSTILE,
                "size_bytes": 9,
                "content": {"id": HOSTILE},
            }
        ]
        result.journal = [{"actor": HOSTILE, "action": HOSTILE, "outcome": HOSTILE, "subject": HOSTILE}]
    results[0].score = Score.NOTICED
    return Run(HOSTILE, "client", "direct", "2024", "0.1.0", 1, "", "2026-01-01T00:00:00+00:00", 1.0, True, results)


def unfit(text: str) -> set[str]:
    """What of a text commands a terminal, turns the direction of what follows, or ends a line unseen."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


@pytest.mark.parametrize("name", NAMES)
def test_each_file_shows_what_is_hostile_escaped(name: str, tmp_path: Path) -> None:
    """And what is read by machines reads back as it was."""
    write(hostile_run(), tmp_path)
    text = (tmp_path / name).read_text()
    assert unfit(text) == set()
    if name == "report.json":
        assert json.loads(text)["subject"] == HOSTILE
    if name == "junit.xml":
        assert SHOWN in ElementTree.fromstring(text).findall(".//failure")[0].get("message", "")
    if name == "report.html":
        assert SHOWN in text and "<script>" not in text


def test_a_report_on_a_terminal_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, the whole of it is printed."""
    settings = Settings(as_json=True)
    run = begin(settings, "client")
    run.subject, run.is_complete = HOSTILE, True
    finish(run, hostile_run().results, settings, {}, Terminal(1, as_json=True))
    printed = capsys.readouterr()
    assert unfit(printed.out) == unfit(printed.err) == set()
    assert json.loads(printed.out)["subject"] == HOSTILE


def test_what_the_kit_logs_obeys_nothing() -> None:
    """Such as an error of its own that quotes the subject: it forges no line either."""
    program = "from interop_conformance.output import adapt\nimport logging, sys\nadapt()\nlogging.error(sys.argv[1])"
    told = subprocess.run([sys.executable, "-c", program, HOSTILE], capture_output=True, text=True, check=True)
    assert unfit(told.stderr) == set() and SHOWN in told.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_difference_to_somebody_elses_report_obeys_nothing(form: tuple[str, ...], tmp_path: Path) -> None:
    """Who compares two reports has made only one of them."""
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
        write(hostile_run(), folder)
    old, new = (folder / "report.json" for folder in folders)
    document = json.loads(new.read_text())
    document["checks"][0] |= {"id": HOSTILE, "score": HOSTILE}
    new.write_text(json.dumps(document))
    told = CliRunner().invoke(conformance, ["diff", str(old), str(new), *form])
    assert told.exit_code in (0, 1) and "noticed" in told.output, told.output
    assert unfit(told.output) == set()


@pytest.mark.parametrize("name", [1, None, ["a"]])
def test_a_report_whose_checks_have_no_names_is_none(name: object, tmp_path: Path) -> None:
    """Who compares it is told so."""
    write(hostile_run(), tmp_path)
    report = tmp_path / "report.json"
    document = json.loads(report.read_text())
    document["checks"][0]["id"] = name
    report.write_text(json.dumps(document))
    with pytest.raises(ReportUnusable, match="no report"):
        read_report(report)
