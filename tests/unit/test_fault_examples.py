"""docs/faults.md: its files can be ordered, and its table says what the server allows."""

import re
from pathlib import Path

import pytest

from interop_server.core.fault_rules import FITTING, word_of_kind
from interop_server.fault_file import load_faults

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
FILES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_has_files() -> None:
    """What finds them finds them."""
    assert len(FILES) == 2


@pytest.mark.parametrize("number", range(len(FILES)))
def test_every_file_of_the_page_can_be_ordered(number: int, tmp_path: Path) -> None:
    """As it stands there."""
    file = tmp_path / "faults.toml"
    file.write_text(FILES[number])
    assert len(load_faults(file)) >= 3


def test_the_table_says_what_can_be_done_where() -> None:
    """Row by row, and every action is in some row."""
    rows = re.findall(r"^\| (a.*?)(?:[:,] .*?)? \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    said = {about: set(re.findall(r"`(\w+)`", done)) for about, done in rows if about != "about"}
    said["a call that takes bundles"] |= said["a call"]
    assert said == {place.value: {word_of_kind(kind) for kind in kinds} for place, kinds in FITTING.items()}
