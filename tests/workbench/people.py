"""A simulator with people and a page, as `up --people` starts it, and a user of its messenger who writes to them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from interop_client.media.upload import media_host
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_demo.processes import simulator
from interop_protocol.endpoint import Endpoint


@dataclass(frozen=True)
class Running:
    """A simulator that runs with people."""

    facts: dict[str, Any]
    """Its ready line."""
    http: aiohttp.ClientSession
    stack: AsyncExitStack

    @property
    def page(self) -> str:
        """Where the page is."""
        return str(self.facts["ui"])

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.from_ready_line(json.dumps(self.facts))

    def jid(self, name: str) -> str:
        """The JID of a person."""
        return str(next(person["jid"] for person in self.facts["people"] if person["name"] == name))

    async def user(self, name: str) -> ThirdPartyClient:
        """A user of the ready-made messenger: enlisted, connected, with prekeys; closed at the end."""

        async def get_token() -> str:
            async with self.http.post(self.facts["partner"]["tokens"], json={"user": name}) as response:
                return str((await response.json())["token"])

        client = ThirdPartyClient.direct(self.endpoint, ClientState.generate(), get_token)
        self.stack.push_async_callback(client.close)
        await client.enlist(await get_token())
        await client.connect()
        await client.publish_prekeys(20)
        return client

    async def send_picture(self, user: ThirdPartyClient, to: str, path: Path, caption: str) -> str:
        """Sends a picture, and returns the message's id."""
        host = media_host(self.facts["partner"]["media_url"])
        return (await user.send_image(to, path, host, caption=caption)).id

    async def tell(self, path: str, **body: object) -> dict[str, Any]:
        """Tells a person to do something, as `interopsim user` does."""
        headers = {"Authorization": f"Bearer {self.facts['workbench']['key']}"}
        async with self.http.post(f"{self.page}api/{path}", json=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


@asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncIterator[Running]:
    """Runs a simulator with these options of `interopsim up`."""
    async with (
        simulator(folder / "simulator.log", arguments=arguments) as child,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as stack,
    ):
        yield Running(dict(child.ready), http, stack)
