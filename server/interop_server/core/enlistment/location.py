"""Where third-party users must be, as policies that can be replaced; knows no file, no database of places and no wire.

Of what is public, users must be located in the European Economic Area. How that is tested, and how often, is not: here
it is asked at enlistment and at each connection, of what is known then. What is not known speaks against nobody.

Source: ENL-16; threat T17.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import NamedTuple, Protocol

from interop_server.core.enlistment.client_ip import is_public_address, parse_address
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import IdentifierType, Partner

EEA_COUNTRIES = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI",
        "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""The European Economic Area, by ISO 3166 codes."""


class Whereabouts(NamedTuple):
    """What is known of where a user is."""

    phone_number: str = ""
    """Digits; empty when the partner calls its users by something else."""
    client_ip: str = ""
    """Of the end client; empty when it is not known."""


class LocationPolicy(Protocol):
    """Decides by a user's whereabouts whether they may take part."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """What speaks against them, for the user and the journal; empty when nothing does."""
        ...


def require_location(policy: LocationPolicy, partner: Partner, external_id: str, client_ip: str) -> None:
    """Holds a partner's user to the location policy.

    Args:
        policy: What decides.
        partner: Whose user it is.
        external_id: The normalised user-visible identifier.
        client_ip: Where the user's client is; empty when that is not known.

    Raises:
        Refusal: LOCATION_NOT_ALLOWED.
    """
    phone_number = external_id if partner.identifier_type is IdentifierType.PHONE else ""
    if objection := policy.objection(Whereabouts(phone_number, client_ip)):
        raise Refusal(Reason.LOCATION_NOT_ALLOWED, objection)


class Anywhere:
    """Users may be anywhere: the default, for a simulator is used where its tests are."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, slots=True)
class EeaNumbers:
    """Users called by a phone number need one of the area."""

    calling_codes: tuple[str, ...]
    """As in `Limits.eligible_calling_codes`."""

    def objection(self, whereabouts: Whereabouts) -> str:
        """A number with another calling code."""
        if not whereabouts.phone_number or whereabouts.phone_number.startswith(self.calling_codes):
            return ""
        return "the phone number's calling code is of no country of the European Economic Area"


class EeaNetworks:
    """Users need an address in a network that is listed for a country of the area.

    Of several networks that an address lies in the smallest counts. An address that is not public, such as that of this
    machine, says nothing unless it is listed; a public one that is not listed is outside.
    """

    def __init__(self, countries: dict[str, str]) -> None:
        """Takes a list of networks.

        Args:
            countries: Country of each network, such as `203.0.113.0/24` → `DE`.

        Raises:
            ValueError: A network is none, or is listed twice; the message says which.
        """
        self._countries: dict[tuple[int, int, int], str] = {}
        for text, country in countries.items():
            network = ip_network(text)
            key = (network.version, network.prefixlen, int(network.network_address))
            if self._countries.setdefault(key, country) != country:
                raise ValueError(f"{network} is listed for two countries")
        lengths = {key[:2] for key in self._countries}
        self._lengths = sorted(lengths, reverse=True)

    def objection(self, whereabouts: Whereabouts) -> str:
        """An address in a country outside, or in none that is known."""
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
    """Reads a list of networks, on each line one and its country, such as `203.0.113.0/24 DE`; `#` begins a comment.

    Raises:
        ValueError: A line is none; the message says which, and what is wrong.
    """
    countries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if len(words) != 2 or not (len(words[1]) == 2 and words[1].isascii() and words[1].isupper()):
                raise ValueError("write a network and a country of two capital letters, such as 203.0.113.0/24 DE")
            network = str(ip_network(words[0]))
            if countries.setdefault(network, words[1]) != words[1]:
                raise ValueError(f"{network} is listed for two countries")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return EeaNetworks(countries)
