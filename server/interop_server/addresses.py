"""Where a server listens, as text; knows no socket."""

import ipaddress
import re

_ADDRESS = re.compile("(?P<host>[^/]+):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65_535


class AddressUnusable(Exception):
    """An address cannot be listened on; the message is a sentence that says which and what to do."""


def split_address(address: str) -> tuple[str, int]:
    """Splits `host:port` or `[host]:port`.

    Raises:
        AddressUnusable: It has another form.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) > _LAST_PORT:
        raise AddressUnusable(f"{address!r} is not an address: write host:port; with port 0 the system chooses.")
    return parts["host"].strip("[]"), int(parts["port"])


def is_remote(address: str) -> bool:
    """Says whether other machines may reach what listens on `host:port`."""
    host, _ = split_address(address)
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() != "localhost"


def join_address(host: str, port: int) -> str:
    """Joins host and port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unusable(address: str) -> AddressUnusable:
    """Returns the error for an address that the system does not give."""
    return AddressUnusable(
        f"cannot listen on {address}: the port is taken, or the host is not one of this machine's; "
        "port 0 finds a free one."
    )
