"""`make cluster`: several nodes that are one world, with all that they share, until it is told to stop."""

import asyncio
import json
import os
import signal
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from interop_demo.processes import Child, ChildFailed
from interop_demo.stage import together
from tests.cluster.engines import Engines, Unusable, engines

_READ_BYTES = 4096


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog='Example: make cluster ARGS="--nodes 2"'
)
@click.option("--nodes", type=click.IntRange(1, 9), default=3, show_default=True, help="How many nodes.")
def main(nodes: int) -> None:
    """Start nodes that are one world, with PostgreSQL, NATS and an S3 server of their own, on free loopback ports.

    Prints one line of JSON when all are ready: the ready line of each node, the root key that they share, and the
    addresses of the database, the bucket and the bus. Ctrl-C, SIGTERM or the end of stdin stops everything, and nothing
    is kept.
    """
    asyncio.run(_until_told(nodes))


async def _until_told(count: int) -> None:
    running = asyncio.create_task(_run(count))
    told: list[object] = []

    def hear(*_: object) -> None:
        told.append(None)
        if len(told) == 1:  # a second signal must not interrupt the clean-up
            running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, hear)

    def read() -> None:
        with suppress(OSError):
            while os.read(0, _READ_BYTES):
                pass
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(hear)

    # In a thread: not every kind of file can be waited for by the loop.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    with suppress(asyncio.CancelledError):
        await running


async def _run(count: int) -> None:
    # What shares a database shares its end, too: nodes first.
    with tempfile.TemporaryDirectory(prefix="interopsim-cluster-") as folder, engines() as shared:
        nodes = [shared.node(number, Path(folder) / f"node-{number}") for number in range(1, count + 1)]
        try:
            first, *others = nodes
            await first.start()  # alone: it makes the tables
            await together(*(each.start() for each in others))
            click.echo(json.dumps(_ready(shared, nodes)))
            await asyncio.Event().wait()
        except ChildFailed as error:
            raise Unusable(f"A node does not start: {error}") from error
        finally:
            await asyncio.gather(*(each.stop() for each in nodes))


def _ready(shared: Engines, nodes: Sequence[Child]) -> dict[str, object]:
    return {
        "event": "ready",
        "nodes": [{"node": f"node-{number}", **node.ready} for number, node in enumerate(nodes, 1)],
        "root_public_key": nodes[0].ready["root_public_key"],
        "store": shared.store,
        "blobs": shared.blobs,
        "s3": shared.s3,
        "bus": shared.bus,
    }


if __name__ == "__main__":
    main()
