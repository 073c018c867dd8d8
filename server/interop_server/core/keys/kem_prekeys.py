"""Checks post-quantum prekeys; knows no store and no wire format.

The server keeps, gives out and counts them. Sessions do not use them: how a session would is not public.
"""

from interop_protocol.kem_keys import is_encapsulation_key, verify_kem_prekey
from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES, MAX_KEM_PREKEYS, MAX_PREKEY_ID, SIGNATURE_BYTES
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.model import KemPreKey, KemPreKeys
from interop_server.core.ports import Clock

_CHECKED_AT_ONCE = 16
"""Keys checked before other tasks get a turn: each takes tenths of a millisecond, and 5,000 may come at once."""


async def check_kem_prekeys(identity_key: bytes, kem: KemPreKeys, clock: Clock) -> None:
    """Checks number, form and signatures of KEM prekeys (KEY-15).

    Raises:
        Refusal: TOO_MANY_ITEMS, KEY_MALFORMED, PREKEY_ID_DUPLICATE, PREKEY_REUSED or PREKEY_SIGNATURE_INVALID.
    """
    require_count(len(kem.one_time), MAX_KEM_PREKEYS, "kem_prekeys.one_time", "KEY-15", least=0)
    prekeys = list(kem.one_time)
    places = [f"kem_prekeys.one_time[{index}]" for index in range(len(prekeys))]
    if kem.last_resort is not None:
        prekeys.append(kem.last_resort)
        places.append("kem_prekeys.last_resort")
    for prekey, place in zip(prekeys, places, strict=True):
        _check_form(prekey, place)
    if len({prekey.key_id for prekey in prekeys}) != len(prekeys):
        raise Refusal(
            Reason.PREKEY_ID_DUPLICATE, "KEM prekeys share an id, the last-resort one included", field="kem_prekeys"
        )
    if len({prekey.public_key for prekey in prekeys}) != len(prekeys):
        raise Refusal(
            Reason.PREKEY_REUSED, "one KEM prekey stands in the list under two ids", field="kem_prekeys.one_time"
        )
    for number, (prekey, place) in enumerate(zip(prekeys, places, strict=True), 1):
        _check_key(identity_key, prekey, place)
        if number % _CHECKED_AT_ONCE == 0:
            await clock.sleep(0)


def _check_key(identity_key: bytes, prekey: KemPreKey, place: str) -> None:
    if not is_encapsulation_key(prekey.public_key):
        detail = f"KEM prekey {prekey.key_id} is not an ML-KEM-1024 encapsulation key"
        raise Refusal(Reason.KEY_MALFORMED, detail, field=f"{place}.public_key", requirement="KEY-15")
    if not verify_kem_prekey(identity_key, prekey.public_key, prekey.signature):
        detail = f"KEM prekey {prekey.key_id}: sign the key without a type byte"
        raise Refusal(Reason.PREKEY_SIGNATURE_INVALID, detail, field=f"{place}.signature", requirement="KEY-15")


def _check_form(prekey: KemPreKey, place: str) -> None:
    if not 1 <= prekey.key_id <= MAX_PREKEY_ID:
        detail = f"the id of a KEM prekey is {prekey.key_id}, outside 1 to {MAX_PREKEY_ID:,}"
        raise Refusal(Reason.KEY_MALFORMED, detail, field=f"{place}.key_id", requirement="KEY-15")
    for field, name, value, length in (
        ("public_key", "", prekey.public_key, KEM_PUBLIC_KEY_BYTES),
        ("signature", "the signature of ", prekey.signature, SIGNATURE_BYTES),
    ):
        if len(value) != length:
            detail = f"{name}KEM prekey {prekey.key_id} has {len(value)} bytes instead of {length:,}"
            raise Refusal(Reason.KEY_MALFORMED, detail, field=f"{place}.{field}", requirement="KEY-15")
