"""Permissions to upload: signed by the server, so that every node knows one that it sees and none keeps any."""

import hashlib
import hmac

from interop_protocol.encoding import decode_base64url, encode_base64url
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.media.store import StoreForMedia
from interop_server.core.model import Account
from interop_server.core.ports import Clock, Rng

_KEY_NAME, _KEY_BYTES = "upload_permissions", 32
_TIME_BYTES, _NONCE_BYTES, _SIGNATURE_BYTES = 8, 8, 16
_GRANT_BYTES = _TIME_BYTES + _NONCE_BYTES + _SIGNATURE_BYTES


class Grants:
    """Gives and checks permissions to upload (MED-05).

    A permission is when it expires, a few random bytes, and a signature of both and of the account, in base64url.

    Args:
        store: Keeps the key with which they are signed, the same for all nodes and after a restart.
        clock: Tells when they expire.
        rng: Makes the key, and what tells one permission from the next.
        limits: For how long they hold.
    """

    def __init__(self, store: StoreForMedia, clock: Clock, rng: Rng, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self._held_ms = limits.upload_auth_seconds * SECOND_MS
        self._key = b""

    async def give(self, account: Account) -> str:
        """Returns a permission to upload for this account."""
        expires_at_ms = self._clock.now_ms() + self._held_ms
        claim = expires_at_ms.to_bytes(_TIME_BYTES, "big") + self._rng.token_bytes(_NONCE_BYTES)
        return encode_base64url(claim + await self._signature(account, claim))

    async def check(self, account: Account, auth: str) -> None:
        """Checks that a permission was given to this account and holds.

        Raises:
            Refusal: UPLOAD_AUTH_INVALID.
        """
        try:
            grant = decode_base64url(auth, _GRANT_BYTES)
        except ValueError as error:
            raise Refusal(Reason.UPLOAD_AUTH_INVALID) from error
        claim, signature = grant[:-_SIGNATURE_BYTES], grant[-_SIGNATURE_BYTES:]
        left_ms = int.from_bytes(claim[:_TIME_BYTES], "big") - self._clock.now_ms()
        # One that holds for longer than any is of a world that was reset, with its clock.
        if not 0 < left_ms <= self._held_ms or not hmac.compare_digest(
            signature, await self._signature(account, claim)
        ):
            raise Refusal(Reason.UPLOAD_AUTH_INVALID)

    async def _signature(self, account: Account, claim: bytes) -> bytes:
        if not self._key:
            self._key = await self._store.secrets.get_or_put(_KEY_NAME, self._rng.token_bytes(_KEY_BYTES))
        signed = claim + account.account_id.to_bytes(8, "big") + account.auth_key + account.jid.encode()
        return hmac.digest(self._key, signed, hashlib.sha256)[:_SIGNATURE_BYTES]
