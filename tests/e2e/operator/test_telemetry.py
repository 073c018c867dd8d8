"""Spans of calls, sent by OTLP over HTTP to a collector; nothing of it without a flag."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from interop_api.v1 import interop_pb2
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.e2e.program import ANY_PORTS, loaded_by_a_plain_start, run, running

WAIT_SECONDS = 15.0
WRONG_USE = 2
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}


class Collector:
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Span] = []
        self.resources: list[dict[str, object]] = []
        self._grown = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        """Answers an export."""
        body = await request.read()
        message = ExportTraceServiceRequest.FromString(body)
        async with self._grown:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            for resource in message.resource_spans:
                self.resources.append(values(resource.resource.attributes))
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._grown.notify_all()
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    async def span(self, name: str, is_it: Callable[[Span], bool] = lambda _: True) -> Span:
        """Waits for a span."""
        async with asyncio.timeout(WAIT_SECONDS), self._grown:
            while True:
                for span in self.spans:
                    if span.name == name and is_it(span):
                        return span
                await self._grown.wait()


def values(attributes: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes as a dictionary."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes}


def events(span: Span, name: str) -> list[dict[str, object]]:
    """What it has of events of a name."""
    return [values(event.attributes) for event in span.events if event.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Runs a collector on loopback."""
    collector, application = Collector(), web.Application(client_max_size=1 << 24)
    application.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        collector.url = f"http://{host}:{port}"
        yield collector
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has spans sent soon, by one of the standard variables; a proxy of this machine is not for loopback."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def test_a_call_is_a_span_in_the_trace_of_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the conventional attributes, the id of the request, and why it was refused."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-tests")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=owls")
    async with collecting() as collector, running(tmp_path, "up", *ANY_PORTS, "--otlp", collector.url) as program:
        ready = await program.ready_line()
        async with grpc.aio.insecure_channel(ready["grpc"]) as channel:
            path = "/interop_api.v1.InteropService/OptIn"
            call = channel.unary_unary(path)(
                interop_pb2.OptInRequest().SerializeToString(),
                metadata=(*CALLER.items(), ("x-request-id", "abc-1"), ("authorization", "Bearer very-secret")),
            )
            with pytest.raises(grpc.aio.AioRpcError):
                await call
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/interop_api.v1.InteropService/Nonsense")(b"")
        span = await collector.span(path[1:])
        unknown = await collector.span("_OTHER")
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert span.kind == Span.SPAN_KIND_SERVER
    about = values(span.attributes)
    assert about["rpc.system"] == about["rpc.system.name"] == "grpc"
    assert about["rpc.service"] == "interop_api.v1.InteropService" and about["rpc.method"] == path[1:]
    assert about["rpc.response.status_code"] == "UNAUTHENTICATED" and about["rpc.grpc.status_code"] == 16
    assert about["interopsim.request_id"] == "abc-1" and about["interopsim.reason"] == "SESSION_DEAD"
    assert span.status.code == Status.STATUS_CODE_UNSET, "a refusal is the caller's error"
    [event] = events(span, "InteropService.OptIn")
    assert event["interopsim.outcome"] == "refused" and event["interopsim.request_id"] == "abc-1"
    assert values(unknown.attributes)["rpc.response.status_code"] == "UNIMPLEMENTED"
    assert unknown.status.code == Status.STATUS_CODE_ERROR
    assert collector.resources[0]["service.name"] == "my-tests" and collector.headers[0]["x-team"] == "owls"
    assert not any(b"very-secret" in body or b"Nonsense" in body for body in collector.bodies)


async def test_a_chat_shows_while_its_channel_is_open(tmp_path: Path) -> None:
    """The login and what each frame brought are spans of their own, which end; nothing secret is in them."""
    async with collecting() as collector, running(tmp_path, "up", *ANY_PORTS, "--otlp", collector.url) as program:
        endpoint = Endpoint.from_ready_line(json.dumps(await program.ready_line()))
        async with open_world(endpoint, SigningKeys(), tmp_path / "partner") as world:
            bob, alice = await world.third_party("bob"), await world.whatsapp()
            assert bob.jid
            await bob.send_text(alice.jid, "Nobody else may read this.")
            is_bobs = bob.jid
            login = await collector.span("chat.login", lambda span: bool(events(span, "chat.login")))
            frame = await collector.span("chat.frames", lambda span: bool(events(span, "stanza.message")))
            assert not [span for span in collector.spans if span.name == "interop_api.v1.ChatService/Connect"]
            token = world.partner.issue_token("bob")
        whole = await collector.span("interop_api.v1.ChatService/Connect", lambda span: span.trace_id == frame.trace_id)
        assert frame.parent_span_id == whole.span_id
        await collector.span("interop_api.v1.ChatService/Connect", lambda span: span.span_id == login.parent_span_id)
        [sent] = events(frame, "stanza.message")
        assert sent["interopsim.actor"] == is_bobs and sent["interopsim.outcome"] == "accepted"
        # After a reset, the new world's decisions are events too.
        assert (await run(tmp_path, "reset")).code == 0
        assert (await run(tmp_path, "partner", "suspend", "7")).code != 0
        changed = "interop_api.admin.v1alpha1.AdminService/PutPartner"
        await collector.span(changed, lambda span: bool(events(span, "AdminService.PutPartner")))
    everything = b"".join(collector.bodies)
    assert b"Nobody else" not in everything and token.split(".")[0].encode() not in everything


