"""Prekeys and bundles; lengths of keys are checked by the rules."""

from collections.abc import Iterable

from interop_api.v1 import prekeys_pb2, stanza_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import (
    DeviceBundle,
    KemPreKey,
    KemPreKeys,
    OneTimePreKey,
    PublishedKeys,
    SignedPreKey,
)


def signed_prekey_from(signed_prekey: prekeys_pb2.SignedPreKey) -> SignedPreKey:
    """Reads a signed prekey; its lengths are checked by the rules."""
    return SignedPreKey(signed_prekey.key_id, signed_prekey.public_key, signed_prekey.signature)


def one_time_prekeys_from(one_time: Iterable[prekeys_pb2.OneTimePreKey]) -> list[OneTimePreKey]:
    """Reads one-time prekeys; their lengths are checked by the rules."""
    return [OneTimePreKey(key.key_id, key.public_key) for key in one_time]


def kem_prekeys_from(kem: prekeys_pb2.KemPreKeys) -> KemPreKeys:
    """Reads KEM prekeys; their lengths are checked by the rules."""
    return KemPreKeys(
        _kem_prekey_from(kem.last_resort) if kem.HasField("last_resort") else None,
        tuple(_kem_prekey_from(prekey) for prekey in kem.one_time),
    )


def _kem_prekey_from(prekey: prekeys_pb2.KemPreKey) -> KemPreKey:
    return KemPreKey(prekey.key_id, prekey.public_key, prekey.signature)


def published_keys_from(request: prekeys_pb2.SetPreKeysRequest) -> PublishedKeys:
    """Reads what an account publishes.

    Raises:
        Refusal: KEY_MALFORMED for another key type.
    """
    if request.key_type != b"\x05":
        raise Refusal(
            Reason.KEY_MALFORMED, "`key_type` must be the one byte 0x05", field="key_type", requirement="KEY-02"
        )
    return PublishedKeys(request.registration_id, request.identity_key, signed_prekey_from(request.signed_prekey))


def bundle_to(bundle_of: DeviceBundle) -> prekeys_pb2.PreKeyBundle:
    """Returns a taken bundle of a device."""
    device, taken = bundle_of
    keys, one_time = taken.keys, taken.one_time_prekey
    signed = keys.signed_prekey
    bundle = prekeys_pb2.PreKeyBundle(
        registration_id=keys.registration_id,
        device=stanza_pb2.DeviceAddress(jid=device.jid, device_id=device.device_id),
        identity_key=keys.identity_key,
        signed_prekey=prekeys_pb2.SignedPreKey(
            key_id=signed.key_id, public_key=signed.public_key, signature=signed.signature
        ),
    )
    if one_time is not None:
        bundle.one_time_prekey.key_id = one_time.key_id
        bundle.one_time_prekey.public_key = one_time.public_key
    if (kem := taken.kem_prekey) is not None:
        bundle.kem_prekey.key_id = kem.key_id
        bundle.kem_prekey.public_key = kem.public_key
        bundle.kem_prekey.signature = kem.signature
        bundle.kem_is_last_resort = taken.kem_is_last_resort
    elif taken.kem_withdrawn:
        bundle.kem_withdrawn = True
    return bundle
