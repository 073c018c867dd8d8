"""The client with which load is made speaks HTTP/2 as gRPC does."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.bench.bare_client import bare_server
from tests.bench.bare_server import SERVICE
from tests.bench.raw_call import RawCall
from tests.bench.report import WrongAnswer

SIZES = (0, 1, 16_384 - 5, 16_384 - 4, 70_000, 3 << 20)
"""In one frame, in two, and in more than may be on the way at a time."""


async def test_messages_come_back_as_they_went(tmp_path: Path) -> None:
    """Whatever their length, in their order, many under way at once."""
    messages = [os.urandom(size) for size in SIZES * 3]
    async with bare_server(tmp_path / "log") as bare:
        call = await RawCall.open(str(bare.ready["grpc"]), f"/{SERVICE}/Echo")

        async def write() -> None:
            for message in messages:
                await call.write(message)

        _, came = await asyncio.gather(write(), _read(call, len(messages)))
        call.close()
    assert came == messages


async def test_the_end_of_a_call_is_told(tmp_path: Path) -> None:
    """That of one that the server does not know, and of one whose server has gone."""
    async with bare_server(tmp_path / "log") as bare:
        address = str(bare.ready["grpc"])
        unknown, gone = (
            await RawCall.open(address, f"/{SERVICE}/Nothing"),
            await RawCall.open(address, "/bare.Bare/Echo"),
        )
        with pytest.raises(WrongAnswer, match="it is over"):
            await unknown.read()
        await gone.write(b"x")
        assert await gone.read() == b"x"
        unknown.close()
    with pytest.raises(WrongAnswer):
        await gone.read()
    gone.close()


async def _read(call: RawCall, count: int) -> list[bytes]:
    return [await call.read() for _ in range(count)]
