"""T30: one account uploads until the disk is full that everybody's messages are on."""

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from interop_api.v1 import media_pb2
from interop_demo.processes import Child
from interop_protocol.encoding import media_token
from interop_server.core.limits import Limits
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk, new_uploader
from tests.e2e.raw import check
from tests.threats.bystanders import MIB, bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T30"), pytest.mark.requirement("SIM-06", "MED-07")]

LARGEST = Limits().max_blob_bytes
FIT = Limits().upload_burst // LARGEST


async def begin(mallory: Uploader, content: bytes) -> asyncio.Task[media_pb2.UploadResponse]:
    """Begins an upload that is to be as large as any, and holds it open until cancelled."""
    start = mallory.start(content, length=LARGEST)

    async def endless() -> AsyncIterator[media_pb2.UploadRequest]:
        yield start
        yield chunk(content)
        await asyncio.Event().wait()

    task = asyncio.create_task(mallory.transport.upload(endless()))
    while (await mallory.status(start.start.upload_token)).committed_bytes == 0:
        assert not task.done(), task.exception()
    return task


async def test_one_account_cannot_fill_the_disk(world: World, simulator_process: Child, attack: Attack) -> None:
    """Neither with many large uploads at once nor with a file for each hash; others write and upload meanwhile."""
    mallory, other = await new_uploader(world), await new_uploader(world)
    contents = [os.urandom(MIB) for _ in range(FIT)]
    more = os.urandom(1_000)
    async with bystanders(world, simulator_process.pid, attack):
        attack.tries(f"Beginning {FIT + 1} uploads of {LARGEST // MIB} MiB each, and 100 small ones at a wrong offset")
        uploads = [await begin(mallory, content) for content in contents]
        try:
            check(refusal := await mallory.refusal(mallory.start(more, length=LARGEST), chunk(more)), "RATE_LIMITED")
            for number in range(100):
                wrong = mallory.start(sha256(bytes((number,))).digest(), length=2, offset=1)
                assert (await mallory.refusal(wrong)).reason in {"UPLOAD_OFFSET_MISMATCH", "RATE_LIMITED"}
            assert (await other.upload(other.start(more), chunk(more))).startswith("/v/t")
        finally:
            for upload in uploads:
                upload.cancel()
            await asyncio.gather(*uploads, return_exceptions=True)
    kept = [(await mallory.status(media_token(sha256(content).digest()))).committed_bytes for content in contents]
    assert kept == [MIB] * FIT
    assert refusal.retry_after_ms
    attack.holds(
        f"{FIT} are taken, the next is refused and told to come back in {refusal.retry_after_ms // 3_600_000} hours; "
        "another account uploads meanwhile"
    )
