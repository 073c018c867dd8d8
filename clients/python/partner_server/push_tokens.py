"""Verifies that a push comes from WhatsApp; knows nothing of a push's content."""

import asyncio
from collections.abc import Callable

import aiohttp
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from interop_client.connection.opening import https_context
from interop_protocol.json_text import read_json
from interop_protocol.sizes import MAX_TOKEN_BYTES
from partner_server.tokens import TokenRefused, verified_claims

WHATSAPP_ISSUER = "WHATSAPP"
JWKS_PATH = "/.well-known/jwks"
JWKS_LIFE_SECONDS = 300
JWKS_REFETCH_SECONDS = 10
MAX_JWKS_BYTES = 64 * 1024
CLOCK_SKEW_SECONDS = 30
_FETCH_TIMEOUT = aiohttp.ClientTimeout(total=5)


class JwksUnavailable(Exception):
    """WhatsApp's key set is not available now, so a push can be neither accepted nor refused: try again later."""


class WhatsAppKeys:
    """WhatsApp's public keys, fetched over HTTP and cached.

    Fetches when the copy is old or lacks the key that a token names; once it has a copy, at most once in ten seconds,
    so that forged `kid`s cannot make this server flood WhatsApp's. Fetches never overlap.
    """

    def __init__(self, http: aiohttp.ClientSession, now: Callable[[], float]) -> None:
        self._http = http
        self._now = now
        self._url: str | None = None
        self._tls = https_context("")
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    def point_to(self, base_url: str, ca: str = "") -> None:
        """Fetches keys from this simulator from now on, and forgets those of another.

        Args:
            base_url: Of its HTTP surface.
            ca: The certificate to trust, as PEM; empty for those of the system.
        """
        self._url, self._tls = base_url + JWKS_PATH, https_context(ca)
        self._keys = None
        self._fetched_at = float("-inf")

    async def keys_for(self, key_id: str) -> KeySet:
        """Returns the key set; fetches it anew when it lacks `key_id`.

        Raises:
            JwksUnavailable: No fetch has succeeded so far.
        """
        async with self._fetching:
            age = self._now() - self._fetched_at
            is_known = self._keys is not None and any(key.kid == key_id for key in self._keys.keys)
            if age > (JWKS_LIFE_SECONDS if is_known else JWKS_REFETCH_SECONDS):
                await self._fetch()
            if self._keys is None:
                raise JwksUnavailable("WhatsApp's key set is not there yet")
            return self._keys

    async def _fetch(self) -> None:
        if self._url is None:
            raise JwksUnavailable("no simulator is set")
        try:
            request = self._http.get(self._url, timeout=_FETCH_TIMEOUT, allow_redirects=False, ssl=self._tls)
            async with request as response:
                response.raise_for_status()
                text = await _read_bounded(response)
            self._keys = KeySet.import_key_set(read_json(text))
        except (aiohttp.ClientError, TimeoutError, JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            # An old copy is better than no copy (RFC 7517 sets no lifetime): only a first fetch has no copy to use.
            if self._keys is None:
                raise JwksUnavailable("WhatsApp's key set could not be fetched") from error
        self._fetched_at = self._now()


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_JWKS_BYTES:
            raise ValueError("the key set is too large")
    return bytes(body)


class PushVerifier:
    """Verifies the bearer token of a push.

    Source: LIF-01: RS256, `iss` WHATSAPP, `aud` this server, valid for an hour.
    """

    def __init__(self, keys: WhatsAppKeys, audience: str, now: Callable[[], float]) -> None:
        self._keys = keys
        self._audience = audience
        self._now = now

    async def verify(self, authorization: str) -> None:
        """Checks an `Authorization` header.

        Raises:
            TokenRefused: The token is not WhatsApp's, or not for this server, or not valid now.
            JwksUnavailable: The token cannot be verified without WhatsApp's key set.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_BYTES:
            raise TokenRefused("a bearer token is needed")
        claims = await self._verified_claims(token)
        now = self._now()
        expires_at, issued_at = claims.get("exp"), claims.get("iat")
        if claims.get("iss") != WHATSAPP_ISSUER or claims.get("aud") != self._audience:
            raise TokenRefused("the token is from another issuer or for another audience")
        if not isinstance(expires_at, int) or expires_at <= now - CLOCK_SKEW_SECONDS:
            raise TokenRefused("the token has expired")
        if not isinstance(issued_at, int) or issued_at > now + CLOCK_SKEW_SECONDS:
            raise TokenRefused("the token is not valid yet")

    async def _verified_claims(self, token: str) -> dict[str, object]:
        try:
            key_id = jws.extract_compact(token.encode()).headers().get("kid")
            # Without this check, a key set of one key would verify a token that names no key (ENL-05).
            if not isinstance(key_id, str) or not key_id:
                raise TokenRefused("the token names no key")
            keys = await self._keys.keys_for(key_id)
            return verified_claims(token, keys)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused("the token's signature does not verify") from error
