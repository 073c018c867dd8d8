"""What `interopsim up` prints says where everything is; anything else says nothing."""

import json

import pytest

from interop_protocol.endpoint import Endpoint

READY = {"event": "ready", "grpc": "127.0.0.1:1", "admin": "127.0.0.1:2", "http": "http://127.0.0.1:3", "db": None}
ROOT = bytes(range(32))


def test_a_ready_line_says_where_users_and_operator_go() -> None:
    """And which root to trust; what else stands in the line is passed over."""
    endpoint = Endpoint.from_ready_line(json.dumps({**READY, "root_public_key": ROOT.hex()}))
    assert endpoint == Endpoint("127.0.0.1:1", ROOT, "http://127.0.0.1:3", "127.0.0.1:2")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            "ready",
            "[]",
            "null",
            "[" * 100_000,
            json.dumps(READY),
            json.dumps({**READY, "root_public_key": "no hex"}),
        ),
        *(json.dumps({**READY, "root_public_key": "", name: 1}) for name in ("ca", "admin_token")),
        *(json.dumps({**READY, "root_public_key": "", "admin": admin}) for admin in ("\x1b[31m", "a'; b", "a\nb", 1)),
    ],
    ids=lambda line: line[:8] + line[-30:],
)
def test_a_line_of_another_form_is_refused(line: str) -> None:
    """With the one error that its reader expects."""
    with pytest.raises(ValueError):
        Endpoint.from_ready_line(line)
