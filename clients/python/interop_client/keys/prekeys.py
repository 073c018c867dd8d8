"""Publishes, refills, compares and renews an account's own prekeys; knows no message.

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
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS
from interop_protocol.xeddsa_keys import KEY_TYPE

DEFAULT_PREKEYS = 100
"""How many one-time prekeys a client publishes at once by default."""
LOW_PREKEYS = 10
"""The client refills when the server has fewer one-time prekeys than this (KEY-09)."""
RETRY_SECONDS = (0.5, 2.0, 8.0)
"""The wait before each retry of upkeep after a transient failure (KEY-13)."""

M = TypeVar("M", bound=Protobuf)
T = TypeVar("T")


class OwnPreKeys:
    """One account's prekeys, in the client and on the server.

    Args:
        transport: Calls the server.
        state: Holds the private keys.
        durable: Saves them, always before the client publishes their public keys.
        kem_count: How many one-time KEM prekeys to publish too, with a last-resort one; 0 publishes none (KEY-15).
    """

    def __init__(self, transport: Transport, state: ClientState, durable: DurableState, kem_count: int = 0) -> None:
        self._transport = transport
        self._state = state
        self._durable = durable
        self._kem_count = kem_count
        self._lock = asyncio.Lock()

    async def publish(self, count: int) -> None:
        """Publishes identity, signed prekey and new one-time prekeys, which replace all those published before.

        Args:
            count: One-time prekeys, 0 to 20,000.

        Raises:
            ValueError: The count is out of range; nothing was made.
            ServerRefusal: The server refused them, or also those that the client made anew after code 406.
        """
        _check_count(count, 0)
        async with self._lock:
            await self._publish(count)

    async def add(self, count: int) -> None:
        """Adds new one-time prekeys to those published; publishes all keys anew when the server has their ids already.

        Args:
            count: 1 to 20,000.

        Raises:
            ValueError: The count is out of range; nothing was made.
            ServerRefusal: The server refused them.
        """
        _check_count(count, 1)
        async with self._lock:
            await self._add(count)

    async def count(self) -> int:
        """Returns how many one-time prekeys of this account the server has left."""
        return (await self._counts()).count

    async def rotate_signed_prekey(self) -> None:
        """Replaces the signed prekey (KEY-11). Until the server confirms, messages may use the old one or the new one.

        Raises:
            ServerRefusal: The server refused it: the current one stays, and the next call offers the same one again, or
                another one if the server called this one bad.
        """
        async with self._lock:
            signed_prekey = _signed_prekey(self._signal.offer_signed_prekey())
            await self._durable.commit()
            request = prekeys_pb2.RotateSignedPreKeyRequest(signed_prekey=signed_prekey)
            try:
                await self._call("RotateSignedPreKey", request, prekeys_pb2.RotateSignedPreKeyResponse)
            except ServerRefusal as refusal:
                if refusal.recovery is Recovery.NEW_KEYS:
                    self._signal.offered_signed_prekey = None
                raise
            self._signal.rotate_signed_prekey()
            await self._durable.commit()

    async def are_intact(self) -> bool:
        """Says whether the server holds the same keys as this client (KEY-10).

        One-time prekeys that the server no longer holds do not count: a sender took them, and their messages may still
        come.

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
        """Adds one-time prekeys if the server still has few; retries like `patiently`.

        Raises:
            ServerRefusal: The server refused them.
        """
        await patiently(lambda: self._refill(count))

    async def repair(self, count: int) -> bool:
        """Compares the keys with the server's and publishes all anew if they differ (KEY-10); retries like `patiently`.

        Returns:
            Whether they were the same.

        Raises:
            ServerRefusal: The server refused the comparison or the new keys.
        """
        return await patiently(lambda: self._repair(count))

    async def _publish(self, count: int) -> None:
        try:
            await self._set(count)
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.NEW_KEYS:
                raise
            self._signal.withdraw_one_time_prekeys()
            self._signal.renew_signed_keys()
            await self._set(count)

    async def _set(self, count: int) -> None:
        keys = self._signal.publishable
        one_time = self._signal.offer_one_time_prekeys(count) if count else []
        kem = self._new_kem_prekeys(with_last_resort=True) if self._kem_count else None
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=keys.registration_id,
            key_type=bytes((KEY_TYPE,)),
            identity_key=keys.identity_key,
            signed_prekey=_signed_prekey(keys.signed_prekey),
            one_time_prekeys=_one_time_prekeys(one_time),
            kem_prekeys=kem,
        )
        await self._durable.commit()  # without a prekey's private key, the message that uses it is lost
        await self._call("SetPreKeys", request, prekeys_pb2.SetPreKeysResponse)
        self._signal.confirmed_signed_prekey_id = keys.signed_prekey.key_id
        self._signal.replace_one_time_prekeys(one_time, self._state.deliveries.private_prekeys())
        self._signal.kem.keep_one_time(prekey.key_id for prekey in (kem.one_time if kem else ()))
        await self._durable.commit()

    async def _add(self, count: int) -> None:
        one_time = self._signal.offer_one_time_prekeys(count)
        await self._durable.commit()
        request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=_one_time_prekeys(one_time))
        try:
            await self._call("AddOneTimePreKeys", request, prekeys_pb2.AddOneTimePreKeysResponse)
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.NEW_KEYS:
                raise
            # The server has some already: an answer was lost, or the state is an old one that lacks private keys.
            self._signal.withdraw_one_time_prekeys()
            await self._publish(count)
        else:
            self._signal.confirm_one_time_prekeys(one_time)
            await self._durable.commit()

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
            # The application may have published prekeys after the server sent the notification.
            if not self._signal.has_generated_one_time_prekeys:
                return
            left = await self._counts()
            if left.count < LOW_PREKEYS:
                await self._add(count)
            # Without a last-resort prekey, the application has not published KEM prekeys yet, and must do it itself.
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
    """Does some work, and retries it after transient refusals with growing waits, as `RETRY_SECONDS` says (KEY-13).

    Raises:
        ServerRefusal: A refusal that is not transient, or the refusal of the last retry.
    """
    for seconds in RETRY_SECONDS:
        try:
            return await work()
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.SAME_AGAIN:
                raise
            await asyncio.sleep(max(seconds, (refusal.retry_after_ms or 0) / 1000))
    return await work()


def _check_count(count: int, least: int) -> None:
    """Refuses a count that may come from anywhere, before offered prekeys are cut by it."""
    if not isinstance(count, int) or not least <= count <= MAX_ONE_TIME_PREKEYS:
        raise ValueError(f"{count} is not {least} to {MAX_ONE_TIME_PREKEYS} prekeys")


def _kem_prekey(prekey: KemPreKeyPublic) -> prekeys_pb2.KemPreKey:
    return prekeys_pb2.KemPreKey(key_id=prekey.key_id, public_key=prekey.public_key, signature=prekey.signature)


def _signed_prekey(prekey: SignedPreKeyPublic) -> prekeys_pb2.SignedPreKey:
    return prekeys_pb2.SignedPreKey(key_id=prekey.key_id, public_key=prekey.public_key, signature=prekey.signature)


def _one_time_prekeys(prekeys: Iterable[PreKeyPublic]) -> Iterable[prekeys_pb2.OneTimePreKey]:
    return [prekeys_pb2.OneTimePreKey(key_id=prekey.key_id, public_key=prekey.public_key) for prekey in prekeys]
