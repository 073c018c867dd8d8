"""Whether a text is an address of the web; knows no option and opens no connection."""

from urllib.parse import urlsplit


def is_web_address(url: str) -> bool:
    """Says whether a text is an address of the web: `http` or `https`, and a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False
