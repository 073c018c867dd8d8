"""A reported message is read, or refused."""

import pytest

from interop_api.v1 import integrity_pb2
from interop_server.core.errors import Reason
from interop_server.core.messages import ReportedMessage, RevealedContent
from interop_server.rpc.convert import reports

from .wire import refusal_of


@pytest.mark.requirement("ABU-03")
def test_a_reported_message_is_read_with_or_without_its_words() -> None:
    """Words and their secret come together; that they are empty is for the rules to judge."""
    message = integrity_pb2.ReportedMessage
    assert reports.reported_message_from(message(message_id="m-1"), 0) == ReportedMessage("m-1", None)
    revealed = message(message_id="m-1", plaintext=b"", message_secret=bytes(32))
    assert reports.reported_message_from(revealed, 0) == ReportedMessage("m-1", RevealedContent(b"", bytes(32)))
    for wrong, field in (
        (message(), "message_id"),
        (message(message_id="x" * 65), "message_id"),
        (message(message_id="a b"), "message_id"),
        (message(message_id="m", plaintext=b"words"), "message_secret"),
        (message(message_id="m", message_secret=bytes(32)), "plaintext"),
    ):
        refusal = refusal_of(reports.reported_message_from, wrong, 3)
        assert refusal.reason is Reason.REQUEST_MALFORMED
        assert [violation.field for violation in refusal.violations] == [f"messages[3].{field}"]
