"""How long the metadata of a call can be, where gRPC does not bound it."""

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.rpc.request_bounds import METADATA_BYTES, check_metadata

pytestmark = pytest.mark.requirement("SIM-06")

ENTRY_BYTES = 32
"""What HTTP/2 counts for each entry."""


def test_names_values_and_entries_count() -> None:
    """Up to 16 KiB as HTTP/2 counts them; text and bytes alike."""
    most = METADATA_BYTES - ENTRY_BYTES - len("name")
    for whole in ("v" * most, b"v" * most):
        check_metadata([("name", whole)])
        with pytest.raises(Refusal, match="16,385 bytes") as raised:
            check_metadata([("name", whole + whole[:1])])
        assert (raised.value.reason, raised.value.requirement) == (Reason.REQUEST_MALFORMED, "SIM-06")


def test_many_empty_entries_are_too_long() -> None:
    """Each of them costs memory, whatever it holds."""
    most = METADATA_BYTES // ENTRY_BYTES
    check_metadata([("", "")] * most)
    with pytest.raises(Refusal):
        check_metadata([("", "")] * (most + 1))
