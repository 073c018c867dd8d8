"""`make demo ARGS="--cluster"`: the story with Alice, Bob and Carol on three nodes of one world."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from obstore.store import S3Store

from interop_demo.cli import demo
from interop_demo.ground import Ground
from interop_demo.processes import Child
from tests.cluster.engines import BUCKET, Engines, engines

NODES = 3


class Nodes(Ground):
    """Nodes of one world, and all that they share.

    Args:
        nodes: Each, not started.
        folder: Where they keep their logs.
        shared: On what they meet.
    """

    def __init__(self, nodes: Sequence[Child], folder: Path, shared: Engines) -> None:
        super().__init__(nodes, folder)
        self._shared = shared

    async def places(self) -> Sequence[Path]:
        """Returns the folders that have everything, after bringing what is in the bucket into one of them."""
        target = self.folder / "blobs"
        target.mkdir()
        variables = self._shared.environment
        store = S3Store(
            BUCKET,
            endpoint=self._shared.s3,
            access_key_id=variables["AWS_ACCESS_KEY_ID"],
            secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region=variables["AWS_REGION"],
            client_options={"allow_http": True},
        )
        names = [found["path"] async for part in store.list() for found in part]
        for number, name in enumerate(names):
            (target / str(number)).write_bytes(bytes(await (await store.get_async(name)).bytes_async()))
        return (self.folder, self._shared.database)


@contextmanager
def cluster(folder: Path, options: Sequence[str]) -> Iterator[Nodes]:
    """Has three nodes, with a PostgreSQL server, a NATS server and an S3 server of their own."""
    with engines() as shared:
        nodes = []
        for number in range(1, NODES + 1):
            place = folder / f"node-{number}"
            nodes.append(shared.node(number, place, ("--journal", str(place / "journal.jsonl"), *options)))
        yield Nodes(nodes, folder, shared)


if __name__ == "__main__":
    demo.main(sys.argv[1:], 'make demo ARGS="--cluster"', obj=cluster)
