"""Bundles with other parts than those that were taken; knows no call."""

from typing import Any

from interop_api.v1 import prekeys_pb2
from interop_server.core.fault_rules import KeyPart, ReplaceKeys, Replacement

_OPTIONAL = {KeyPart.ONE_TIME_PREKEY: "one_time_prekey", KeyPart.KEM_PREKEY: "kem_prekey"}
"""The parts that a bundle can do without."""


def replace_keys(response: Any, action: ReplaceKeys, peer: str) -> None:
    """Replaces parts of the bundles in a response.

    Args:
        response: Of TakePreKeyBundles or TakeMissingPreKeyBundles.
        action: Says which.
        peer: JID of the only person whose bundles are changed; empty for everybody.
    """
    for result in response.results:
        if peer in ("", result.jid):
            for bundle in result.bundles:
                for replacement in action.replacements:
                    _replace(bundle, replacement)


def _replace(bundle: prekeys_pb2.PreKeyBundle, replacement: Replacement) -> None:
    part, value = replacement
    if (name := _OPTIONAL.get(part)) is not None:
        if value is None:
            bundle.ClearField(name)  # type: ignore[arg-type]
        elif bundle.HasField(name):  # type: ignore[arg-type]
            getattr(bundle, name).public_key = value
    elif part is KeyPart.IDENTITY_KEY:
        bundle.identity_key = _other(bundle.identity_key, value)
    elif part is KeyPart.SIGNED_PREKEY:
        bundle.signed_prekey.public_key = _other(bundle.signed_prekey.public_key, value)
    else:
        bundle.signed_prekey.signature = _other(bundle.signed_prekey.signature, value)


def _other(key: bytes, value: bytes | None) -> bytes:
    return bytes((key[0] ^ 1, *key[1:])) if value is None else value
