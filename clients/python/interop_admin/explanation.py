"""Explains a refusal in plain words, paragraph by paragraph; knows no terminal."""

from typing import TYPE_CHECKING, NamedTuple

from interop_protocol.times import format_time

if TYPE_CHECKING:
    from interop_api.admin.v1alpha1 import journal_pb2


class Paragraph(NamedTuple):
    """A heading and its text."""

    heading: str
    text: str


def paragraphs_of(explained: "journal_pb2.ExplainRefusalResponse") -> list[Paragraph]:
    """Returns what was refused, by which rule, and what would have made it succeed."""
    entry = explained.entry
    about = f" about {entry.subject}" if entry.subject else ""
    what = f"{entry.action} of {entry.actor}{about}, at {format_time(entry.at_ms)}: {entry.reason}."
    paragraphs = [
        Paragraph("What was refused", what),
        Paragraph(f"By which rule: {entry.requirement} ({', '.join(explained.evidence)})", explained.statement),
        Paragraph("What would have made it succeed", explained.advice),
    ]
    if entry.cause:
        cause = f"{entry.cause[:1].upper()}{entry.cause[1:]}. Other causes get the same answer, so callers cannot tell."
        paragraphs.append(Paragraph("Why, which the caller was not told", cause))
    if explained.policy:
        paragraphs.append(Paragraph("Values behind it that are policy, set with --limit", ", ".join(explained.policy)))
    return paragraphs
