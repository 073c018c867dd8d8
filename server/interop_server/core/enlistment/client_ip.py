"""Client addresses: their one form, which are public, and which share a rate limit; knows no header and no stream."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from interop_server.core.model import Partner

_DOCUMENTATION: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Reserved for examples (RFC 5737, RFC 3849): accepted as public, so that tests need no real address."""
_SITE_PREFIX_BITS = 64
"""What one household or machine is given of IPv6: a client with one of these addresses can use them all."""

_MAPPED_PREFIX_BITS = 96
_NAT64 = IPv6Network("64:ff9b::/96")
"""Stands for an IPv4 address, in its last 32 bits (RFC 6052)."""
_REMEMBERED = 256
"""Addresses whose form is remembered: that of one call is asked for six times on its way."""
_MAX_CHARACTERS = 64
"""Of an address: 45, and a zone, which is the name of an interface. What is longer is not even looked at."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Returns the one form of an address, in which addresses are judged and compared; None if it is invalid.

    An IPv4 address that comes inside of an IPv6 one (mapped, by 6to4 or by NAT64) is that IPv4 address.
    """
    return _parse(text) if len(text) <= _MAX_CHARACTERS else None


@lru_cache(_REMEMBERED)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (_embedded(address) if isinstance(address, IPv6Address) else None) or address


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.scope_id is not None:
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def plain_address(text: str) -> str:
    """Returns the one form of an address as text; what is no address stays as it is."""
    address = parse_address(text)
    return text if address is None else str(address)


def plain_network(text: str) -> IPv4Network | IPv6Network:
    """Returns the network of a text such as `203.0.113.0/24`, one of IPv4-mapped addresses as that of IPv4.

    Raises:
        ValueError: It is none.
    """
    network = ip_network(text)
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped is not None and network.prefixlen >= _MAPPED_PREFIX_BITS:
        return IPv4Network((int(first.ipv4_mapped), network.prefixlen - _MAPPED_PREFIX_BITS))
    return network


def is_public_address(text: str) -> bool:
    """Says whether a text is a public IPv4 or IPv6 address; addresses reserved for documentation count as public."""
    address = parse_address(text)
    if address is None:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.is_site_local):
        return False  # zones and the old site-local block have a meaning on one network only
    if any(address in network for network in _DOCUMENTATION if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_loopback(text: str) -> bool:
    """Says whether a text is an address of this machine."""
    address = parse_address(text)
    return address is not None and address.is_loopback


def rate_limit_key(text: str) -> str:
    """Returns the key of an address in rate limits: the address itself, or the network of an IPv6 address."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), _SITE_PREFIX_BITS), strict=False))
    return str(address) if address else text


def is_own_server(partner: Partner, text: str) -> bool:
    """Says whether an address is that of a server that the partner is registered with."""
    hosts = {urlsplit(url).hostname for url in (partner.base_url, partner.push_url, partner.media_url)}
    return plain_address(text) in {plain_address(host) for host in hosts if host}
