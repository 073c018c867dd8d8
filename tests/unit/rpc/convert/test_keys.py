"""Keys, as they are published and as they are taken."""

import pytest

from interop_api.v1 import prekeys_pb2, stanza_pb2
from interop_server.core.errors import Reason
from interop_server.core.model import (
    DeviceAddress,
    DeviceBundle,
    KemPreKey,
    KemPreKeys,
    OneTimePreKey,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from interop_server.rpc.convert import keys

from .wire import PEER_JID, refusal_of

DEVICE = DeviceAddress(PEER_JID, 3)
KEYS = PublishedKeys(2**32 - 1, b"i" * 32, SignedPreKey(1, b"s" * 32, b"g" * 64))


def test_keys_survive_the_wire_both_ways() -> None:
    """Published as they are taken; without a one-time prekey there is none in the bundle (KEY-01, KEY-06)."""
    signed = prekeys_pb2.SignedPreKey(key_id=1, public_key=b"s" * 32, signature=b"g" * 64)
    request = prekeys_pb2.SetPreKeysRequest(
        registration_id=2**32 - 1,
        key_type=b"\x05",
        identity_key=b"i" * 32,
        signed_prekey=signed,
        one_time_prekeys=[prekeys_pb2.OneTimePreKey(key_id=7, public_key=b"o" * 32)],
    )
    assert keys.published_keys_from(request) == KEYS
    one_time = OneTimePreKey(7, b"o" * 32)
    assert keys.one_time_prekeys_from(request.one_time_prekeys) == [one_time]
    bundle = keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, one_time, 5)))
    assert bundle.device == stanza_pb2.DeviceAddress(jid=PEER_JID, device_id=3)
    assert (bundle.registration_id, bundle.identity_key, bundle.signed_prekey) == (2**32 - 1, b"i" * 32, signed)
    assert bundle.one_time_prekey == request.one_time_prekeys[0]
    assert not keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, None, 0))).HasField("one_time_prekey")
    for key_type in (b"", b"\x04", b"\x05\x05"):
        request.key_type = key_type
        assert refusal_of(keys.published_keys_from, request).reason is Reason.KEY_MALFORMED


@pytest.mark.requirement("KEY-15", "KEY-16")
def test_kem_prekeys_are_read_and_written_field_by_field() -> None:
    """A bundle says whether its KEM prekey is the last-resort one, and whether there ought to be one."""
    one_time, last_resort = KemPreKey(1, b"k", b"s"), KemPreKey(2, b"l", b"t")
    wire = [
        prekeys_pb2.KemPreKey(key_id=key.key_id, public_key=key.public_key, signature=key.signature)
        for key in (one_time, last_resort)
    ]
    read = keys.kem_prekeys_from(prekeys_pb2.KemPreKeys(one_time=wire[:1], last_resort=wire[1]))
    assert read == KemPreKeys(last_resort, (one_time,))
    assert keys.kem_prekeys_from(prekeys_pb2.KemPreKeys()) == KemPreKeys(None)
    for is_last_resort, kem_prekey in ((False, one_time), (True, last_resort)):
        taken = TakenBundle(KEYS, None, 0, kem_prekey, 0, is_last_resort)
        bundle = keys.bundle_to(DeviceBundle(DEVICE, taken))
        assert (bundle.kem_prekey, bundle.kem_is_last_resort) == (wire[is_last_resort], is_last_resort)
        assert not bundle.kem_withdrawn
    withdrawn = keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, None, 0, kem_withdrawn=True)))
    assert (withdrawn.HasField("kem_prekey"), withdrawn.kem_withdrawn) == (False, True)
