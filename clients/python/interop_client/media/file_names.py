"""Makes the name of a file harmless, whoever chose it; knows no file system.

A sender chooses the name under which a recipient stores a file. A harmless name is one component of a path on every
common system, looks like what it is, and can be sent: the recipient's client makes every name harmless, and a sender's
client does so before the upload. Source: content.proto, `file_name`; otherwise policy.
"""

import unicodedata

MAX_NAME_BYTES = 255
"""The longest name of a file on common systems, in UTF-8."""
MAX_EXTENSION_BYTES = 32
"""How long the part after the last dot may be to survive when a name is shortened."""
UNNAMED = "file"
"""Instead of a name of which nothing is left."""

_RESERVED = frozenset('<>:"|?*')
"""Not allowed in a name on Windows; a colon would begin the name of a stream."""
_DEVICES = frozenset(
    (
        "CON",
        "PRN",
        "AUX",
        "NUL",
        "CONIN$",
        "CONOUT$",
        *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"),
    )
)
_SEPARATORS = str.maketrans({"\\": "/", "\u2028": " ", "\u2029": " "})


def harmless_name(name: str) -> str:
    """Returns the last component of a name, without what could deceive or harm; `file` when nothing is left.

    Args:
        name: Any text, also one that is not valid Unicode, as Python gives for a name that is not UTF-8.

    Returns:
        1 to 255 bytes of UTF-8 that are a single component of a path: no separator of any system, no control or
        invisible direction characters, not `.` or `..`, and not the name of a Windows device.
    """
    text = name.encode("utf-8", "surrogateescape" if _is_escaped(name) else "replace").decode("utf-8", "replace")
    component = text.translate(_SEPARATORS).rstrip("/").rpartition("/")[2]
    kept = "".join("_" if char in _RESERVED else char for char in component if _is_visible(char))
    kept = _shortened(kept.strip(" ").rstrip(" ."))
    if kept.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        kept = _shortened(f"_{kept}")
    return kept if any(map(_is_seen, kept)) else UNNAMED


def _is_escaped(name: str) -> bool:
    """Says whether all surrogates of a name stand for bytes that are not UTF-8."""
    return all("\udc80" <= char <= "\udcff" for char in name if "\ud800" <= char <= "\udfff")


def _is_visible(char: str) -> bool:
    # Of the format characters, the joiners are part of words and emoji.
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs") or char in "\u200c\u200d"


def _is_seen(char: str) -> bool:
    """Says whether a character is seen by itself: of marks and joiners alone, nobody sees a name."""
    category = unicodedata.category(char)
    return category[0] in "LNPS" or category in ("Cn", "Co")  # the last two may be new emoji, or a company's own


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + extension
