"""docs/questions.md: the words that answer a question stand where the page says, in each place that it names."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

PAGE = PAGES["docs/questions.md"]
ROWS = re.findall(r'^\| (.+?) \| "(.+)" \| (\[.+) \|$', PAGE.read_text(), re.MULTILINE)
NAMED = re.compile(r"^(?:message|service|enum) (\w+) \{", re.MULTILINE)


def flat(text: str) -> str:
    """A text in one line, without the marks of comments and the bars of tables."""
    return " ".join(re.sub(r"^\s*(?://|#)", "", text, flags=re.MULTILINE).split())


def part_of(path: Path, label: str, anchor: str) -> str:
    """What a place holds: a section of a page, a message or service of a proto with its comment, or a whole file.

    Raises:
        LookupError: The file has no such section or message.
    """
    text = path.read_text()
    if path.suffix == ".md" and anchor:
        for part in re.split(r"^(?=## )", text, flags=re.MULTILINE):
            heading = part.partition("\n")[0].removeprefix("## ").lower()
            if re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") == anchor:
                return part
        raise LookupError(f"{path.name} has no section {anchor}")
    name = label.strip("`")
    if path.suffix != ".proto" or name == path.name:
        return text
    for part in re.split(r"(?<=^\}\n)(?=\n)", text, flags=re.MULTILINE):
        if name in NAMED.findall(part):
            return part
    raise LookupError(f"{path.name} has no {name}")


def test_every_line_is_a_question_with_words_and_a_place() -> None:
    """So that none escapes the test below, and no question is asked twice."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "](" in line]
    assert len(lines) == len(ROWS)
    assert len({question for question, _, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("question", "words", "places"), ROWS, ids=[row[0] for row in ROWS])
def test_the_answer_stands_where_the_page_says(question: str, words: str, places: str) -> None:
    """The first place has the words; in each further one, the section or message is there."""
    first, *others = re.findall(r"\[([^\]]+)\]\(([^)#]+)#?([^)]*)\)", places)
    parts = [part_of((PAGE.parent / file).resolve(), label, anchor) for label, file, anchor in (first, *others)]
    assert flat(words) in flat(parts[0]), question


@pytest.mark.parametrize(
    ("label", "file", "anchor"),
    [("SPEC.md", "protos/SPEC.md", "gone"), ("`Gone`", "protos/interop_api/v1/chat.proto", "")],
)
def test_a_place_that_is_not_there_is_noticed(label: str, file: str, anchor: str) -> None:
    """A search that finds everything proves nothing."""
    with pytest.raises(LookupError):
        part_of(ROOT / file, label, anchor)
