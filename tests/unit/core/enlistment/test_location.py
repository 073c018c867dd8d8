"""Where third-party users must be: what each policy makes of what is known, and that it is asked in both places."""

from dataclasses import replace

import pytest

from interop_server.core.enlistment.location import (
    EEA_COUNTRIES,
    Anywhere,
    EeaNetworks,
    EeaNumbers,
    LocationPolicy,
    Whereabouts,
    parse_networks,
)
from interop_server.core.errors import Reason
from interop_server.core.limits import EEA_CALLING_CODES, Limits
from interop_server.core.model import Account, ConnectionMode, IdentifierType
from tests.unit.core.world import BATS, ClientKeys, World, partner, refused, token

pytestmark = pytest.mark.requirement("ENL-16")

NUMBERS = EeaNumbers(Limits().eligible_calling_codes)
NETWORKS = EeaNetworks(
    {
        "203.0.113.0/24": "DE",
        "203.0.113.128/25": "US",
        "203.0.113.200/32": "IS",
        "198.51.100.0/24": "CH",
        "2001:db8::/32": "NO",
        "2001:db8:1::/48": "US",
        "127.0.0.2/32": "US",
    }
)


EEA = {
    "AT": "43", "BE": "32", "BG": "359", "CY": "357", "CZ": "420", "DE": "49", "DK": "45", "EE": "372", "ES": "34",
    "FI": "358", "FR": "33", "GR": "30", "HR": "385", "HU": "36", "IE": "353", "IS": "354", "IT": "39", "LI": "423",
    "LT": "370", "LU": "352", "LV": "371", "MT": "356", "NL": "31", "NO": "47", "PL": "48", "PT": "351", "RO": "40",
    "SE": "46", "SI": "386", "SK": "421",
}  # fmt: skip
"""The European Union, Iceland, Liechtenstein and Norway; not Switzerland, not the United Kingdom."""


@pytest.mark.requirement("OPT-04", "ENL-16")
def test_the_area_has_thirty_countries() -> None:
    """Each with the calling code of its numbers."""
    assert len(EEA) == 30
    assert EEA.keys() == EEA_COUNTRIES
    assert sorted(EEA_CALLING_CODES) == sorted(EEA.values())


@pytest.mark.parametrize(
    ("number", "allowed"),
    [("491511234567", True), ("354611234", True), ("", True), ("15551234567", False), ("447911123456", False)],
)
def test_a_number_is_judged_by_its_calling_code(number: str, allowed: bool) -> None:
    """Where a messenger calls its users by something else, there is nothing to judge."""
    assert (NUMBERS.objection(Whereabouts(number, "198.51.100.1")) == "") is allowed


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("203.0.113.7", True),
        ("::ffff:203.0.113.7", True),
        ("203.0.113.129", False),
        ("203.0.113.200", True),
        ("198.51.100.1", False),
        ("2001:db8::1", True),
        ("2001:db8:1::1", False),
        # Public and listed nowhere:
        ("192.0.2.1", False),
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        # Says nothing of a place, unless it is listed:
        ("", True),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.1.2.3", True),
        ("::1", True),
        ("unix", True),
    ],
)
def test_an_address_is_judged_by_the_smallest_network_that_is_listed(address: str, allowed: bool) -> None:
    """What is not known speaks against nobody; a public address that is not listed is outside."""
    objection = NETWORKS.objection(Whereabouts("", address))
    assert (objection == "") is allowed
    assert allowed or "Economic Area" in objection


def test_a_list_of_networks_is_read() -> None:
    """With comments and empty lines; the same network twice only with the same country."""
    networks = parse_networks("# test networks\n\n203.0.113.0/24 DE # office\n203.0.113.0/24\tDE\n2001:db8::/32 US")
    assert networks.objection(Whereabouts("", "203.0.113.1")) == ""
    assert "in US" in networks.objection(Whereabouts("", "2001:db8::1"))
    assert parse_networks("").objection(Whereabouts("", "203.0.113.1"))
    for form in ("::ffff:203.0.113.1", "64:ff9b::203.0.113.1", "2002:cb00:7101::1"):
        assert networks.objection(Whereabouts("", form)) == ""
        assert parse_networks("::ffff:203.0.113.0/120 DE").objection(Whereabouts("", form)) == ""


