"""What somebody else wrote can be shown on a terminal: it commands nothing, hides nothing and forges no line."""

import io
import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.printable import PrintableLog, is_printable, json_line, json_text, printable, printable_lines

HOSTILE = {
    "a colour": ("\x1b[31mred", r"\x1b[31mred"),
    "a one-byte CSI": ("\x9b31mred", r"\x9b31mred"),
    "a title": ("\x1b]0;mine\x07", r"\x1b]0;mine\x07"),
    "a line of one's own": ("bob\n2026 accepted", r"bob\x0a2026 accepted"),
    "the start of the line": ("bob\rada", r"bob\x0dada"),
    "backspaces": ("bob\x08\x08\x08ada", r"bob\x08\x08\x08ada"),
    "a delete": ("a\x7f", r"a\x7f"),
    "a line separator": ("a\u2028b\u2029c\u0085d", r"a\u2028b\u2029c\x85d"),
    "another direction": ("a\u202ebc\u2066d\u200f", r"a\u202ebc\u2066d\u200f"),
    "what is not seen": ("a\u200bb\ufeffc\U000e0041", r"a\u200bb\ufeffc\U000e0041"),
    "half a character": ("a\ud800", r"a\ud800"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_terminal_would_obey_is_escaped(name: str) -> None:
    """And is told to be unfit where it comes in."""
    text, shown = HOSTILE[name]
    assert printable(text) == shown
    assert not is_printable(text)
    assert is_printable(shown)


@pytest.mark.parametrize("text", ["", "Ada Łovelace", "+49 151 1", "مرحبا", "日本", "👩‍💻👍🏽", "a b"])
def test_what_people_write_stays(text: str) -> None:
    """Scripts, emoji and the joiners that they need."""
    assert printable(text) == text
    assert is_printable(text)


@given(st.text(st.characters()))
def test_nothing_shown_is_a_control(text: str) -> None:
    """Whatever the text, also as JSON, which still reads back as it was."""
    for shown in (printable(text), json_line({"text": text})):
        assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert not any(each in shown for each in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert json.loads(json_line({"text": text})) == {"text": text}
    assert json_line({"text": text}).isascii()


@pytest.mark.parametrize("name", HOSTILE)
def test_lines_stay_and_each_is_escaped(name: str) -> None:
    """Those of a log end as they do on any system, and begin where they did."""
    text, shown = HOSTILE[name]
    lines = text.replace("\n", " ")
    assert printable_lines(f"first\r\n\t{lines}\n") == f"first\n        {printable(lines)}\n"
    assert json_text({"a": text}, indent=1).replace("\n", "").isprintable(), shown


def test_a_log_is_flushed_with_its_stream() -> None:
    """What was written is not kept back."""

    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    log = PrintableLog(stream)
    log.write("a\n")
    assert stream.flushed == ""
    log.flush()
    assert stream.flushed == "a\n"


def test_a_log_record_is_one_record() -> None:
    """A quoted line end makes no second record, and a trace keeps its lines, indented."""
    stream = io.StringIO()
    handler = logging.StreamHandler(PrintableLog(stream))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("bob said %s", "hi\x1b[2J\nINFO all is well")
    assert stream.getvalue() == "WARNING bob said hi\\x1b[2J\n    INFO all is well\n"
    try:
        raise ValueError("\x9b")
    except ValueError:
        logger.exception("it failed")
    assert [line[:1] for line in stream.getvalue().splitlines()[2:] if line] == ["E", *" " * 4]
    assert "\x9b" not in stream.getvalue()
