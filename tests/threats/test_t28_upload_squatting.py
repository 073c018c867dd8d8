"""T28: who knows the hash of somebody's upload holds it up, spoils it, or finds out where it is."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from interop_api.v1 import media_pb2
from interop_demo.processes import Child
from interop_protocol.encoding import media_token
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk, chunks, new_uploader
from tests.e2e.outcomes import refused
from tests.threats.bystanders import MIB, MOST_BYTES, forget_peak, peak_bytes
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T28"), pytest.mark.requirement("SIM-06")]

CONTENT = os.urandom(3 << 20)
TOKEN = media_token(sha256(CONTENT).digest())
SQUATTERS = 8


async def squat(squatter: Uploader) -> None:
    """Begins the upload with bytes of one's own, and holds it open until cancelled."""

    async def poison() -> AsyncIterator[media_pb2.UploadRequest]:
        yield squatter.start(CONTENT)
        yield chunk(bytes(1 << 20))
        await asyncio.Event().wait()

    await squatter.transport.upload(poison())


async def has_begun(squatter: Uploader) -> None:
    """Waits until the server has what a squatter sent."""
    while (await squatter.status(TOKEN)).committed_bytes == 0:
        pass


@pytest.mark.requirement("MED-05", "MED-07")
async def test_nobody_holds_up_or_spoils_somebody_elses_upload(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """The squatters were first, and hold on; the owner uploads, breaks off, resumes and finishes meanwhile."""
    alice = await new_uploader(world)
    squatters = [await new_uploader(world) for _ in range(SQUATTERS)]
    forget_peak(simulator_process.pid)
    attack.tries(f"Holding open {SQUATTERS} uploads under the hash of somebody else's blob, with other bytes in them")
    squatting = [asyncio.create_task(squat(squatter)) for squatter in squatters]
    try:
        for squatter in squatters:
            await has_begun(squatter)
        begun = time.perf_counter()
        assert await refused(alice.upload(alice.start(CONTENT), chunk(CONTENT[: 1 << 20]))) == "UPLOAD_LENGTH_MISMATCH"
        assert (await alice.status(TOKEN)).committed_bytes == 1 << 20
        path = await alice.upload(
            alice.start(CONTENT, offset=1 << 20), *chunks(CONTENT[1 << 20 : 2 << 20], CONTENT[2 << 20 :])
        )
        taken_ms = (time.perf_counter() - begun) * 1_000
    finally:
        for task in squatting:
            task.cancel()
        await asyncio.gather(*squatting, return_exceptions=True)
    parts = [part.chunk async for part in alice.transport.download(media_pb2.DownloadRequest(direct_path=path))]
    assert b"".join(parts) == CONTENT
    peak = peak_bytes(simulator_process.pid)
    assert peak < MOST_BYTES
    attack.holds("The owner's upload goes on where it was, finishes, and is what she sent")
    attack.measures(f"Peak memory {peak // MIB} MiB; her upload of 3 MiB, in two parts, took {taken_ms:.0f} ms")


@pytest.mark.requirement("MED-05", "MED-07")
async def test_a_hash_alone_tells_nothing(world: World, attack: Attack) -> None:
    """Neither that there is such a blob, nor how much of it, nor its path; nor does beginning to upload it."""
    alice, eve = await new_uploader(world), await new_uploader(world)
    attack.tries("Asking for the status of somebody's blob by its hash, and uploading other bytes under the hash")
    unknown = await eve.status(TOKEN)
    path = await alice.upload(
        alice.start(CONTENT), *chunks(CONTENT[: 1 << 20], CONTENT[1 << 20 :][: 1 << 20], CONTENT[2 << 20 :])
    )
    assert await eve.status(TOKEN) == unknown == media_pb2.GetUploadStatusResponse()
    assert await refused(eve.upload(eve.start(CONTENT))) == "UPLOAD_LENGTH_MISMATCH"
    assert await refused(eve.upload(eve.start(CONTENT, length=5), chunk(b"other"))) == "UPLOAD_HASH_MISMATCH"
    assert (await alice.status(TOKEN)).direct_path == path
    for token in (f"{TOKEN}=", TOKEN[:-1], f"{TOKEN}A", f" {TOKEN}"):
        assert await refused(alice.status(token)) == "UPLOAD_TOKEN_INVALID"
    attack.holds("The answers are those for a hash that nobody has uploaded; the owner still has her path")
