"""Several nodes of one world and what they meet on, each of which can be taken away; knows no promise."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interop_admin.client import AdminClient
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_demo.processes import ChildFailed
from interop_protocol.endpoint import Endpoint
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.chaos.node import Node
from tests.chaos.people import INTEGRATOR, LIMITS, Broken, Scene, is_gone
from tests.invariants import violations_on_server
from tests.nats import nats_server
from tests.object_stores import S3Server
from tests.postgres import own_server, url_of
from tests.proxy import Proxy, to_port, to_socket
from tests.registration import registration

ENGINES = ("postgres", "nats", "s3")
"""What nodes meet on."""
START_SECONDS = 120.0
"""How long an engine may take to come back: a database that was killed waits for the end of its processes."""
_OF_OTHERS = {"STORAGE_UNAVAILABLE", "SESSION_DEAD", "CONNECTION_REPLACED"}
"""What a client may be told when what a node meets on has gone, or when the others took it for dead."""
_LOOK_SECONDS = 0.05
_FAVOUR = 0.6


def is_disturbed(error: BaseException) -> bool:
    """Whether an error is what a client may see of a world in which something has gone."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_disturbed, error.exceptions))
    if isinstance(error, ConnectionEnded | ServerRefusal) and error.reason in _OF_OTHERS:
        return True
    return isinstance(error, TimeoutError) or is_gone(error)


class Engine(Protocol):
    """A process that nodes meet on."""

    def start(self) -> None:
        """Starts it where it was."""
        ...

    def kill(self) -> None:
        """Ends it as a failing machine would."""
        ...

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        ...


@dataclass(frozen=True)
class Ground:
    """Where a world is."""

    folder: Path
    """For logs."""
    store: str
    """The address of the database, without a proxy."""
    engines: Mapping[str, Engine]
    links: Sequence[Mapping[str, Proxy]]
    """For each node the proxies by which it reaches them."""
    arguments: Sequence[tuple[str, ...]]
    """Of each node: how it does."""
    environments: Sequence[Mapping[str, str]]
    """The same, as variables."""


