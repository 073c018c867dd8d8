"""Tokens that a messenger's own command prints; knows nothing of what is in them."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from interop_conformance.check import NotSo

MAX_OUTPUT_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 300


class TokenSource:
    """Runs the command, which no shell sees.

    Args:
        command: The user is added as its last argument.
        seconds: How long it may take.
    """

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._command = command
        self._seconds = seconds

    async def get(self, user: str) -> str:
        """Returns what the command prints for a user, without the blanks around it.

        Raises:
            NotSo: It cannot be started, fails, is too slow, or prints no text, or too much.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                user,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # so that all that it starts can be ended
            )
        except (OSError, ValueError) as error:
            raise _failed(f"it cannot be started: {error}") from error
        try:
            async with asyncio.timeout(self._seconds):
                output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
                status = await process.wait()
        except TimeoutError:
            raise _failed(f"it did not end within {self._seconds:.0f} s") from None
        finally:
            await _end(process)
        return _text(output, errors, status)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Reads to the end; keeps one byte more than is allowed, and throws away the rest."""
    assert stream is not None
    kept = bytearray()
    while part := await stream.read(8192):
        kept += part[: MAX_OUTPUT_BYTES + 1 - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _text(output: bytes, errors: bytes, status: int) -> str:
    if status:
        said = " ".join(errors.decode(errors="replace").split())[-_SHOWN_CHARACTERS:]
        raise _failed(f"it ended with status {status}: {said}")
    if len(output) > MAX_OUTPUT_BYTES:
        raise _failed(f"it printed more than {MAX_OUTPUT_BYTES} bytes")
    try:
        text = output.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _failed("it printed something that is not ASCII") from None
    if not text:
        raise _failed("it printed nothing")
    return text


def _failed(got: str) -> NotSo:
    return NotSo("the token command prints a token", got)
