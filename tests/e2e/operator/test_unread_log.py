"""A server whose log nobody reads: a stopped terminal, a collector that stands still."""

import asyncio
import json
import subprocess
import sys

import grpc.aio
import pytest

CALLS = 1_000
"""Each logs a line when it is refused: more than a pipe holds."""


@pytest.mark.requirement("SIM-06")
async def test_a_log_that_nobody_reads_stops_nobody() -> None:
    """Every call is answered, and the server stops when it is told to, with the status of a server that did."""
    arguments = ("up", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", "127.0.0.1:0")
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interop_server", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert server.stdout is not None and server.stderr is not None
        server.stderr._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio would read it all
        ready = json.loads(await server.stdout.readline())
        async with grpc.aio.insecure_channel(ready["grpc"]) as channel:
            call = channel.unary_unary("/interop_api.v1.InteropService/ListPartners")
            for _ in range(CALLS):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(b"", timeout=60)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        server.terminate()
        server.stderr._transport.resume_reading()  # type: ignore[attr-defined]
        await server.stderr.read()
        assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
