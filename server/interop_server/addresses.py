"""Where a server listens and is reached, as text; knows no socket."""

from dataclasses import dataclass


class AddressUnusable(Exception):
    """An address cannot be listened on; the message is a sentence that says which and what to do."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started server is reached."""

    grpc: str
    admin: str
    http: str
    """With scheme."""
    root_public_key: bytes
    """What clients verify the server's certificate chain against: 32 bytes."""


def split_address(address: str) -> tuple[str, int]:
    """Splits `host:port` or `[host]:port`.

    Raises:
        AddressUnusable: It has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise AddressUnusable(f"{address!r} is not an address: write host:port; with port 0 the system chooses.")
    return host.strip("[]") or "127.0.0.1", int(port)


def join_address(host: str, port: int) -> str:
    """Joins host and port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unusable(address: str) -> AddressUnusable:
    """Returns the error for an address that the system does not give."""
    return AddressUnusable(
        f"cannot listen on {address}: the port is taken, or the host is not one of this machine's; "
        "port 0 finds a free one."
    )
