"""Replays what is about addresses, keys, signatures and digests."""

import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from interop_protocol.curve_keys import WeakKey, check_public_key, is_same_key
from interop_protocol.digest import blocklist_digest, key_digest, phash
from interop_protocol.jid import JidError, parse_jid
from interop_protocol.kem_keys import is_encapsulation_key, verify_kem_prekey
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message, verify_signed_prekey, verify_xeddsa
from interop_server.core.addressing import check_address
from interop_server.core.errors import Refusal
from tests.vectors.documents import Vector
from tests.vectors.fixed import public_key
from tests.vectors.replays.reading import octets, optional_octets


class Prekey(NamedTuple):
    """A one-time prekey."""

    key_id: int
    public_key: bytes


def jid(vector: Vector) -> None:
    """Parses the text, as client and server do."""
    try:
        parsed = parse_jid(vector["text"])
    except JidError:
        parsed = None
    assert vector["valid"] == (parsed is not None)
    read = None if parsed is None else (parsed.text, parsed.user, parsed.server, parsed.integrator or None)
    assert tuple(vector[name] for name in ("canonical", "user", "server", "integrator")) == (read or (None,) * 4)
    try:
        check_address(vector["text"])
        reason = None
    except Refusal as refusal:
        reason = refusal.reason.name
    assert vector["reason"] == reason


def curve_key(vector: Vector) -> None:
    """Checks the key."""
    key = octets(vector, "public_key")
    try:
        canonical = check_public_key(key)
    except WeakKey:
        canonical = None
    assert vector["valid"] == (canonical is not None)
    assert optional_octets(vector, "canonical") == canonical
    assert canonical is None or is_same_key(key, canonical)


def xeddsa(vector: Vector) -> None:
    """Signs where it can, and verifies."""
    public, message, signature = (octets(vector, name) for name in ("public_key", "message", "signature"))
    private, nonce = (optional_octets(vector, name) for name in ("private_key", "nonce"))
    assert (private is None) == (nonce is None)
    if private is not None and nonce is not None:
        assert public == public_key(private)
        assert signature == sign_xeddsa(private, message, nonce)
    assert vector["valid"] == verify_xeddsa(public, message, signature)


def keys_hashed(vector: Vector) -> None:
    """Hashes the keys."""
    prekeys = [Prekey(each["id"], bytes.fromhex(each["public_key"])) for each in vector["one_time_prekeys"]]
    signed = [octets(vector, name) for name in ("identity_key", "signed_prekey", "signed_prekey_signature")]
    assert octets(vector, "key_digest") == key_digest(signed[0], signed[1], signed[2], prekeys)
    assert octets(vector, "key_digest") == hashlib.sha1(octets(vector, "hashed"), usedforsecurity=False).digest()


def devices_hashed(vector: Vector) -> None:
    """Hashes the devices."""
    assert vector["phash"] == phash(vector["device_jids"])


def blocklist_hashed(vector: Vector) -> None:
    """Hashes the list."""
    assert octets(vector, "blocklist_digest") == blocklist_digest(vector["jids"])


def prekey_signature(vector: Vector) -> None:
    """Makes key and signature where it can, and verifies them."""
    kind, identity, prekey, signature = (
        vector["kind"],
        *(octets(vector, name) for name in ("identity_key", "prekey", "signature")),
    )
    is_kem = kind == "kem_prekey"
    assert kind in ("signed_prekey", "kem_prekey")
    signed = octets(vector, "signed_bytes")
    assert signed == (prekey if is_kem else signed_prekey_message(prekey))
    seed, private, nonce = (optional_octets(vector, name) for name in ("kem_seed", "identity_private_key", "nonce"))
    if seed is not None:
        assert MLKEM1024PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw() == prekey
    assert (private is None) == (nonce is None)
    if private is not None and nonce is not None:
        assert public_key(private) == identity
        assert sign_xeddsa(private, signed, nonce) == signature
    if is_kem:
        taken = is_encapsulation_key(prekey) and verify_kem_prekey(identity, prekey, signature)
    else:
        taken = verify_signed_prekey(identity, prekey, signature)
    assert vector["valid"] == taken
