"""Addresses of a bus, as the operator writes them; loads no client of one."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from interop_server.nodes import BusUnusable

PREFIX = "interopsim"
"""What the subjects of a world begin with, unless its address says otherwise."""
_SCHEMES = ("nats", "tls")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNREADABLE = (
    "The address of the bus cannot be read: it is nats://USER:PASSWORD@HOST:PORT/PREFIX, where what is special in a "
    "URL is percent-encoded."
)


@dataclass(frozen=True, slots=True)
class BusAddress:
    """Where the bus of a world is. Only `servers` may have a password, and only `shown` may be shown."""

    servers: tuple[str, ...] = field(repr=False)
    """As the client of NATS takes them."""
    prefix: str
    """What the subjects of the world begin with: several worlds share a bus by several prefixes."""
    credentials: str | None
    """A file with a token and a key, as NATS writes them for a user; None without one."""
    shown: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Reads an address.

        Raises:
            BusUnusable: It is none. The message has nothing of it: the password could be anywhere.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise BusUnusable(_UNREADABLE) from None  # the cause would say the password
        if parts.scheme not in _SCHEMES:
            raise BusUnusable("The address of a bus begins with nats:// or tls://.")
        credentials = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not _is_whole(parts) or credentials.keys() > {"creds"}:
            raise BusUnusable(_UNREADABLE)
        prefix = parts.path.strip("/") or PREFIX
        if not _PREFIX.fullmatch(prefix):
            raise BusUnusable("The prefix of a bus is 1 to 64 letters, digits, hyphens and underscores.")
        user, at, hosts = parts.netloc.rpartition("@")
        servers = tuple(f"{parts.scheme}://{user}{at}{host}" for host in hosts.split(","))
        return cls(servers, prefix, credentials.get("creds"), f"{parts.scheme}://{hosts}/{prefix}")


def _is_whole(parts: SplitResult) -> bool:
    """Says whether no part looks like the rest of a password that was not encoded."""
    if parts.fragment or "@" in parts.path + parts.query or parts.netloc.count("@") > 1:
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return all(re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", host) for host in hosts)
