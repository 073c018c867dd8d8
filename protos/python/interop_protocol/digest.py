"""Hashes by which client and server compare keys, device lists and blocklists; knows nothing of how they store them."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Protocol

_PHASH_BYTES = 6


class NumberedKey(Protocol):
    """A one-time prekey, of any class."""

    @property
    def key_id(self) -> int:
        """Id of the prekey."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""


class KeyHash:
    """The digest of an account's public keys, whose one-time prekeys may come in parts (KEY-10).

    Args:
        identity_key: 32 bytes, no type byte.
        signed_prekey: 32 bytes, no type byte.
        signature: 64 bytes, of the signed prekey.
    """

    def __init__(self, identity_key: bytes, signed_prekey: bytes, signature: bytes) -> None:
        self._hash = hashlib.sha1(identity_key + signed_prekey + signature, usedforsecurity=False)

    def add(self, one_time_prekeys: Iterable[NumberedKey]) -> None:
        """Adds one-time prekeys in any order, whose ids are all above those that were added before."""
        by_id = sorted(one_time_prekeys, key=lambda prekey: prekey.key_id)
        self._hash.update(b"".join(prekey.public_key for prekey in by_id))

    def digest(self) -> bytes:
        """Returns the 20 bytes for what was added so far."""
        return self._hash.digest()


def key_digest(
    identity_key: bytes, signed_prekey: bytes, signature: bytes, one_time_prekeys: Iterable[NumberedKey]
) -> bytes:
    """Returns the digest of an account's public keys (KEY-10).

    SHA-1(identity key ‖ signed prekey ‖ its signature ‖ one-time prekeys by ascending id). SHA-1 is WhatsApp's choice:
    the digest detects a damaged store; it is no protection against an attacker.

    Args:
        identity_key: 32 bytes, no type byte.
        signed_prekey: 32 bytes, no type byte.
        signature: 64 bytes, of the signed prekey.
        one_time_prekeys: Those that the account still has, in any order.

    Returns:
        20 bytes.
    """
    keys = KeyHash(identity_key, signed_prekey, signature)
    keys.add(one_time_prekeys)
    return keys.digest()


def phash(device_jids: Iterable[str]) -> str:
    """Returns the hash of a participant's device list: `2:` and base64 of 6 bytes of SHA-256 (MSG-05).

    The hash is over the device JIDs, sorted and joined without anything between them. The JID of device 0, the primary,
    is the account's own; the JID of another device has the device id after a colon, `{user}:{device}@{server}`.

    Args:
        device_jids: The devices' JIDs, in any order.
    """
    digest = hashlib.sha256("".join(sorted(device_jids)).encode()).digest()
    return "2:" + base64.b64encode(digest[:_PHASH_BYTES]).decode()


def blocklist_digest(jids: Iterable[str]) -> bytes:
    """Returns the digest of a blocklist: SHA-256 of the sorted JIDs joined by a line feed, 32 bytes (ABU-02)."""
    return hashlib.sha256("\n".join(sorted(jids)).encode()).digest()
