"""WhatsApp's public keys as the messenger sees them, and push tokens that WhatsApp would never sign; knows no check."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt

from partner_server import SigningKeys

JWKS_PATH = "/.well-known/jwks"
ELSEWHERE_PATH = "/elsewhere/jwks"
"""Where a token's header can say that its key is; nobody should ask."""
ISSUER = "WHATSAPP"
LIFE_SECONDS = 3_600
_FETCH_SECONDS = 30.0


class KeyPlace:
    """Serves the simulator's keys with one of the kit's beside it. An asynchronous context manager.

    Args:
        host: To listen at.
        port: 0 lets the system choose.
        simulator_http: Base URL of the simulator.
        keys: The kit's own.
    """

    def __init__(self, host: str, port: int, simulator_http: str, keys: SigningKeys) -> None:
        self._host, self._port = host, port
        self._simulator_http = simulator_http
        self._keys = keys
        self._all: Sequence[Mapping[str, Any]] = ()
        self._stack = AsyncExitStack()
        self.base_url = ""
        self.asked_elsewhere = 0
        """How often somebody asked where only a forged token leads."""

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(self._simulator_http + JWKS_PATH) as answer:
            self._all = [*(await answer.json())["keys"], *self._keys.jwks()["keys"]]
        application = web.Application()
        application.router.add_get(JWKS_PATH, self._serve)
        application.router.add_get(ELSEWHERE_PATH, self._serve_elsewhere)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await self._stack.aclose()
            raise
        host, port = runner.addresses[0][:2]
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": self._all})

    async def _serve_elsewhere(self, _: web.Request) -> web.Response:
        self.asked_elsewhere += 1
        return web.json_response({"keys": self._all})


class Dates:
    """Seconds, each another one: two tokens of the same second would be alike."""

    def __init__(self) -> None:
        self._used: set[int] = set()

    def next(self) -> int:
        """Returns the latest second until now that was not used yet."""
        second = int(time.time())
        while second in self._used:
            second -= 1
        self._used.add(second)
        return second


class PushTokens:
    """Makes tokens of pushes, good ones and others.

    Args:
        keys: Served, so that what they sign can be right.
        stranger: Not served.
        audience: The messenger's base URL.
        dates: When tokens are issued.
    """

    def __init__(self, keys: SigningKeys, stranger: SigningKeys, audience: str, dates: Dates) -> None:
        self._key, self._stranger = keys.current, stranger.current
        self._audience = audience
        self._dates = dates

    def claims(self, **others: Any) -> dict[str, Any]:
        """Returns the claims of a good token, with other values where given; None leaves one out."""
        issued = self._dates.next()
        claims = {"iss": ISSUER, "aud": self._audience, "iat": issued, "exp": issued + LIFE_SECONDS, **others}
        return {name: value for name, value in claims.items() if value is not None}

    def good(self, **others: Any) -> str:
        """Returns a token that only differs from a good one in the claims that are given."""
        return jwt.encode(self._header(), self.claims(**others), self._key, algorithms=["RS256"])

    def expired(self) -> str:
        """Returns one that was good until an hour ago."""
        now = int(time.time())
        return self.good(iat=now - 2 * LIFE_SECONDS, exp=now - LIFE_SECONDS)

    def of_unknown_key(self) -> str:
        """Returns one under a key that is not served, which it names."""
        header = {"alg": "RS256", "kid": str(self._stranger.kid), "typ": "JWT"}
        return jwt.encode(header, self.claims(), self._stranger, algorithms=["RS256"])

    def of_wrong_key(self) -> str:
        """Returns one that names a key that is served, and is signed with another."""
        return jwt.encode(self._header(), self.claims(), self._stranger, algorithms=["RS256"])

    def without_kid(self) -> str:
        """Returns a good one that names no key."""
        return jwt.encode({"alg": "RS256", "typ": "JWT"}, self.claims(), self._key, algorithms=["RS256"])

    def unsigned(self, algorithm: str = "none") -> str:
        """Returns one without a signature."""
        return f"{self._signing_input({**self._header(), 'alg': algorithm})}."

    def of_shared_secret(self) -> str:
        """Returns one whose secret is the public key, which everybody has."""
        secret = self._public_pem()
        signing_input = self._signing_input({**self._header(), "alg": "HS256"})
        return f"{signing_input}.{_encoded(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"

    def with_own_key(self) -> str:
        """Returns one that brings its key with it."""
        public = {name: str(value) for name, value in self._stranger.as_dict(private=False).items()}
        return self._signed_by_hand({"alg": "RS256", "kid": str(self._stranger.kid), "typ": "JWT", "jwk": public})

    def with_key_elsewhere(self, url: str) -> str:
        """Returns one that says where its key can be fetched."""
        return self._signed_by_hand({"alg": "RS256", "kid": str(self._stranger.kid), "typ": "JWT", "jku": url})

    def altered(self) -> str:
        """Returns a good one, whose claims were changed after it was signed."""
        header, _, signature = self.good(aud="https://elsewhere.example").split(".")
        return f"{header}.{_encoded(json.dumps(self.claims()).encode())}.{signature}"

    def _header(self) -> dict[str, Any]:
        return {"alg": "RS256", "kid": str(self._key.kid), "typ": "JWT"}

    def _signing_input(self, header: Mapping[str, Any]) -> str:
        return f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(self.claims()).encode())}"

    def _signed_by_hand(self, header: Mapping[str, Any]) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        signing_input = self._signing_input(header)
        private = self._stranger.private_key
        assert private is not None
        return f"{signing_input}.{_encoded(private.sign(signing_input.encode(), PKCS1v15(), SHA256()))}"

    def _public_pem(self) -> bytes:
        return self._key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
