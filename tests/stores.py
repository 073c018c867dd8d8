"""The store that a test runs on: the one place in the tests that names storage engines, except for their own tests.

An engine joins by an entry in `ENGINES`: then it must keep the contract in `tests/contract/store`. Every other test
runs on one engine, since all keep the same contract.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.store import Store
from interop_server.storage import SqliteStore

ENGINES: dict[str, Callable[[Path], Awaitable[Store]]] = {
    "sqlite": lambda folder: SqliteStore.open(folder / "store.db"),
}
"""Opens the store of a folder, the same one each time, by the name of the engine."""


async def open_store(folder: Path, engine: str = "sqlite") -> Store:
    """Opens the store of a folder; a folder that has none gets an empty one."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    return await ENGINES[engine](folder)


def note_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes from now on which calls are made of a store, such as `mailbox.put`."""
    calls: list[str] = []

    def noted(name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def note(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return await call(*args, **kwargs)

        return note

    for field in fields(Store):
        concern = getattr(store, field.name)
        for name in dir(concern):
            if not name.startswith("_"):
                monkeypatch.setattr(concern, name, noted(f"{field.name}.{name}", getattr(concern, name)))
    return calls
