"""Whether a request is one of this machine's own, and not of a page of another site that a browser shows here.

A site can have its name stand for this machine, so the Host header must name the machine itself. What a browser sends
for a page says so, in headers that no page can change; clients that are no browsers send neither.
"""

from ipaddress import ip_address

from aiohttp import hdrs, web

OWN_HOST = web.AppKey("OWN_HOST", str)
"""Under which an application keeps the name that it listens on, for one beside those of every machine."""
_OF_OWN_PAGES = ("", "none", "same-origin")
"""What a browser says of the page behind a request: nothing, that there is none, or that it is of the same origin."""


def is_loopback(address: str | None) -> bool:
    """Says whether an IP address is one of the machine itself."""
    try:
        return address is not None and ip_address(address).is_loopback
    except ValueError:
        return False


def is_for_this_machine(request: web.Request) -> bool:
    """Says whether the Host header names this machine, as every machine does, or as the application listens."""
    named = request.headers.get(hdrs.HOST, "").lower()
    host, _, port = named.rpartition(":")
    host = host if port.isdigit() else named
    own = request.app.get(OWN_HOST, "").lower()
    return host in ("localhost", own or "localhost") or is_loopback(host.removeprefix("[").removesuffix("]"))


def is_of_another_site(request: web.Request) -> bool:
    """Says whether a browser sends a request for a page that is not from here."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.lower() != f"{request.scheme}://{request.headers.get(hdrs.HOST, '')}".lower():
        return True
    return request.headers.get("Sec-Fetch-Site", "") not in _OF_OWN_PAGES
