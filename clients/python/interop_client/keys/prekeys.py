"""An account's own prekeys, published, refilled, compared and made anew; knows no message.

Source: KEY-01 to KEY-04, KEY-09 to KEY-15.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from google.protobuf.message import Message as Protobuf

from interop_api.v1 import prekeys_pb2
from interop_client.connection.transport import Transport
from interop_client.errors import Recovery, ServerRefusal
from interop_client.signal.kem import KemPreKeyPublic
from interop_client.signal.keys import PreKeyPublic, SignedPreKeyPublic
from interop_client.signal.store import SignalState
from interop_client.state import ClientState, DurableState
from interop_protocol.digest import key_digest
from interop_protocol.xeddsa_keys import KEY_TYPE

DEFAULT_PREKEYS = 100
"""One-time prekeys published at once, unless the user says otherwise."""
LOW_PREKEYS = 10
"""Fewer one-time prekeys than this are few (KEY-09)."""
RETRY_SECONDS = (0.5, 2.0, 8.0)
"""Waits before upkeep that met passing trouble is tried again (KEY-13)."""

M = TypeVar("M", bound=Protobuf)
T = TypeVar("T")


class OwnPreKeys:
    """One account's prekeys, here and at the server.

    Args:
        transport: Calls the server.
        state: Holds the private halves.
        durable: Saves them, always before their public halves leave.
        kem_count: One-time KEM prekeys to publish along, with a last-resort one; 0 publishes none (KEY-15).
    """

    def __init__(self, transport: Transport, state: ClientState, durable: DurableState, kem_count: int = 0) -> None:
        self._transport = transport
        self._state = state
        self._durable = durable
        self._kem_count = kem_count
        self._lock = asyncio.Lock()

    async def publish(self, count: int) -> None:
        """Publishes identity, signed prekey and new one-time prekeys, in place of all that was published before.

        Raises:
            ServerRefusal: The server does not take them, nor others that were made instead.
        """
        async with self._lock:
            await self._publish(count)

    async def add(self, count: int) -> None:
        """Adds new one-time prekeys to those published; publishes all keys anew when the server knows them already.

        Raises:
            ServerRefusal: The server does not take them.
        """
        async with self._lock:
            await self._add(count)

    async def count(self) -> int:
        """Returns how many one-time prekeys the server has left."""
        return (await self._counts()).count

    async def rotate_signed_prekey(self) -> None:
        """Replaces the signed prekey (KEY-11).

        Raises:
            ServerRefusal: The server does not take it.
        """
        async with self._lock:
            signed_prekey = _signed_prekey(self._signal.rotate_signed_prekey())
            await self._durable.commit()
            request = prekeys_pb2.RotateSignedPreKeyRequest(signed_prekey=signed_prekey)
            await self._call("RotateSignedPreKey", request, prekeys_pb2.RotateSignedPreKeyResponse)

    async def are_intact(self) -> bool:
        """Says whether the server holds the keys that this client thinks it does (KEY-10).

        A one-time prekey that the server does not hold was taken: its message may be on the way.

        Raises:
            ServerRefusal: PREKEYS_NOT_SET.
        """
        request = prekeys_pb2.GetKeyDigestRequest()
        response = await self._call("GetKeyDigest", request, prekeys_pb2.GetKeyDigestResponse)
        keys, at_server = self._signal.publishable, set(response.one_time_prekey_ids)
        own = [prekey for prekey in self._signal.unused_one_time_prekeys() if prekey.key_id in at_server]
        signed = keys.signed_prekey
        return (
            response.registration_id == keys.registration_id
            and response.signed_prekey_id == signed.key_id
            and response.digest == key_digest(keys.identity_key, signed.public_key, signed.signature, own)
            and self._are_kem_intact(response)
        )

    async def refill(self, count: int) -> None:
        """Adds one-time prekeys if the server still has few, patiently.

        Raises:
            ServerRefusal: The server does not take them.
        """
        await patiently(lambda: self._refill(count))

    async def repair(self, count: int) -> bool:
        """Compares the keys with the server's and publishes all anew if they differ, patiently (KEY-10).

        Returns:
            Whether they were intact.

        Raises:
            ServerRefusal: They cannot be compared, or the server does not take the new ones.
        """
        return await patiently(lambda: self._repair(count))

    async def _publish(self, count: int) -> None:
        try:
            await self._set(count)
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.NEW_KEYS:
                raise
            self._signal.renew_signed_keys()
            await self._set(count)

    async def _set(self, count: int) -> None:
        keys = self._signal.publishable
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=keys.registration_id,
            key_type=bytes((KEY_TYPE,)),
            identity_key=keys.identity_key,
            signed_prekey=_signed_prekey(keys.signed_prekey),
            one_time_prekeys=_one_time_prekeys(self._signal.generate_one_time_prekeys(count) if count else ()),
            kem_prekeys=self._new_kem_prekeys(with_last_resort=True) if self._kem_count else None,
        )
        await self._durable.commit()  # a prekey whose private half is lost loses its message
        await self._call("SetPreKeys", request, prekeys_pb2.SetPreKeysResponse)

    async def _add(self, count: int) -> None:
        one_time_prekeys = _one_time_prekeys(self._signal.generate_one_time_prekeys(count))
        await self._durable.commit()
        request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=one_time_prekeys)
        try:
            await self._call("AddOneTimePreKeys", request, prekeys_pb2.AddOneTimePreKeysResponse)
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.NEW_KEYS:
                raise
            # The state is older than what the server holds, for example restored: what is there may be lost here.
            await self._publish(count)

    async def _add_kem(self) -> None:
        request = prekeys_pb2.AddKemPreKeysRequest(kem_prekeys=self._new_kem_prekeys(with_last_resort=False))
        await self._durable.commit()
        await self._call("AddKemPreKeys", request, prekeys_pb2.AddKemPreKeysResponse)

    def _new_kem_prekeys(self, *, with_last_resort: bool) -> prekeys_pb2.KemPreKeys:
        one_time = self._signal.generate_kem_prekeys(self._kem_count)
        return prekeys_pb2.KemPreKeys(
            last_resort=_kem_prekey(self._signal.kem_last_resort()) if with_last_resort else None,
            one_time=[_kem_prekey(prekey) for prekey in one_time],
        )

    def _are_kem_intact(self, held: prekeys_pb2.GetKeyDigestResponse) -> bool:
        at_server = held.kem_last_resort_id if held.HasField("kem_last_resort_id") else None
        if at_server is None and not self._kem_count:
            return True
        return self._signal.kem.holds(at_server, held.kem_prekey_ids)

    async def _refill(self, count: int) -> None:
        async with self._lock:
            # The notice may be older than what the application has published since.
            if not self._signal.has_generated_one_time_prekeys:
                return
            left = await self._counts()
            if left.count < LOW_PREKEYS:
                await self._add(count)
            # Without a last-resort prekey none were published: that is for the application to do.
            if self._kem_count and self._signal.kem.last_resort is not None and left.kem_count < LOW_PREKEYS:
                await self._add_kem()

    async def _counts(self) -> prekeys_pb2.CountOneTimePreKeysResponse:
        request = prekeys_pb2.CountOneTimePreKeysRequest()
        return await self._call("CountOneTimePreKeys", request, prekeys_pb2.CountOneTimePreKeysResponse)

    async def _repair(self, count: int) -> bool:
        async with self._lock:
            try:
                if await self.are_intact():
                    return True
            except ServerRefusal as refusal:
                if refusal.reason != "PREKEYS_NOT_SET":
                    raise
            await self._publish(count)
            return False

    async def _call(self, method: str, request: Protobuf, response_type: type[M]) -> M:
        return await self._transport.call(f"/interop_api.v1.PreKeyService/{method}", request, response_type)

    @property
    def _signal(self) -> SignalState:
        return self._state.signal


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Does some work, again and again while the server has trouble that passes, with growing waits (KEY-13).

    Raises:
        ServerRefusal: Of another kind; or the trouble does not pass.
    """
    for seconds in RETRY_SECONDS:
        try:
            return await work()
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.SAME_AGAIN:
                raise
            await asyncio.sleep(max(seconds, (refusal.retry_after_ms or 0) / 1000))
    return await work()


def _kem_prekey(prekey: KemPreKeyPublic) -> prekeys_pb2.KemPreKey:
    return prekeys_pb2.KemPreKey(key_id=prekey.key_id, public_key=prekey.public_key, signature=prekey.signature)


def _signed_prekey(prekey: SignedPreKeyPublic) -> prekeys_pb2.SignedPreKey:
    return prekeys_pb2.SignedPreKey(key_id=prekey.key_id, public_key=prekey.public_key, signature=prekey.signature)


def _one_time_prekeys(prekeys: Iterable[PreKeyPublic]) -> Iterable[prekeys_pb2.OneTimePreKey]:
    return [prekeys_pb2.OneTimePreKey(key_id=prekey.key_id, public_key=prekey.public_key) for prekey in prekeys]
