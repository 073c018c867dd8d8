"""Files that a device sends and receives: made of a command, told by their hash; knows no message."""

import hashlib
from pathlib import Path

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_driver.outcomes import WrongCommand

MAX_CONTENT_BYTES = 1 << 20
MAX_COPIES = 128


def write_file(command: pb.SendMediaCommand, path: Path) -> None:
    """Writes the file that a command describes.

    Raises:
        WrongCommand: It is too long.
    """
    if len(command.content) > MAX_CONTENT_BYTES or command.copies > MAX_COPIES:
        raise WrongCommand(f"A file is at most {MAX_CONTENT_BYTES:,} bytes, {MAX_COPIES} times.")
    with path.open("wb") as file:
        for _ in range(max(1, command.copies)):
            file.write(command.content)


def sha256_of(path: Path) -> bytes:
    """Returns the SHA-256 of a file: 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
