"""Where `interopsim` begins and ends: how an interrupt, a full disk, a closed pipe or a plain terminal is met.

Imports nothing that takes time before an interrupt is met in order.
"""

import sys

INTERRUPTED, FAILED = 130, 1


def main() -> None:
    """Runs the command line; ends the process."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(_flushed(code))


def _run() -> int:
    from click.exceptions import Abort, ClickException, Exit

    from interop_server.cli import main as commands

    if _is_unbuffered():
        _buffer_lines()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and stream.encoding != "utf-8":
            from interop_server.plain_terminal import show_what_can_be_shown  # few need it

            show_what_can_be_shown(stream)
    try:
        _check_arguments(sys.argv[1:])
        result = commands.main(prog_name="interopsim", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except Exit as end:
        return end.exit_code
    except ClickException as error:
        from interop_protocol.printable import printable  # click quotes arguments as they are

        lines = map(printable, error.message.split("\n"))
        error.message = "\n".join(lines)  # type: ignore[misc]  # nobody else reads it any more
        error.show()
        return error.exit_code
    except Abort:  # of click, for an interrupt
        return INTERRUPTED
    except OSError as error:
        if not _is_of_output(error):
            raise
        return _unwritten(error)


def _check_arguments(arguments: list[str]) -> None:
    for argument in arguments:
        if not argument.isprintable() and any("\ud800" <= character <= "\udfff" for character in argument):
            from click import UsageError

            raise UsageError(f"{argument} is no text in UTF-8.")


def _is_unbuffered() -> bool:
    return sys.stdout is not None and bool(getattr(sys.stdout, "write_through", False))


def _buffer_lines() -> None:
    """Has lines go out as a whole: of what an unbuffered output takes in part, Python forgets the rest without a word.

    `PYTHONUNBUFFERED`, usual in containers, asks for output at once. It still comes with each line.
    """
    import io

    written = sys.stdout
    buffer = io.BufferedWriter(io.FileIO(written.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(buffer, written.encoding, written.errors, line_buffering=True)


def _flushed(code: int) -> int:
    """Writes what is left to write; returns the status to end with."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _is_of_output(error: OSError) -> bool:
    import errno

    kinds = (
        errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT, errno.EAGAIN,
    )  # fmt: skip
    return error.filename is None and error.errno in kinds


def _unwritten(error: OSError) -> int:
    """Says that nobody takes the output, unless its reader has gone and so wants no more; nothing is tried again."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not isinstance(error, BrokenPipeError):
        sys.stderr.write(f"Error: standard output cannot be written: {error.strerror}.\n")
    return FAILED
