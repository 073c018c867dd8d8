"""A messenger's server on loopback, and a WhatsApp that serves keys and signs pushes with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt

from interop_protocol.endpoint import ServerAddress
from partner_server import PartnerServer, PartnerSettings, SigningKeys

NOW = 1_800_000_000


class Time:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass
class WhatsApp:
    """Signs pushes, and counts how often its keys are fetched."""

    keys: SigningKeys
    url: str = ""
    fetches: int = 0
    is_down: bool = False

    @property
    def endpoint(self) -> ServerAddress:
        return ServerAddress("127.0.0.1:1", bytes(32), self.url)

    def token(self, audience: str, key: SigningKeys | None = None, kid: str | None = None, **overrides: object) -> str:
        signing = (key or self.keys).current
        claims = {"iss": "WHATSAPP", "aud": audience, "iat": NOW, "exp": NOW + 3600, **overrides}
        header = {"alg": "RS256", "kid": str(signing.kid) if kid is None else kid}
        return jwt.encode({name: value for name, value in header.items() if value}, claims, signing)

    async def serve_keys(self, _: web.Request) -> web.Response:
        self.fetches += 1
        if self.is_down:
            raise web.HTTPInternalServerError
        return web.json_response(self.keys.jwks())


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture(scope="session")
def keys() -> SigningKeys:
    """Keys of a messenger; for tests that do not rotate them."""
    return SigningKeys()


@pytest.fixture(scope="session")
def whatsapp_keys() -> SigningKeys:
    return SigningKeys()


@pytest.fixture
async def partner(tmp_path: Path, keys: SigningKeys, clock: Time) -> AsyncIterator[PartnerServer]:
    async with PartnerServer(PartnerSettings(tmp_path, max_blob_bytes=1 << 20), keys, clock) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def whatsapp(partner: PartnerServer, whatsapp_keys: SigningKeys) -> AsyncIterator[WhatsApp]:
    """A WhatsApp that the messenger knows of."""
    async with _serve(WhatsApp(whatsapp_keys)) as simulator:
        partner.set_simulator(simulator.endpoint)
        yield simulator


@asynccontextmanager
async def _serve(simulator: WhatsApp) -> AsyncIterator[WhatsApp]:
    application = web.Application()
    application.router.add_get("/.well-known/jwks", simulator.serve_keys)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        simulator.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield simulator
    finally:
        await runner.cleanup()
