"""How a check is judged, whomever it is about: what raised, what held, and what it rested on; knows no stage."""

import logging
from collections.abc import Mapping
from typing import Any

from interop_conformance.check import Check, Level, NotApplicable, NotSo, Score
from interop_conformance.verdict import HELD, Result, Verdict
from interop_demo.processes import ChildFailed

_log = logging.getLogger(__name__)


async def judged(check: Check, stage: Any) -> Result:
    """Judges on a stage, without a limit of time; what is neither NotSo nor NotApplicable is raised."""
    try:
        score = await check.judge(stage)
    except NotSo as failure:
        return failed(check, failure.expected, failure.got)
    except NotApplicable as reason:
        return Result(check, Verdict.NOT_APPLICABLE, got=str(reason))
    return Result(check, Verdict.PASS, score=score)


def failed(check: Check, expected: str, got: str) -> Result:
    """Returns the result of a check that does not hold: a failure, or a warning; an attack has done harm."""
    verdict = Verdict.FAIL if check.level is Level.MUST else Verdict.WARN
    return Result(check, verdict, expected, got, score=Score.HARMED if check.is_attack else None)


def out_of_time(check: Check, seconds: float | None) -> Result:
    """Returns the result of a check that did not end in time."""
    return failed(check, f"an end within {seconds:.0f} s", "none")


def blocked(check: Check, results: Mapping[str, Result]) -> Result | None:
    """Returns the result of a check that rests on one that does not hold; None when it rests on none.

    Args:
        check: The check.
        results: Of checks that have ended, by id: whoever asks for a check alone has none of those that it rests on.
    """
    for name in check.after:
        if (ground := results.get(name)) is not None and ground.verdict not in HELD:
            cause = ground.blocked_by or name
            return Result(check, Verdict.BLOCKED, blocked_by=cause, got=f"{cause} failed")
    return None


def kit_failed(check: Check, error: Exception) -> Result:
    """Returns the result of a check in which the kit itself failed, or its simulator, and logs it."""
    _log.error("the kit failed in %s: %s", check.id, error, exc_info=None if isinstance(error, ChildFailed) else error)
    return Result(check, Verdict.HARNESS_ERROR, got=f"{type(error).__name__}: {error}")
