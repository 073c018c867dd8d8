"""Client addresses: which are public, and which share a rate limit; knows no header and no stream."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from interop_server.core.model import Partner

_DOCUMENTATION: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Reserved for examples (RFC 5737, RFC 3849): accepted as public, so that tests need no real address."""
_SITE_PREFIX_BITS = 64
"""What one household or machine is given of IPv6: a client with one of these addresses can use them all."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parses an address, unwrapping IPv4-mapped IPv6; None if invalid."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def is_public_address(text: str) -> bool:
    """Says whether a text is a public IPv4 or IPv6 address; addresses reserved for documentation count as public."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.is_site_local):
        return False  # zones and the old site-local block have a meaning on one network only
    if any(address in network for network in _DOCUMENTATION if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast


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
    return text in hosts
