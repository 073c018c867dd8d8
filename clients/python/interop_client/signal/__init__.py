"""End-to-end encryption: X3DH and the Double Ratchet, wire-compatible with libsignal's session version 3.

Pure functions of bytes and randomness: knows no network, clock or file. An application needs only `SignalState`; to
write an implementation of your own, read the modules in this order:

| module | Signal's specification |
|---|---|
| `keys` | key pairs, prekeys, the 0x05 type byte |
| `x3dh` | the first secret of a session, from a prekey bundle |
| `kem` | post-quantum prekeys: published and checked for, not used |
| `chain` | the symmetric-key ratchet |
| `ratchet` | the Double Ratchet |
| `messages` | SignalMessage and PreKeySignalMessage |
| `session` | the choice of the session that encrypts or decrypts |
| `store` | a device's state, with the operations on it |
| `snapshot` | its saved form |
| `content` | the plaintext: `Message`, padded |
| `errors` | one class for each decision of a caller |
"""

from interop_client.signal.content import decode_message, encode_message
from interop_client.signal.errors import (
    BadMac,
    DuplicateMessage,
    InvalidContent,
    InvalidKey,
    InvalidKeyId,
    InvalidMessage,
    InvalidSession,
    InvalidSignature,
    InvalidSnapshot,
    MissingKemPreKey,
    NoSession,
    SignalError,
    TooFarInFuture,
    UntrustedIdentity,
)
from interop_client.signal.kem import KemPreKeyPublic
from interop_client.signal.keys import PreKeyPublic, SignedPreKeyPublic
from interop_client.signal.store import Ciphertext, CiphertextType, PublicKeys, SignalState
from interop_client.signal.x3dh import PreKeyBundle

__all__ = [
    "BadMac",
    "Ciphertext",
    "CiphertextType",
    "DuplicateMessage",
    "InvalidContent",
    "InvalidKey",
    "InvalidKeyId",
    "InvalidMessage",
    "InvalidSession",
    "InvalidSignature",
    "InvalidSnapshot",
    "KemPreKeyPublic",
    "MissingKemPreKey",
    "NoSession",
    "PreKeyBundle",
    "PreKeyPublic",
    "PublicKeys",
    "SignalError",
    "SignalState",
    "SignedPreKeyPublic",
    "TooFarInFuture",
    "UntrustedIdentity",
    "decode_message",
    "encode_message",
]
