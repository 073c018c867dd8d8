"""Publishing and taking prekeys; knows no wire format.

Taking a bundle is decided like sending: a caller who may not write to a user gets no bundle of theirs (OPT-01, T6, T7).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from interop_protocol.curve_keys import canonical_key, is_same_key
from interop_protocol.digest import KeyHash
from interop_protocol.sizes import MAX_DEVICES, MAX_KEM_PREKEYS, MAX_ONE_TIME_PREKEYS
from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import view_routes
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.journal import Journal
from interop_server.core.keys.kem_prekeys import check_kem_prekeys
from interop_server.core.keys.published import check_prekey, check_published_keys, check_signed_prekey
from interop_server.core.keys.store import LastResortMissing, PreKeyReused, PreKeysFull, StoreForKeys
from interop_server.core.limits import Limits
from interop_server.core.messages import RouteFacts
from interop_server.core.model import (
    PRIMARY_DEVICE,
    Account,
    DeviceAddress,
    DeviceBundle,
    KemPreKeyIds,
    KemPreKeys,
    KnownDevice,
    OneTimePreKey,
    PreKeyCounts,
    PreKeyKind,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from interop_server.core.ports import Clock, Connections
from interop_server.core.ratelimit import RateLimit, SharedRate

_LISTED_AT_ONCE = 1_000
"""One-time prekeys read and hashed before others get a turn: 100,000 of them take a tenth of a second."""

BundleOutcome = tuple[DeviceBundle, ...] | Refusal
"""A bundle of each device whose current state the caller does not know, so none when the caller knows all (KEY-12); or
why the caller gets no bundle."""


@dataclass(frozen=True, slots=True)
class KeyDigest:
    """What the server holds of an account's keys (KEY-10)."""

    keys: PublishedKeys
    one_time_prekey_ids: list[int]
    digest: bytes
    """20 bytes; does not cover KEM prekeys."""
    kem_ids: KemPreKeyIds


