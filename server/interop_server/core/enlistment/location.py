"""Where third-party users must be, as replaceable policies; knows no file, no database of places and no wire format.

According to public documents, users must be located in the European Economic Area. How that is tested, and how often,
is not public. This server tests it at enlistment and at each connection, with what it knows then. What it does not know
never counts against a user.

Source: ENL-16; threat T17.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from interop_server.core.enlistment.client_ip import is_public_address, parse_address, plain_network
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import IdentifierType, Partner

EEA_COUNTRIES = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI",
        "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""The European Economic Area, as ISO 3166 codes."""


class Whereabouts(NamedTuple):
    """What is known about a user's location."""

    phone_number: str = ""
    """Digits; empty when the partner does not identify its users by phone number."""
    client_ip: str = ""
    """Of the end client; empty when unknown."""


class LocationPolicy(Protocol):
    """Decides from a user's whereabouts whether they may take part."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """Returns the objection, for the user and the journal; empty without an objection."""
        ...


def require_location(policy: LocationPolicy, partner: Partner, external_id: str, client_ip: str) -> None:
    """Applies the location policy to a partner's user.

    Args:
        policy: The policy.
        partner: The user's partner.
        external_id: The normalised user-visible identifier.
        client_ip: Address of the user's client; empty when unknown.

    Raises:
        Refusal: LOCATION_NOT_ALLOWED.
    """
    phone_number = external_id if partner.identifier_type is IdentifierType.PHONE else ""
    if objection := policy.objection(Whereabouts(phone_number, client_ip)):
        raise Refusal(Reason.LOCATION_NOT_ALLOWED, objection)


class Anywhere:
    """Users may be anywhere: the default, because a simulator runs wherever its tests run."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """Never objects."""
        return ""


@dataclass(frozen=True, slots=True)
class EeaNumbers:
    """Users identified by phone number need a number of the European Economic Area."""

    calling_codes: tuple[str, ...]
    """As in `Limits.eligible_calling_codes`."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """Objects to a number with another calling code."""
        if not whereabouts.phone_number or whereabouts.phone_number.startswith(self.calling_codes):
            return ""
        return "the phone number's calling code is of no country of the European Economic Area"


class EeaNetworks:
    """Users need an address in a network that is listed for a country of the European Economic Area.

    If several networks contain an address, the smallest counts. A public address that is not listed is outside. A
    non-public address, such as that of this machine, counts only if it is listed.
    """

    def __init__(self, countries: dict[str, str]) -> None:
        """Takes a list of networks.

        Args:
            countries: The country of each network, such as `203.0.113.0/24` → `DE`.

        Raises:
            ValueError: A network is invalid, or is listed twice; the message says which.
        """
        self._countries: dict[tuple[int, int, int], str] = {}
        for text, country in countries.items():
            network = plain_network(text)
            key = (network.version, network.prefixlen, int(network.network_address))
            if self._countries.setdefault(key, country) != country:
                raise ValueError(f"{network} is listed for two countries")
        lengths = {key[:2] for key in self._countries}
        self._lengths = sorted(lengths, reverse=True)

    def objection(self, whereabouts: Whereabouts) -> str:
        """Objects to an address in a country outside, or in an unlisted network."""
        address = parse_address(whereabouts.client_ip)
        if address is None:
            return ""
        country = self._country(address)
        if country in EEA_COUNTRIES or (country is None and not is_public_address(whereabouts.client_ip)):
            return ""
        where = f"in {country}" if country else "in no network that is listed"
        return f"the address {address} is {where}, hence not in the European Economic Area"

    def _country(self, address: IPv4Address | IPv6Address) -> str | None:
        for version, length in self._lengths:
            if version == address.version:
                shift = address.max_prefixlen - length
                country = self._countries.get((version, length, int(address) >> shift << shift))
                if country is not None:
                    return country
        return None


def parse_networks(text: str) -> EeaNetworks:
    """Parses a list with a network and its country on each line, such as `203.0.113.0/24 DE`; `#` begins a comment.

    Raises:
        ValueError: A line is invalid; the message says which, and what is wrong.
    """
    countries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if len(words) != 2 or not (len(words[1]) == 2 and words[1].isascii() and words[1].isupper()):
                raise ValueError("write a network and a country of two capital letters, such as 203.0.113.0/24 DE")
            network = str(plain_network(words[0]))
            if countries.setdefault(network, words[1]) != words[1]:
                raise ValueError(f"{network} is listed for two countries")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return EeaNetworks(countries)
