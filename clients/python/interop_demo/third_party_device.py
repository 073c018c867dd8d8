"""The device of a third-party user; knows its partner's server by URL only."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from interop_client.client import InteropClient
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.messaging.events import TrustedContact
from interop_client.third_party import ThirdPartyClient
from interop_demo.device import OPTIONS, CommandFailed, Device, DevicePlace, address_of
from interop_protocol.endpoint import ServerAddress

_CHUNK_BYTES = 256 * 1024


class ThirdPartyDevice(Device):
    """Connects itself, or through the partner's proxy when the user has enlisted for that.

    Args:
        place: The surroundings of the device.
        messenger: Base URL of the partner's server.
        user: User-visible identifier.
        client_ip: Public address that the partner's load balancer sees; empty for a user who connects directly.
    """

    def __init__(self, place: DevicePlace, messenger: str, user: str, client_ip: str = "") -> None:
        super().__init__(place)
        self._messenger = messenger
        self._user = user
        self._client_ip = client_ip

    async def make_client(self, server: ServerAddress) -> InteropClient:
        """Makes the client for a new connection. See Device."""
        state = self.load_state()
        if not self._client_ip:
            return ThirdPartyClient.direct(server, state, self._get_token, self.file, OPTIONS)
        login = ProxyLogin(self._user, state.jid, self._get_token)
        transport = ProxyTransport(f"{self._messenger}/proxy", login, self._client_ip)
        return ThirdPartyClient(transport, state, self.file, OPTIONS)

    async def enlist(self, simulator: dict[str, str]) -> dict[str, Any]:
        """Enlists with the documented form post, with the proxy's auth key if the user connects through the proxy."""
        server = address_of(simulator)
        client = ThirdPartyClient.direct(server, self.load_state(), self._get_token, self.file)
        auth_key = bytes.fromhex(await self._get_proxy_key()) if self._client_ip else b""
        return {"jid": await client.enlist_over_http(server.http, await self._get_token(), auth_key)}

    async def send_image(self, to: str, file: str, mimetype: str) -> dict[str, Any]:
        """Sends an image that the partner's server hosts."""
        sent = await self._third_party.send_image(to, Path(file), self._host, mimetype=mimetype)
        return {"id": sent.id}

    async def ping_reachability(self, phone_number: str, display_name: str) -> dict[str, Any]:
        """Tells a WhatsApp user that this user would like to write; the server does not say whether it arrives."""
        await self._third_party.send_reachability_ping(phone_number, display_name)
        return {}

    async def wait_for_trust(self) -> dict[str, Any]:
        """Waits until a WhatsApp user counts this user as known."""
        trusted = await self._wait_for(TrustedContact, "the mark of a trusted contact")
        return {"jid": trusted.jid, "expires_at_ms": trusted.expires_at_ms}

    @property
    def _third_party(self) -> ThirdPartyClient:
        assert isinstance(self.client, ThirdPartyClient)
        return self.client

    async def _host(self, blob: Path) -> str:
        reference = os.urandom(16).hex()
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=60)) as session,
            session.put(f"{self._messenger}/media/{reference}", data=self._read_blob(blob)) as response,
        ):
            await _check(response)
        return reference

    async def _read_blob(self, blob: Path) -> AsyncIterator[bytes]:
        sent, length = 0, (await asyncio.to_thread(blob.stat)).st_size
        with await asyncio.to_thread(blob.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk
                sent += len(chunk)
                self.progress(sent, length)

    async def _get_token(self) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self._messenger}/tokens", json={"user": self._user}) as response,
        ):
            await _check(response)
            return str((await response.json())["token"])

    async def _get_proxy_key(self) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._messenger}/proxy/authkey", params={"user": self._user}) as response,
        ):
            await _check(response)
            return str((await response.json())["public_key"])


async def _check(response: aiohttp.ClientResponse) -> None:
    if not response.ok:
        raise CommandFailed(f"the messenger's server answered {response.status}: {await response.text()}")