@dataclass(frozen=True, slots=True)
class PreKeys:
    """Publishes and takes prekeys. Source: KEY-01 to KEY-17."""

    store: StoreForKeys
    connections: Connections
    journal: Journal
    counts: Counter[str]
    """Signs of an account being drained (KEY-14): prekeys that were taken (`prekey_taken`, `prekey_kem_taken`), bundles
    without a one-time prekey (`prekey_exhausted`), and refusals to callers that take too many (`prekey_fetch_limited`).
    Also bundles that lacked a withdrawn KEM prekey (`kem_downgrade`, KEY-16)."""
    clock: Clock
    limits: Limits
    publish_rate: RateLimit
    taker_rate: SharedRate
    target_rate: SharedRate

    async def publish(
        self,
        account: Account,
        keys: PublishedKeys,
        one_time: Sequence[OneTimePreKey],
        kem: KemPreKeys | None = None,
    ) -> bool:
        """Replaces all keys of an account, and says whether few one-time prekeys are left (KEY-03).

        Without KEM prekeys in the call, the account holds none afterwards (KEY-16).

        Raises:
            Refusal: KEY_MALFORMED, PREKEY_SIGNATURE_INVALID, PREKEY_ID_DUPLICATE, PREKEY_REUSED, TOO_MANY_ITEMS,
                IDENTITY_KEY_MISMATCH, KEM_PREKEYS_OFF or RATE_LIMITED.
        """
        check_published_keys(keys)
        check_one_time_prekeys(one_time)
        self._count_published(account, 1 + len(one_time) + _count_kem(kem))
        if kem is not None:
            self._require_kem()
            await check_kem_prekeys(keys.identity_key, kem, self.clock)
        if not account.is_whatsapp:
            enlisted = await self._published(account)
            if not is_same_key(keys.identity_key, enlisted.identity_key):
                raise Refusal(Reason.IDENTITY_KEY_MISMATCH, field="identity_key")
        try:
            now_ms = self.clock.now_ms()
            notified = await self.store.prekeys.put(
                account.account_id, keys, one_time, now_ms, now_ms - self.limits.recent_chat_ms, kem
            )
        except PreKeyReused as error:
            raise Refusal(Reason.PREKEY_REUSED) from error
        except LastResortMissing as error:
            raise _no_last_resort() from error
        for peer_id in notified:
            self.connections.wake(peer_id)
        await self._forget_published(account)
        return self._refilled(account, PreKeyCounts(len(one_time), None if kem is None else len(kem.one_time)))

    async def add(self, account: Account, one_time: Sequence[OneTimePreKey]) -> bool:
        """Adds one-time prekeys, and says whether few are left even so (KEY-03).

        Raises:
            Refusal: REQUEST_MALFORMED, KEY_MALFORMED, PREKEY_ID_DUPLICATE, PREKEY_REUSED, TOO_MANY_ITEMS,
                PREKEYS_NOT_SET, QUOTA_EXCEEDED or RATE_LIMITED.
        """
        check_one_time_prekeys(one_time, least=1)
        self._count_published(account, len(one_time))
        await self._published(account)
        try:
            count = await self.store.prekeys.add_one_time(account.account_id, one_time, self.limits.stored_prekeys)
        except PreKeyReused as error:
            raise Refusal(Reason.PREKEY_REUSED, field="one_time_prekeys") from error
        except PreKeysFull as error:
            raise self._full("one_time_prekeys") from error
        await self._forget_published(account)
        return self._refilled(account, PreKeyCounts(count))

    async def add_kem(self, account: Account, kem: KemPreKeys) -> bool:
        """Adds KEM prekeys, replacing the last-resort one if one is given, and says whether few are left (KEY-15).

        Raises:
            Refusal: KEM_PREKEYS_OFF, REQUEST_MALFORMED, KEY_MALFORMED, PREKEY_SIGNATURE_INVALID, PREKEY_ID_DUPLICATE,
                PREKEY_REUSED, TOO_MANY_ITEMS, PREKEYS_NOT_SET, QUOTA_EXCEEDED or RATE_LIMITED.
        """
        self._require_kem()
        if kem.last_resort is None and not kem.one_time:
            raise Refusal(
                Reason.REQUEST_MALFORMED, "`kem_prekeys` holds no prekey", field="kem_prekeys", requirement="KEY-15"
            )
        self._count_published(account, _count_kem(kem))
        published = await self._published(account)
        await check_kem_prekeys(published.identity_key, kem, self.clock)
        try:
            count = await self.store.prekeys.add_kem(account.account_id, kem, self.limits.stored_prekeys)
        except PreKeyReused as error:
            raise Refusal(Reason.PREKEY_REUSED, field="kem_prekeys") from error
        except PreKeysFull as error:
            raise self._full("kem_prekeys.one_time") from error
        except LastResortMissing as error:
            raise _no_last_resort() from error
        await self._forget_published(account)
        is_low = count < self.limits.prekeys_low_count
        if not is_low:
            self.connections.prekeys_refilled(account.account_id, frozenset({PreKeyKind.KEM}))
        return is_low

    async def delete_kem(self, account: Account) -> None:
        """Withdraws all KEM prekeys; bundles taken afterwards say so (KEY-15, KEY-16).

        Raises:
            Refusal: KEM_PREKEYS_OFF.
        """
        self._require_kem()
        await self.store.prekeys.delete_kem(account.account_id)

    async def low_counts(self, account: Account) -> tuple[PreKeyCounts, frozenset[PreKeyKind]] | None:
        """A published account's counts and the kinds of which few are left; None without such a kind (KEY-09)."""
        if account.account_id not in await self.store.prekeys.get_published([account.account_id]):
            return None
        counts = await self.store.prekeys.count(account.account_id)
        few = counts.few(self.limits.prekeys_low_count)
        return (counts, few) if few else None

    async def delete(self, account: Account, key_ids: Sequence[int]) -> None:
        """Deletes one-time prekeys by id (KEY-03), and notifies the account if few are left (KEY-09).

        Raises:
            Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED.
        """
        require_count(len(key_ids), MAX_ONE_TIME_PREKEYS, "key_ids", "KEY-03")
        await self.store.prekeys.delete_one_time(account.account_id, key_ids)
        if (low := await self.low_counts(account)) is not None:
            self.connections.notify_prekeys_low(account.account_id, *low)

    async def count(self, account: Account) -> PreKeyCounts:
        """Counts the one-time prekeys that are left."""
        return await self.store.prekeys.count(account.account_id)

    async def rotate(self, account: Account, signed_prekey: SignedPreKey) -> None:
        """Replaces the signed prekey (KEY-11).

        Raises:
            Refusal: KEY_MALFORMED, PREKEY_SIGNATURE_INVALID or PREKEYS_NOT_SET.
        """
        published = await self._published(account)
        check_signed_prekey(published.identity_key, signed_prekey)
        await self.store.prekeys.rotate_signed(account.account_id, signed_prekey)

    async def digest(self, account: Account) -> KeyDigest:
        """Returns what the server holds (KEY-10). One-time prekeys that come or go meanwhile may be among it or not.

        Raises:
            Refusal: PREKEYS_NOT_SET.
        """
        keys = await self._published(account)
        signed = keys.signed_prekey
        found, ids, last = KeyHash(keys.identity_key, signed.public_key, signed.signature), list[int](), 0
        while part := await self.store.prekeys.list_one_time(account.account_id, last, _LISTED_AT_ONCE):
            found.add(part)
            ids += [key.key_id for key in part]
            last = ids[-1]
        kem_ids = await self.store.prekeys.get_kem_ids(account.account_id)
        return KeyDigest(keys, ids, found.digest(), kem_ids)

    async def take(self, account: Account, jids: Sequence[str], *, with_kem: bool = True) -> list[BundleOutcome]:
        """Takes one bundle per JID, in order; one bad JID does not fail the rest (KEY-05 to KEY-07).

        Args:
            account: Who takes.
            jids: Of whom.
            with_kem: Whether the taker knows KEM prekeys; otherwise none is taken (KEY-15).

        Raises:
            Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED, for the request as a whole.
        """
        outcomes: dict[str, BundleOutcome] = {}
        reachable = await self._reachable(account, jids, outcomes, "jids[{}]")
        await self._take(account, reachable, outcomes, with_kem)
        return [outcomes[jid] for jid in jids]

    async def take_missing(
        self, account: Account, known: Sequence[tuple[str, Sequence[KnownDevice]]], *, with_kem: bool = True
    ) -> list[BundleOutcome]:
        """Takes a bundle of each device that is unknown or known with another registration id (KEY-12).

        Args:
            account: The account that takes.
            known: JIDs, and what the caller knows of the devices of each.
            with_kem: As for `take`.

        Raises:
            Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED, for the request as a whole.
        """
        for index, (_, devices) in enumerate(known):
            _check_known_devices(devices, f"users[{index}].devices")
        outcomes: dict[str, BundleOutcome] = {}
        reachable = await self._reachable(account, [jid for jid, _ in known], outcomes, "users[{}].jid")
        for jid, devices in known:
            if jid in reachable and (PRIMARY_DEVICE, reachable[jid].registration_id) in devices:
                del reachable[jid]
                outcomes[jid] = ()
        await self._take(account, reachable, outcomes, with_kem)
        return [outcomes[jid] for jid, _ in known]

    async def _take(
        self, account: Account, reachable: dict[str, RouteFacts], outcomes: dict[str, BundleOutcome], with_kem: bool
    ) -> None:
        due = await self._limit(account, reachable, outcomes) if reachable else {}
        taken = await self.store.prekeys.take_bundles(list(due.values()), with_kem=with_kem) if due else {}
        for jid, account_id in due.items():
            bundle = taken.get(account_id)
            if bundle is None:
                cause = "the recipient's account has just ended"
                outcomes[jid] = Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause=cause)
            else:
                outcomes[jid] = (DeviceBundle(DeviceAddress(reachable[jid].jid, PRIMARY_DEVICE), bundle),)
                self._note_taken(account, jid, account_id, bundle)

    async def _limit(
        self, account: Account, reachable: dict[str, RouteFacts], outcomes: dict[str, BundleOutcome]
    ) -> dict[str, int]:
        """Returns the account ids whose bundles may be taken now, and counts them against the limits (KEY-14)."""
        due: dict[str, int] = {}
        taker_id = account.account_id
        if wait_ms := await self.taker_rate.take(taker_id, len(reachable)):
            self.counts["prekey_fetch_limited"] += 1
            raise self.taker_rate.refusal(wait_ms)
        waits = await self.target_rate.take_each([(taker_id, facts.account_id) for facts in reachable.values()])
        for (jid, facts), wait_ms in zip(reachable.items(), waits, strict=True):
            if wait_ms:
                self.counts["prekey_fetch_limited"] += 1
                outcomes[jid] = self.target_rate.refusal(wait_ms)
            else:
                due[jid] = facts.account_id
        if not_taken := len(reachable) - len(due):
            await self.taker_rate.give_back(taker_id, not_taken)
        return due

    def _note_taken(self, account: Account, jid: str, account_id: int, bundle: TakenBundle) -> None:
        if bundle.one_time_prekey is None:
            self.counts["prekey_exhausted"] += 1
        else:
            self.counts["prekey_taken"] += 1
            left = f"{bundle.remaining} left"
            self.journal.record(account.jid, "prekey.take", "done", jid, requirement="KEY-05", detail=left)
        counts = PreKeyCounts(bundle.remaining, bundle.kem_remaining)
        if few := counts.few(self.limits.prekeys_low_count):
            self.connections.notify_prekeys_low(account_id, counts, few)
        if bundle.kem_prekey is not None:
            self._note_kem_taken(account, jid, bundle)
        elif bundle.kem_withdrawn:
            self.counts["kem_downgrade"] += 1
            self.journal.record(account.jid, "prekey.kem_downgrade", "done", jid, requirement="KEY-16")

    def _note_kem_taken(self, account: Account, jid: str, bundle: TakenBundle) -> None:
        if not bundle.kem_is_last_resort:
            self.counts["prekey_kem_taken"] += 1
            left = f"{bundle.kem_remaining} left"
            self.journal.record(account.jid, "prekey.take_kem", "done", jid, requirement="KEY-15", detail=left)

    async def _reachable(
        self, account: Account, jids: Sequence[str], outcomes: dict[str, BundleOutcome], place: str
    ) -> dict[str, RouteFacts]:
        """Returns the facts of users whose bundles may be taken, by JID; sets the outcomes of all others.

        Args:
            account: The account that asks.
            jids: The users whose bundles it asks for.
            outcomes: The outcome for each JID; this call adds refusals.
            place: The path of each JID in the request, with `{}` for its index.
        """
        require_count(len(jids), self.limits.most_bundles, place.partition("[")[0], "KEY-07")
        addresses = {}
        named: set[str] = set()
        for index, jid in enumerate(jids):
            field = place.format(index)
            name = jid
            try:
                addresses[jid] = check_address(jid, field)
                name = addresses[jid].text
            except Refusal as refusal:
                outcomes[jid] = refusal
            if name in named:
                raise Refusal(Reason.REQUEST_MALFORMED, "a user is named twice", field=field, requirement="KEY-07")
            named.add(name)
        view = await view_routes(self.store, account, list(addresses.values()))
        reachable = {}
        for jid, address in addresses.items():
            try:
                _, facts = view.decide(address)
                if facts.registration_id is None:
                    raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient has published no keys")
                # A blocked caller still gets a bundle, as they still get an ack: a block must not show (ABU-02,
                # OPT-09).
                reachable[jid] = facts
            except Refusal as refusal:
                outcomes[jid] = refusal
        return reachable

    async def _published(self, account: Account) -> PublishedKeys:
        keys = (await self.store.prekeys.get_published([account.account_id])).get(account.account_id)
        if keys is None:
            raise Refusal(Reason.PREKEYS_NOT_SET)
        return keys

    def _count_published(self, account: Account, keys: int) -> None:
        # Before signatures are verified and anything is stored; a list that is refused for another reason counts too.
        most = MAX_ONE_TIME_PREKEYS + MAX_KEM_PREKEYS + 2
        self.publish_rate.require(account.account_id, min(keys, most))

    async def _forget_published(self, account: Account) -> None:
        await self.store.prekeys.forget_published(account.account_id, self.limits.remembered_prekeys)

    def _full(self, field: str) -> Refusal:
        detail = f"an account stores at most {self.limits.stored_prekeys:,} one-time prekeys of a kind"
        return Refusal(Reason.QUOTA_EXCEEDED, detail, field=field, requirement="KEY-03")

    def _require_kem(self) -> None:
        if not self.limits.kem_prekeys:
            raise Refusal(Reason.KEM_PREKEYS_OFF)

    def _refilled(self, account: Account, counts: PreKeyCounts) -> bool:
        """Allows new notifications of kinds with enough left; says whether few one-time prekeys are left (KEY-09)."""
        few = counts.few(self.limits.prekeys_low_count)
        counted = {PreKeyKind.ONE_TIME} if counts.kem is None else set(PreKeyKind)
        if enough := counted - few:
            self.connections.prekeys_refilled(account.account_id, frozenset(enough))
        return PreKeyKind.ONE_TIME in few


