"""Fetches partners' key sets over HTTP; knows nothing of keys."""

import asyncio

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Partner
from interop_server.fault_gate import FaultGate
from interop_server.http.outbound import UNREACHED, describe_failure, is_encoded, open_session, transport_errors
from interop_server.http.own_places import OwnPlaces

JWKS_PATH = "/.well-known/oauth/openid/jwks"
MAX_JWKS_BYTES = 64 * 1024
"""Policy: room for dozens of keys."""


class HttpJwksSource:
    """GETs key sets at the documented path. Source: ENL-03.

    Args:
        timeout_seconds: For one whole fetch; policy.
        own: Where nothing is asked.
        gate: Whether anything gets there.
    """

    def __init__(
        self, timeout_seconds: float = 5.0, own: OwnPlaces | None = None, gate: FaultGate | None = None
    ) -> None:
        self._gate = gate
        self._own = own or OwnPlaces()
        self._timeout_seconds = timeout_seconds

    async def fetch(self, partner: Partner) -> str:
        """Returns the partner's key set as JSON text.

        Raises:
            Refusal: JWKS_UNAVAILABLE; its detail says what went wrong.
        """
        if self._gate is not None and self._gate.faults.is_on:
            await self._require_reach(self._gate, partner.integrator)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return (await _get(self._own, partner.base_url.rstrip("/") + JWKS_PATH)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refusal(Reason.JWKS_UNAVAILABLE, "the key set is not UTF-8") from error
        except transport_errors() as error:
            raise Refusal(Reason.JWKS_UNAVAILABLE, describe_failure(error)) from error

    async def _require_reach(self, gate: FaultGate, integrator: int) -> None:
        if not await gate.reaches("partner.jwks", integrator):
            raise Refusal(Reason.JWKS_UNAVAILABLE, UNREACHED)


async def _get(own: OwnPlaces, url: str) -> bytes:
    async with open_session(own) as session, session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise Refusal(Reason.JWKS_UNAVAILABLE, f"the server answered with status {response.status} instead of 200")
        if is_encoded(response):
            raise Refusal(Reason.JWKS_UNAVAILABLE, "the server compressed its answer without being asked")
        body = bytearray()
        while part := await response.content.read(MAX_JWKS_BYTES):
            body += part
            if len(body) > MAX_JWKS_BYTES:
                raise Refusal(Reason.JWKS_UNAVAILABLE, f"the key set is larger than {MAX_JWKS_BYTES} bytes")
        return bytes(body)
