"""Starts `interopsim up` as a process of its own and waits until it is ready; knows no option of it."""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, NamedTuple

from interop_protocol.printable import printable

READY_SECONDS = 30.0
END_SECONDS = 15.0
"""How long a simulator may take to end: more than it gives itself."""
_READ_BYTES = 1 << 16


class NotStarted(Exception):
    """The simulator did not become ready; the message is a sentence, or empty when the process has said why itself."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """Exit status for who asked for it."""


class Launched(NamedTuple):
    """A simulator that is ready."""

    process: "subprocess.Popen[bytes]"
    line: str
    """Its ready line."""


def launch(arguments: Sequence[str], stderr: IO[bytes] | None, *, is_tied: bool = False) -> Launched:
    """Starts a simulator in a session of its own, so that no key of this terminal ends it; returns when it is ready.

    Args:
        arguments: Options of `interopsim up`.
        stderr: Where it logs; None for where this process does.
        is_tied: Whether it ends when this process does, also when that is killed: then a pipe between them ends.

    Raises:
        NotStarted: It has ended, or was ended because it took too long.
    """
    tie, stdin = (("--until-stdin-ends",), subprocess.PIPE) if is_tied else ((), subprocess.DEVNULL)
    command = [sys.executable, "-m", "interop_server", "up", *tie, *arguments]
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)
    try:
        line = _first_line(process)
    except BaseException:
        end(process)
        raise
    if line is None:
        end(process)
        raise NotStarted(f"The simulator was not ready within {READY_SECONDS:g} seconds, and was ended.", 1)
    if not line.startswith('{"event": "ready"'):
        end(process)  # it wrote something else, `--help` say, or nothing
        sys.stdout.write(printable(line) and f"{printable(line)}\n")
        raise NotStarted("", process.returncode)
    return Launched(process, line)


def end(process: "subprocess.Popen[bytes]") -> int:
    """Ends a simulator, by force if it takes too long; returns its exit status."""
    process.terminate()
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _first_line(process: "subprocess.Popen[bytes]") -> str | None:
    """Returns what the process writes first, up to the end of a line or of its output; None when it takes too long."""
    assert process.stdout is not None
    written, deadline = b"", time.monotonic() + READY_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in written:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            part = os.read(process.stdout.fileno(), _READ_BYTES)
            if not part:
                process.wait(END_SECONDS)
                break
            written += part
    return written.partition(b"\n")[0].decode(errors="replace")