async def test_an_http_request_is_a_span_with_its_route_and_not_its_path(tmp_path: Path) -> None:
    """A path can be the key to what lies there."""
    async with collecting() as collector, running(tmp_path, "up", *ANY_PORTS, "--otlp", collector.url) as program:
        ready = await program.ready_line()
        async with aiohttp.ClientSession() as http, http.get(f"{ready['http']}/v/t/the-key?a=b", headers=CALLER) as got:
            request_id = got.headers["X-Request-Id"]
        span = await collector.span("GET /v/t{rest}")
        async with aiohttp.ClientSession() as http, http.get(f"{ready['http']}/no/such/page"):
            unknown = await collector.span("GET")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    about = values(span.attributes)
    assert about["http.route"] == "/v/t{rest}" and about["http.response.status_code"] == got.status
    assert about["interopsim.request_id"] == request_id and about["interopsim.reason"]
    assert values(unknown.attributes)["http.response.status_code"] == 404
    assert b"the-key" not in b"".join(collector.bodies)


async def test_what_a_caller_says_of_its_trace_is_believed_or_ignored(tmp_path: Path) -> None:
    """And never logged."""
    async with collecting() as collector, running(tmp_path, "up", *ANY_PORTS, "--otlp", collector.url) as program:
        ready = await program.ready_line()
        async with aiohttp.ClientSession() as http:
            for headers in (
                {"traceparent": "x" * 5_000},
                {"traceparent": f"00-{'0' * 32}-{PARENT_ID}-01"},
                {**CALLER, "tracestate": "=,evil=" * 100},
            ):
                async with http.get(f"{ready['http']}/.well-known/jwks", headers=headers) as answer:
                    assert answer.status == 200
        await collector.span("GET /.well-known/jwks", lambda span: span.trace_id.hex() == TRACE_ID)
        await collector.span("GET /.well-known/jwks", lambda span: span.parent_span_id == b"")
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert (ended.code, ended.stderr) == (0, "")


async def test_a_variable_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sentence, before anything is ready."""
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "many")
    ended = await run(tmp_path, "up", *ANY_PORTS, "--otlp", "http://127.0.0.1:9")
    assert ended.code == 1 and "OTEL_SPAN_EVENT_COUNT_LIMIT" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "is silent"])
async def test_a_collector_that_takes_nothing_costs_one_line(tmp_path: Path, *, is_silent: bool) -> None:
    """The simulator serves, and ends in time; the log says once what is lost."""

    async def keep(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)

    kept: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(keep, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    if not is_silent:
        listener.close()
        await listener.wait_closed()
    async with running(tmp_path, "up", *ANY_PORTS, "--otlp", f"http://127.0.0.1:{port}") as program:
        await program.ready_line()
        for _ in range(3):
            assert (await run(tmp_path, "partner", "list")).code == 0
        program.signal(signal.SIGTERM)
        ended = await program.end()
    for each in kept:
        each.close()
    listener.close()
    assert ended.code == 0
    [line] = ended.stderr.splitlines()
    assert "spans are lost" in line and f"127.0.0.1:{port}/v1/traces" in line


@pytest.mark.parametrize(
    "url", ["here", "127.0.0.1:4318", "ftp://a", "http://", "http://[", "http://a:99999", "http://a\x1b[31m"]
)
async def test_what_is_no_address_of_a_collector_is_told(tmp_path: Path, url: str) -> None:
    """At once, and shown harmlessly."""
    ended = await run(tmp_path, "up", *ANY_PORTS, "--otlp", url)
    assert ended.code == WRONG_USE and "not an address of a collector" in ended.stderr
    assert "\x1b" not in ended.stderr and "Traceback" not in ended.stderr


async def test_without_the_extra_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    """As wrong use, before anything is started."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    async with running(tmp_path, "up", *ANY_PORTS, "--otlp", "http://127.0.0.1:4318", path=tmp_path) as program:
        ended = await program.end()
    assert ended.code == WRONG_USE and "pip install 'interopsim[otel]'" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_plain_start_loads_nothing_of_it(tmp_path: Path) -> None:
    """Neither the packages nor the code that uses them."""
    imported = await loaded_by_a_plain_start(tmp_path)
    assert "interop_server.rpc.server" in imported
    assert not [
        name for name in imported if name.startswith("opentelemetry") or name.endswith((".spans", ".telemetry"))
    ]
