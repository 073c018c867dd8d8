"""An address where no server can be is told as one where none is."""

from pathlib import Path

import pytest

from interop_client.connection.http import http_request
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ServerRefusal
from interop_client.media.upload import media_host

NOWHERE = pytest.mark.parametrize("url", ["http://a..b", f"http://{'a' * 70}.x", "http://[::1", "", "ftp://x"])


@NOWHERE
async def test_no_request_can_be_made_to_what_is_no_address(url: str, tmp_path: Path) -> None:
    """As an OSError, as for every server that cannot be reached."""
    (tmp_path / "blob").write_bytes(b"blob")
    with pytest.raises(ConnectionError):
        await media_host(url)(tmp_path / "blob")


async def test_what_cannot_be_said_in_a_request_is_no_matter_of_its_address() -> None:
    with pytest.raises(UnicodeEncodeError):
        async with http_request("POST", "http://127.0.0.1:1", {"token": "\udc80"}):
            pass


@NOWHERE
async def test_a_proxy_without_an_address_cannot_be_reached(url: str) -> None:
    async def get_token() -> str:
        return "token"

    with pytest.raises(ServerRefusal, match="UNAVAILABLE"):
        await ProxyTransport(url, ProxyLogin("bob", "17-1@interop", get_token)).connect()
