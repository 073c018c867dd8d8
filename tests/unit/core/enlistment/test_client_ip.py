"""Where clients connect from: public addresses, and those that count as one."""

import pytest

from interop_server.core.enlistment.client_ip import (
    is_loopback,
    is_own_server,
    is_public_address,
    parse_address,
    rate_limit_key,
)
from tests.unit.core.world import partner


@pytest.mark.requirement("PRX-02")
@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "2606:4700::1111",
        "2001:4860:4860:0:0:0:0:8888",
        # Reserved for documentation:
        "192.0.2.1",
        "198.51.100.255",
        "203.0.113.9",
        "2001:db8::1",
        "2001:DB8:FFFF::1",
        # IPv4 inside of IPv6: mapped, NAT64, 6to4.
        "::ffff:203.0.113.7",
        "::FFFF:cb00:7107",
        "64:ff9b::203.0.113.7",
        "2002:cb00:7107::1",
        "::ffff:8.8.8.8",
    ],
)
def test_a_public_address_is_one(address: str) -> None:
    """Both families; addresses of examples count as public (PRX-02)."""
    assert is_public_address(address)


@pytest.mark.requirement("PRX-02")
@pytest.mark.parametrize(
    "address",
    [
        # IPv4: this network, private, shared, loopback, link-local, benchmark, multicast, reserved, broadcast.
        *("0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1"),
        *("169.254.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        # IPv6: unspecified, loopback, link-local, unique local, site-local, multicast, mapped private, discard.
        *("::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.1"),
        *("::ffff:127.0.0.1", "100::1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:0a00:0001::1", "2002:7f00:1::"),
        # The form that IPv4-mapped replaced; a mapped one with a zone; what no registry has given out.
        *("::203.0.113.7", "::8.8.8.8", "::ffff:203.0.113.7%eth0", "4000::1", "2001::1"),
        # A zone means something on one machine only.
        *("2606:4700::1%eth0", "2001:db8::1%\n", "fe80::1%1"),
        # No addresses.
        *("", " ", "8.8.8.8 ", " 8.8.8.8", "8.8.8", "8.8.8.8.8", "08.8.8.8", "8.8.8.256", "8.8.8.8/32", "8.8.8.8:80"),
        *(
            "0x8.8.8.8",
            "134744072",
            "[2606:4700::1]",
            "2606:4700:::1",
            "localhost",
            "\uff18.8.8.8",
            "1.2.3.4\0",
            "\ud800",
        ),
    ],
)
def test_what_is_not_a_public_address_is_refused(address: str) -> None:
    """Private, local, special and malformed alike (PRX-02)."""
    assert not is_public_address(address)


@pytest.mark.requirement("PRX-07")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("64:ff9b::203.0.113.7", "::ffff:cb00:7107", True),
        ("2002:cb00:7107:1::1", "203.0.113.7", True),
        ("2002:cb00:7107::1", "203.0.113.8", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:0:1::", "2001:DB8::2", True),
        ("2001:db8:0:1::1", "2001:db8::1", False),
        ("", "203.0.113.7", False),
        ("", "", True),
        ("unix", "unix", True),
    ],
)
def test_addresses_that_one_client_can_have_count_as_one(one: str, other: str, same: bool) -> None:
    """Whoever has one address of an IPv6 network of 64 bits has them all; what is no address counts by itself."""
    assert (rate_limit_key(one) == rate_limit_key(other)) is same


def test_this_machine_is_known_by_its_addresses() -> None:
    """IPv4 in IPv6, too."""
    for address in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"):
        assert is_loopback(address)
    for address in ("", "localhost", "10.0.0.1", "203.0.113.7"):
        assert not is_loopback(address)
    assert parse_address("localhost") is None


@pytest.mark.requirement("ENL-16")
def test_a_messengers_own_server_is_known_by_how_it_is_registered() -> None:
    """By the host of any of its URLs, when that is an address."""
    urls = {"base_url": "https://203.0.113.1:8443", "push_url": "https://[2001:db8::2]/push", "media_url": ""}
    registered = partner(**urls)
    assert is_own_server(registered, "203.0.113.1") and is_own_server(registered, "2001:db8::2")
    assert is_own_server(registered, "::ffff:203.0.113.1") and is_own_server(registered, "2001:DB8:0::2")
    for address in ("203.0.113.2", "", "keys.100.example"):
        assert not is_own_server(registered, address)
    assert not is_own_server(partner(), "203.0.113.1")


def test_what_is_too_long_is_no_address() -> None:
    """The longest address has 45 characters and a zone: a longer text is not looked at, and not remembered."""
    zone = "2606:4700:0000:0000:0000:0000:255.255.255.255%"
    assert parse_address(zone + "z" * (64 - len(zone))) is not None
    assert parse_address(zone + "z" * (65 - len(zone))) is None
