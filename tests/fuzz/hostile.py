"""Values that break careless code: numbers at boundaries, texts and bytes of odd lengths and contents; no protocol."""

from random import Random

NUMBERS = (
    *range(6), 99, 127, 128, 255, 256, 257, 999, 1_000, 4_096, 4_097, 65_535, 65_536, 2**24 - 1, 2**24, 2**31 - 1,
    2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -1, -2, -(2**31), -(2**63),
)  # fmt: skip
"""Negative ones are written as protobuf does, in 64 bits."""

TEXTS = (
    "", " ", "\0", "\n", "a", "é", "ß", "İ", "\N{RIGHT-TO-LEFT OVERRIDE}abc", "\N{ZERO WIDTH SPACE}", "\N{PILE OF POO}",
    "e\N{COMBINING ACUTE ACCENT}" * 40, "\ufeff", "\ufffd", "\U0010ffff", "'; DROP TABLE account; --", "' OR 1=1 --",
    "%s%n%x", "{0}", "${x}", "../../etc/passwd", "null", "NaN", "-1", "0x10", "1e309", "true", "<script>", "\r\nX: y",
    "a" * 64, "a" * 65, "a" * 256, "a" * 257, "x" * 4_097, "@", "@interop", "1-@interop", "-1@interop",
    "0-10000000000000@interop", "1-10000000000000@interop", "999-99999999999999@interop", "1000-10000000000000@interop",
    "1-10000000000000:1@interop", "1-10000000000000@INTEROP", "1-١٢٣٤٥٦٧٨٩٠١٢٣٤@interop", "491510000000@s.whatsapp.net",
    "0491510000000@s.whatsapp.net", "491510000000:3@s.whatsapp.net", "1@s.whatsapp.net", "120363041234567890@g.us",
    "status@broadcast", "4915112345678", "+4915112345678", "+0", "+", "+" + "9" * 16, "bob@example.com", "a.b.c",
    "http://127.0.0.1:1/", "/v/t", "/v/t" + "A" * 32, "/interop/whatsapp/download/1/a/", "A" * 43, "A" * 44, "=" * 8,
)  # fmt: skip
BROKEN_TEXTS = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"a\xc3", b"\xfe\xff")
"""No UTF-8: a lone byte, an overlong zero, lone surrogates, beyond the last code point, cut off, a byte order mark."""

LENGTHS = (0, 1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 43, 47, 48, 63, 64, 65, 255, 256, 4_096, 4_097)
LONG_LENGTHS = (65_536, 98_304, 98_305, 300_000)
"""Rare: moving them takes time."""


def number(random: Random) -> int:
    """A number at a boundary, or any of 64 bits."""
    return random.choice(NUMBERS) if random.random() < 0.7 else random.getrandbits(random.randrange(1, 65))


def text(random: Random) -> str:
    """A text of the table, two of them in one, or any."""
    kind = random.random()
    if kind < 0.7:
        return random.choice(TEXTS)
    if kind < 0.8:
        return random.choice(TEXTS) + random.choice(TEXTS)
    return "".join(chr(_scalar(random)) for _ in range(random.randrange(1, 12)))


def data(random: Random) -> bytes:
    """Bytes of a telling length."""
    length = random.choice(LONG_LENGTHS if random.random() < 0.02 else LENGTHS)
    return random.randbytes(length) if random.random() < 0.5 else bytes((random.getrandbits(8),)) * length


def _scalar(random: Random) -> int:
    while True:
        code_point = random.randrange(1 << random.choice((7, 8, 11, 16, 20)))
        if not 0xD800 <= code_point <= 0xDFFF:
            return code_point
