"""Tells pictures that a page may show from other files; believes no name and no MIME type."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
HEAD_BYTES = 16
"""How much of a file is looked at."""


def picture_type(head: bytes) -> str:
    """Returns the MIME type of a picture by its first bytes; empty for others, such as SVG, which can hold code."""
    for magic, mimetype in _MAGIC.items():
        if head.startswith(magic):
            return mimetype
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""
