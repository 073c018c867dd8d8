"""What tools find on the ports: reflection, health and the ready line; and how a server that is told to stop goes."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from interop_admin.client import AdminClient
from interop_client.messaging.events import ConnectionLost
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from interop_server.rpc.interceptor import FOREIGN_BYTES
from tests.e2e.program import ANY_PORTS, Program, left_behind, running

WAIT_SECONDS = 10.0
SERVICES = {
    "grpc": {
        f"interop_api.v1.{name}Service"
        for name in ("Enlistment", "Chat", "PreKey", "Interop", "Media", "Integrity", "Account")
    },
    "admin": {
        f"interop_api.admin.v1alpha1.{name}Service"
        for name in ("Admin", "Clock", "Fault", "Journal", "Standing", "Trace")
    },
}
EVERYWHERE = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
SURFACES = tuple(SERVICES)
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("surface", SURFACES)
def test_reflection_v1alpha_describes_every_service(simulator_process: Child, surface: str) -> None:
    """As older tools ask; each service of the port with all its methods, and none of the other port."""
    with grpc.insecure_channel(simulator_process.ready[surface]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == SERVICES[surface] | EVERYWHERE
        pool = DescriptorPool(database)
        for name in SERVICES[surface]:
            assert pool.FindServiceByName(name).methods


@pytest.mark.parametrize("surface", SURFACES)
async def test_reflection_v1_describes_every_service(simulator_process: Child, surface: str) -> None:
    """As newer tools ask: the messages are those of v1alpha under another name."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
            for name in sorted(SERVICES[surface] | EVERYWHERE - {"grpc.reflection.v1.ServerReflection"})
        ),
    ]
    async with grpc.aio.insecure_channel(simulator_process.ready[surface]) as channel:
        ask = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed, *files = [response async for response in ask(iter(requests), timeout=WAIT_SECONDS)]
    assert {service.name for service in listed.list_services_response.service} == SERVICES[surface] | EVERYWHERE
    for response in files:
        assert response.file_descriptor_response.file_descriptor_proto, response.error_response


@pytest.mark.parametrize("surface", SURFACES)
async def test_health_is_serving_as_a_whole_and_for_each_service(simulator_process: Child, surface: str) -> None:
    """And unknown for a service of the other port."""
    other = SURFACES[1 - SURFACES.index(surface)]
    async with grpc.aio.insecure_channel(simulator_process.ready[surface]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", *SERVICES[surface]):
            request = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(request, timeout=WAIT_SECONDS)).status == SERVING
        for service in SERVICES[other]:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_SECONDS)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.requirement("SIM-06")
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    "path",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_requests_of_other_services_are_short(simulator_process: Child, surface: str, path: str) -> None:
    """What is kept while somebody watches, or echoed to who asks, is bounded as well; what fits is answered."""
    async with grpc.aio.insecure_channel(simulator_process.ready[surface]) as channel:

        async def ask(size: int) -> grpc.StatusCode:
            field = 0x1A if "reflection" in path else 0x0A
            text = b"x" * (size - 3)
            call = channel.stream_stream(path)(timeout=WAIT_SECONDS)
            try:
                await call.write(bytes((field, len(text) & 0x7F | 0x80, len(text) >> 7)) + text)
                await call.done_writing()
                assert len(await call.read()) < 2 * size
            except grpc.aio.AioRpcError as error:
                return error.code()
            call.cancel()
            return grpc.StatusCode.OK

        assert await ask(FOREIGN_BYTES) in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)
        assert await ask(FOREIGN_BYTES + 1) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.requirement("SIM-06")
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_nothing_compressed_is_unpacked(
    simulator_process: Child, surface: str, algorithm: grpc.Compression
) -> None:
    """A few bytes could become many before anybody has measured them; others are served meanwhile."""
    address = simulator_process.ready[surface]
    request = health_pb2.HealthCheckRequest(service=" " * 1_000)
    async with grpc.aio.insecure_channel(address, compression=algorithm) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == SERVING


@pytest.mark.requirement("LIF-01")
async def test_http_serves_whatsapps_keys(simulator_process: Child) -> None:
    """The third port: partners verify pushes with what it says (LIF-01)."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{simulator_process.ready['http']}/.well-known/jwks") as response,
    ):
        assert response.status == 200
        [key] = (await response.json())["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert not {"d", "p", "q"} & set(key)


def test_the_ready_line_says_everything_a_client_needs(simulator_process: Child) -> None:
    """All addresses are loopback, on ports that the system chose; the root key is 32 bytes."""
    ready = simulator_process.ready
    assert set(ready) == {"event", "grpc", "admin", "http", "root_public_key", "db", "pid", "version"}
    assert (ready["event"], ready["db"], ready["pid"]) == ("ready", None, simulator_process.pid)
    addresses = [f"http://{ready['grpc']}", f"http://{ready['admin']}", ready["http"]]
    assert {urlsplit(address).hostname for address in addresses} == {"127.0.0.1"}
    assert len({urlsplit(address).port for address in addresses}) == len(addresses)
    assert len(bytes.fromhex(ready["root_public_key"])) == 32


@pytest_asyncio.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    """A simulator of the test's own, to be stopped by it."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        yield program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_server_that_is_told_to_stop_ends_cleanly(program: Program, tmp_path: Path, number: int) -> None:
    """Exit code 0; clients are told; nothing on stdout but the ready line; the temporary folder is gone."""
    endpoint = endpoint_of(await program.ready_line())
    [folder] = left_behind(tmp_path)
    assert folder.startswith("interopsim-")
    state = ClientState.generate()
    async with AdminClient(endpoint.admin) as admin:
        state.jid = await admin.put_whatsapp_user("+4915112345678", state.auth_public_key)
    async with WhatsAppClient.direct(endpoint, state) as alice:
        program.signal(number)
        lost = await alice.wait_for(ConnectionLost)
        assert lost.reason == "SERVER_DRAINING" and lost.advice
    ended = await program.end()
    assert (ended.code, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr and "ERROR" not in ended.stderr
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("surface", SURFACES)
async def test_health_says_not_serving_before_a_server_goes(program: Program, surface: str) -> None:
    """A load balancer that watches hears of it before the stream ends."""
    ready = await program.ready_line()
    async with grpc.aio.insecure_channel(ready[surface]) as channel:
        request = health_pb2.HealthCheckRequest(service="")
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=WAIT_SECONDS)
        assert (await watch.read()).status == SERVING
        program.signal(signal.SIGTERM)
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
    assert (await program.end()).code == 0


async def test_a_server_that_stops_waits_for_nobody_for_ever(program: Program) -> None:
    """A client that never goes is cut off after the grace period."""
    ready = await program.ready_line()
    async with grpc.aio.insecure_channel(ready["grpc"]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
        await watch.read()
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0


def endpoint_of(ready: dict[str, Any]) -> Endpoint:
    return Endpoint(ready["grpc"], bytes.fromhex(ready["root_public_key"]), ready["http"], ready["admin"])
