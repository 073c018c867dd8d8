"""What a Content-Type says of a body, read from a header that comes from somebody else; decodes no body.

Parsers of the whole grammar of RFC 2045 take time that grows with the square of the header, and fail in ways of their
own: nothing here needs more of it than a type and a charset.
"""

from typing import NamedTuple

MAX_CHARACTERS = 256
"""Of a header that is looked into; no type that is known here is nearly as long."""
_CHARSETS_OF_UTF_8 = frozenset(("utf-8", "us-ascii"))


class ContentType(NamedTuple):
    """A media type, and what is said of the characters."""

    name: str
    """Such as `application/json`, in lower case; empty for none that is known."""
    charset: str
    """In lower case; empty when there is none."""

    @property
    def is_utf_8(self) -> bool:
        """Says whether text of this type is UTF-8, which it is when nothing is said."""
        return not self.charset or self.charset in _CHARSETS_OF_UTF_8


def read_content_type(header: str) -> ContentType:
    """Reads the value of a Content-Type header, whatever it is; of a charset that is named twice, the first counts."""
    if len(header) > MAX_CHARACTERS:
        return ContentType("", "")
    name, *parameters = header.split(";")
    values = (parameter.partition("=") for parameter in parameters)
    charsets = (value.strip().strip('"').lower() for key, _, value in values if key.strip().lower() == "charset")
    return ContentType(name.strip().lower(), next(charsets, ""))
