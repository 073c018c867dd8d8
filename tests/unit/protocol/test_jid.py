"""JIDs: the two forms that are addresses here, and a reason for everything that is not (MSG-01, ENL-12)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.jid import INTEROP_SERVER, WHATSAPP_SERVER, Jid, JidError, parse_jid


def refusal(text: str) -> str:
    with pytest.raises(JidError) as caught:
        parse_jid(text)
    return caught.value.reason


@pytest.mark.requirement("ENL-12")
def test_metas_sample_is_a_third_party_user():
    """The documented internal identifier."""
    jid = parse_jid("1-10853634039893@interop")
    assert jid == Jid(user="10853634039893", server=INTEROP_SERVER, integrator=1)
    assert not jid.is_whatsapp
    assert jid.text == str(jid) == "1-10853634039893@interop"


def test_a_phone_number_at_whatsapp_is_a_whatsapp_user():
    """Digits only, without the plus sign."""
    jid = parse_jid("4915112345678@s.whatsapp.net")
    assert jid == Jid(user="4915112345678", server=WHATSAPP_SERVER, integrator=0)
    assert jid.is_whatsapp
    assert jid.text == str(jid) == "4915112345678@s.whatsapp.net"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("999-1@interop", "999-1@interop"),
        ("1-18446744073709551615@interop", "1-18446744073709551615@interop"),
        ("12-34:0@interop", "12-34@interop"),
        ("12345@s.whatsapp.net", "12345@s.whatsapp.net"),
        ("123456789012345@s.whatsapp.net", "123456789012345@s.whatsapp.net"),
        ("4915112345678:0@s.whatsapp.net", "4915112345678@s.whatsapp.net"),
    ],
)
def test_the_bounds_of_both_forms_are_accepted_and_device_0_is_dropped(text: str, canonical: str):
    """So that one account has one text."""
    assert parse_jid(text).text == canonical


@pytest.mark.requirement("MSG-01")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("120363025246125486@g.us", "GROUP_ADDRESS"),
        ("4915112345678-1399999999@g.us", "GROUP_ADDRESS"),
        ("X@G.US", "GROUP_ADDRESS"),
        ("sms:+4915112345678", "NUMBER_BASED_ADDRESS"),
        ("SMSTO:4915112345678", "NUMBER_BASED_ADDRESS"),
        ("mms:4915112345678", "NUMBER_BASED_ADDRESS"),
        ("mmsto:4915112345678", "NUMBER_BASED_ADDRESS"),
        ("tel:+4915112345678", "NUMBER_BASED_ADDRESS"),
        ("sms:1-2@interop", "NUMBER_BASED_ADDRESS"),
        ("+4915112345678", "USER_VISIBLE_IDENTIFIER"),
        ("4915112345678", "USER_VISIBLE_IDENTIFIER"),
        ("ada@example.org", "USER_VISIBLE_IDENTIFIER"),
        ("ada", "USER_VISIBLE_IDENTIFIER"),
        ("@ada", "USER_VISIBLE_IDENTIFIER"),
        ("ada@", "USER_VISIBLE_IDENTIFIER"),
        ("call", "USER_VISIBLE_IDENTIFIER"),
        ("interop", "USER_VISIBLE_IDENTIFIER"),
        ("1-2@interop.example", "USER_VISIBLE_IDENTIFIER"),
        ("4915112345678@call", "CALL_ADDRESS"),
        ("123@lid", "UNSUPPORTED_ADDRESS"),
        ("123@msgr", "UNSUPPORTED_ADDRESS"),
        ("123@newsletter", "UNSUPPORTED_ADDRESS"),
        ("status@broadcast", "UNSUPPORTED_ADDRESS"),
        ("123@bot", "UNSUPPORTED_ADDRESS"),
        ("123@hosted", "UNSUPPORTED_ADDRESS"),
        ("123@hosted.lid", "UNSUPPORTED_ADDRESS"),
        ("12-34:1@interop", "UNSUPPORTED_DEVICE"),
        ("12-34:99@interop", "UNSUPPORTED_DEVICE"),
        ("4915112345678:7@s.whatsapp.net", "UNSUPPORTED_DEVICE"),
        ("", "MALFORMED"),
        ("@interop", "MALFORMED"),
        ("@s.whatsapp.net", "MALFORMED"),
        ("0-1@interop", "MALFORMED"),
        ("01-1@interop", "MALFORMED"),
        ("1000-1@interop", "MALFORMED"),
        ("1-0@interop", "MALFORMED"),
        ("1-01@interop", "MALFORMED"),
        ("1-18446744073709551616@interop", "MALFORMED"),
        ("1-100000000000000000000@interop", "MALFORMED"),
        ("1-2:100@interop", "MALFORMED"),
        ("1-2:00@interop", "MALFORMED"),
        ("1-2:@interop", "MALFORMED"),
        ("1-2@INTEROP", "MALFORMED"),
        ("1-2@interop@interop", "MALFORMED"),
        (" 1-2@interop", "MALFORMED"),
        ("1-\u0662@interop", "MALFORMED"),
        ("ada@interop", "MALFORMED"),
        ("1234@s.whatsapp.net", "MALFORMED"),
        ("1234567890123456@s.whatsapp.net", "MALFORMED"),
        ("0123456@s.whatsapp.net", "MALFORMED"),
        ("+4915112345678@s.whatsapp.net", "MALFORMED"),
        ("1" * 128, "USER_VISIBLE_IDENTIFIER"),
        ("1" * 129, "MALFORMED"),
    ],
)
def test_what_is_no_address_here_is_refused_with_its_reason(text: str, reason: str):
    """The sender learns what kind of address it sent."""
    assert refusal(text) == reason


@pytest.mark.parametrize("text", ["1-2@interop\n", "12345@s.whatsapp.net\n", "1-2@interop\0"])
def test_nothing_may_follow_a_jid(text: str):
    """A line feed at the end is where many parsers nod."""
    assert refusal(text) == "USER_VISIBLE_IDENTIFIER"


def test_a_refusal_does_not_repeat_the_text():
    """It may be somebody's phone number, and errors are logged."""
    with pytest.raises(JidError) as caught:
        parse_jid("+4915112345678")
    assert str(caught.value) == "USER_VISIBLE_IDENTIFIER"


@given(st.integers(1, 999), st.integers(1, 2**64 - 1))
def test_every_third_party_jid_is_read_as_it_is_written(integrator: int, number: int):
    """Text and value are one to one."""
    text = f"{integrator}-{number}@interop"
    assert parse_jid(text) == Jid(str(number), INTEROP_SERVER, integrator)
    assert parse_jid(text).text == text


@given(st.text(max_size=200) | st.from_regex(r"[0-9:@-]{0,30}@(interop|s\.whatsapp\.net|g\.us)", fullmatch=True))
def test_any_text_is_a_canonical_jid_or_refused(text: str):
    """Nothing else can come out, and what comes out can go in again."""
    try:
        jid = parse_jid(text)
    except JidError:
        return
    assert parse_jid(jid.text) == jid


def test_a_huge_text_is_refused_for_its_length_alone():
    """Were it looked at, it would be a user-visible identifier, a number or a group."""
    for text in ("a" * 10_000_000, "sms:" + "1" * 10_000_000, "1" * 10_000_000 + "@g.us"):
        assert refusal(text) == "MALFORMED"
