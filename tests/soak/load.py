"""A steady mixed load: messages at a rate, receipts, acks, reconnects, prekeys, blobs, and days that pass."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interop_client.errors import ConnectionEnded
from partner_server import SigningKeys
from tests.chaos.blobs import Blobs
from tests.chaos.cast import Act
from tests.chaos.choices import Accounts, Operator, Settings, opt_in
from tests.chaos.letters import Correspondent, Pace
from tests.chaos.prekeys import PreKeys
from tests.chaos.stage import Place, Stage, open_stage
from tests.soak.memory import Sample, resident

PAIRS = 10
"""Of a WhatsApp user and a third-party user who write to each other."""
BATCHES_PER_SECOND = 5
CONNECTED_SECONDS = 20.0
"""How long a person stays before it reconnects, on average."""
MOST_AHEAD = 200
"""Messages of one person that have not come; on a machine that cannot carry the rate, the rate printed is lower."""
HOURS_PER_MINUTE = 8
"""How fast the clock of the server goes: what it keeps for a day is gone after three minutes."""
SECONDS_PER_ADVANCE = 10.0
SAMPLE_SECONDS = 1.0
MOST_WHO_STAY = 50
"""People whose accounts are not deleted again: a world that grows takes memory, as it should."""
SECONDS_BETWEEN_PREKEYS = 10.0
"""Each of them is remembered for long (KEY-04): a few, so that these do not add up to anything."""
KEPT_FOR_A_DAY = ("mailbox_days", "sent_message_days", "report_days", "report_weight_days", "recent_chat_days")


@dataclass(frozen=True)
class Soak:
    """What is run."""

    folder: Path
    minutes: float
    rate: int
    """Messages a second, of all people together."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the server."""
        return tuple(word for name in KEPT_FOR_A_DAY for word in ("--limit", f"{name}=1"))


async def run(soak: Soak, progress: Callable[[Sample], None]) -> list[Sample]:
    """Runs the load for so long, and samples the server's memory.

    Raises:
        Broken: The server did not keep a promise.
    """
    async with open_stage(Place(soak.folder, SigningKeys(), soak.arguments)) as stage:
        await stage.start()
        people = await _people(stage, soak.rate)
        others = await _others(stage)
        samples: list[Sample] = []
        loads = [asyncio.create_task(_come_and_go(person)) for person in people]
        loads += [asyncio.create_task(other.work()) for other in others]
        sampling = asyncio.create_task(_sample(stage, people, soak.minutes * 60, samples, progress))
        try:
            done, _ = await asyncio.wait([sampling, *loads], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sampling, *loads):
                task.cancel()
            await asyncio.gather(sampling, *loads, return_exceptions=True)
            await stage.kill()
            await asyncio.gather(*(each.close() for each in (*people, *others)))
    return samples


async def _people(stage: Stage, rate: int) -> list[Correspondent]:
    pace = Pace(max(1, rate // (2 * PAIRS * BATCHES_PER_SECOND)), 1 / BATCHES_PER_SECOND, MOST_AHEAD)
    people: list[Correspondent] = []
    for _ in range(PAIRS):
        one, other = Correspondent(await stage.whatsapp_user()), Correspondent(await stage.third_party_user())
        await one.person.connect()
        await opt_in(one.person)
        await one.person.close()
        one.write_to(other)
        other.write_to(one)
        people += [one, other]
    for person in people:
        person.pace = pace
    return people


async def _others(stage: Stage) -> list[Act]:
    takers = [await stage.whatsapp_user() for _ in range(2)]
    prekeys = PreKeys(await stage.third_party_user(), takers)
    blobs = Blobs(await stage.whatsapp_user(), random.Random(0))
    operator = Operator(stage)
    settings, accounts = Settings(await stage.whatsapp_user(), random.Random(0)), Accounts(stage)
    for each in (prekeys, blobs, settings, accounts):
        each.pause_seconds = 1.0
    prekeys.pause_seconds = SECONDS_BETWEEN_PREKEYS
    accounts.most_who_stay = MOST_WHO_STAY
    operator.pause_seconds = SECONDS_PER_ADVANCE
    operator.step_ms = int(HOURS_PER_MINUTE * 60_000 * SECONDS_PER_ADVANCE)
    for taker in takers:
        await taker.connect()
        await opt_in(taker)
        await taker.close()
    others: list[Act] = [prekeys, blobs, settings, accounts, operator]
    for other in others:
        await other.return_()
        await other.check()
    return others


async def _come_and_go(person: Correspondent) -> None:
    rng = random.Random(person.jid)
    while True:
        await person.return_()
        with suppress(TimeoutError, ConnectionEnded):
            async with asyncio.timeout(rng.uniform(0.5, 1.5) * CONNECTED_SECONDS):
                await person.work()
        await person.close()


async def _sample(
    stage: Stage, people: list[Correspondent], seconds: float, samples: list[Sample], progress: Callable[[Sample], None]
) -> None:
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        acked = sum(written.acked for person in people for written in person.written)
        samples.append(Sample(now, resident(stage.pid), acked))
        progress(samples[-1])
        await asyncio.sleep(SAMPLE_SECONDS)