def _count_kem(kem: KemPreKeys | None) -> int:
    return 0 if kem is None else len(kem.one_time) + (kem.last_resort is not None)


def _check_known_devices(devices: Sequence[KnownDevice], field: str) -> None:
    require_count(len(devices), MAX_DEVICES, field, "KEY-12", least=0)
    if len({device.device_id for device in devices}) != len(devices):
        raise Refusal(Reason.REQUEST_MALFORMED, "name each device of a user once", field=field, requirement="KEY-12")


def _no_last_resort() -> Refusal:
    detail = "one-time KEM prekeys need a last-resort one beside them"
    return Refusal(Reason.KEY_MALFORMED, detail, field="kem_prekeys.last_resort", requirement="KEY-15")


def check_one_time_prekeys(one_time: Sequence[OneTimePreKey], *, least: int = 0) -> None:
    """Checks a list of one-time prekeys, which must have at least `least` entries (KEY-02, KEY-04).

    Raises:
        Refusal: TOO_MANY_ITEMS, REQUEST_MALFORMED, KEY_MALFORMED, PREKEY_ID_DUPLICATE or PREKEY_REUSED.
    """
    field = "one_time_prekeys"
    require_count(len(one_time), MAX_ONE_TIME_PREKEYS, field, "KEY-04", least=least)
    for index, (key_id, public_key) in enumerate(one_time):
        check_prekey(key_id, public_key, "a one-time prekey", f"{field}[{index}]")
    if len({key_id for key_id, _ in one_time}) != len(one_time):
        raise Refusal(Reason.PREKEY_ID_DUPLICATE, field=field)
    if len({canonical_key(public_key) for _, public_key in one_time}) != len(one_time):
        raise Refusal(Reason.PREKEY_REUSED, "one key stands in the list under two ids", field=field)
