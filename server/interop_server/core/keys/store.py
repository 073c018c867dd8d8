"""What the rules about keys need of the store; knows no database."""

from collections.abc import Sequence
from typing import Protocol

from interop_server.core.consent.store import StoreForRoutes
from interop_server.core.model import (
    KemPreKeyIds,
    KemPreKeys,
    OneTimePreKey,
    PreKeyCounts,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)

MAX_PUBLICATIONS = 100
"""How many of an account's calls are remembered, so that they can be repeated; policy. A client repeats its newest."""


class PreKeyReused(Exception):
    """The account has published this one-time prekey before (KEY-04)."""


class PreKeysFull(Exception):
    """The account would store more one-time prekeys than it may (KEY-03)."""


class LastResortMissing(Exception):
    """One-time KEM prekeys were given for an account that has no last-resort one (KEY-15)."""


class PreKeyStore(Protocol):
    """The accounts' public keys."""

    async def put(
        self,
        account_id: int,
        keys: PublishedKeys,
        one_time: Sequence[OneTimePreKey],
        now_ms: int,
        recent_since_ms: int = 0,
        kem: KemPreKeys | None = None,
    ) -> list[int]:
        """Replaces all keys of an account; without KEM prekeys it holds none afterwards.

        A changed identity key adds an IdentityChanged item to the mailboxes of recent peers, as in
        `AccountStore.enlist`; returns the account ids of those peers.

        Raises:
            PreKeyReused: A prekey was published before and is no longer in the store, and the call is not the one that
                put what is there. Nothing changed.
            LastResortMissing: There are one-time KEM prekeys without a last-resort one. Nothing changed.
        """
        ...

    async def add_one_time(self, account_id: int, one_time: Sequence[OneTimePreKey], most: int | None = None) -> int:
        """Adds one-time prekeys and returns how many there are now: at most `most`.

        A call that adds just what an earlier one added adds nothing, unless prekeys were deleted or replaced since.

        Raises:
            PreKeysFull: There would be more. Nothing changed.
            PreKeyReused: A key id is in the store, or key material was published before. Nothing changed.
        """
        ...

    async def forget_published(self, account_id: int, most: int) -> None:
        """Forgets which prekeys an account has published, but for that many of each kind, the newest (KEY-04).

        One-time prekeys that are still there are not forgotten.
        """
        ...

    async def delete_one_time(self, account_id: int, key_ids: Sequence[int]) -> None: ...

    async def list_one_time(self, account_id: int, above_id: int = 0, most: int | None = None) -> list[OneTimePreKey]:
        """The prekeys that are left with ids above one, by id ascending: at most so many, or all."""
        ...

    async def add_kem(self, account_id: int, kem: KemPreKeys, most: int | None = None) -> int:
        """Adds one-time KEM prekeys, replaces the last-resort one if one is given, and returns how many one-time ones
        there are now: at most `most`.

        Raises:
            PreKeysFull: There would be more. Nothing changed.
            PreKeyReused: A key id is in the store, or key material was published before; the present last-resort prekey
                may be given again. Nothing changed.
            LastResortMissing: The account has no last-resort prekey, and the call gives none. Nothing changed.
        """
        ...

    async def delete_kem(self, account_id: int) -> None:
        """Deletes all KEM prekeys of an account. The store remembers that there were some (KEY-16)."""
        ...

    async def get_kem_ids(self, account_id: int) -> KemPreKeyIds: ...

    async def count(self, account_id: int) -> PreKeyCounts: ...

    async def get_published(self, account_ids: Sequence[int]) -> dict[int, PublishedKeys]:
        """Published keys by account id; accounts that have not published are left out. Consumes nothing."""
        ...

    async def take_bundles(self, account_ids: Sequence[int], *, with_kem: bool = True) -> dict[int, TakenBundle]:
        """Takes a bundle of each account that has published, with one one-time prekey each while any are left.

        The one-time prekeys are removed in one statement; two concurrent calls never return the same one (KEY-05). The
        lowest key id goes first. The same holds for KEM prekeys; when these are used up, the last-resort one is
        returned (KEY-15). `with_kem` False leaves them alone, and the bundle says nothing of them.
        """
        ...

    async def rotate_signed(self, account_id: int, signed_prekey: SignedPreKey) -> bool:
        """Replaces the signed prekey; False when the account has not published."""
        ...


class StoreForKeys(StoreForRoutes, Protocol):
    """The concerns of the store that this room uses."""

    @property
    def prekeys(self) -> PreKeyStore: ...
