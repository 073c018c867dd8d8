"""The text and files that the demo sends: the user's own or generated ones; knows no process and no network."""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

MAX_TEXT_BYTES = 65_536
"""Longest text in a message, as UTF-8 (content.proto)."""
MAX_FILE_BYTES = 255 << 20
"""Longest file: encrypted, it fits into the 256 MiB that the partner's media server accepts."""
MIMETYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
"""Image types by the bytes that a file begins with; WebP is recognised separately."""

_IMAGE_SIDE = 96
_HEAD_BYTES = 16


class InputRefused(ValueError):
    """The demo cannot send an input of the user; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The text and files that people send to each other."""

    text: str
    """Bob's message."""
    image: Path
    """Bob's picture."""
    image_mimetype: str
    """Its type."""
    document: Path
    """Alice's document."""


def check_text(text: str) -> None:
    """Checks that the demo can send a text.

    Raises:
        InputRefused: The text is empty, too long, or not valid Unicode.
    """
    if not text.strip():
        raise InputRefused("the text is empty")
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InputRefused("the text is not valid UTF-8") from error
    if length > MAX_TEXT_BYTES:
        raise InputRefused(f"the text has {length:,} bytes, the limit is {MAX_TEXT_BYTES:,}")


def check_file(path: Path) -> Path:
    """Checks that the demo can send a file, and returns its path.

    Raises:
        InputRefused: The file is missing, not a regular file, unreadable, empty or too large.
    """
    try:
        if not path.exists():
            raise InputRefused(f"{path} does not exist")
        if not path.is_file():
            raise InputRefused(f"{path} is not a file")
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: {error.strerror}") from error
    if not length:
        raise InputRefused(f"{path} is empty")
    if length > MAX_FILE_BYTES:
        raise InputRefused(f"{path} has {length:,} bytes, the limit is {MAX_FILE_BYTES:,}")
    return path


def image_mimetype(path: Path) -> str:
    """Returns the type of an image that was checked with `check_file`.

    Raises:
        InputRefused: The image is neither PNG, JPEG, GIF nor WebP.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for magic, mimetype in MIMETYPES.items():
        if head.startswith(magic):
            return mimetype
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    raise InputRefused(f"{path} is not a PNG, JPEG, GIF or WebP image")


def make_png() -> bytes:
    """Makes a small picture: coloured noise, so that no two are alike."""
    rows = b"".join(b"\x00" + os.urandom(3 * _IMAGE_SIDE) for _ in range(_IMAGE_SIDE))  # filter type 0, then RGB
    header = struct.pack(">IIBBBBB", _IMAGE_SIDE, _IMAGE_SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def make_pdf(text: str) -> bytes:
    """Makes a PDF of one page.

    Args:
        text: The text of the page: ASCII without parentheses and backslashes.
    """
    content = f"BT /F1 18 Tf 72 720 Td ({text}) Tj ET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    pdf = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(pdf)
    pdf += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    pdf += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    pdf += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(pdf)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
