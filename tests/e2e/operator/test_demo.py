"""`interopsim demo` as its users run it: a real command, real child processes, the user's own input."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interop_demo.inputs import make_pdf, make_png
from interop_demo.search import file_secret, files_under, search, text_secret
from tests.leftovers import command_lines_naming

COMMAND = (str(Path(sys.executable).with_name("interopsim")), "demo")
STEPS = 15
DOCUMENT_BYTES = 2 << 20
SECONDS = 100
"""How long a demo may take: it has the processors for itself in seconds, and not always."""
pytestmark = pytest.mark.timeout(2 * SECONDS + 40)


def run_demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *arguments),
        env={**os.environ, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.requirement("MED-01")
def test_every_step_holds_with_the_users_own_text_image_and_document(tmp_path: Path) -> None:
    """One command plays the whole story with what the user gave, leaves the kept folder, and nothing else."""
    image, document, keep = tmp_path / "me.png", tmp_path / "paper.pdf", tmp_path / "kept"
    image.write_bytes(make_png())
    document.write_bytes(make_pdf("An own document") + os.urandom(DOCUMENT_BYTES))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    text = "Grüße, Alice: my own words"

    arguments = ("--json", "--text", text, "--image", str(image), "--document", str(document), "--keep", str(keep))
    done = run_demo(temporary, *arguments)

    report = json.loads(done.stdout.splitlines()[-1])
    assert [step for step in report["steps"] if not step["ok"]] == []
    assert (done.returncode, report["ok"], len(report["steps"])) == (0, True, STEPS)
    assert all(set(step) == {"name", "ok", "ms", "detail"} and step["detail"] for step in report["steps"])
    assert {"interopsim", "python", "grpcio"} <= set(report["versions"])
    assert "my own words" in done.stderr

    on_devices = {path.read_bytes() for path in (keep / "devices").rglob("received-*")}
    assert on_devices == {image.read_bytes(), document.read_bytes()}
    assert (keep / "simulator" / "simulator.db").is_file()
    assert command_lines_naming(keep) == []
    assert list(temporary.iterdir()) == []


def test_a_step_that_fails_is_explained_and_the_rest_is_not_run(tmp_path: Path) -> None:
    """A server that does not start fails the first step with its own words; no stack trace, exit code 1."""
    broken = tmp_path / "broken" / "partner_server"
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    (broken / "__main__.py").write_text("raise SystemExit('this server is out of order')\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    done = run_demo(temporary, "--json", PYTHONPATH=str(broken.parent))

    report = json.loads(done.stdout.splitlines()[-1])
    first, *others = report["steps"]
    assert (done.returncode, report["ok"], first["ok"]) == (1, False, False)
    assert "this server is out of order" in first["detail"]
    assert len(others) == STEPS - 1
    assert {(step["ok"], step["detail"]) for step in others} == {(False, "not run: an earlier step failed")}
    assert "Traceback" not in done.stdout + done.stderr
    assert command_lines_naming(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_process_and_no_temporary_folder(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted while five processes run, the demo ends them all, removes what they wrote, and says so."""
    demo = subprocess.Popen(
        (*COMMAND, "--json"),
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stderr is not None
        assert any("are ready" in line for line in demo.stderr)
        assert len(command_lines_naming(tmp_path)) == 5

        demo.send_signal(number)
        stdout, stderr = demo.communicate(timeout=SECONDS)

    report = json.loads(stdout.splitlines()[-1])
    assert (demo.returncode, report["ok"], len(report["steps"])) == (130, False, STEPS)
    assert report["steps"][-1]["detail"] == "not run: interrupted"
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert command_lines_naming(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text", ""), "the text is empty"),
        (("--text", " \n"), "the text is empty"),
        (("--text", "x" * 65_537), "65,537 bytes, the limit is 65,536"),
        (("--image", "missing.png"), "missing.png does not exist"),
        (("--image", "text.png"), "text.png is not a PNG, JPEG, GIF or WebP image"),
        (("--image", "folder"), "folder is not a file"),
        (("--document", "empty.pdf"), "empty.pdf is empty"),
        (("--document", "large.bin"), "the limit is 267,386,880"),
        (("--keep", "folder"), "folder is not empty"),
        (("--keep", "text.png"), "text.png cannot be used"),
        (("--imag", "text.png"), "No such option '--imag'"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], message: str
) -> None:
    """Exit code 2 and one sentence that says what is wrong; nothing was created."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "something").touch()
    with (tmp_path / "large.bin").open("wb") as large:
        large.truncate(256 << 20)
    before = set(tmp_path.rglob("*"))

    done = run_demo(tmp_path, *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert set(tmp_path.rglob("*")) == before


def test_help_shows_an_example(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--help")

    assert done.returncode == 0
    assert 'Example: interopsim demo --text "Hi Alice"' in done.stdout


@pytest.mark.parametrize("at", [0, (8 << 20) - 16, (8 << 20) + 5])
def test_the_search_finds_a_text_wherever_it_lies(tmp_path: Path, at: int) -> None:
    """A text is found at the beginning of a file, across two of the parts in which it is read, and after."""
    leak = tmp_path / "leak"
    with leak.open("wb") as file:
        file.seek(at)
        file.write("Grüße, Alice: my own words".encode())
        file.write(bytes(100))

    findings = search([text_secret("the text", "Grüße, Alice: my own words")], files_under(tmp_path))

    assert findings.hits == ("the text in leak",)


def test_the_search_finds_a_short_text_as_it_is_before_encryption(tmp_path: Path) -> None:
    """Two letters alone occur by chance; encoded and padded, they are found, and only then."""
    secret = text_secret("the text", "Hi")
    (tmp_path / "chance").write_bytes(b"...Hi...")
    assert search([secret], files_under(tmp_path)).hits == ()

    (tmp_path / "leak").write_bytes(b"...\x0a\x02Hi" + bytes((7,)) * 7)
    assert search([secret], files_under(tmp_path)).hits == ("the text in leak",)


@pytest.mark.parametrize("content", [make_png(), bytes(50_000)], ids=["a picture", "only zeros"])
def test_the_search_finds_a_file(tmp_path: Path, content: bytes) -> None:
    """A file is found by parts of it, or when nothing tells its parts apart, as a whole."""
    original = tmp_path / "original"
    original.write_bytes(content)
    secret = file_secret("the file", original)
    store = tmp_path / "store"
    store.mkdir()
    (store / "other").write_bytes(bytes(100_000) + os.urandom(100_000))
    assert search([secret], files_under(store)).hits == ()

    (store / "copy").write_bytes(content)
    assert search([secret], files_under(store)).hits == ("the file in copy",)


@pytest.mark.requirement("SIM-04", "SIM-07", "ENL-12")
def test_one_seed_gives_one_journal(tmp_path: Path) -> None:
    """Two playings in processes of their own, with keys of their own: the server's journals are equal, byte by byte."""
    # Not a fixed day: devices check the server's certificate, which is valid for a year, by the machine's clock.
    at = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
    journals = []
    for number in range(2):
        keep = tmp_path / f"playing-{number}"
        done = run_demo(tmp_path, "--seed", "11", "--at", at.isoformat(), "--keep", str(keep))
        assert done.returncode == 0, done.stdout + done.stderr
        journals.append((keep / "simulator" / "journal.jsonl").read_bytes())
    assert journals[0] == journals[1]
    entries = [json.loads(line) for line in journals[0].splitlines()]
    assert {entry["outcome"] for entry in entries} >= {"accepted", "refused", "dropped", "done"}
    days = {(entry["at_ms"] - at.timestamp() * 1_000) / 86_400_000 for entry in entries}
    assert (min(days), max(days)) == (0, 30)


def test_each_refusal_is_explained_when_asked_for(tmp_path: Path) -> None:
    """By its requirement and what would have made it succeed; a time without a seed means nothing."""
    done = run_demo(tmp_path, "--explain", COLUMNS="200")
    assert done.returncode == 0, done.stdout + done.stderr
    for requirement in ("OPT-09", "OPT-03", "MSG-06", "OPT-01", "MSG-12", "LIF-06", "ABU-05", "LIF-04"):
        assert f"By which rule: {requirement} (" in done.stdout
    assert done.stdout.count("What would have made it succeed:") == done.stdout.count("By which rule:") >= 10
    wrong = run_demo(tmp_path, "--at", "2026-11-20T12:00:00Z")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--at belongs to --seed" in wrong.stderr
