"""Prints lines where nobody may read them: a run goes on without its terminal, for it has a report; knows no line."""

import io
import os
import sys

import click


def adapt() -> None:
    """Lets a character that a terminal lacks be shown escaped, instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
