"""Hashes by which both ends compare what they have: keys, devices, blocked people."""

from typing import NamedTuple

from interop_protocol.digest import blocklist_digest, key_digest, phash
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import number, octets, record, several, text
from tests.vectors.fixed import public_key, secret


class Prekey(NamedTuple):
    """A one-time prekey."""

    key_id: int
    public_key: bytes


_KEY_FIELDS = {
    "identity_key": octets("32 bytes without 0x05.", 32),
    "signed_prekey": octets("32 bytes without 0x05.", 32),
    "signed_prekey_signature": octets("64 bytes.", 64),
    "one_time_prekeys": several(
        "Those that are left, in the order in which somebody holds them.",
        record("One of them.", {"id": number("1 to 16777215."), "public_key": octets("32 bytes without 0x05.", 32)}),
    ),
    "hashed": octets("What SHA-1 is computed of."),
    "key_digest": octets("GetKeyDigestResponse.digest.", 20),
}
_PHASH_FIELDS = {
    "device_jids": several("The JIDs of the devices, in any order.", text("One of them.")),
    "phash": text("DeviceListMismatch.phash."),
}
_BLOCKLIST_FIELDS = {
    "jids": several("Whom the account blocks, in any order.", text("One of them.")),
    "blocklist_digest": octets("GetBlocklistResponse.digest.", 32),
}


def key_digests() -> Document:
    """Returns the file of key digests."""
    some = [Prekey(number, public_key(secret(f"digest one-time {number}"))) for number in (9, 10, 256, 16_777_215)]
    given = [
        ("none-left", "No one-time prekey is left.", []),
        ("one", "One is left.", some[:1]),
        ("several", "Ascending by id, as numbers.", some),
        ("several-out-of-order", "The same keys: the digest is the same.", [some[2], some[0], some[3], some[1]]),
    ]
    return Document(
        "key_digest",
        "The digest of an account's published keys: hash yours, and compare with what the server says.",
        ("KEY-10",),
        _KEY_FIELDS,
        [_keys(*each) for each in given],
    )


def _keys(name: str, comment: str, prekeys: list[Prekey]) -> Vector:
    identity, signed = (public_key(secret(f"digest {which}")) for which in ("identity", "signed prekey"))
    signature = secret("digest signature", 64)
    ordered = sorted(prekeys, key=lambda prekey: prekey.key_id)
    return {
        "name": name,
        "comment": comment,
        "identity_key": identity.hex(),
        "signed_prekey": signed.hex(),
        "signed_prekey_signature": signature.hex(),
        "one_time_prekeys": [{"id": each.key_id, "public_key": each.public_key.hex()} for each in prekeys],
        "hashed": b"".join((identity, signed, signature, *(each.public_key for each in ordered))).hex(),
        "key_digest": key_digest(identity, signed, signature, prekeys).hex(),
    }


def phashes() -> Document:
    """Returns the file of device list hashes."""
    given = [
        ("primary", "A third-party user: one device.", ["12-34@interop"]),
        ("two", "Device 0 has the JID of the account.", ["12-34@interop", "12-34:2@interop"]),
        ("two-out-of-order", "Sorted first.", ["12-34:2@interop", "12-34@interop"]),
        ("whatsapp", "A WhatsApp user.", ["4915112345678@s.whatsapp.net"]),
        (
            "sorted-as-texts",
            "10 comes before 2.",
            ["4915112345678:2@s.whatsapp.net", "4915112345678:10@s.whatsapp.net"],
        ),
        ("no-device", "Nothing.", []),
    ]
    return Document(
        "phash",
        "The hash of a participant's devices: sort the JIDs as texts, join them, hash.",
        ("MSG-05",),
        _PHASH_FIELDS,
        [
            {"name": name, "comment": comment, "device_jids": jids, "phash": phash(jids)}
            for name, comment, jids in given
        ],
    )


def blocklist_digests() -> Document:
    """Returns the file of blocklist digests."""
    given = [
        ("empty", "Nobody: the SHA-256 of no bytes.", []),
        ("one", "One person.", ["4915112345678@s.whatsapp.net"]),
        ("two", "Sorted as texts: 12-3 comes after 1-2.", ["12-3@interop", "1-2@interop"]),
    ]
    return Document(
        "blocklist_digest",
        "The digest of a blocklist: sort the JIDs as texts, join them with line feeds, hash.",
        ("ABU-02",),
        _BLOCKLIST_FIELDS,
        [
            {"name": name, "comment": comment, "jids": jids, "blocklist_digest": blocklist_digest(jids).hex()}
            for name, comment, jids in given
        ],
    )
