"""The stage of the story: its processes, and the calls and checks that steps share; knows no step."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from interop_admin.client import AdminClient
from interop_demo.devices import PYTHON, DeviceProgram
from interop_demo.ground import Ground, Opening, one_simulator
from interop_demo.inputs import Inputs
from interop_demo.people import Person, Refused
from interop_demo.processes import Child, partner_server
from interop_demo.search import Secret, text_secret
from interop_demo.timeline import Timeline
from interop_protocol.times import format_time

MESSENGER = "Pigeon"
"""The third-party messenger of the story."""
WHATSAPP = "WhatsApp"
INTEGRATOR = 17
"""The messenger's integrator id at WhatsApp."""
ALICE_NUMBER = "+491701234567"
BOB_ADDRESS = "bob@pigeon.example"
CAROL_ADDRESS = "carol@pigeon.example"
CAROL_IP = "203.0.113.7"
"""Address of Carol's phone, as her messenger's load balancer sees it; reserved for documentation (RFC 5737)."""
SETTLE_SECONDS = 10.0
POLL_SECONDS = 0.01


class StepFailed(Exception):
    """A check of a step failed; the message says which."""


def expect(holds: bool, otherwise: str) -> None:
    """Checks a claim.

    Args:
        holds: Whether the claim holds.
        otherwise: The failure message if it does not.

    Raises:
        StepFailed: The claim does not hold.
    """
    if not holds:
        raise StepFailed(otherwise)


