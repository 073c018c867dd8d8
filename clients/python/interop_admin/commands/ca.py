"""`interopsim ca`: the certificate that clients of a simulator with TLS trust."""

import os
from pathlib import Path

import click

from interop_admin.commands.life import found_line, name_argument
from interop_protocol.json_text import read_json
from interop_protocol.printable import printable


@click.command(
    epilog="Example: interopsim ca --output ca.pem && curl --cacert ca.pem https://127.0.0.1:4462/.well-known/jwks"
)
@name_argument
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it to FILE, not to stdout.")
def ca(name: str | None, output: Path | None) -> None:
    """Print the certificate, as PEM, that clients of a simulator with TLS are to trust."""
    certificate = read_json(found_line(name)).get("ca")
    if not certificate:
        raise click.ClickException("that simulator speaks no TLS: start it with `interopsim up --tls auto`.")
    if output is None:
        click.echo(certificate, nl=False)
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK  # else a pipe without a reader is waited for
        with os.fdopen(os.open(output, flags, 0o666), "w") as file:
            file.write(certificate)
    except OSError as error:
        raise click.ClickException(f"{printable(str(output))} cannot be written: {error.strerror}.") from error
