"""Prints lines where nobody may read them: a run goes on without its terminal, for it has a report; knows no line."""

import io
import logging
import os
import sys

import click

from interop_protocol.printable import PrintableLog


def adapt() -> None:
    """Lets a character that a terminal lacks be shown escaped, instead of ending the run.

    So is what a terminal would obey, in what is logged: it may quote the subject.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is not None:
        logging.basicConfig(stream=PrintableLog(sys.stderr), level=logging.WARNING, format="%(message)s")


def echo(text: str, *, err: bool = False) -> bool:
    """Prints a line on stdout or stderr; says whether that could be done.

    What is printed after a failure, because the reader has gone or a disk is full, goes nowhere.
    """
    try:
        click.echo(text, err=err)
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2 if err else 1)  # what is left in the buffer would fail once more at the exit
        os.close(nowhere)
        return False
    return True
