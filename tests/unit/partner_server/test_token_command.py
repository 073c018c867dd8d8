"""The command that asks for a token, on the command line: what is no address is a sentence."""

import pytest
from click.testing import CliRunner

from partner_server.token_command import main


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "file:///etc/passwd", "http://", "http://[::1", "http://a:b"])
def test_an_address_that_cannot_be_is_a_sentence(url: str) -> None:
    """Before anything is asked."""
    outcome = CliRunner().invoke(main, ["--url", url, "bob"])
    assert (outcome.exit_code, "--url must be an absolute http or https URL." in outcome.output) == (2, True)


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    outcome = CliRunner().invoke(main, ["--url", "http://127.0.0.1:0/%zz", "bob"])
    assert outcome.exit_code == 2
    outcome = CliRunner().invoke(main, ["--url", "http://127.0.0.1:1", "bob"])
    assert outcome.exit_code == 1 and "the server gives no token" in outcome.output
