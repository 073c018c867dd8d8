"""URLs of places for blobs, as the operator writes them; loads no object store."""

import re
from urllib.parse import unquote, urlsplit

from interop_protocol.printable import printable
from interop_server.blobs import BlobsUnusable

SCHEMES = ("s3", "gs", "az", "file")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
"""Of a prefix: what needs no encoding in any store."""


def checked(url: str) -> str:
    """Returns a URL that can name a place for blobs, without a slash at its end.

    Raises:
        BlobsUnusable: It cannot. What it says does not repeat a URL that may hold a secret.
    """
    try:
        parts = urlsplit(url)
        has_more = bool(parts.query or parts.fragment or "@" in parts.netloc or parts.port is not None)
    except ValueError:
        raise BlobsUnusable("that is no URL.") from None  # the cause would repeat it
    if parts.scheme not in SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise BlobsUnusable("name a URL such as s3://bucket/prefix, gs://…, az://… or file:///folder.")
    if has_more:
        raise BlobsUnusable(
            "a URL for blobs has no user, password, port, query or fragment: keys and endpoints are taken from the "
            "environment."
        )
    if parts.scheme == "file":
        return _folder(url, parts.netloc, parts.path)
    if not _BUCKET.fullmatch(parts.netloc):
        raise BlobsUnusable(f"name a bucket, as in {parts.scheme}://bucket/prefix.")
    prefix = parts.path.strip("/")
    if prefix and not all(_SEGMENT.fullmatch(each) and each.strip(".") for each in prefix.split("/")):
        raise BlobsUnusable("a prefix is words of letters, digits and ._~- with slashes between them.")
    return f"{parts.scheme}://{parts.netloc}/{prefix}".rstrip("/")


def _folder(url: str, host: str, path: str) -> str:
    if host or not path.strip("/"):
        raise BlobsUnusable("name a folder by its whole path, as in file:///var/lib/interopsim.")
    if not unquote(path).isprintable() or any(each in (".", "..", "") for each in path.strip("/").split("/")):
        raise BlobsUnusable(f"{printable(url)} names no folder: leave out empty names, `.` and `..`.")
    return f"file://{path.rstrip('/')}"
