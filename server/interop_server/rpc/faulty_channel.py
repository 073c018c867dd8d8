"""One chat channel under faults: what they do to its stanzas, either way; knows no rule and no frame."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Refusal
from interop_server.core.fault_rules import (
    Close,
    Delay,
    Direction,
    Drop,
    Duplicate,
    Ending,
    FlipBits,
    Forge,
    ForgeReceipt,
    Hold,
    LoseAnswer,
    Refuse,
    Reorder,
    Truncate,
)
from interop_server.core.faults import Event, Fired
from interop_server.core.journal import under_fault
from interop_server.fault_gate import FaultGate, Severed, refusal_of
from interop_server.rpc.connections import LiveConnection
from interop_server.rpc.faulty_stanzas import (
    damaged,
    damaged_bytes,
    forged,
    forged_receipt,
    is_answer,
    peer_of,
    requirement_of,
)

Take = Callable[[Sequence[stanza_pb2.Stanza]], Awaitable[None]]
"""Does honestly what stanzas of a client ask for."""
Refuser = Callable[[stanza_pb2.Stanza, Refusal], Awaitable[None]]
"""Answers a stanza with a refusal."""


class FaultyChannel:
    """The faults that one connection meets.

    Args:
        gate: The faults.
        live: The connection.
        put: Sends serialised stanzas that no fault meets any more.
    """

    __slots__ = (
        "_faults", "_gate", "_has_ended", "_is_mute", "_late", "_live", "_overtaken", "_overtaken_answers", "_put",
        "_turn",
    )  # fmt: skip

    def __init__(self, gate: FaultGate, live: LiveConnection, put: Callable[[Iterable[bytes]], None]) -> None:
        self._gate = gate
        self._faults = gate.faults
        self._live = live
        self._put = put
        self._turn = asyncio.Lock()
        self._late: list[asyncio.Task[None]] = []
        self._overtaken: list[stanza_pb2.Stanza] = []
        self._overtaken_answers: list[bytes] = []
        self._has_ended = False
        self._is_mute = False
        """Whether the answers to what is being taken are lost."""

    @property
    def is_on(self) -> bool:
        """Says whether there is any fault."""
        return self._faults.is_on or self._is_mute

    async def close(self) -> None:
        """Gives up what is still delayed or held."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def receive(self, stanzas: Sequence[stanza_pb2.Stanza], take: Take, refuse: Refuser) -> None:
        """Takes stanzas of the client, in order, under the faults that meet them.

        Args:
            stanzas: As they came.
            take: Does honestly what they ask for.
            refuse: Answers one with a refusal.
        """
        async with self._turn:
            honest: list[stanza_pb2.Stanza] = []
            for stanza in stanzas:
                fired = self._meet(stanza, Direction.TO_SERVER)
                if fired is None:
                    honest.append(stanza)
                else:
                    await take(honest)
                    honest = []
                    with under_fault(fired.name):
                        await self._do(fired, stanza, take, refuse)
                if fired is None or not isinstance(fired.action, Reorder):
                    honest += self._overtaken
                    self._overtaken = []
            await take(honest)

    async def _do(self, fired: Fired, stanza: stanza_pb2.Stanza, take: Take, refuse: Refuser) -> None:
        match fired.action:
            case Refuse():
                await refuse(stanza, refusal_of(fired))
            case Duplicate(copies):
                await take([stanza] * (1 + copies))
            case Reorder():
                self._overtaken.append(stanza)
            case Truncate() | FlipBits():
                await take([damaged(stanza, fired)])
            case Close(ending):
                self._end(ending)
                await asyncio.get_running_loop().create_future()  # until the channel is closed
            case LoseAnswer():
                await self._take_mutely(stanza, take)
            case ForgeReceipt():
                await take([stanza])
                self._put([forged_receipt(stanza, fired, self._gate.clock.now_ms())])
            case Delay() | Hold():
                self._later(self._take_later(fired, stanza, take))
            case _:
                assert isinstance(fired.action, Drop)

    async def _take_mutely(self, stanza: stanza_pb2.Stanza, take: Take) -> None:
        self._is_mute = True
        try:
            await take([stanza])
        finally:
            self._is_mute = False

    async def _take_later(self, fired: Fired, stanza: stanza_pb2.Stanza, take: Take) -> None:
        await self._gate.wait(fired)
        async with self._turn:
            with under_fault(fired.name):
                await take([stanza])

    def outgoing(self, stanzas: Iterable[bytes]) -> list[bytes]:
        """Returns what is sent in the place of serialised stanzas."""
        sent: list[bytes] = []
        for serialized in stanzas:
            if self._is_mute and is_answer(serialized):
                continue
            stanza = stanza_pb2.Stanza.FromString(serialized)
            fired = None if self._has_ended else self._meet(stanza, Direction.TO_CLIENT)
            if self._has_ended:
                break
            sent += [serialized] if fired is None else self._sent(fired, stanza, serialized)
            if fired is None or not isinstance(fired.action, Reorder):
                sent += self._overtaken_answers
                self._overtaken_answers = []
        return sent

    def _sent(self, fired: Fired, stanza: stanza_pb2.Stanza, serialized: bytes) -> list[bytes]:
        match fired.action:
            case Duplicate(copies):
                return [serialized] * (1 + copies)
            case Reorder():
                self._overtaken_answers.append(serialized)
            case Truncate() | FlipBits():
                return [damaged_bytes(stanza, serialized, fired)]
            case Forge() as forgery:
                return [forged(stanza, forgery)]
            case Close(ending):
                self._end(ending)
            case Delay() | Hold():
                self._later(self._send_later(fired, serialized))
            case _:
                assert isinstance(fired.action, Drop)
        return []

    async def _send_later(self, fired: Fired, serialized: bytes) -> None:
        await self._gate.wait(fired)
        self._put([serialized])

    def _meet(self, stanza: stanza_pb2.Stanza, direction: Direction) -> Fired | None:
        peer = peer_of(stanza)
        return self._faults.meet(
            Event(
                stanza.WhichOneof("kind") or "",
                direction,
                is_stanza=True,
                actor=self._live.account.jid,
                peers=(peer,) if peer else (),
                mode=self._live.facts.mode,
                requirement=requirement_of(stanza),
            )
        )

    def _end(self, ending: Ending) -> None:
        self._has_ended = True
        self._live.finish(None if ending is Ending.CLEAN else Severed())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="fault")
        self._late.append(task)
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._late.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._live.finish(error)
