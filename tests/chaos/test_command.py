"""The command around a campaign."""

import json

import pytest
from click.testing import CliRunner

from tests.chaos.__main__ import main

pytestmark = pytest.mark.timeout(240)
WRONG_USE = {
    "a part of a database": (("--kills", "200", "--skip", "50"), "multiple of 100"),
    "everything": (("--kills", "200", "--skip", "200"), "multiple of 100 under 200"),
    "no point": (("--at", "nowhere:1"), "POINT:N"),
    "a point of other places": (("--at", "object.piece:1"), "POINT:N"),
}


def test_a_kill_is_reported() -> None:
    """As it is without any option but how many."""
    result = CliRunner().invoke(main, ["--kills", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["kills"], found["holds"], found["broken"]) == (1, True, [])


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_a_sentence_and_status_2(name: str) -> None:
    """Before anything is started."""
    arguments, sentence = WRONG_USE[name]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and sentence in result.output, result.output
