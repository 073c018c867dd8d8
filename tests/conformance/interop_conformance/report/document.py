"""A run as an object for machines: what `report.json` holds, in the form of `report.schema.json`; writes no file."""

import json
from pathlib import Path
from typing import Any

from interop_conformance.ledger import requirements
from interop_conformance.reading import read_text
from interop_conformance.verdict import Result, Run, Verdict

MAX_REPORT_BYTES = 256 << 20
"""Longest report that is read."""
SCHEMA_VERSION = 1
SCHEMA = Path(__file__).with_name("report.schema.json")
"""JSON Schema of `document_of`."""


class ReportUnusable(Exception):
    """A file is no report of this kit. The text is a sentence."""


def document_of(run: Run) -> dict[str, Any]:
    """Returns a run as an object."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kit_version": run.kit_version,
        "kind": run.kind,
        "subject": run.subject,
        "mode": run.mode,
        "profile": run.profile,
        "scope": run.scope,
        "seed": run.seed,
        "started_at": run.started_at,
        "seconds": round(run.seconds, 3),
        "is_complete": run.is_complete,
        "is_conformant": run.is_conformant,
        "counts": {verdict.value: run.count(verdict) for verdict in Verdict},
        "attacks": {score.value: count for score, count in run.scores().items()},
        **({} if run.use is None else {"use": run.use.as_lists()}),
        "checks": [_check(result) for result in run.results],
    }


def _check(result: Result) -> dict[str, Any]:
    check = result.check
    fields: dict[str, Any] = {
        "id": check.id,
        "requirement": check.requirement,
        "evidence": list(requirements()[check.requirement].evidence),
        "level": check.level.value,
        "sentence": check.sentence,
        "milestone": check.milestone,
        "verdict": result.verdict.value,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "expected": result.expected,
        "got": result.got,
        "score": result.score and result.score.value,
        "blocked_by": result.blocked_by,
        "forced_by": check.forced_by,
        "wire": list(result.wire),
        "journal": list(result.journal),
        "log": result.log,
        "repeat": result.repeat,
    }
    return {name: value for name, value in fields.items() if value not in ("", None, [], 0) or name == "seconds"}


def read_report(path: Path) -> dict[str, Any]:
    """Reads a report that a run has written.

    Raises:
        ReportUnusable: The file cannot be read, or is none.
    """
    try:
        document = json.loads(read_text(path, MAX_REPORT_BYTES))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ReportUnusable(f"{path} has schema version {document['schema_version']}, not {SCHEMA_VERSION}.")
        for check in document["checks"]:
            if not isinstance(check["id"], str) or Verdict(check["verdict"]) not in Verdict:
                raise ValueError("a check has a name")
    except OSError as error:
        raise ReportUnusable(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReportUnusable(f"{path} is no report.json of this kit.") from error
    report: dict[str, Any] = document
    return report
