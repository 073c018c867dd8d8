"""Parses other users' prekey bundles, as the server sends them; does not verify them.

Source: KEY-05 to KEY-07, KEY-15, KEY-16.
"""

from typing import Any

from interop_api.v1 import prekeys_pb2
from interop_client.errors import refusal_from_stanza_error
from interop_client.signal.kem import KemPreKeyPublic
from interop_client.signal.x3dh import PreKeyBundle


def bundle_from(result: prekeys_pb2.PreKeyBundleResult) -> PreKeyBundle:
    """Returns the bundle of one user's primary device, which comes first (KEY-08).

    Raises:
        ServerRefusal: The server returned no bundle of this user.
    """
    if result.HasField("error"):
        raise refusal_from_stanza_error(result.error)
    # A result without bundles becomes a bundle without keys, which its verification refuses.
    bundle = result.bundles[0] if result.bundles else prekeys_pb2.PreKeyBundle()
    one_time: Any = bundle.one_time_prekey if bundle.HasField("one_time_prekey") else None
    return PreKeyBundle(
        registration_id=bundle.registration_id,
        device_id=bundle.device.device_id,
        identity_key=bundle.identity_key,
        signed_prekey_id=bundle.signed_prekey.key_id,
        signed_prekey=bundle.signed_prekey.public_key,
        signed_prekey_signature=bundle.signed_prekey.signature,
        one_time_prekey_id=one_time and one_time.key_id,
        one_time_prekey=one_time and one_time.public_key,
        kem_prekey=_kem_prekey_from(bundle.kem_prekey) if bundle.HasField("kem_prekey") else None,
        kem_withdrawn=bundle.kem_withdrawn,
    )


def _kem_prekey_from(prekey: prekeys_pb2.KemPreKey) -> KemPreKeyPublic:
    return KemPreKeyPublic(prekey.key_id, prekey.public_key, prekey.signature)
