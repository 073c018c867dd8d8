"""Explains a decision in plain words, paragraph by paragraph; knows no terminal."""

from typing import TYPE_CHECKING, NamedTuple

from interop_protocol.times import format_time

if TYPE_CHECKING:
    from interop_api.admin.v1alpha1 import journal_pb2


class Paragraph(NamedTuple):
    """A heading and its text."""

    heading: str
    text: str


def paragraphs_of(explained: "journal_pb2.ExplainRefusalResponse") -> list[Paragraph]:
    """Returns what was decided, by which rule, and, of a refusal, what would have made it succeed."""
    entry = explained.entry
    about = f" about {entry.subject}" if entry.subject else ""
    what = f"{entry.action} of {entry.actor}{about}, at {format_time(entry.at_ms)}: {_outcome(entry)}."
    paragraphs = [
        Paragraph("What was refused" if entry.reason else "What was decided", what),
        Paragraph(f"By which rule: {entry.requirement} ({', '.join(explained.evidence)})", explained.statement),
    ]
    if explained.advice:
        paragraphs.append(Paragraph("What would have made it succeed", explained.advice))
    if entry.cause:
        cause = f"{entry.cause[:1].upper()}{entry.cause[1:]}. Other causes get the same answer, so callers cannot tell."
        paragraphs.append(Paragraph("Why, which the caller was not told", cause))
    if explained.policy:
        paragraphs.append(Paragraph("Values behind it that are policy, set with --limit", ", ".join(explained.policy)))
    return paragraphs


def _outcome(entry: "journal_pb2.JournalEntry") -> str:
    """Returns the reason of a refusal; of a message that was not refused what became of it, and for whom it was."""
    from interop_api.admin.v1alpha1.journal_pb2 import JOURNAL_OUTCOME_DROPPED

    if entry.reason:
        return entry.reason
    if entry.outcome == JOURNAL_OUTCOME_DROPPED:
        return f"dropped, which looks like accepted to its sender; it was for {entry.detail}"
    return f"accepted for {entry.detail}"
