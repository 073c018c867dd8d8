"""Finds the address of a proxied client; opens nothing.

Source: PRX-02; RFC 7239.
"""

import re

from aiohttp import web

_NODE = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>[0-9.]+)(?::\d{1,5})?")


class ClientAddressUnknown(Exception):
    """The request does not say where the client is."""


def client_ip_of(request: web.Request) -> str:
    """Returns the address of the client behind a request; WhatsApp decides whether it is a public one.

    It trusts the `Forwarded` header. A real partner's edge drops what clients put there themselves, and its load
    balancer adds the last element, which is the one that counts.

    Raises:
        ClientAddressUnknown: The header hides the address, or is malformed.
    """
    if "Forwarded" not in request.headers:
        if request.remote is None:
            raise ClientAddressUnknown("Connect over TCP.")
        return request.remote
    elements = request.forwarded
    match = _NODE.fullmatch(elements[-1].get("for", "")) if elements else None
    if match is None:
        raise ClientAddressUnknown("Let the load balancer send `Forwarded: for=` with the client's address.")
    return match["v6"] or match["v4"]
