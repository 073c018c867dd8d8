"""The partner's server: puts its parts together and runs them on one port; knows nothing of the command line."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web

from interop_protocol.endpoint import ServerAddress
from partner_server.authkeys import AuthKeys
from partner_server.bodies import plain_bodies
from partner_server.clock import PartnerClock
from partner_server.keys import SigningKeys
from partner_server.local import OWN_HOST
from partner_server.media import MediaFolder, MediaRoutes
from partner_server.proxy import Proxy
from partner_server.push_tokens import PushVerifier, WhatsAppKeys
from partner_server.pushes import Push, PushInbox
from partner_server.routes import PUSH_PATH, Routes
from partner_server.serving import BACKLOG, serving
from partner_server.tokens import DEFAULT_TTL_SECONDS, TokenIssuer

MAX_BODY_BYTES = 16 * 1024
"""Longest body of a request, except of an upload."""
STOP_SECONDS = 5.0
"""How long running requests may take when the server stops."""


@dataclass(frozen=True, slots=True)
class PartnerSettings:
    """The settings of a partner's server."""

    folder: Path
    """Folder for blobs and auth keys; made when missing."""
    host: str = "127.0.0.1"
    """The address that it binds to; also the host in its URLs."""
    port: int = 0
    """0 lets the system choose."""
    issuer: str = ""
    """The `iss` of its tokens; its base URL when empty."""
    endpoint: ServerAddress | None = None
    """The simulator's addresses, if known already."""
    max_blob_bytes: int = 256 << 20
    """Longest blob that it hosts."""


class PartnerServer:
    """A partner's server. Use it as an async context manager, or call `start` and `stop`; it runs once.

    Args:
        settings: Its settings.
        keys: The keys that sign its tokens; None makes them at the start.
        now: The machine's time: seconds since the UNIX epoch.
    """

    def __init__(
        self, settings: PartnerSettings, keys: SigningKeys | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._now = PartnerClock(now)
        self._keys = keys
        self._inbox = PushInbox()
        self._endpoint = settings.endpoint
        self._whatsapp_keys: WhatsAppKeys | None = None
        self._resources = AsyncExitStack()
        self.base_url = ""
        """The base URL under which to register it; empty until it runs."""

    @property
    def keys(self) -> SigningKeys:
        """The keys that sign its tokens.

        Raises:
            RuntimeError: It was given no keys and has not started.
        """
        if self._keys is None:
            raise RuntimeError("the server has not started")
        return self._keys

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""
        return self._settings.issuer or self.base_url

    @property
    def push_url(self) -> str:
        """The URL to which WhatsApp posts pushes."""
        return self.base_url + PUSH_PATH

    @property
    def media_url(self) -> str:
        """The URL to which WhatsApp adds `/{reference}`."""
        return f"{self.base_url}/media"

    @property
    def proxy_url(self) -> str:
        """The URL at which clients open the proxy's WebSocket."""
        return f"{self.base_url}/proxy"

    async def start(self) -> None:
        """Begins to serve.

        Raises:
            OSError: The port is in use, or the folder cannot be used.
        """
        if self._keys is None:
            self._keys = await asyncio.to_thread(SigningKeys)
        try:
            await self._serve()
        except BaseException:
            await self._resources.aclose()
            raise

    async def stop(self) -> None:
        """Ends proxied connections, lets other requests finish, and frees the port. Idempotent."""
        await self._resources.aclose()

    def set_simulator(self, endpoint: ServerAddress) -> None:
        """Sets the simulator's addresses; open connections stay as they are."""
        self._endpoint = endpoint
        if self._whatsapp_keys is not None:
            self._whatsapp_keys.point_to(endpoint.http, endpoint.ca)

    @property
    def clock(self) -> PartnerClock:
        """The clock of the server."""
        return self._now

    def issue_token(self, user: str, ttl: int = DEFAULT_TTL_SECONDS, **overrides: object) -> str:
        """Vouches for a user, as `POST /tokens` does. See TokenIssuer.issue_token."""
        return TokenIssuer(self.issuer, self.keys).issue_token(user, self._now(), ttl, **overrides)

    def list_pushes(self, after: int = 0) -> list[Push]:
        """Returns the newest pushes with a number above `after`, oldest first."""
        return self._inbox.list_pushes(after=after)

    async def wait_for_push(self, user: str, timeout: float, after: int = 0) -> Push:
        """Waits for a push for a user with a number above `after`, which may have come already.

        Raises:
            TimeoutError: No push came within `timeout` seconds.
        """
        return await self._inbox.wait(user, after, timeout)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self) -> None:
        # Bound first: with port 0, the address in tokens and pushes is not known before.
        listener = self._resources.enter_context(
            socket.create_server((self._settings.host, self._settings.port), backlog=BACKLOG)
        )
        self.base_url = f"http://{self._settings.host}:{listener.getsockname()[1]}"
        http = await self._resources.enter_async_context(aiohttp.ClientSession())
        application = await self._application(http)
        await self._resources.enter_async_context(serving(application, listener, STOP_SECONDS))

    async def _application(self, http: aiohttp.ClientSession) -> web.Application:
        folder, now = self._settings.folder, self._now
        auth_keys = await asyncio.to_thread(AuthKeys, folder / "authkeys")
        media = await asyncio.to_thread(MediaFolder, folder / "media", self._settings.max_blob_bytes)
        self._whatsapp_keys = WhatsAppKeys(http, now)
        if self._endpoint is not None:
            self._whatsapp_keys.point_to(self._endpoint.http, self._endpoint.ca)
        issuer = TokenIssuer(self.issuer, self.keys)
        verifier = PushVerifier(self._whatsapp_keys, self.base_url, now)
        proxy = Proxy(issuer, auth_keys, lambda: self._endpoint, now)

        async def end_proxied_connections(_: web.Application) -> None:
            await proxy.stop()

        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[plain_bodies])
        application[OWN_HOST] = self._settings.host
        application.add_routes(Routes(issuer, self._inbox, verifier, auth_keys, self.set_simulator, now).routes())
        application.add_routes(MediaRoutes(media).routes())
        application.router.add_get("/proxy", proxy.serve)
        application.on_shutdown.append(end_proxied_connections)
        return application
