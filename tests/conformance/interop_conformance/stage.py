"""The stage of one check of a client: a messenger, WhatsApp users, and the subject's devices; knows no single check."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp

from interop_api.admin.v1alpha1 import admin_pb2, faults_pb2, journal_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import interop_pb2
from interop_client.options import ClientOptions
from interop_conformance.check import Check, NotSo
from interop_conformance.device import Device
from interop_conformance.drivers.driver import Driver, SubjectFailed
from interop_conformance.people import Person
from interop_conformance.record import Stanza
from interop_conformance.simulator import Simulator
from interop_conformance.use import Use
from partner_server import PartnerServer, PartnerSettings

WAIT_SECONDS = 10.0
"""Longest wait for one thing, before `--time-factor`."""
NEVER_SECONDS = 1.5
"""How long it is watched that something does not happen. A slow wrong client can escape, no right one is blamed."""
MOST_WATCHED = 10.0
"""By how much longer that is watched at most, however patient the kit is."""
CLIENT_IP = "203.0.113.7"
"""Where a proxied client is; reserved for documentation (RFC 5737)."""
PREKEYS = 20

_DAY_MS = 24 * 3_600_000


@dataclass
class StageParts:
    """What a stage is made of."""

    check: Check
    simulator: Simulator
    driver: Driver
    mode: str
    """`direct` or `proxy`."""
    folder: Path
    """For the messenger's files; made here."""
    name: str
    """Unique in the driver's run."""
    time_factor: float = 1.0


