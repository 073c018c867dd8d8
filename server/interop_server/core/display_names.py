"""Display names: what is one; knows nobody who has one.

People write names with joiners, emoji and marks, in either direction; nothing is mapped, and a name is shown as it
came. Refused is what is no part of a name and would act on the text around it. PRECIS (RFC 8266) is too strict for
this: it refuses most emoji.
"""

import re
import unicodedata

_JOINERS = frozenset("\u200c\u200d")
_BLACK_FLAG = "\U0001f3f4"
_REGION_FLAG = re.compile(_BLACK_FLAG + "[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
"""Tags spell out the region of a flag, as in those of Scotland and Wales. Elsewhere they are text that nobody sees."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}")
"""A selector says how the character before it looks. One after another can spell out what nobody sees, too."""
_CONTROLLING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, marks of direction and format, surrogates, private use, line and paragraph separators."""
_VISIBLE = frozenset("LNPS")
"""First letters of the categories of what is seen by itself."""
_BLANK = frozenset("\u115f\u1160\u2065\u2800\u3164\uffa0" + "".join(map(chr, range(0xFFF0, 0xFFF9))))
"""Fillers, an empty pattern, and what Unicode keeps free for marks: by category they would be seen, and are not."""
_FIRST_HIDDEN = "\U000e0000"
"""From here on come selectors."""


def is_display_name(name: str) -> bool:
    """Says whether a text can be shown as somebody's name: it controls nothing, and something of it can be seen.

    A character that this program's Unicode does not know yet may be a new emoji, and is fine.
    """
    plain = _REGION_FLAG.sub(_BLACK_FLAG, name)
    return all(map(_is_harmless, plain)) and any(map(_is_visible, plain)) and not _SELECTORS.search(plain)


def _is_harmless(character: str) -> bool:
    if character in _JOINERS:
        return True
    return unicodedata.category(character) not in _CONTROLLING and not _is_noncharacter(ord(character))


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    is_shown = category[0] in _VISIBLE or category == "Cn"
    return is_shown and character not in _BLANK and character < _FIRST_HIDDEN


def _is_noncharacter(number: int) -> bool:
    return number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF
