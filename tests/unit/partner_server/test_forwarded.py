"""Whose address a `Forwarded` field names, by the whole grammar of RFC 7239."""

import pytest

from partner_server.forwarded import ClientAddressUnknown, forwarded_for

pytestmark = pytest.mark.requirement("PRX-02")


@pytest.mark.parametrize(
    ("field", "address"),
    [
        # As in the examples of sections 4 and 6.
        ("for=192.0.2.43", "192.0.2.43"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ('for=_gazonk, for="192.0.2.43:47011"', "192.0.2.43"),
        ('for=unknown;by=_mine,FOR="[2001:db8::1]"', "2001:db8::1"),
        ('for="192.0.2.43:_http";host=example.com', "192.0.2.43"),
        ('for="[2001:db8::1]:_x-1.y"', "2001:db8::1"),
        # Quoted, escaped, with separators in quotes, extension parameters, blanks, empty elements and pairs.
        ('for="192.0.2.43"', "192.0.2.43"),
        (r'for="\1\9\2.0.2.43"', "192.0.2.43"),
        ('for=198.51.100.1;x="a,for=203.0.113.9;\\"b",for=192.0.2.43', "192.0.2.43"),
        ('for=192.0.2.43;secret="a, for=203.0.113.9"', "192.0.2.43"),
        ("for=192.0.2.43 \t, , ", "192.0.2.43"),
        (";for=192.0.2.43;;", "192.0.2.43"),
        ("by=x;for=192.0.2.43", "192.0.2.43"),
        # One form; and a port that should have been quoted.
        ('for="[::ffff:192.0.2.43]"', "192.0.2.43"),
        ('for="[2001:DB8:0::0:1]"', "2001:db8::1"),
        ("for=192.0.2.43:8080", "192.0.2.43"),
    ],
)
def test_the_last_element_names_the_client(field: str, address: str) -> None:
    """It is the one that the load balancer has added (PRX-02)."""
    assert forwarded_for(field) == address


@pytest.mark.parametrize(
    "field",
    [
        *("for=unknown", "for=Unknown", "for=_hidden", 'for="_hidden:_port"', 'for="unknown:80"'),  # hidden
        *("", ",", ";", "by=192.0.2.43", "for=192.0.2.43, by=192.0.2.44", "for=192.0.2.43;for=192.0.2.44"),  # not one
        # No address.
        *("for=192.0.2", "for=999.0.2.1", "for=localhost", 'for="[192.0.2.1]"', 'for="[::1%eth0]"'),
        *('for="2001:db8::1"', 'for=""', "for=[2001:db8::1]", 'for="[::1"', 'for="192.0.2.43:"'),
        *('for="192.0.2.43:123456"', 'for="1.2.3.4:x"'),
        # Malformed at any place, also after an element that would do.
        *("nonsense", "for", "for=", "=192.0.2.43", "for = 192.0.2.43", "for=192.0.2.43 for=192.0.2.44"),
        *("for=192.0.2.43, nonsense", "for=192.0.2.43;x", 'for=192.0.2.43, for="', 'for="192.0.2.43"x'),
        *('for="192.0.2.43', "for=192.0.2.43\n"),
        'for=192.0.2.43;x="\0"',
    ],
)
def test_a_field_that_names_no_client_is_refused(field: str) -> None:
    """The proxy makes no address up, and takes none that the client may have put there (PRX-02)."""
    with pytest.raises(ClientAddressUnknown):
        forwarded_for(field)


@pytest.mark.parametrize(
    "repeated",
    [" " * 30 + ",", "\t \t,", " ; ; ,", "for=a;;;", "for=a ,", '"', 'a="\\a', "for=a;", "; ", "a=b:1", "a="],
)
def test_no_field_takes_long_to_refuse(repeated: str) -> None:
    """Nobody stops the server with blanks: there is one way only to read a field."""
    with pytest.raises(ClientAddressUnknown):
        forwarded_for(repeated * (8_000 // len(repeated)) + "@")