@pytest.mark.parametrize(
    "line",
    ["203.0.113.0/24", "DE", "203.0.113.0/24 DE FR", "203.0.113.0/24 de", "203.0.113.1/24 DE", "203.0.113.0/33 DE",
     "bats.example DE", "203.0.113.0/24 DEU", "198.51.100.0/24 FR"],
)  # fmt: skip
def test_a_line_that_is_none_is_named(line: str) -> None:
    """By its number, with what is wrong."""
    with pytest.raises(ValueError, match=r"^line 3: "):
        parse_networks(f"# networks\n198.51.100.0/24 DE\n{line}")


async def ask(world: World, policy: LocationPolicy, account: Account, address: str, client_ip: str = "") -> None:
    """Connects and enlists again from an address, or by a proxy there."""
    mode = ConnectionMode.PROXY if client_ip else ConnectionMode.DIRECT
    login = world.login(account, mode=mode, client_ip=client_ip)
    await replace(world.logins, location=policy).log_in(login, address)
    form = ClientKeys().form(world.token(account))
    await replace(world.enlistment, location=policy).enlist(form, client_ip or address)


async def test_it_is_asked_at_enlistment_and_at_each_connection(world: World) -> None:
    """The same policy in both places; of a refused enlistment nothing stays, and a WhatsApp user is not asked."""
    user = await world.whatsapp_user()
    await replace(world.logins, location=NETWORKS).log_in(world.login(user), "8.8.8.8")
    before = await world.store.count_rows()
    abroad = replace(world.enlistment, location=NETWORKS)
    with refused(Reason.LOCATION_NOT_ALLOWED) as caught:
        await abroad.enlist(ClientKeys().form(token()), "8.8.8.8")
    assert "8.8.8.8" in caught.value.detail
    assert await world.store.count_rows() | {"jwks": 0} == before | {"jwks": 0}

    ada = await world.account(await abroad.enlist(ClientKeys().form(token()), "203.0.113.7"))
    await ask(world, NETWORKS, ada, "203.0.113.8")
    with refused(Reason.LOCATION_NOT_ALLOWED):
        await ask(world, NETWORKS, ada, "203.0.113.129")
    await ask(world, Anywhere(), ada, "203.0.113.129")
    await ask(world, NETWORKS, ada, "203.0.113.8")


async def test_by_proxy_the_clients_address_counts(world: World) -> None:
    """Not the proxy's, which may be anywhere (PRX-02)."""
    await world.register(partner(BATS, proxy_allowed=True))
    ada = await world.enlisted()
    await ask(world, NETWORKS, ada, "8.8.8.8", client_ip="203.0.113.7")
    with refused(Reason.LOCATION_NOT_ALLOWED):
        await ask(world, NETWORKS, ada, "203.0.113.7", client_ip="198.51.100.1")


async def test_an_enlistment_by_the_messengers_server_says_nothing_of_the_client(world: World) -> None:
    """Its address is registered; where the client is shows when it connects."""
    await world.register(partner(BATS, push_url="https://192.0.2.9/push"))
    abroad = replace(world.enlistment, location=NETWORKS)
    ada = await world.account(await abroad.enlist(ClientKeys().form(token()), "192.0.2.9"))
    with refused(Reason.LOCATION_NOT_ALLOWED):
        await replace(world.logins, location=NETWORKS).log_in(world.login(ada), "192.0.2.10")


async def test_a_number_outside_is_refused_in_both_places(world: World) -> None:
    """Wherever its owner is; a user name says nothing."""
    await world.register(partner(BATS, identifier_type=IdentifierType.PHONE))
    ben = await world.enlisted("+49 151 1234567")
    await ask(world, NUMBERS, ben, "8.8.8.8")
    amy = await world.enlisted("+1 555 1234567")
    with refused(Reason.LOCATION_NOT_ALLOWED):
        await replace(world.logins, location=NUMBERS).log_in(world.login(amy))
    with refused(Reason.LOCATION_NOT_ALLOWED):
        await replace(world.enlistment, location=NUMBERS).enlist(ClientKeys().form(world.token(amy)))
    await world.register(partner(BATS))
    await ask(world, NUMBERS, await world.enlisted("ada"), "8.8.8.8")


def test_a_network_is_in_one_country() -> None:
    """In whatever form it is written; in the same one it may stand twice."""
    EeaNetworks({"203.0.113.0/24": "DE", "::ffff:203.0.113.0/120": "DE"})
    with pytest.raises(ValueError, match=r"^203.0.113.0/24 is listed for two countries$"):
        EeaNetworks({"203.0.113.0/24": "DE", "::ffff:203.0.113.0/120": "FR"})
