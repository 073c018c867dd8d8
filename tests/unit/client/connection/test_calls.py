"""A call whose answer was lost is repeated under the same id if the server then does it once, and otherwise not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from interop_api.v1 import prekeys_pb2, prekeys_pb2_grpc
from interop_client.connection import calls
from interop_client.connection.calls import REPEAT_SECONDS, unary_call
from interop_client.errors import ServerRefusal

ADD = "/interop_api.v1.PreKeyService/AddOneTimePreKeys"
COUNT = "/interop_api.v1.PreKeyService/CountOneTimePreKeys"
ADDED = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=[prekeys_pb2.OneTimePreKey(key_id=1)])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "REPEAT_SECONDS", (0.0,) * len(REPEAT_SECONDS))


class Server(prekeys_pb2_grpc.PreKeyServiceServicer):
    """Does each call, and loses the first answers."""

    def __init__(self, lost: int, status: grpc.StatusCode) -> None:
        self.lost = lost
        self.status = status
        self.requests: list[Any] = []

    async def AddOneTimePreKeys(self, request: Any, context: Any) -> prekeys_pb2.AddOneTimePreKeysResponse:  # type: ignore[override]
        await self._lose(request, context)
        return prekeys_pb2.AddOneTimePreKeysResponse()

    async def CountOneTimePreKeys(self, request: Any, context: Any) -> prekeys_pb2.CountOneTimePreKeysResponse:  # type: ignore[override]
        await self._lose(request, context)
        return prekeys_pb2.CountOneTimePreKeysResponse()

    async def _lose(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        if len(self.requests) <= self.lost:
            await context.abort(self.status, "the answer is lost")


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[Callable[..., Any]]:
    listener = grpc.aio.server()
    prekeys_pb2_grpc.add_PreKeyServiceServicer_to_server(server, listener)  # type: ignore[no-untyped-call, unused-ignore]
    port = listener.add_insecure_port("127.0.0.1:0")
    await listener.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield lambda method, request, response: unary_call(channel, method, request, response)
    finally:
        await listener.stop(0)


@pytest.mark.parametrize("request_id", ["", "chosen-by-the-caller"])
async def test_a_lost_answer_is_asked_for_under_the_same_id(request_id: str) -> None:
    """Byte for byte the same request; another call has another id; the caller's message is left as it is."""
    server = Server(lost=2, status=grpc.StatusCode.UNAVAILABLE)
    request = prekeys_pb2.AddOneTimePreKeysRequest(request_id=request_id)
    request.MergeFrom(ADDED)
    async with calling(server) as call:
        for _ in range(2):
            await call(ADD, request, prekeys_pb2.AddOneTimePreKeysResponse)
    first, *repetitions, other = server.requests
    assert repetitions == [first, first]
    assert list(first.one_time_prekeys) == list(ADDED.one_time_prekeys)
    assert len(first.request_id) >= 16
    assert (first.request_id == other.request_id) == bool(request_id)
    assert request.request_id == request_id


@pytest.mark.parametrize(
    ("method", "status", "attempts"),
    [
        (ADD, grpc.StatusCode.UNAVAILABLE, 1 + len(REPEAT_SECONDS)),
        (ADD, grpc.StatusCode.INVALID_ARGUMENT, 1),
        (ADD, grpc.StatusCode.DEADLINE_EXCEEDED, 1),
        (COUNT, grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
async def test_what_cannot_help_is_not_repeated(method: str, status: grpc.StatusCode, attempts: int) -> None:
    """A refusal, a call without an id, what took its whole time already, and what fails for good."""
    server = Server(lost=99, status=status)
    kinds = {
        ADD: (ADDED, prekeys_pb2.AddOneTimePreKeysResponse),
        COUNT: (prekeys_pb2.CountOneTimePreKeysRequest(), prekeys_pb2.CountOneTimePreKeysResponse),
    }
    async with calling(server) as call:
        with pytest.raises(ServerRefusal, match=status.name):
            await call(method, *kinds[method])
    assert len(server.requests) == attempts
