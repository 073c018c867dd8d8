"""A run as CTRF, the Common Test Report Format (ctrf.io), which test dashboards read."""

from datetime import datetime
from typing import Any

from interop_conformance.verdict import Result, Run, Verdict

_STATUS = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.UNEXPECTED_PASS: "failed",
    Verdict.WARN: "other",
    Verdict.EXPECTED_FAILURE: "other",
    Verdict.HARNESS_ERROR: "other",
    Verdict.NOT_APPLICABLE: "skipped",
    Verdict.BLOCKED: "skipped",
    Verdict.NOT_RUN: "pending",
}


def ctrf_of(run: Run) -> dict[str, Any]:
    """Returns the object."""
    start = int(datetime.fromisoformat(run.started_at).timestamp() * 1000)
    statuses = [_STATUS[result.verdict] for result in run.results]
    counted = {name: statuses.count(name) for name in ("passed", "failed", "pending", "skipped", "other")}
    summary = {"tests": len(statuses), **counted, "start": start, "stop": start + round(run.seconds * 1000)}
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "interopsim", "version": run.kit_version},
            "summary": summary,
            "tests": [_test(result) for result in run.results],
        },
    }


def _test(result: Result) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": result.check.id,
        "status": _STATUS[result.verdict],
        "duration": round(result.seconds * 1000),
        "rawStatus": result.verdict.value,
        "suite": [result.check.area, result.check.requirement],
        "tags": [result.check.level.value],
    }
    if result.expected or result.got:
        test["message"] = f"expected: {result.expected}; got: {result.got}" if result.expected else result.got
    return test
