"""`interopsim demo`: reads options, refuses wrong input before anything starts, and reports; knows no step."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import click

from interop_demo.devices import PYTHON, DeviceProgram, NotBuilt, node_device
from interop_demo.inputs import InputRefused, Inputs, check_file, check_text, image_mimetype, make_pdf, make_png
from interop_protocol.printable import json_line
from interop_protocol.times import parse_time

if TYPE_CHECKING:
    from interop_demo.ground import Opening
    from interop_demo.timeline import StepResult

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""
_DEFAULT_TEXT = "Hello Alice, this is Bob. I write from Pigeon, not from WhatsApp."
_DAY_SECONDS = 86_400
_VERSIONS_OF = ("interopsim", "grpcio", "protobuf", "cryptography")


def _read_time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def _start_of_today_ms() -> int:
    return int(time.time()) // _DAY_SECONDS * _DAY_SECONDS * 1_000


@click.command(epilog='Example: interopsim demo --text "Hi Alice" --image me.png --document paper.pdf --keep run1')
@click.option("--text", help="What Bob writes to Alice. Without it: a greeting.")
@click.option("--image", metavar="FILE", type=click.Path(path_type=Path), help="PNG, JPEG, GIF or WebP that Bob sends.")
@click.option("--document", metavar="FILE", type=click.Path(path_type=Path), help="Any file, which Alice sends.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep database, blobs, logs and devices in DIR, which must be new or empty.",
)
@click.option("--explain", "explains", is_flag=True, help="Explain each refusal, as `interopsim explain` does.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="N",
    help="Make the server's journal the same each time: the same ids, and clocks that stand still.",
)
@click.option(
    "--at",
    "at_ms",
    metavar="TIME",
    callback=_read_time,
    help="With --seed: where the clocks stand, such as 2027-01-01T00:00:00Z; by default the beginning of today, UTC.",
)
@click.option(
    "--bob",
    "language",
    type=click.Choice(("python", "node")),
    default="python",
    show_default=True,
    help="Which client Bob has: the SDK, or the one in TypeScript, which must be built.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line; the story on stderr.")
def demo(
    keep: Path | None,
    as_json: bool,
    explains: bool,
    seed: int | None,
    at_ms: int | None,
    language: str,
    **given: Any,
) -> None:
    """Play the whole story: two messengers, three people, one simulator, in separate processes.

    Alice uses WhatsApp; Bob and Carol use another messenger. Exits with 0 only if every step held.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a character that the terminal lacks must not end the story
    opening: Opening | None = click.get_current_context().obj
    if seed is not None and opening is not None:
        raise click.UsageError("--seed is for one server: which of several nodes is first is not repeatable.")
    if at_ms is not None and seed is None:
        raise click.UsageError("--at belongs to --seed.")
    bob = _bobs_device(language)
    _check_given(**given)
    # Imported only now: help and refusals of wrong input need neither gRPC nor HTTP.
    from rich.console import Console

    from interop_demo.ground import one_simulator
    from interop_demo.play import play
    from interop_demo.stage import Staging

    with _root_folder(keep) as root:
        inputs = _complete(**given, made=root / "made")
        at_ms = _start_of_today_ms() if at_ms is None else at_ms
        staging = Staging(explains, seed, at_ms, bob, opening or one_simulator)
        results, is_interrupted = asyncio.run(play(inputs, root, Console(stderr=as_json, highlight=False), staging))
    ok = all(result.ok for result in results)
    if keep is not None:
        click.echo(f"Kept in {keep.absolute()}", err=True)
    elif not ok and not is_interrupted:
        click.echo("Add --keep DIR to keep the logs.", err=True)
    if as_json:
        click.echo(json_line(_report(ok, results)))
    if is_interrupted:
        click.echo("Interrupted: every process has ended.", err=True)
    sys.exit(INTERRUPTED if is_interrupted else 0 if ok else 1)


def _bobs_device(language: str) -> DeviceProgram:
    try:
        return node_device() if language == "node" else PYTHON
    except NotBuilt as error:
        raise click.UsageError(f"--bob node: {error}.") from error


def _report(ok: bool, results: list["StepResult"]) -> dict[str, Any]:
    versions = {name: version(name) for name in _VERSIONS_OF}
    steps = [asdict(result) for result in results]
    return {"ok": ok, "steps": steps, "versions": {**versions, "python": python_version()}}


def _check_given(text: str | None, image: Path | None, document: Path | None) -> None:
    try:
        if text is not None:
            check_text(text)
        if image is not None:
            image_mimetype(check_file(image))
        if document is not None:
            check_file(document)
    except InputRefused as error:
        raise click.UsageError(f"{error}.") from error


def _complete(text: str | None, image: Path | None, document: Path | None, made: Path) -> Inputs:
    made.mkdir()
    if image is None:
        image = made / "picture.png"
        image.write_bytes(make_png())
    if document is None:
        document = made / "letter.pdf"
        document.write_bytes(make_pdf(f"A letter from Alice to Bob, no. {os.urandom(8).hex()}"))
    return Inputs(text or _DEFAULT_TEXT, image.absolute(), image_mimetype(image), document.absolute())


@contextmanager
def _root_folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="interopsim-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise click.UsageError(f"--keep: {keep} is not empty.")
        (keep / "made").mkdir()
        (keep / "made").rmdir()
    except OSError as error:
        raise click.UsageError(f"--keep: {keep} cannot be used: {error.strerror}.") from error
    yield keep.absolute()
