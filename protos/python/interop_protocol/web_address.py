"""Whether a text is an address of the web; knows no option and opens no connection."""

from urllib.parse import SplitResult, urlsplit


def split_web_address(url: str) -> SplitResult | None:
    """Splits an address of the web: `http` or `https`, a host, and a port that may be; None for another text."""
    try:
        parts = urlsplit(url)
        is_of_the_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_of_the_web else None


def is_web_address(url: str) -> bool:
    """Says whether a text is an address of the web that can be shown as it is."""
    return split_web_address(url) is not None and url.isprintable()
