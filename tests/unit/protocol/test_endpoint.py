"""Where a server is, as its ready line says it, and where simulators keep what they are to remember."""

import json
from pathlib import Path

import pytest

from interop_protocol.endpoint import Endpoint
from interop_protocol.state_files import is_name, state_folder

HOME = Path("/home/ada")
PLAIN = {"grpc": "a:1", "admin": "b:2", "http": "http://c:3", "root_public_key": "00ff"}


@pytest.mark.parametrize(
    "more", [{}, {"metrics": "d:4"}, {"ca": "/ca.pem"}, {"admin_token": "t"}, {"metrics": "d:4", "ca": "/ca.pem"}]
)
def test_what_is_said_is_what_is_read(more: dict[str, str]) -> None:
    """What there is not is not said."""
    endpoint = Endpoint.from_ready_line(json.dumps(PLAIN | more))
    assert endpoint.facts() == PLAIN | more
    read = (endpoint.grpc, endpoint.root_public_key, endpoint.http, endpoint.admin)
    assert read == ("a:1", b"\x00\xff", "http://c:3", "b:2")
    assert [endpoint.admin_token, endpoint.metrics, endpoint.ca] == [
        more.get(name, "") for name in ("admin_token", "metrics", "ca")
    ]


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, HOME / ".local" / "state" / "interopsim"),
        ({"XDG_STATE_HOME": "/var/state"}, Path("/var/state/interopsim")),
        ({"XDG_STATE_HOME": "state"}, HOME / ".local" / "state" / "interopsim"),
        ({"XDG_STATE_HOME": ""}, HOME / ".local" / "state" / "interopsim"),
        ({"INTEROPSIM_STATE": "/chosen", "XDG_STATE_HOME": "/var/state"}, Path("/chosen")),
        ({"INTEROPSIM_STATE": "chosen"}, Path.cwd() / "chosen"),
        ({"INTEROPSIM_STATE": ""}, HOME / ".local" / "state" / "interopsim"),
    ],
)
def test_where_state_is_kept(environment: dict[str, str], folder: Path) -> None:
    """Where the user says, or where the system says, or in the user's own folder."""
    assert state_folder(environment, HOME) == folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("A-9", True), ("x" * 32, True), ("x" * 33, False), ("", False), ("a.b", False), ("a/b", False),
     ("a\n", False), ("é", False)],
)  # fmt: skip
def test_what_a_simulator_can_be_called(text: str, expected: bool) -> None:
    """The name is that of a file, too."""
    assert is_name(text) is expected
