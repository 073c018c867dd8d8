"""Who holds a port."""

import os
import socket
import sys

import pytest

from interop_admin.holders import holder_of


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_process_that_listens_on_a_port_is_named() -> None:
    """By its number; a port that nobody has is nobody's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"process {os.getpid()}," in (holder_of(port) or "")
    assert holder_of(port) is None
