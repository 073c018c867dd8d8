"""How long a process takes from its start to its first answer."""

import statistics
import time

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop_demo.processes import simulator
from tests.bench.bare_client import BareCalls, bare_server, encode_sizes
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings

STARTS = 5


async def measure_ready(settings: Settings) -> list[Figure]:
    """Measures starts of both servers in turn, each simulator with a new database."""
    times: list[float] = []
    ceilings: list[float] = []
    for number in range(STARTS):
        ceilings.append(await _start_bare(settings))
        times.append(await _start_simulator(settings, number))
    note = f"median of {STARTS} starts with a new database, to health SERVING; slowest {max(times):.3g} s"
    return [Figure("ready_seconds", statistics.median(times), "s", statistics.median(ceilings), note)]


async def _start_simulator(settings: Settings, number: int) -> float:
    started = time.perf_counter()
    async with simulator(settings.folder / "ready.log", settings.folder / f"ready-{number}.db") as server:
        async with grpc.aio.insecure_channel(str(server.ready["grpc"])) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            elapsed = time.perf_counter() - started
        if health.status != health_pb2.HealthCheckResponse.SERVING:
            raise WrongAnswer("ready, but not SERVING")
    return elapsed


async def _start_bare(settings: Settings) -> float:
    started = time.perf_counter()
    async with (
        bare_server(settings.folder / "bare.log") as server,
        grpc.aio.insecure_channel(str(server.ready["grpc"])) as channel,
    ):
        await BareCalls(channel).answer(encode_sizes(1))
        return time.perf_counter() - started
