"""Where this server itself listens, so that it asks itself nothing; knows no endpoint.

What counts is where a connection would go, once every name is resolved: a place has many spellings, and names can be
made to lead anywhere.
"""

import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import AddrInfoType


class OwnPlace(OSError):
    """A request would go to this server itself."""


class OwnPlaces:
    """The ports of this server, on whichever addresses this machine has."""

    def __init__(self) -> None:
        self._ports: set[int] = set()

    def add(self, port: int) -> None:
        """Notes a port on which this server listens."""
        self._ports.add(port)

    def open_socket(self, address: "AddrInfoType") -> socket.socket:
        """Opens the socket for a connection to an address; aiohttp calls it for each that it tries.

        Raises:
            OwnPlace: The address is this server's own.
        """
        family, kind, protocol, _, (host, port, *_) = address
        if port in self._ports and _is_of_this_machine(str(host)):
            raise OwnPlace("the address is this server's own")
        return socket.socket(family, kind, protocol)


def _is_of_this_machine(host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))  # only a machine's own addresses can be bound
        except OSError:
            return False
    return True
