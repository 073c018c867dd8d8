"""One node of a world as a process that is killed and started again; knows nothing of what it promises."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from interop_server.crash_points import VARIABLE

_FAULTS = (" ERROR ", "Traceback", "SERVER_FAULT")


class Node:
    """One node of a world, through all its lives.

    Args:
        name: What it is called.
        folder: For its log.
        arguments: Options of `interopsim up`, about what it shares with others and its limits.
        environment: Variables besides those of this process.
    """

    def __init__(self, name: str, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = folder / f"{name}.log"
        self._log_length = 0
        self._child: Child | None = None
        self._death: asyncio.Task[str]
        self.endpoint: Endpoint

    @property
    def is_up(self) -> bool:
        """Whether it is not known to be dead."""
        return self._child is not None and not self._death.done()

    async def start(self, crash_at: str = "", name: str = "") -> None:
        """Starts it, and tells it where to die, if anywhere.

        Args:
            crash_at: Where, as `POINT:N`.
            name: What it is called in this life, if not as in all: its own is free some seconds after a kill.

        Raises:
            ChildFailed: It does not become ready.
        """
        arguments = ["-m", "interop_server", "up", "--until-stdin-ends", "--log-level", "warning"]
        for surface in ("--grpc", "--admin", "--http"):
            arguments += [surface, "127.0.0.1:0"]
        arguments += [*self._arguments, "--node", name or self.name]
        environment = {VARIABLE: crash_at, "PYTHONDONTWRITEBYTECODE": ""}
        child = Child(self.name, arguments, self._log, {**self._environment, **environment})
        ready = await child.start()
        self._child, self._death = child, asyncio.create_task(child.read_line())
        root = bytes.fromhex(ready["root_public_key"])
        self.endpoint = Endpoint(ready["grpc"], root, ready["http"], str(ready["admin"]))

    async def died(self, within_seconds: float) -> bool:
        """Says whether it came to its end by itself in time."""
        await asyncio.wait([self._death], timeout=within_seconds)
        return self._death.done()

    async def kill(self) -> None:
        """Ends it with SIGKILL, if it lives."""
        child, self._child = self._child, None
        if child is not None:
            await (child.wait() if self._death.done() else child.kill())
            await self._death

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._child is not None
        return self._child.pid

    def faults(self) -> list[str]:
        """What it has logged that it must not, since the last call."""
        text = self._log.read_text(errors="replace")
        news, self._log_length = text[self._log_length :], len(text)
        return [line for line in news.splitlines() if any(word in line for word in _FAULTS)]