class Stage:
    """The stage. An asynchronous context manager: takes down all that was put up."""

    def __init__(self, parts: StageParts) -> None:
        self._parts = parts
        self._stack = AsyncExitStack()
        self._names = itertools.count(1)
        self._devices: list[Device] = []
        self._faults: list[str] = []
        self._jids: list[str] = []
        self.simulator = parts.simulator
        self.admin = parts.simulator.admin
        self.partner: PartnerServer
        self.record = parts.simulator.record
        self.driver = parts.driver
        self.mode = parts.mode
        self.patience = WAIT_SECONDS * parts.time_factor
        """How long to wait for one thing."""
        self.integrator = parts.simulator.next_integrator()
        """The messenger's number."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        self.simulator.check_runs()
        settings = PartnerSettings(
            self._parts.folder,
            issuer=f"https://messenger-{self.integrator}.example",
            endpoint=self.simulator.endpoint,
        )
        self.partner = PartnerServer(settings, keys=self.simulator.keys)
        await self._stack.enter_async_context(self.partner)
        if self._parts.check.is_alone:
            self._follow_clock((await self.admin.get_clock()).now_ms)  # an earlier check may have moved it
        if not await self.register():
            await self.admin.refresh_jwks(self.integrator)  # on a busy machine the first look can come to nothing

    async def __aexit__(self, *_: object) -> None:
        with suppress(SubjectFailed, TimeoutError):
            for device in self._devices:
                await self.driver.ask(device.name, seconds=self.patience, stop_device=pb.StopDeviceCommand())
        for device in self._devices:
            self.driver.forget(device.name)
        async with self._stack:
            if self._faults:
                await self.admin.clear_faults(*self._faults)

    async def register(self, **changes: Any) -> int:
        """Registers the messenger, or changes how it is registered; returns how many of its keys the server has."""
        partner = admin_pb2.Partner(
            integrator=self.integrator,
            name=f"Messenger {self.integrator}",
            issuer=self.partner.issuer,
            base_url=self.partner.base_url,
            push_url=self.partner.push_url,
            media_url=self.partner.media_url,
            status=interop_pb2.PARTNER_STATUS_ACTIVE,
            identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
            proxy_allowed=True,
        )
        partner.MergeFrom(admin_pb2.Partner(**changes))
        return await self.admin.put_partner(partner)

    async def device(self, user: str = "bob", *, read_receipts: bool = True, media_url: str = "") -> Device:
        """Starts a device of the subject for a user; it is not enlisted."""
        name = f"{self._parts.name}-{next(self._names)}"
        device = Device(self, name, user)
        start = pb.StartDeviceCommand(
            grpc=self.simulator.endpoint.grpc,
            http=self.simulator.endpoint.http,
            root_public_key=self.simulator.endpoint.root_public_key,
            user=user,
            media_url=media_url or self.partner.media_url,
            read_receipts=read_receipts,
        )
        if self.mode == "proxy":
            start.proxy.url = self.partner.proxy_url
            start.proxy.auth_public_key = await self._proxy_key(user)
            start.proxy.client_ip = CLIENT_IP
        self._devices.append(device)
        await device.do(start_device=start)
        return device

    async def bob(self, user: str = "bob", *, prekeys: int = PREKEYS, read_receipts: bool = True) -> Device:
        """Starts a device of the subject that is enlisted, connected, and has published prekeys."""
        device = await self.device(user, read_receipts=read_receipts)
        await device.enlist()
        await device.connect()
        await device.do(publish_prekeys=pb.PublishPreKeysCommand(count=prekeys))
        return device

    async def alice(self, *, opted_in: bool = True, options: ClientOptions | None = None) -> Person:
        """Makes a WhatsApp user who is connected, and has opted in for the messenger unless told otherwise."""
        person = Person(self.simulator, self.simulator.next_phone_number(), self.patience, options)
        self._stack.push_async_callback(person.close)
        await person.join()
        self.watch(person.jid)
        if opted_in:
            await person.client.accept_terms()
            await person.client.opt_in([self.integrator])
        return person

    async def pair(self) -> tuple[Person, Device]:
        """Makes both, at the same time."""
        alice, bob = await asyncio.gather(self.alice(), self.bob())
        return alice, bob

    async def talk(self, alice: Person, bob: Device, turns: int = 1) -> list[str]:
        """Has both write in turn, so that there is a session, and each side has answered the other.

        No two texts are the same: one that was shown before must not pass for another.

        Returns:
            Alice's texts.
        """
        texts = []
        for number in itertools.islice(self._names, turns):
            await bob.send(alice.jid, f"Bob's turn {number}")
            await alice.reads(f"Bob's turn {number}")
            texts.append(f"Alice's turn {number}")
            await alice.send(bob.jid, texts[-1])
            await bob.shows_text(texts[-1])
        return texts

    async def marker(self, alice: Person, bob: Device) -> None:
        """Sends a text and waits until it was shown: what came before it on Bob's channel is dealt with by then."""
        text = f"marker {next(self._names)}"
        await alice.send(bob.jid, text)
        await bob.shows_text(text)

    async def add_fault(self, name: str, match: Mapping[str, Any], times: int | None = None, **action: Any) -> str:
        """Has the simulator do wrong, until the check ends; returns the fault's name.

        Args:
            name: Short; made unique here.
            match: Fields of `FaultMatch`.
            times: How often; None for always.
            **action: One field of `Fault.action`, and `seed` or `chance_percent`.
        """
        full = f"{name}-{self.integrator}"
        await self.admin.add_faults(
            [faults_pb2.Fault(name=full, match=faults_pb2.FaultMatch(**match), times=times, **action)]
        )
        self._faults.append(full)
        return full

    async def fired(self, fault: str) -> int:
        """Returns how often a fault did something."""
        states = (await self.admin.list_faults()).faults
        return next(state.fired for state in states if state.fault.name == fault)

    async def clear_fault(self, fault: str) -> None:
        """Has the simulator do right again."""
        self._faults.remove(fault)
        await self.admin.clear_faults(fault)

    def watch(self, jid: str) -> None:
        """Has an account's wire and journal in the report."""
        self._jids.append(jid)

    def sent(self, jid: str, kind: str, where: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> list[Stanza]:
        """Returns the stanzas of a kind that an account's client sent so far, as the server saw them."""
        return [
            each for each in self.record.wire(jid) if each.is_from_client and each.kind == kind and where(each.fields)
        ]

    async def sends(
        self,
        jid: str,
        kind: str,
        where: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        what: str = "",
        count: int = 1,
    ) -> Stanza:
        """Waits until the server saw stanzas of a kind from an account's client, and returns the first.

        Raises:
            NotSo: It did not, in time.
            SubjectFailed: The driver is gone.
        """
        found = await self._seen(lambda: len(self.sent(jid, kind, where)) >= count)
        if not found:
            raise NotSo(f"the client sends {what or kind}", f"{len(self.sent(jid, kind, where))} of {count} in time")
        return self.sent(jid, kind, where)[0]

    def got(self, jid: str, kind: str, where: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> list[Stanza]:
        """Returns the stanzas of a kind that the server sent to an account so far."""
        wire = self.record.wire(jid)
        return [each for each in wire if not each.is_from_client and each.kind == kind and where(each.fields)]

    def decisions(
        self, actor: str, action: str, where: Callable[[journal_pb2.JournalEntry], bool] = lambda _: True
    ) -> list[journal_pb2.JournalEntry]:
        """Returns what the server decided so far about an action of an account, which begins as given."""
        return [each for each in self.record.journal(actor) if each.action.startswith(action) and where(each)]

    async def decides(
        self,
        actor: str,
        action: str,
        where: Callable[[journal_pb2.JournalEntry], bool] = lambda _: True,
        what: str = "",
    ) -> journal_pb2.JournalEntry:
        """Waits until the server decided something, and returns the first.

        Raises:
            NotSo: It did not, in time.
            SubjectFailed: The driver is gone.
        """
        if not await self._seen(lambda: bool(self.decisions(actor, action, where))):
            raise NotSo(what or f"the client calls {action}", "it did not, in time")
        return self.decisions(actor, action, where)[0]

    async def never(self, find: Callable[[], Any]) -> bool:
        """Watches the record for a while; says whether something was never found."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NEVER_SECONDS * min(self._parts.time_factor, MOST_WATCHED)):
                await self.record.wait(find)
                return False
        return True

    async def acked_all(self, jid: str) -> None:
        """Waits until an account's client acked all that was delivered to it so far (MSG-09).

        Raises:
            NotSo: It did not, in time.
        """
        due = {each.delivery_id for each in self.record.wire(jid) if not each.is_from_client and each.delivery_id}

        def answered() -> bool:
            acked = {str(value) for each in self.sent(jid, "ack") for value in each.fields.get("delivery_ids", ())}
            nacked = {str(each.fields.get("delivery_id", "")) for each in self.sent(jid, "nack")}
            return due <= acked | nacked

        if not await self._seen(answered):
            raise NotSo("the client acks what was delivered", "some deliveries were not acked in time")

    async def acked(self, jid: str, message_id: str) -> None:
        """Waits until an account's client acked a message, or said that it cannot take it (MSG-09, MSG-10).

        Raises:
            NotSo: It did not, in time.
        """

        def answered() -> bool:
            due = {each.delivery_id for each in self.got(jid, "message", lambda each: each.get("id") == message_id)}
            acked = {str(value) for each in self.sent(jid, "ack") for value in each.fields.get("delivery_ids", ())}
            nacked = {str(each.fields.get("delivery_id", "")) for each in self.sent(jid, "nack")}
            return bool(due & (acked | nacked))

        if not await self._seen(answered):
            raise NotSo("the client acks the message", "the server saw no ack of it in time")

    async def settle(self, alice: Person, bob: Device) -> None:
        """Has both write, and waits until the record has Bob's text.

        By then what came for him before Alice's text is dealt with, and what he sent before his own is in the record.
        """
        await self.marker(alice, bob)
        message_id = await bob.send(alice.jid, "settled")
        await self.sends(bob.jid, "message", lambda each: each.get("id") == message_id, "the text that it says it sent")

    def expect(self, claim: object, expected: str, got: object) -> None:
        """Raises NotSo unless a claim holds.

        Args:
            claim: The claim.
            expected: What should be, in a few words.
            got: What is.
        """
        if not claim:
            raise NotSo(expected, str(got)[:500])

    async def evidence(self) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """Returns the wire and the journal of everybody on the stage."""
        await self.record.catch_up(self.admin, self.patience)
        return self.record.shown(self._jids)

    async def add_use(self, use: Use) -> None:
        """Adds what the subject's devices used so far."""
        await self.record.catch_up(self.admin, self.patience)
        for jid in {device.jid for device in self._devices if device.jid}:
            use.add(self.record.journal(jid), self.record.wire(jid))

    async def came(self, jid: str, kind: str, where: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> bool:
        """Waits until the server has sent a stanza of a kind to an account; says whether it did in time."""
        return await self._seen(lambda: bool(self.got(jid, kind, where)))

    def hosted(self) -> list[Path]:
        """Returns the files that the messenger keeps for its users, whoever has put them there."""
        return [path for path in (self._parts.folder / "media").iterdir() if path.is_file()]

    async def _seen(self, find: Callable[[], Any]) -> bool:
        task = asyncio.ensure_future(self.record.wait(find))
        await asyncio.wait((task, self.driver.gone), timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        task.cancel()
        if self.driver.failure is not None and not find():
            raise self.driver.failure
        return bool(find())

    async def advance_clock(self, days: int) -> None:
        """Moves the simulator's time forward, and the messenger's with it; for checks that are alone."""
        self._follow_clock((await self.admin.advance_clock(days * _DAY_MS)).clock.now_ms)

    def _follow_clock(self, now_ms: int) -> None:
        self.partner.clock.set(now_ms / 1_000, is_frozen=False)

    async def _proxy_key(self, user: str) -> bytes:
        url = f"{self.partner.base_url}/proxy/authkey"
        async with aiohttp.ClientSession() as http, http.get(url, params={"user": user}) as response:
            response.raise_for_status()
            return bytes.fromhex((await response.json())["public_key"])
