"""Puts the workbench together: people, feed, service and page on one port; knows nothing of the command line."""

import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from interop_protocol.endpoint import Endpoint
from interop_workbench.cast import Cast
from interop_workbench.feed import Feed
from interop_workbench.page import Page
from interop_workbench.person import Person
from interop_workbench.service import Service, summary
from interop_workbench.world import World
from partner_server.serving import serving

STOP_SECONDS = 2.0
"""How long requests may take when the workbench ends."""


@dataclass(frozen=True, slots=True)
class PageChoice:
    """Whether there is a page to look at."""

    is_served: bool
    is_in_control: bool
    """Whether it can change anything."""


class Bench:
    """The workbench of one simulator, on a loopback port. An asynchronous context manager.

    Args:
        endpoint: The simulator.
        cast: Who takes part.
        folder: For what they receive; temporary.
        seed: Makes repeatable what they do; None leaves it to chance.
        page: Whether there is a page.
    """

    def __init__(self, endpoint: Endpoint, cast: Cast, folder: Path, seed: int | None, page: PageChoice) -> None:
        self._world = World(endpoint, cast, folder, seed, self._tell)
        self._service = Service(self._world)
        self._feed = Feed(self._world.admin)
        self._page = page
        self._resources = AsyncExitStack()
        self.url = ""
        """Where it is reached; empty until it runs."""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    def facts(self) -> dict[str, Any]:
        """Returns what a client needs to know, for the ready line of the simulator."""
        facts: dict[str, Any] = {"workbench": {"url": self.url, "key": self._service.key, "pid": os.getpid()}}
        if self._page.is_served:
            facts["ui"] = f"{self.url}/"
        if self._world.cast.partner is None:
            return facts
        role, server = self._world.cast.partner, self._world.partner
        partner = {
            "integrator": role.integrator,
            "name": role.name,
            "issuer": server.issuer,
            "base_url": server.base_url,
            "media_url": server.media_url,
            "proxy_url": server.proxy_url,
            "tokens": f"{server.base_url}/tokens",
        }
        people = [
            {name: each[name] for name in ("name", "phone_number", "jid", "habit")}
            for each in map(summary, self._world.people)
        ]
        return facts | {"partner": partner, "people": people, "first_token": "interopsim token bob"}

    async def _start(self) -> None:
        listener = self._resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await self._resources.enter_async_context(self._world)
        self._resources.push_async_callback(self._feed.close)
        application = self._service.application()
        if self._page.is_served:
            page = Page(self._world, self._feed, self._service.key if self._page.is_in_control else "")
            application.add_routes(page.routes())
            application.on_shutdown.append(page.stop)
        await self._resources.enter_async_context(serving(application, listener, STOP_SECONDS))

    def _tell(self, person: Person) -> None:
        self._feed.tell_changed(person.role.name)
