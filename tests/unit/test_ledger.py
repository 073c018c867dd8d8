"""The ledger and the code say the same: what a row points at exists, and what the code cites is a row."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from interop_server import ledger
from interop_server.cli import main
from interop_server.core.errors import Reason
from interop_server.core.limits import Limits
from interop_server.ledger import Evidence, LedgerMalformed, Status, UnknownRequirement, load_ledger, read_ledger
from interop_server.limit_list import list_limits
from tests.ledger.places import ROOT, exists

LEDGER = load_ledger()
ROWS = LEDGER.rows.values()
ID = re.compile(r"\b(?:ENL|CHN|PRX|KEY|OPT|MSG|RCP|MED|ABU|LIF|SIM)-[0-9]{2}\b")
SIZES = {
    "ENL": 17,
    "CHN": 15,
    "PRX": 7,
    "KEY": 18,
    "OPT": 14,
    "MSG": 14,
    "RCP": 5,
    "MED": 8,
    "ABU": 8,
    "LIF": 6,
    "SIM": 8,
}
"""Requirements of each area; none is ever dropped, so that an id means the same for good."""

ROW = """
[areas]
KEY = "Keys"

[KEY-05]
evidence = ["white paper", "observed"]
statement = \"\"\"
One key
at a time.\"\"\"
status = "modelled"
where = ["README.md"]
judged_by = ["KEY-05.one-at-a-time"]
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["requirements", *arguments])


@pytest.mark.requirement("SIM-07")
def test_every_requirement_has_a_row() -> None:
    """120 of them, numbered without gaps, in the order of their areas."""
    assert list(LEDGER.rows) == [f"{area}-{n:02}" for area, size in SIZES.items() for n in range(1, size + 1)]
    assert list(LEDGER.areas) == list(SIZES)
    assert len(LEDGER.rows) == 120


@pytest.mark.requirement("SIM-07")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_says_what_it_is_and_where(row: ledger.Requirement) -> None:
    """Evidence and a sentence always; a place where there is one, and what is missing where there is not."""
    assert row.evidence
    assert len(set(row.evidence)) == len(row.evidence)
    assert row.statement.endswith(".")
    assert (row.status is Status.MODELLED) <= bool(row.where)
    assert not row.reason.endswith(".")
    assert [place for place in row.where if not exists(place)] == []
    assert set(row.policy) <= {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("README.md", True),
        ("docs", True),
        ("READ.md", False),
        ("docs:limits", False),
        ("protos/interop_api/v1/account.proto:DeleteAccount", True),
        ("protos/interop_api/v1/account.proto:DeleteAccoun", False),
        ("server/interop_server/core/limits.py:Limits", True),
        ("server/interop_server/core/limits.py:Limits.mailbox_ms", True),
        ("server/interop_server/core/limits.py:Limits.mailbox_days", True),
        ("server/interop_server/core/limits.py:DAY_MS", True),
        ("server/interop_server/core/limits.py:Limits.DAY_MS", False),
        ("server/interop_server/core/limits.py:mailbox_days", False),
        ("server/interop_server/core/limits.py:Limits.mailbox_days.more", False),
    ],
)
def test_a_place_that_is_not_there_is_noticed(place: str, there: bool) -> None:
    """A check that finds everything proves nothing."""
    assert exists(place) is there


@pytest.mark.requirement("SIM-07")
def test_limits_and_ledger_agree_on_what_is_policy() -> None:
    """A limit says which requirements it serves and whether its value is a choice; the rows say the same."""
    limits = list_limits()
    by_limit = {(row, limit.name) for limit in limits if limit.is_policy for row in limit.about.requirements}
    by_row = {(row.id, name) for row in ROWS for name in row.policy}
    assert by_row == by_limit, "every requirement that a limit names is a row"
    assert [limit.name for limit in limits if not set(limit.about.requirements) <= set(LEDGER.rows)] == []
    assert len(by_row) > 50


@pytest.mark.parametrize("reason", Reason)
def test_what_a_refusal_cites_is_a_row(reason: Reason) -> None:
    """Whoever is refused can look the requirement up (SIM-01)."""
    assert not reason.requirement or reason.requirement in LEDGER.rows


@pytest.mark.requirement("SIM-01")
@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.requirement])
def test_a_reason_with_a_rule_of_its_own_says_so_in_its_meaning(reason: Reason) -> None:
    """The rule that a refusal names first in its comment in the contract is the one that it cites (SIM-01)."""
    assert (ID.findall(reason.meaning) or ["SIM-01"])[0] == reason.requirement


