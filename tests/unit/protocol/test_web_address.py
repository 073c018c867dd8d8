"""Addresses of the web: a scheme of it, a host, and a port that may be."""

import pytest

from interop_protocol.web_address import is_web_address


@pytest.mark.parametrize("url", ["http://a", "https://a.example/b?c", "http://127.0.0.1:1", "HTTP://[::1]:65535/"])
def test_addresses_of_the_web(url: str) -> None:
    assert is_web_address(url)


@pytest.mark.parametrize(
    "url",
    ["", "a", "//a", "http:a", "http://", "http://:1", "ftp://a", "http://[::1", "http://a:b", "http://a:0",
     "http://a:65536", "http://a/\x1b", "http://\u2100"],
)  # fmt: skip
def test_what_is_none(url: str) -> None:
    """Also what cannot be split at all."""
    assert not is_web_address(url)
