"""Addresses of a bus: what is none is told in a sentence that has nothing of it."""

import traceback

import pytest

from interop_server.nodes import BusUnusable
from interop_server.nodes.address import BusAddress


@pytest.mark.parametrize(
    "url",
    [
        "http://me:word@localhost",
        "nats://me:word℀@localhost/world",
        "nats://me:word@[::1/world",
        "nats://me:word@localhost:port/world",
        "nats://me:wo/rd@localhost/word",
    ],
)
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    """A password could be anywhere in it; nothing of it is said either where all is printed that led to the error."""
    with pytest.raises(BusUnusable, match=r"^The .+[.]$") as refused:
        BusAddress.parse(url)
    shown = str(refused.value) + "".join(traceback.format_exception(refused.value.with_traceback(None)))
    assert not any(part in shown for part in ("wo/", "word"))


def test_an_address_is_shown_without_user_and_password() -> None:
    """Also where it is logged by mistake."""
    address = BusAddress.parse("nats://me:word@[::1]:4222,other:4223/world")
    assert (address.shown, address.prefix) == ("nats://[::1]:4222,other:4223/world", "world")
    assert address.servers == ("nats://me:word@[::1]:4222", "nats://me:word@other:4223")
    assert "word" not in repr(address)