async def together(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs coroutines at the same time; the first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in work:
                tasks.create_task(coroutine)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of all processes."""

    root: Path

    @property
    def simulator(self) -> Path:
        """The simulator's database, blobs and logs."""
        return self.root / "simulator"

    @property
    def messenger(self) -> Path:
        """The blobs, keys and logs of the partner's server, which includes its proxy."""
        return self.root / "messenger"

    def device(self, name: str) -> Path:
        """Returns the folder with all files of a person's device."""
        return self.root / "devices" / name.lower()


@dataclass(frozen=True, slots=True)
class Staging:
    """How to play the story."""

    explains: bool = False
    """Whether to explain each refusal as it happens."""
    seed: int | None = None
    """Makes every id from the server the same each time the story is played."""
    at_ms: int = 0
    """With a seed: the time at which the clocks of both servers stand, in milliseconds since the UNIX epoch."""
    bob: DeviceProgram = PYTHON
    """The program that is Bob's device."""
    opening: Opening = one_simulator
    """Gives the servers on which it plays."""

    def options(self) -> list[str]:
        """Returns the options of `interopsim up` that the story needs."""
        seeded = () if self.seed is None else ("--seed", str(self.seed), "--freeze-at", format_time(self.at_ms))
        return ["--limit", "reports_until_ban=1", *seeded]


@dataclass(slots=True)
class Stage:
    """Servers and people. An asynchronous context manager: it always ends all their processes."""

    inputs: Inputs
    folders: Folders
    timeline: Timeline
    ground: Ground
    staging: Staging = Staging()
    messenger: Child = field(init=False)
    alice: Person = field(init=False)
    bob: Person = field(init=False)
    carol: Person = field(init=False)
    secrets: list[Secret] = field(default_factory=list)
    """The secrets that the search at the end must not find."""
    carols_text: str = ""
    """Id of Carol's text to Alice."""
    bobs_node: int = 1
    """The number of the node to which Bob connects, where there are several."""
    explained: int = 0
    """How many refusals could be explained so far."""

    def __post_init__(self) -> None:
        folders = self.folders
        self.messenger = partner_server(folders.messenger / "messenger.log", folders.messenger / "data")

    def node_of(self, person: Person | None) -> Child:
        """Returns the server to which a person connects: with three of them, Alice, Bob and Carol have one each.

        Args:
            person: The person; None for the operator, who goes where Alice goes.
        """
        nodes = self.ground.nodes
        if person is None or person.user == ALICE_NUMBER:
            return nodes[0]
        return nodes[self.bobs_node % len(nodes)] if person.user == BOB_ADDRESS else nodes[-1]

    def place_of(self, person: Person) -> dict[str, Any]:
        """Returns the ready line of the server to which a person connects."""
        return dict(self.node_of(person).ready)

    async def start(self) -> None:
        """Starts servers and devices, as far as possible at the same time.

        Raises:
            ChildFailed: A process does not start.
        """
        self.folders.messenger.mkdir(parents=True, exist_ok=True)
        self.alice = self._person("Alice", WHATSAPP, {"user": ALICE_NUMBER})
        await together(self._start_nodes(), self.messenger.start(), self.alice.start())
        url = self.messenger.ready["base_url"]
        self.bob = self._person("Bob", MESSENGER, {"user": BOB_ADDRESS, "messenger": url}, self.staging.bob)
        carol = {"user": CAROL_ADDRESS, "messenger": url, "client_ip": CAROL_IP}
        self.carol = self._person("Carol", MESSENGER, carol)
        await together(self.tell_messenger(), self.bob.start(), self.carol.start())
        if self.staging.seed is not None:
            await self.set_messenger_clock(self.staging.at_ms, is_frozen=True)

    async def _start_nodes(self) -> None:
        first, *others = self.ground.nodes
        await first.start()  # alone: it makes the tables
        await together(*(node.start() for node in others))

    async def tell_messenger(self) -> None:
        """Tells the partner's server the current addresses of the simulator, to which Carol connects through it."""
        addresses = {name: self.ground.nodes[-1].ready[name] for name in ("grpc", "http", "root_public_key")}
        await self._post_to_messenger("/admin/simulator", addresses)

    async def set_messenger_clock(self, now_ms: int, *, is_frozen: bool) -> None:
        """Sets the clock of the partner's server to the simulator's, by which the simulator judges its tokens."""
        await self._post_to_messenger("/admin/clock", {"now_ms": now_ms, "frozen": is_frozen})

    async def _post_to_messenger(self, path: str, fields: Mapping[str, Any]) -> None:
        url = f"{self.messenger.ready['base_url']}{path}"
        async with aiohttp.ClientSession() as session, session.post(url, json=fields) as response:
            expect(response.ok, f"the messenger's server answered {response.status}: {await response.text()}")

    async def list_pushes(self, user: str, after: int, wait_seconds: float) -> list[dict[str, Any]]:
        """Returns the pushes that the partner's server has accepted for a user; waits for one if there is none."""
        query = {"user": user, "after": str(after), "wait_seconds": str(wait_seconds)}
        async with aiohttp.ClientSession() as session:
            url = f"{self.messenger.ready['base_url']}/pushes"
            async with session.get(url, params=query) as response:
                expect(response.ok, f"the messenger's server answered {response.status}: {await response.text()}")
                return list((await response.json())["pushes"])

    async def expect_refusal(self, reason: str, person: Person, do: str, **fields: Any) -> Refused:
        """Gives a person's device a command that the server must refuse for this reason, and returns the refusal.

        Raises:
            StepFailed: The server did not refuse it, refused it for another reason, or cannot explain the refusal.
        """
        try:
            await person.ask(do, **fields)
        except Refused as refused:
            expect(refused.reason == reason, f"{person} was refused with {refused}, expected {reason}")
            await self.explain(refused.request_id, person)
            return refused
        raise StepFailed(f"{person} was not refused, expected {reason}")

    async def explain(self, request_id: str, person: Person) -> None:
        """Checks that a person's refusal can be explained, as in `interopsim explain`; shows it if `explains` is set.

        Raises:
            StepFailed: The requirement, its evidence or the remedy is missing.
        """
        async with self.admin(person) as admin:
            explained = await admin.explain_refusal(request_id)
        known = explained.entry.requirement and explained.statement and explained.evidence and explained.advice
        expect(bool(known), f"nothing explains the refusal {request_id}")
        self.explained += 1
        if self.staging.explains:
            self.timeline.explain(explained)

    def admin(self, person: Person | None = None) -> AdminClient:
        """Returns a client of the simulator's admin service, at the node of a person where the person matters."""
        return AdminClient(self.node_of(person).ready["admin"])

    async def settle(self) -> dict[str, int]:
        """Waits until the mailboxes are empty, and returns how much the simulator stores, by kind.

        Raises:
            StepFailed: A mailbox does not become empty.
        """
        try:
            async with self.admin() as admin, asyncio.timeout(SETTLE_SECONDS):
                while True:
                    stored = dict((await admin.get_statistics()).stored)
                    if not stored["mailbox"]:
                        return stored
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise StepFailed(f"the mailboxes are not empty after {SETTLE_SECONDS:.0f} s") from error

    async def wait_until_gone(self, person: Person) -> None:
        """Waits until the simulator has noticed that a person is no longer connected.

        Raises:
            StepFailed: The simulator still lists the connection.
        """
        try:
            async with self.admin() as admin, asyncio.timeout(SETTLE_SECONDS):
                while True:
                    if person.jid not in {connection.jid for connection in await admin.list_connections()}:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise StepFailed(f"{person.name} is still connected after {SETTLE_SECONDS:.0f} s") from error

    async def wait_until_recorded(self, action: str) -> None:
        """Waits until the running simulator has an action in its journal.

        Raises:
            StepFailed: The action is not in the journal in time.
        """
        try:
            async with (
                self.admin() as admin,
                asyncio.timeout(SETTLE_SECONDS),
                aclosing(admin.read_journal(action=action, follow=True)) as entries,
            ):
                await anext(entries)
        except TimeoutError as error:
            raise StepFailed(f"{action} is not in the journal after {SETTLE_SECONDS:.0f} s") from error

    def keep_secret(self, name: str, text: str) -> str:
        """Adds a text to the secrets that the search at the end must not find, and returns it."""
        self.secrets.append(text_secret(name, text))
        return text

    async def see_off(self) -> None:
        """Switches all devices off, one after the other, so that a seeded journal ends with the same lines."""
        for person in (self.carol, self.bob, self.alice):
            await person.stop()
            await self.wait_until_gone(person)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        people = [person for name in ("alice", "bob", "carol") if (person := getattr(self, name, None)) is not None]
        # People first: a device whose server stops would only log the lost connection.
        await asyncio.gather(*(person.stop() for person in people), return_exceptions=True)
        servers = (*self.ground.nodes, self.messenger)
        await asyncio.gather(*(server.stop() for server in servers), return_exceptions=True)

    def _person(self, name: str, messenger: str, settings: dict[str, str], device: DeviceProgram = PYTHON) -> Person:
        if self.staging.seed is not None:
            settings["id_prefix"] = name.lower()
        return Person(name, messenger, self.folders.device(name), settings, device)
