"""An operator's client whose calls count as evidence: those that only look do not stand in the simulator's journal."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from interop_admin.client import AdminClient
from tests.evidence import new_journal


class RecordedAdmin(AdminClient):
    """An operator's client that writes down which of its calls succeeded, in the form of a journal."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._channel = _RecordedChannel(self._channel)  # type: ignore[assignment]


class _RecordedChannel:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._journal = new_journal()

    def unary_unary(self, method: str, **options: Any) -> Callable[..., Awaitable[Any]]:
        call = self._channel.unary_unary(method, **options)

        async def recorded(*arguments: Any, **settings: Any) -> Any:
            response = await call(*arguments, **settings)
            _record(self._journal, method)
            return response

        return recorded

    def unary_stream(self, method: str, **options: Any) -> Callable[..., "_RecordedStream"]:
        call = self._channel.unary_stream(method, **options)
        return lambda *arguments, **settings: _RecordedStream(call(*arguments, **settings), self._journal, method)

    async def close(self) -> None:
        await self._channel.close()


class _RecordedStream:
    def __init__(self, call: Any, journal: Path, method: str) -> None:
        self._call = call
        self._journal = journal
        self._method = method

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for response in self._call:
            _record(self._journal, self._method)
            yield response

    def cancel(self) -> None:
        self._call.cancel()


def _record(journal: Path, method: str) -> None:
    service, name = method.split("/")[1:]
    with journal.open("a") as file:
        print(json.dumps({"action": f"{service.rpartition('.')[2]}.{name}", "outcome": "accepted"}), file=file)
