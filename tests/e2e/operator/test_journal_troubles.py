"""A journal file that cannot be written stops nothing but itself, and health says so."""

import json
import os
import signal
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop_admin.client import AdminClient
from tests.e2e.program import ANY_PORTS, running

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health(address: str, *names: str) -> list[int]:
    """What health says of services, by name, on one of the two gRPC addresses."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return [(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names]


@pytest.mark.requirement("SIM-07")
async def test_a_full_device_stops_the_file_alone(tmp_path: Path) -> None:
    """Calls are answered, sweeps go on, the log and the operator's statistics say it once, and SIGTERM ends it."""
    async with running(tmp_path, "up", *ANY_PORTS, "--journal", "/dev/full") as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin:
            for number in range(3):
                await admin.put_whatsapp_user(f"+4915110000{number}00", bytes(range(32)))
            fired = (await admin.advance_clock(86_400_000)).fired
            assert "key_sets" in {timer.name for timer in fired}
            [(part, sentence)] = (await admin.get_statistics()).troubles.items()
            assert part == "journal" and "/dev/full" in sentence and sentence.endswith(".")
        for surface in ("grpc", "admin"):
            assert await health(ready[surface], "", "journal", "storage") == [SERVING, NOT_SERVING, SERVING]
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 0
    assert [line for line in ended.stderr.splitlines() if "/dev/full" in line and "ERROR" in line] != []
    assert ended.stderr.count("/dev/full") == 1 and "Traceback" not in ended.stderr


async def test_the_file_goes_on_when_it_can(tmp_path: Path) -> None:
    """A reader of a pipe that is stuck, and reads on: whole lines, and one that says how many are missing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with running(tmp_path, "up", *ANY_PORTS, "--journal", str(pipe)) as program:
            ready = await program.ready_line()
            async with AdminClient(ready["admin"]) as admin:

                async def decide(count: int) -> None:
                    for _ in range(count):
                        await admin.put_whatsapp_user("+49151100000000", bytes(range(32)))

                while "journal" not in (await admin.get_statistics()).troubles:
                    await decide(100)
                written = os.read(reader, 1 << 20)
                await decide(1)
                assert not (await admin.get_statistics()).troubles
            assert await health(ready["grpc"], "journal") == [SERVING]
            written += os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    number = missed = 0
    for entry in [json.loads(line) for line in written.splitlines() if line]:
        number += entry.get("missed", 0)
        missed += entry.get("missed", 0)
        if "missed" not in entry:
            number += 1
            assert entry["number"] == number
    assert missed > 0
