"""What an attack costs the server, and the people who have nothing to do with it: memory at its peak, and a message."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from interop_client.client import InteropClient
from interop_client.messaging.events import TextReceived
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.threats.report import Attack

MIB = 1 << 20
MOST_BYTES = 400 * MIB
"""What the server may take up while it is attacked."""
WAIT_SECONDS = 120.0
"""For a message: how long it takes is measured and not asserted, as it depends on the machine."""


def peak_bytes(pid: int) -> int:
    """What a process has taken up at most since the last `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1_024


def forget_peak(pid: int) -> None:
    """Starts the measurement of the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def write(sender: InteropClient, recipient: InteropClient) -> None:
    """Sends a message, and returns once the other has it."""
    with suppress(TimeoutError):  # the SDK waits 30 s for an ack: what is sent arrives all the same
        await sender.send_text(recipient.jid, "Are you there?")
    await recipient.wait_for(TextReceived, WAIT_SECONDS)


@asynccontextmanager
async def bystanders(world: World, pid: int, attack: Attack) -> AsyncIterator[None]:
    """Two people who write to each other before the block, and at its end, during the attack; memory is bounded."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bystander", QUIET)
    await write(alice, bob)  # in whose session the message during the attack is sent
    forget_peak(pid)
    yield
    began = time.monotonic()
    await write(alice, bob)
    took_ms = (time.monotonic() - began) * 1_000
    peak = peak_bytes(pid)
    attack.measures(f"Peak memory of the server {peak // MIB} MiB; another client's message took {took_ms:.0f} ms")
    assert peak < MOST_BYTES, f"{peak // MIB} MiB"
