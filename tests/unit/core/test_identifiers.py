"""User-visible identifiers: what is one, and its one normal form."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interop_server.core.errors import Reason, Refusal
from interop_server.core.identifiers import MAX_IDENTIFIER_BYTES, normalize_identifier, normalize_phone_number
from interop_server.core.model import IdentifierType

from .world import refused

EMAIL, PHONE, USERNAME = IdentifierType.EMAIL, IdentifierType.PHONE, IdentifierType.USERNAME


INVISIBLE = [
    *"\0\x07\x1b\x7f\x85",  # controls
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # directions
    *"\u00ad\u034f\u180e\u200b\u200c\u200d\u2060\u2064\ufeff\ufe0f\U000e0041\U000e0100",  # of no width
    *"\u115f\u17b4\u180b\u2800\u3164\uffa0",  # blanks that are letters or signs
]


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
        # Composed and decomposed are one; so are the signs that Unicode calls the same letter.
        ("Rene\u0301", USERNAME, "ren\u00e9"),
        ("\u212bngstro\u0308m@bats.example", EMAIL, "\u00e5ngstr\u00f6m@bats.example"),
        ("\u1112\u1161\u11ab", USERNAME, "\ud55c"),
        # Lower case, and nothing folded.
        ("STRASSE", USERNAME, "strasse"),
        ("Straße", USERNAME, "straße"),
        ("STRA\u1e9eE", USERNAME, "straße"),
        ("ΟΔΥΣΣΕΥΣ", USERNAME, "οδυσσευς"),
        ("\u0130rem", USERNAME, "i\u0307rem"),
        ("\u0131rem", USERNAME, "\u0131rem"),
        # Names that people have, in scripts that they write.
        ("Владимир", USERNAME, "владимир"),
        ("محمد", USERNAME, "محمد"),
        ("فاطمه۱۲", USERNAME, "فاطمه۱۲"),
        ("דוד", USERNAME, "דוד"),
        ("മോഹൻ", USERNAME, "മോഹൻ"),
        ("आदित्य", USERNAME, "आदित्य"),
        ("李小龍", USERNAME, "李小龍"),
        ("〇村", USERNAME, "〇村"),
        ("たろう", USERNAME, "たろう"),
        ("ローラ", USERNAME, "ローラ"),
        ("สมชาย", USERNAME, "สมชาย"),
        ("Nguyễn.Văn-Á", USERNAME, "nguyễn.văn-á"),
        ("o'brien@bats.example", EMAIL, "o'brien@bats.example"),
        ("דוד@bats.example", EMAIL, "דוד@bats.example"),
        # Length counts in the normal form.
        ("e\u0301" * 64, USERNAME, "\u00e9" * 64),
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
        # The normal form is longer: U+0958 is composed of two, and stays so.
        ("\u0958" * 33, USERNAME),
        ("\u0130" * 33, USERNAME),
        *((f"a{text}b", USERNAME) for text in INVISIBLE),
        *((f"a{text}b@bats.example", EMAIL) for text in INVISIBLE),
        *((f"ada@bats{text}.example", EMAIL) for text in INVISIBLE),
        *((text, kind) for text in ("\x1fada", "ada\u2028", "\u200fada", "ada\ufe0f") for kind in (USERNAME, EMAIL)),
        # Look-alikes: wide, small, in another font, joined, and so on.
        *((text, USERNAME) for text in ("\uff41da", "ad\u1d43", "\U0001d41ada", "\ufb01n", "a\u00b2", "\u2160")),
        # A mark without its letter, mixed digits, mixed directions, a stretched word, half a syllable.
        *((text, USERNAME) for text in ("\u0301ada", "\u06f4\u0664", "ada\u05d0", "ada\u0645", "\u0645\u0640\u062d")),
        *((text, USERNAME) for text in ("\u1112\u1161a\u11ab", "\u017f")),
        ("ada@\u0301bats.example", EMAIL),
        # Signs and punctuation beyond ASCII, unassigned, private use, noncharacters.
        *((text, USERNAME) for text in ("\U0001f98a", "a\u2019b", "a\u00b7b", "a\u00a0b")),
        *((text, USERNAME) for text in ("\u0378", "\ue000", "\U0010ffff", "\ufdd0")),
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
@example("ΣΑΣ", USERNAME)
@example("\u0344\u0345", USERNAME)
def test_any_text_is_an_identifier_or_refused(text: str, kind: IdentifierType) -> None:
    """Never another exception, and never a normal form that cannot be stored or compared (OPT-08)."""
    try:
        normal = normalize_identifier(text, kind)
    except Refusal as refusal:
        assert refusal.reason is Reason.REQUEST_MALFORMED
    else:
        assert normal.encode("utf-8")
        assert normal == normal.strip() == normalize_identifier(normal, kind) == unicodedata.normalize("NFC", normal)
        assert len(normal.encode()) <= MAX_IDENTIFIER_BYTES


@given(st.from_regex(r"\+?[ ()\-.]{0,3}[1-9]([ ()\-.]?[0-9]){4,14}", fullmatch=True))
def test_a_phone_number_is_normalised_once_and_for_all(number: str) -> None:
    """Its digits, whatever stands between them, with or without the plus sign (OPT-08)."""
    normal = normalize_phone_number(number)
    assert normal == "".join(character for character in number if character.isdigit())
    assert normalize_phone_number(normal) == normalize_phone_number(f"+{normal}") == normal


@pytest.mark.parametrize(
    ("one", "other"),
    [("strasse", "straße"), ("ss", "ß"), ("masse", "maße"), ("irem", "\u0131rem"), ("ada", "ad\u0430"), ("e", "é")],
)
def test_different_people_stay_different(one: str, other: str) -> None:
    """What people spell differently is not one identifier (OPT-08)."""
    assert normalize_identifier(one, USERNAME) != normalize_identifier(other, USERNAME)
    emails = [normalize_identifier(f"{text}@bats.example", EMAIL) for text in (one, other)]
    assert len(set(emails)) == 2


@pytest.mark.parametrize(
    ("written_bytes", "why"), [(1_280, "is not a valid username"), (1_281, "is longer than 320 bytes")]
)
def test_what_is_written_far_too_long_is_not_looked_at(written_bytes: int, why: str) -> None:
    """Up to four times the longest identifier, since what is decomposed takes more room."""
    with refused(Reason.REQUEST_MALFORMED) as caught:
        normalize_identifier("x" * written_bytes, IdentifierType.USERNAME)
    assert why in caught.value.detail
