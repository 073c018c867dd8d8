"""Publishing and taking prekeys; knows no wire format.

Taking is gated like sending: who may not write to a person gets no bundle of theirs (OPT-01, T6, T7).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from interop_protocol.digest import key_digest
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS
from interop_server.core.addressing import check_address
from interop_server.core.enlistment import check_prekey, check_published_keys, check_signed_prekey
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.model import Account, OneTimePreKey, PublishedKeys, RouteFacts, SignedPreKey, TakenBundle
from interop_server.core.ports import Clock, Connections, PreKeyReused, PreKeyStore
from interop_server.core.routing import RouteStore, view_routes

BundleOutcome = TakenBundle | Refusal | None
"""A bundle, why there is none, or None when the caller's registration id is still right (KEY-12)."""


class PreKeyServiceStore(PreKeyStore, RouteStore, Protocol):
    """What prekeys need of the store."""


@dataclass(frozen=True, slots=True)
class KeyDigest:
    """What the server holds of an account's keys (KEY-10)."""

    keys: PublishedKeys
    one_time_prekey_ids: list[int]
    digest: bytes
    """20 bytes."""


@dataclass(frozen=True, slots=True)
class PreKeys:
    """Publishes and takes prekeys. Source: KEY-01 to KEY-13, KEY-17."""

    store: PreKeyServiceStore
    connections: Connections
    clock: Clock
    limits: Limits

    async def publish(self, account: Account, keys: PublishedKeys, one_time: Sequence[OneTimePreKey]) -> bool:
        """Replaces all of an account's keys and says whether few one-time prekeys are left (KEY-03).

        Raises:
            Refusal: KEY_MALFORMED, PREKEY_SIGNATURE_INVALID, PREKEY_ID_DUPLICATE, PREKEY_REUSED, TOO_MANY_ITEMS or
                IDENTITY_KEY_MISMATCH.
        """
        check_published_keys(keys)
        check_one_time_prekeys(one_time)
        if not account.is_whatsapp:
            enlisted = await self._published(account)
            if keys.identity_key != enlisted.identity_key:
                raise Refusal(Reason.IDENTITY_KEY_MISMATCH)
        try:
            notified = await self.store.set_prekeys(account.account_id, keys, one_time, self.clock.now_ms())
        except PreKeyReused as error:
            raise Refusal(Reason.PREKEY_REUSED) from error
        for peer_id in notified:
            self.connections.wake(peer_id)
        return self._refilled(account, len(one_time))

    async def add(self, account: Account, one_time: Sequence[OneTimePreKey]) -> bool:
        """Adds one-time prekeys and says whether few are left all the same (KEY-03).

        Raises:
            Refusal: KEY_MALFORMED, PREKEY_ID_DUPLICATE, PREKEY_REUSED, TOO_MANY_ITEMS or PREKEYS_NOT_SET.
        """
        if not one_time:
            raise Refusal(Reason.TOO_MANY_ITEMS, "the list of one-time prekeys is empty")
        check_one_time_prekeys(one_time)
        await self._published(account)
        try:
            count = await self.store.add_one_time_prekeys(account.account_id, one_time)
        except PreKeyReused as error:
            raise Refusal(Reason.PREKEY_REUSED) from error
        return self._refilled(account, count)

    async def low_count(self, account: Account) -> int | None:
        """How many one-time prekeys a published account has left, when that is few; otherwise None (KEY-09)."""
        if account.account_id not in await self.store.get_published_keys([account.account_id]):
            return None
        count = await self.store.count_one_time_prekeys(account.account_id)
        return count if count < self.limits.prekeys_low_count else None

    async def delete(self, account: Account, key_ids: Sequence[int]) -> None:
        """Deletes one-time prekeys by id (KEY-03); few that are left are told (KEY-09).

        Raises:
            Refusal: TOO_MANY_ITEMS.
        """
        if not 1 <= len(key_ids) <= MAX_ONE_TIME_PREKEYS:
            raise Refusal(Reason.TOO_MANY_ITEMS, f"name 1 to {MAX_ONE_TIME_PREKEYS:,} key ids")
        await self.store.delete_one_time_prekeys(account.account_id, key_ids)
        if (low := await self.low_count(account)) is not None:
            self.connections.notify_prekeys_low(account.account_id, low)

    async def count(self, account: Account) -> int:
        """Counts the one-time prekeys that are left."""
        return await self.store.count_one_time_prekeys(account.account_id)

    async def rotate(self, account: Account, signed_prekey: SignedPreKey) -> None:
        """Replaces the signed prekey (KEY-11).

        Raises:
            Refusal: KEY_MALFORMED, PREKEY_SIGNATURE_INVALID or PREKEYS_NOT_SET.
        """
        published = await self._published(account)
        check_signed_prekey(published.identity_key, signed_prekey)
        await self.store.rotate_signed_prekey(account.account_id, signed_prekey)

    async def digest(self, account: Account) -> KeyDigest:
        """Returns what the server holds (KEY-10).

        Raises:
            Refusal: PREKEYS_NOT_SET.
        """
        keys = await self._published(account)
        one_time = await self.store.list_one_time_prekeys(account.account_id)
        signed = keys.signed_prekey
        digest = key_digest(keys.identity_key, signed.public_key, signed.signature, one_time)
        return KeyDigest(keys, [key.key_id for key in one_time], digest)

    async def take(self, account: Account, jids: Sequence[str]) -> list[BundleOutcome]:
        """Takes one bundle per JID, in order; one bad JID does not fail the rest (KEY-05 to KEY-07).

        Raises:
            Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED, for the request as a whole.
        """
        return await self._take(account, jids, lambda jid, keys: True)

    async def take_missing(self, account: Account, known: Sequence[tuple[str, int]]) -> list[BundleOutcome]:
        """Takes a bundle per JID whose registration id differs from the known one; otherwise None (KEY-12).

        Raises:
            Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED, for the request as a whole.
        """
        registration_ids = dict(known)
        return await self._take(
            account, [jid for jid, _ in known], lambda jid, keys: keys.registration_id != registration_ids[jid]
        )

    async def _take(
        self, account: Account, jids: Sequence[str], wanted: Callable[[str, PublishedKeys], bool]
    ) -> list[BundleOutcome]:
        if not 1 <= len(jids) <= self.limits.max_bundles:
            raise Refusal(Reason.TOO_MANY_ITEMS, f"name 1 to {self.limits.max_bundles} users")
        if len(set(jids)) != len(jids):
            raise Refusal(Reason.REQUEST_MALFORMED, "a user is named twice")
        outcomes: dict[str, BundleOutcome] = {}
        reachable = await self._reachable(account, jids, outcomes)
        published = await self.store.get_published_keys([facts.account_id for facts in reachable.values()])
        missing: dict[str, int] = {}
        for jid, facts in reachable.items():
            keys = published.get(facts.account_id)
            if keys is None:
                outcomes[jid] = Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient has published no keys")
            elif wanted(jid, keys):
                missing[jid] = facts.account_id
            else:
                outcomes[jid] = None
        taken = await self.store.take_bundles(list(set(missing.values()))) if missing else {}
        for jid, account_id in missing.items():
            outcomes[jid] = taken.get(account_id) or Refusal(
                Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient's account has just ended"
            )
        for account_id, bundle in taken.items():
            if bundle.remaining < self.limits.prekeys_low_count:
                self.connections.notify_prekeys_low(account_id, bundle.remaining)
        return [outcomes[jid] for jid in jids]

    async def _reachable(
        self, account: Account, jids: Sequence[str], outcomes: dict[str, BundleOutcome]
    ) -> dict[str, RouteFacts]:
        addresses = {}
        for jid in jids:
            try:
                addresses[jid] = check_address(jid)
            except Refusal as refusal:
                outcomes[jid] = refusal
        if len({address.text for address in addresses.values()}) != len(addresses):
            raise Refusal(Reason.REQUEST_MALFORMED, "a user is named twice")
        view = await view_routes(self.store, account, list(addresses.values()))
        reachable = {}
        for jid, address in addresses.items():
            try:
                _, facts = view.decide(address)
            except Refusal as refusal:
                outcomes[jid] = refusal
                continue
            # Whoever is blocked still gets a bundle, as they still get an ack: it must not show (ABU-02, OPT-09).
            reachable[jid] = facts
        return reachable

    async def _published(self, account: Account) -> PublishedKeys:
        keys = (await self.store.get_published_keys([account.account_id])).get(account.account_id)
        if keys is None:
            raise Refusal(Reason.PREKEYS_NOT_SET)
        return keys

    def _refilled(self, account: Account, count: int) -> bool:
        is_low = count < self.limits.prekeys_low_count
        if not is_low:
            self.connections.prekeys_refilled(account.account_id)
        return is_low


def check_one_time_prekeys(one_time: Sequence[OneTimePreKey]) -> None:
    """Checks a list of one-time prekeys (KEY-02, KEY-04).

    Raises:
        Refusal: TOO_MANY_ITEMS, KEY_MALFORMED or PREKEY_ID_DUPLICATE.
    """
    if len(one_time) > MAX_ONE_TIME_PREKEYS:
        raise Refusal(Reason.TOO_MANY_ITEMS, f"at most {MAX_ONE_TIME_PREKEYS:,} one-time prekeys in a list")
    for key_id, public_key in one_time:
        check_prekey(key_id, public_key, "a one-time prekey")
    if len({key_id for key_id, _ in one_time}) != len(one_time):
        raise Refusal(Reason.PREKEY_ID_DUPLICATE)
    if len({public_key for _, public_key in one_time}) != len(one_time):
        raise Refusal(Reason.PREKEY_REUSED, "one key stands in the list under two ids")
