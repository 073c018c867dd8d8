"""User-visible identifiers: what is one, and its one normal form."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import MAX_IDENTIFIER_BYTES, normalize_identifier, normalize_phone_number
from interop_server.core.model import IdentifierType

from .world import refused

EMAIL, PHONE, USERNAME = IdentifierType.EMAIL, IdentifierType.PHONE, IdentifierType.USERNAME


@pytest.mark.parametrize(
    ("text", "kind", "normal"),
    [
        ("Ada@Bats.Example", EMAIL, "ada@bats.example"),
        ("  ada@bats.example\n", EMAIL, "ada@bats.example"),
        ("ada+tag@bats.example", EMAIL, "ada+tag@bats.example"),
        ("a" * 64 + "@" + "b" * 255, EMAIL, "a" * 64 + "@" + "b" * 255),
        ("+49 151 1234-5678", PHONE, "4915112345678"),
        ("(49)151.12345678", PHONE, "4915112345678"),
        ("4915112345678", PHONE, "4915112345678"),
        ("49\u00a0151\u00a01", PHONE, "491511"),
        ("12345", PHONE, "12345"),
        ("+123456789012345", PHONE, "123456789012345"),
        ("Ada_Lovelace", USERNAME, "ada_lovelace"),
        ("ÀÉÎ", USERNAME, "àéî"),
        ("a" * 64, USERNAME, "a" * 64),
        ("+4915112345678", USERNAME, "+4915112345678"),
    ],
)
def test_an_identifier_has_one_normal_form(text: str, kind: IdentifierType, normal: str) -> None:
    """Lower case for e-mail addresses and user names, digits for phone numbers (OPT-08)."""
    assert normalize_identifier(text, kind) == normal


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, EMAIL) for text in ("", " ", "ada", "@", "ada@", "@bats", "a@b@c", "a b@c", "a@b c", "a\0@b")),
        *((text, EMAIL) for text in ("a" * 65 + "@b", "a@" + "b" * 256, "\ud800@b", "é" * 64 + "@" + "é" * 97)),
        *((text, PHONE) for text in ("", "+", "1234", "1234567890123456", "0123456", "+0123456", "++4915112")),
        *((text, PHONE) for text in ("4915112a", "49+15112", "\u0664\u0669\u0661\u0665\u0661", "\ud800" * 6)),
        *((text, USERNAME) for text in ("", "\t", "two words", "a@b", "a\0b", "a\x1fb", "a\x7fb", "\udfff")),
        *((text, USERNAME) for text in ("a" * 65, "a" * 10_000)),
    ],
)
def test_what_is_no_identifier_is_refused(text: str, kind: IdentifierType) -> None:
    """By its partner's type; the refusal does not repeat it (OPT-08)."""
    with refused(Reason.REQUEST_MALFORMED) as caught:
        normalize_identifier(text, kind)
    assert len(text) < 5 or text not in caught.value.advice


@given(st.text(st.characters(), max_size=400), st.sampled_from(IdentifierType))
@example("\ud800", USERNAME)
@example("İ", USERNAME)
def test_any_text_is_an_identifier_or_refused(text: str, kind: IdentifierType) -> None:
    """Never another exception, and never a normal form that cannot be stored or compared (OPT-08)."""
    try:
        normal = normalize_identifier(text, kind)
    except Refusal as refusal:
        assert refusal.reason is Reason.REQUEST_MALFORMED
    else:
        assert normal.encode("utf-8")
        assert normal == normal.strip() == normal.casefold()
        assert len(normal.encode()) <= 3 * MAX_IDENTIFIER_BYTES


@given(st.from_regex(r"\+?[ ()\-.]{0,3}[1-9]([ ()\-.]?[0-9]){4,14}", fullmatch=True))
def test_a_phone_number_is_normalised_once_and_for_all(number: str) -> None:
    """Its digits, whatever stands between them, with or without the plus sign (OPT-08)."""
    normal = normalize_phone_number(number)
    assert normal == "".join(character for character in number if character.isdigit())
    assert normalize_phone_number(normal) == normalize_phone_number(f"+{normal}") == normal
