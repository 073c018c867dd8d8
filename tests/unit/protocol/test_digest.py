"""Digests that two ends compare: the same for the same content, whatever order it comes in (KEY-10, ABU-02)."""

import base64
import hashlib
from itertools import permutations
from typing import NamedTuple

import pytest

from interop_protocol.digest import KeyHash, blocklist_digest, key_digest, phash
from interop_protocol.sizes import KEY_DIGEST_BYTES, SHA256_BYTES


class Prekey(NamedTuple):
    key_id: int
    public_key: bytes


IDENTITY, SIGNED, SIGNATURE = b"\1" * 32, b"\2" * 32, b"\3" * 64
PREKEYS = [Prekey(9, b"\4" * 32), Prekey(10, b"\5" * 32), Prekey(16_777_215, b"\6" * 32)]


@pytest.mark.requirement("KEY-10")
def test_the_key_digest_is_sha_1_over_the_keys_by_id():
    """Ids order as numbers: 9 comes before 10."""
    expected = hashlib.sha1(
        b"\1" * 32 + b"\2" * 32 + b"\3" * 64 + b"\4" * 32 + b"\5" * 32 + b"\6" * 32, usedforsecurity=False
    ).digest()
    assert len(expected) == KEY_DIGEST_BYTES
    for order in permutations(PREKEYS):
        assert key_digest(IDENTITY, SIGNED, SIGNATURE, order) == expected


@pytest.mark.requirement("KEY-10")
def test_the_key_digest_is_the_same_in_parts():
    """Of any length, none included, in whatever order within each."""
    expected = key_digest(IDENTITY, SIGNED, SIGNATURE, PREKEYS)
    for parts in ([PREKEYS[1::-1], PREKEYS[2:]], [[], PREKEYS[:1], [], PREKEYS[:0:-1]]):
        keys = KeyHash(IDENTITY, SIGNED, SIGNATURE)
        for part in parts:
            keys.add(part)
        assert keys.digest() == expected


def test_the_key_digest_changes_with_every_part():
    """A lost or changed key is noticed."""
    digests = {
        key_digest(IDENTITY, SIGNED, SIGNATURE, PREKEYS),
        key_digest(IDENTITY, SIGNED, SIGNATURE, PREKEYS[:2]),
        key_digest(IDENTITY, SIGNED, SIGNATURE, []),
        key_digest(b"\7" * 32, SIGNED, SIGNATURE, PREKEYS),
        key_digest(IDENTITY, b"\7" * 32, SIGNATURE, PREKEYS),
        key_digest(IDENTITY, SIGNED, b"\7" * 64, PREKEYS),
    }
    assert len(digests) == 6


def test_the_key_digest_is_made_where_sha_1_may_protect_nothing(monkeypatch: pytest.MonkeyPatch):
    """Under FIPS 140 a machine has SHA-1 for other purposes than security only, and this is one."""
    expected, sha1 = key_digest(IDENTITY, SIGNED, SIGNATURE, PREKEYS), hashlib.sha1

    def of_a_fips_machine(content: bytes = b"", *, usedforsecurity: bool = True) -> object:
        if usedforsecurity:
            raise ValueError("[digital envelope routines] unsupported")
        return sha1(content, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "sha1", of_a_fips_machine)
    assert key_digest(IDENTITY, SIGNED, SIGNATURE, PREKEYS) == expected


@pytest.mark.requirement("MSG-05")
def test_the_phash_is_six_bytes_of_sha_256_over_the_sorted_device_jids():
    """Whatever order they come in; the version stands in front."""
    jids = ["12-34:2@interop", "12-34@interop"]
    digest = hashlib.sha256(b"12-34:2@interop12-34@interop").digest()[:6]
    assert phash(jids) == phash(reversed(jids)) == "2:" + base64.b64encode(digest).decode()
    assert len(phash(jids)) == 10


@pytest.mark.requirement("ABU-02")
def test_the_blocklist_digest_does_not_depend_on_order():
    """A list is a set of JIDs."""
    jids = ["12-3@interop", "1-2@interop"]
    expected = hashlib.sha256(b"1-2@interop\n12-3@interop").digest()
    assert blocklist_digest(jids) == blocklist_digest(reversed(jids)) == expected
    assert len(expected) == SHA256_BYTES


def test_an_empty_blocklist_has_a_digest():
    """Nothing is blocked: the digest of no bytes."""
    assert blocklist_digest([]) == hashlib.sha256(b"").digest()