class World(Scene):
    """Nodes, and a messenger. Made by `open_world`.

    Args:
        ground: Where it is.
        partner: The messenger's server.
        ahead: See `Scene`.
        rng: Chooses where people connect.
    """

    def __init__(self, ground: Ground, partner: PartnerServer, ahead: list[float], rng: random.Random) -> None:
        super().__init__(partner, ahead)
        self.can_be_late = True
        self.ground = ground
        self._rng = rng
        self._lives = itertools.count(1)
        limits = tuple(word for name, value in LIMITS.items() for word in ("--limit", f"{name}={value}"))
        self.nodes = [
            Node(f"node-{number}", ground.folder, (*limits, *arguments), environment)
            for number, (arguments, environment) in enumerate(
                zip(ground.arguments, ground.environments, strict=True), start=1
            )
        ]
        self._admins: dict[Node, AdminClient] = {}
        self._arrived_ms = 0
        self.favourite: Node | None = None
        """Where people go mostly: it is to pass a point at which it dies."""

    @property
    def endpoint(self) -> Endpoint:
        """One of the nodes that are not known to be dead, at random."""
        return self._any().endpoint

    @property
    def admin(self) -> AdminClient:
        """The operator's connection to one of them."""
        return self._admins[self._any()]

    @property
    def keeps_objects(self) -> bool:
        """Always."""
        return True

    def _any(self) -> Node:
        up = [node for node in self.nodes if node.is_up and node in self._admins]
        if not up:
            raise ConnectionEnded("UNAVAILABLE", "No node lives.")
        if self.favourite in up and self._rng.random() < _FAVOUR:
            return self.favourite
        return self._rng.choice(up)

    async def start(self, node: Node, crash_at: str = "") -> None:
        """Starts a node; half of the time under a name that nobody has had, since its own is not free at once.

        Raises:
            Broken: It does not start, though nothing tells it to die, or shows an earlier time than somebody was shown.
        """
        before_ms = self.now_ms
        try:
            await node.start(crash_at, self._rng.choice((node.name, f"{node.name}-{next(self._lives)}")))
        except ChildFailed as error:
            if crash_at:
                return
            raise Broken(f"{node.name} did not start: {error}") from error
        admin = AdminClient(node.endpoint.admin)
        with suppress(ServerRefusal):  # it may die meanwhile, as it was told
            shown_ms = (await admin.get_clock()).now_ms
            if shown_ms < before_ms:
                raise Broken(f"{node.name} began {before_ms - shown_ms} ms before a time that was shown")
        self._admins[node] = admin
        self.partner.set_simulator(node.endpoint)

    async def kill(self, node: Node) -> None:
        """Ends a node with SIGKILL, if it lives."""
        admin = self._admins.pop(node, None)
        await node.kill()
        if admin is not None:
            await admin.close()

    async def restart(self, engine: str) -> None:
        """Starts an engine that was killed."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    return await asyncio.to_thread(self.ground.engines[engine].start)
                except ChildFailed:
                    await asyncio.sleep(_LOOK_SECONDS)

    async def begin(self) -> None:
        """Starts all nodes."""
        first, *others = self.nodes
        await self.start(first)
        await asyncio.gather(*map(self.start, others))
        await self.admin.put_partner(registration(self.partner, INTEGRATOR, "Chaos"))
        await self.check_time(START_SECONDS)

    async def end(self) -> None:
        """Ends all nodes."""
        await asyncio.gather(*map(self.kill, self.nodes))

    @property
    def earliest_ms(self) -> int:
        """Where all nodes were last seen to have come."""
        return self._arrived_ms

    # What it says of itself.

    async def come_to_rest(self, seconds: float, *, is_empty: bool) -> None:
        """Waits until nothing is wrong at any node.

        Args:
            seconds: How long.
            is_empty: Whether nobody may be connected, either: whoever was at a node that was killed counts as connected
                until the others have found that out.

        Raises:
            Broken: Something stays wrong.
        """

        def says(node: Node, troubles: Mapping[str, str], jids: Sequence[str]) -> str:
            return f"{node.name} has troubles: {troubles}, and connections: {jids}" if troubles or jids else ""

        await self._until(says, seconds, looks_at_connections=is_empty)

    async def check_connections(self, seconds: float, *, is_last: bool) -> None:
        """Each node knows that those are connected who are, once each.

        Args:
            seconds: How long it may take to find that out.
            is_last: Whether it must know, too, that nobody else is.

        Raises:
            Broken: It knows something else.
        """

        def says(node: Node, _: object, jids: Sequence[str]) -> str:
            known = {*jids}
            if len(known) == len(jids) and (known == self.present if is_last else known >= self.present):
                return ""
            return f"{node.name} knows of connections of {sorted(jids)}, and there are {sorted(self.present)}"

        await self._until(says, seconds)

    async def check_time(self, seconds: float) -> None:
        """Each node comes to the latest time that any of them has shown: a move may be under way, whose call has ended.

        Args:
            seconds: How long that may take.

        Raises:
            Broken: One does not.
        """
        latest_ms = self.now_ms
        for node, admin in self._admins.items():
            shown_ms = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while (shown_ms := (await admin.get_clock()).now_ms) < latest_ms:  # noqa: ASYNC110
                        await asyncio.sleep(_LOOK_SECONDS)
            if shown_ms < latest_ms:
                raise Broken(f"{node.name} shows a time {latest_ms - shown_ms} ms before one that was shown")
        self._arrived_ms = latest_ms

    async def check_order(self) -> None:
        """The database is in order, and no node has logged a fault.

        Raises:
            Broken: Something else is so.
        """
        if found := await violations_on_server(self.ground.store):
            raise Broken(f"the database is not in order: {found}")
        faults = [line for node in self.nodes for line in node.faults() if not self._is_expected(line)]
        if faults:
            raise Broken("a node logged a fault:\n" + "\n".join(faults[:5]))

    def _is_expected(self, line: str) -> bool:
        return self.expects_faults and "Traceback" not in line

    async def _until(
        self,
        says: Callable[[Node, Mapping[str, str], Sequence[str]], str],
        seconds: float,
        *,
        looks_at_connections: bool = True,
    ) -> None:
        said = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for node, admin in self._admins.items():
                    said = f"{node.name} does not answer"
                    while said := await self._ask(node, admin, says, looks_at_connections=looks_at_connections):  # noqa: ASYNC110
                        await asyncio.sleep(_LOOK_SECONDS)
        if said:
            raise Broken(said)

    async def _ask(
        self,
        node: Node,
        admin: AdminClient,
        says: Callable[[Node, Mapping[str, str], Sequence[str]], str],
        *,
        looks_at_connections: bool,
    ) -> str:
        try:
            troubles = (await admin.get_statistics()).troubles
            jids = [each.jid for each in await admin.list_connections()] if looks_at_connections else []
        except ServerRefusal as refusal:
            return f"{node.name} answers {refusal!r}"
        return says(node, troubles, jids)


@asynccontextmanager
async def open_world(folder: Path, keys: SigningKeys, count: int, rng: random.Random) -> AsyncIterator[World]:
    """Has nodes of a world of its own, with PostgreSQL, NATS and an S3 server that can be killed; begun.

    Args:
        folder: For its files.
        keys: Of the messenger: making them takes long.
        count: How many nodes.
        rng: Chooses where people connect.
    """
    ahead = [0.0]
    settings = PartnerSettings(folder / "partner", issuer="https://chaos.example")
    async with AsyncExitStack() as stack:
        ground = await _ground(stack, folder, count)
        partner = await stack.enter_async_context(PartnerServer(settings, keys, lambda: time.time() + ahead[0]))
        world = World(ground, partner, ahead, rng)
        stack.push_async_callback(world.end)
        await world.begin()
        yield world


async def _ground(stack: AsyncExitStack, folder: Path, count: int) -> Ground:
    postgres, database = stack.enter_context(own_server())
    nats = stack.enter_context(nats_server())
    s3 = S3Server(folder / "requests")
    stack.callback(s3.close)
    s3.start()
    bucket = s3.new_bucket()
    ways = {
        "postgres": to_socket(database / ".s.PGSQL.5432"),
        "nats": to_port(lambda: nats.port),
        "s3": to_port(lambda: s3.port),
    }
    links, arguments, environments = [], [], []
    for _ in range(count):
        link = {name: await stack.enter_async_context(Proxy(connect)) for name, connect in ways.items()}
        links.append(link)
        arguments.append(
            (
                "--store",
                f"postgresql://postgres@127.0.0.1:{link['postgres'].port}/postgres",
                "--bus",
                f"nats://127.0.0.1:{link['nats'].port}",
                "--blobs",
                f"s3://{bucket}/world",
            )
        )
        environments.append({**s3.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{link['s3'].port}"})
    engines: dict[str, Engine] = {"postgres": postgres, "nats": nats, "s3": s3}
    return Ground(folder, url_of(database), engines, links, arguments, environments)
