"""Text from a subject, made fit for a report."""

import re

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Returns a text without characters that XML does not allow, controls above all."""
    return _NO_XML.sub("\ufffd", text)
