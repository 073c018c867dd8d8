"""Searches files for plaintexts, byte by byte; knows nothing of the programs that wrote the files."""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WINDOW_BYTES = 32
WINDOWS = 8
"""How many parts of a file to search for, from its first bytes to its last."""
MIN_PATTERN_BYTES = 8
"""Shorter patterns occur by chance in some megabytes of ciphertext."""
MIN_DISTINCT_BYTES = 10
"""A window with fewer different bytes, such as zeros, occurs everywhere."""

_CHUNK_BYTES = 8 << 20
_TEXT_TAG = b"\x0a"
_MAX_PADDING = 16


@dataclass(frozen=True, slots=True)
class Secret:
    """A text, key or file that the search must not find."""

    name: str
    """Name for messages."""
    patterns: tuple[bytes, ...] = field(repr=False)
    """Each pattern alone reveals the secret; empty when it is too short or too uniform to recognise."""
    sha256: bytes | None = None
    """Digest of a whole file; None for a text or key."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a search."""

    files: int
    """How many files were searched."""
    bytes: int
    """Their total length."""
    hits: tuple[str, ...]
    """Each secret found, with the file."""


def text_secret(name: str, text: str) -> Secret:
    """Returns the secret of a text: its bytes; for a short text, only the forms in which it is encoded and padded."""
    plain = text.encode()
    if len(plain) >= MIN_PATTERN_BYTES:
        return Secret(name, (plain,))
    encoded = _TEXT_TAG + bytes((len(plain),)) + plain
    padded = (encoded + bytes((count,)) * count for count in range(1, _MAX_PADDING + 1))
    return Secret(name, tuple(pattern for pattern in padded if len(pattern) >= MIN_PATTERN_BYTES))


def key_secret(name: str, key: bytes) -> Secret:
    """Returns the secret of a key: its bytes, in hexadecimal and in both forms of base64."""
    return Secret(name, (key, key.hex().encode(), b64encode(key).rstrip(b"="), urlsafe_b64encode(key).rstrip(b"=")))


def file_secret(name: str, path: Path) -> Secret:
    """Returns the secret of a file: windows spread over it, and the digest of the whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        length = file.tell()
        last = max(0, length - WINDOW_BYTES)
        windows = set()
        for at in {last * index // (WINDOWS - 1) for index in range(WINDOWS)}:
            file.seek(at)
            windows.add(file.read(WINDOW_BYTES))
    patterns = tuple(window for window in windows if len(set(window)) >= MIN_DISTINCT_BYTES)
    return Secret(name, patterns, digest.digest())


def files_under(*roots: Path) -> Iterator[Path]:
    """Yields all files in folders; a root may be a file itself."""
    for root in roots:
        yield from [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())


def search(secrets: Sequence[Secret], files: Iterable[Path]) -> Findings:
    """Searches files for secrets. Skips a file that was deleted meanwhile: it holds nothing any more."""
    overlap = max((len(pattern) for secret in secrets for pattern in secret.patterns), default=1) - 1
    count = size = 0
    hits: set[str] = set()
    for path in files:
        try:
            length, found = _search_file(secrets, path, overlap)
        except FileNotFoundError:
            continue
        count, size = count + 1, size + length
        hits.update(f"{name} in {path.name}" for name in found)
    return Findings(count, size, tuple(sorted(hits)))


def _search_file(secrets: Sequence[Secret], path: Path, overlap: int) -> tuple[int, set[str]]:
    found: set[str] = set()
    digest = hashlib.sha256()
    length = 0
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            length += len(chunk)
            digest.update(chunk)
            part = tail + chunk
            found.update(secret.name for secret in secrets if any(pattern in part for pattern in secret.patterns))
            tail = part[-overlap:] if overlap else b""
    found.update(secret.name for secret in secrets if secret.sha256 == digest.digest())
    return length, found