def test_what_the_sources_cite_is_a_row() -> None:
    """Comments of the contract, the code and the tests name no requirement that does not exist."""
    folders = ["protos/interop_api", "protos/python/interop_protocol", "server", "clients", "tests", "docs"]
    files = [
        file
        for folder in folders
        for suffix in ("py", "proto", "sql", "md", "ts")
        for file in (ROOT / folder).rglob(f"*.{suffix}")
        if "node_modules" not in file.parts
    ]
    cited = {name for file in files for name in ID.findall(file.read_text())}
    assert "KEY-05" in cited
    assert cited <= set(LEDGER.rows)


def test_a_row_is_read_with_its_lines_joined() -> None:
    """Line breaks only keep the file readable."""
    row = read_ledger(ROW).get("key-05")
    assert row.statement == "One key at a time."
    assert row.evidence == (Evidence.WHITE_PAPER, Evidence.OBSERVED)
    assert (row.status, row.area, row.where) == (Status.MODELLED, "KEY", ("README.md",))
    with pytest.raises(UnknownRequirement, match="KEY-06"):
        read_ledger(ROW).get("KEY-06")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"white paper"', '"hearsay"', "hearsay"),
        ('status = "modelled"', 'status = "done"', "done"),
        ('status = "modelled"', "", "status"),
        ('evidence = ["white paper", "observed"]', "", "evidence"),
        ("where =", "were =", "were"),
        ("[KEY-05]", "[KEX-05]", "KEX"),
        ('status = "modelled"', 'status = "simplified"', "reason"),
        ('status = "modelled"', 'status = "modelled"\nreason = "none"', "reason"),
        ('judged_by = ["KEY-05.one-at-a-time"]', "", "unjudged"),
        ('status = "modelled"', 'status = "modelled"\nunjudged = "A rule of the server."', "unjudged"),
    ],
)
def test_a_broken_row_is_named(old: str, new: str, complaint: str) -> None:
    """Who edits the file learns which row is wrong, and how."""
    assert old in ROW
    with pytest.raises(LedgerMalformed, match=rf"^KE.-05: .*{complaint}"):
        read_ledger(ROW.replace(old, new))


@pytest.mark.requirement("SIM-07")
def test_the_list_is_for_machines_too() -> None:
    """Every row, with all that the file says and the present values of its policy."""
    listed = json.loads(run("--json").stdout)
    assert [row["id"] for row in listed] == list(LEDGER.rows)
    lookups = listed[list(LEDGER.rows).index("OPT-09")]
    assert lookups["policy"] == {
        "resolve_burst": Limits().resolve_burst,
        "resolve_per_second": Limits().resolve_per_second,
    }
    assert set(lookups) == {"area", "policy", *(field.name for field in dataclasses.fields(ledger.Requirement))}
    assert json.loads(run("--json", "key-05", "ENL-01").stdout)[0]["statement"] == LEDGER.get("KEY-05").statement


@pytest.mark.requirement("SIM-07")
def test_one_row_is_shown_whole() -> None:
    """Where it lives, where it is known from, and which values are the simulator's own."""
    shown = " ".join(run("enl-15").stdout.split())
    row = LEDGER.get("ENL-15")
    assert all(text in shown for text in (row.statement, row.note, "documented", "modelled"))
    assert row.where[0] in shown.replace(" ", ""), "folded where the terminal ends, not cut"
    assert f"min_protocol_version = {Limits().min_protocol_version}" in shown


def test_the_list_can_be_narrowed_down() -> None:
    """By status and by area, which go together."""
    shown = run("--status", "not_modelled", "--area", "chn").stdout
    expected = {row.id for row in ROWS if row.status is Status.NOT_MODELLED and row.area == "CHN"}
    assert set(re.findall(r"^([A-Z]{3}-\d\d)", shown, re.MULTILINE)) == expected
    counts = f"{LEDGER.count(Status.MODELLED)} modelled, {LEDGER.count(Status.SIMPLIFIED)} simplified"
    assert f"{len(expected)} of 120 shown. In all: {counts}" in " ".join(shown.split())


@pytest.mark.parametrize("arguments", [["KEY-999"], ["KEY-05", "nonsense"], ["--area", "XYZ"], ["--status", "done"]])
def test_what_does_not_exist_is_said_to_be_wrong(arguments: list[str]) -> None:
    """An id, an area or a status that is not there ends with the usage code and its name."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert arguments[-1] in result.stderr


def test_a_server_does_not_read_the_ledger() -> None:
    """Starting does not pay for what only a reader needs."""
    loaded = "import sys, interop_server.app, interop_server.cli; print('interop_server.ledger' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True, cwd=Path.cwd())
    assert result.stdout.strip() == "False"
