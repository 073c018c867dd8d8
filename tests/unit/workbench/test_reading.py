"""`interopsim user read`: what was read is shown, whatever a peer says of it."""

import pytest
from click.testing import CliRunner

from interop_workbench.commands import user


@pytest.mark.parametrize("at_ms", [2**63 - 1, -(2**63)])
def test_a_message_from_beyond_all_times_is_shown(at_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as read by then: nobody would ever see it again."""
    message = {"at_ms": at_ms, "from": "bob", "text": "Hello", "kind": "text"}
    monkeypatch.setattr(user, "ask", lambda _path, _body: {"messages": [message]})
    shown = CliRunner().invoke(user.read, ["Ada"])
    assert (shown.exit_code, shown.stdout) == (0, f"{at_ms} ms bob: Hello\n")
