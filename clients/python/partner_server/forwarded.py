"""Finds the address of a proxied client; opens nothing.

The grammar is parsed here, strictly: aiohttp's `Request.forwarded` skips what it does not understand, lets a repeated
parameter win, takes the empty element after a comma for the last one, and does not look into `for`.

Source: PRX-02; RFC 7239, sections 4 and 6; RFC 9110, section 5.6.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import hdrs, web

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\U0010ffff]|\\[\t -~\x80-\U0010ffff])*"'
# A port without quotes is malformed, but common: nothing is lost by taking it.
_PAIR = rf"{_TOKEN}=(?:{_QUOTED}|{_TOKEN}(?::[0-9]{{1,5}})?)"
_CONTENT = rf"(?:{_PAIR}(?:;(?:{_PAIR})?)*|(?:;(?:{_PAIR})?)+)"
# There is one way only to read a field, and so to find that it is none: blanks around nothing are those before it.
_ELEMENT = rf"[ \t]*(?:{_CONTENT}[ \t]*)?"
_FIELD = re.compile(rf"{_ELEMENT}(?:,{_ELEMENT})*")
_PIECE = re.compile(rf"(?P<pair>{_PAIR})|(?P<comma>,)")
_ESCAPED = re.compile(r"\\(.)")
_OBFUSCATED = r"_[0-9A-Za-z._-]+"
_NODE = re.compile(
    rf"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<hidden>unknown|{_OBFUSCATED}))(?::(?:[0-9]{{1,5}}|{_OBFUSCATED}))?",
    re.IGNORECASE,
)


class ClientAddressUnknown(Exception):
    """The request does not say where the client is."""


def client_ip_of(request: web.Request) -> str:
    """Returns the address of the client behind a request; WhatsApp decides whether it is a public one.

    It trusts the `Forwarded` header. A real partner's edge drops what clients put there themselves, and its load
    balancer adds the last element, which is the one that counts.

    Raises:
        ClientAddressUnknown: The header hides the address, or is malformed.
    """
    fields = request.headers.getall(hdrs.FORWARDED, [])
    if not fields:
        if request.remote is None:
            raise ClientAddressUnknown("Connect over TCP.")
        return _one_form(request.remote)
    return forwarded_for(", ".join(fields))


def forwarded_for(field: str) -> str:
    """Returns the address that the last element of a `Forwarded` field names, an IPv4 one never inside of IPv6.

    Args:
        field: The field's value; several fields are joined with commas.

    Raises:
        ClientAddressUnknown: The element hides the address or names none, or the field is malformed.
    """
    if not _FIELD.fullmatch(field):
        raise ClientAddressUnknown("`Forwarded` is malformed: see RFC 7239, section 4.")
    elements = [element for element in _elements(field) if element]
    nodes = [value for name, value in elements[-1] if name == "for"] if elements else []
    if len(nodes) != 1:
        raise ClientAddressUnknown("Let the load balancer send one `for=` with the client's address.")
    node = _NODE.fullmatch(nodes[0])
    if node is None or node["hidden"]:
        raise ClientAddressUnknown("Let the load balancer send `Forwarded: for=` with the client's address.")
    try:
        return _one_form(str(IPv4Address(node["v4"]) if node["v4"] else IPv6Address(node["v6"])))
    except ValueError as error:
        raise ClientAddressUnknown("`Forwarded: for=` names no IP address.") from error


def _elements(field: str) -> Iterator[list[tuple[str, str]]]:
    """Yields the elements of a well-formed field, which may be empty, as names in lower case and unquoted values."""
    element: list[tuple[str, str]] = []
    for piece in _PIECE.finditer(field):
        if piece["comma"]:
            yield element
            element = []
        else:
            name, _, value = piece["pair"].partition("=")
            element.append((name.lower(), _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value))
    yield element


def _one_form(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
