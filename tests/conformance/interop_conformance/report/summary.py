"""A run in a few lines: the summary of a CI step, a badge, and a line for people."""

from typing import Any

from interop_conformance.check import MILESTONES, Level
from interop_conformance.verdict import Run, Verdict
from interop_protocol.printable import printable_lines

_SHOWN = 50
"""Most failures in a summary."""
_REASONS = 4
"""Most reasons in a line."""


def verdict_line(run: Run) -> str:
    """Returns the verdict in one line: that of a part says so, and what it leaves out."""
    said = "conformant" if run.is_conformant else "not conformant" if run.is_complete else "broken off: no verdict"
    if run.is_conformant and (run.scope or run.unjudged):
        said += " in what was judged"
    counts = ", ".join(f"{run.count(each)} {each.value}" for each in Verdict if run.count(each))
    attacks = {score: count for score, count in run.scores().items() if count}
    scored = f"; attacks: {', '.join(f'{count} {score.value}' for score, count in attacks.items())}" if attacks else ""
    left_out = f". Not judged: {' '.join(run.unjudged[:_REASONS])}" if run.unjudged else ""
    if len(run.unjudged) > _REASONS:
        left_out += f" And {len(run.unjudged) - _REASONS} more reasons, in the report."
    return f"{run.subject}: {said} ({counts}{scored}) in {run.seconds:.1f} s{left_out}"


def markdown_of(run: Run) -> str:
    """Returns the summary as Markdown."""
    lines = [f"## {_plain(verdict_line(run))}", ""]
    scope = f", {run.scope}" if run.scope else ""
    lines += [f"Profile {run.profile}{_plain(scope)}, seed {run.seed}, interopsim {run.kit_version}.", ""]
    if milestones := run.milestones():
        lines += ["| milestone | | hold |", "| --- | --- | --- |"]
        lines += [
            f"| {number} | {MILESTONES[number]} | {held} of {all} |" for number, (held, all) in milestones.items()
        ]
        lines.append("")
    shown = [each for each in run.results if each.is_bad or each.verdict in (Verdict.WARN, Verdict.EXPECTED_FAILURE)]
    if shown:
        lines += ["| check | | verdict | expected | got |", "| --- | --- | --- | --- | --- |"]
    for result in shown[:_SHOWN]:
        level = "must" if result.check.level is Level.MUST else "should"
        facts = (result.check.id, level, result.verdict.value, result.expected, result.got)
        lines.append(f"| {' | '.join(_plain(fact) for fact in facts)} |")
    if len(shown) > _SHOWN:
        lines += ["", f"And {len(shown) - _SHOWN} more: see report.html."]
    return "\n".join(lines) + "\n"


def badge_of(run: Run) -> dict[str, Any]:
    """Returns the badge, as shields.io reads it from an endpoint."""
    colour = "brightgreen" if run.is_conformant else "red" if run.is_complete else "lightgrey"
    musts = [each for each in run.results if each.check.level is Level.MUST]
    held = sum(each.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE) for each in musts)
    return {
        "schemaVersion": 1,
        "label": f"interop conformance {run.profile}",
        "message": f"{held} of {len(musts)} musts",
        "color": colour,
    }


def _plain(text: str) -> str:
    """Returns a text that is no Markdown, and stays in its cell."""
    text = printable_lines(text)
    for mark in "\\`*_{}[]<>#|~":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return " ".join(text.split())
