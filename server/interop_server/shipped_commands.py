"""`interopsim docs`, `protos` and `vectors`: hand out what is shipped beside the code."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import click

from interop_protocol.printable import printable
from interop_server.shipped import pages, protos, vectors

_SHOWN_NAMES = 3
"""How many of the files that are in the way are named."""


@click.command("docs", epilog="Example: interopsim docs faults | less")
@click.argument("name", required=False, metavar="[NAME]")
def docs(name: str | None) -> None:
    """Print a page of the documentation, in Markdown; without NAME, list the pages."""
    found = pages()
    if name is None:
        width = max(map(len, found))
        for each, path in found.items():
            click.echo(f"{each:{width}}  {_title(path)}")
    elif name in found:
        click.echo(found[name].read_text(encoding="utf-8"), nl=False)
    else:
        near = get_close_matches(name, found, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"there is no page {printable(ascii(name))}.{meant} The pages are {', '.join(found)}.")


@click.command("protos", epilog="Example: interopsim protos contract && protoc -I contract --go_out=. …")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def write_protos(folder: Path) -> None:
    """Write the contract's .proto files into DIR, for `protoc -I DIR`; files of the same names there are replaced.

    They import each other and what every protoc brings, google/protobuf. Their comments are the specification. What is
    plain HTTP is written beside them, as openapi/partner.yaml.
    """
    _write(protos(), folder)


@click.command("vectors", epilog="Example: interopsim vectors vectors && less vectors/README.md")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def write_vectors(folder: Path) -> None:
    """Write the test vectors into DIR, a folder of their own: what a client computes, byte for byte, as JSON.

    README.md there says what each file holds, and in which order one who writes a client uses them; schema.json is
    their JSON Schema. Vectors of an earlier release are replaced. A folder that holds anything else is refused, so that
    every file in it is one.
    """
    files = vectors()
    try:
        there = folder.iterdir() if folder.exists() else ()
        others = sorted(
            path.name for path in there if path.name not in files or _is_another_page(path, files[path.name])
        )
    except OSError as error:
        raise _not_writable(folder, error) from error
    if others:
        named = ", ".join(printable(name) for name in others[:_SHOWN_NAMES])
        more = f" and {len(others) - _SHOWN_NAMES} more" if len(others) > _SHOWN_NAMES else ""
        raise click.ClickException(
            f"{printable(str(folder))} has other files: {named}{more}. Name a folder that is empty, or not there yet."
        )
    _write(files, folder)


def _write(files: Mapping[str, Path], folder: Path) -> None:
    try:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(path.read_bytes())
    except OSError as error:
        raise _not_writable(folder, error) from error
    for name in files:
        click.echo(name)


def _is_another_page(there: Path, own: Path) -> bool:
    """Says whether a file is somebody else's README.md: most folders have one."""
    return own.suffix == ".md" and there.is_file() and there.read_bytes().split(b"\n", 1)[0] != _title_line(own)


def _not_writable(folder: Path, error: OSError) -> click.ClickException:
    return click.ClickException(
        f"{printable(str(folder))} cannot be written to: {error.strerror}. Name another folder."
    )


def _title_line(page: Path) -> bytes:
    return page.read_bytes().split(b"\n", 1)[0]


def _title(page: Path) -> str:
    with page.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("# ").strip()
