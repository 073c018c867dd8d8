"""The two messages of a session as bytes, session version 3; knows how to authenticate them, not the choice of the key.

    SignalMessage        version byte ‖ protobuf ‖ MAC (8 bytes)
    PreKeySignalMessage  version byte ‖ protobuf, which contains a whole SignalMessage

Fields that this release does not know are ignored, as in all protobufs; the MAC covers the bytes as received.
Source: libsignal session version 3; field numbers in `interop_api/e2ee/v1/session.proto`.
"""

import hmac
from dataclasses import dataclass, field
from typing import Self

from google.protobuf.message import DecodeError

from interop_api.e2ee.v1 import session_pb2
from interop_client.signal.errors import BadMac, InvalidMessage
from interop_client.signal.keys import decode_public_key, encode_public_key

SESSION_VERSION = 3
MAC_BYTES = 8
MAX_MESSAGE_BYTES = 1 << 20
"""Longest message that a device reads; policy, as long as the server's longest frame."""

_VERSION_BYTE = bytes((SESSION_VERSION << 4 | SESSION_VERSION,))
_BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a SignalMessage that is not encrypted."""

    ratchet_key: bytes
    """The sender's ratchet key, 32 bytes."""
    counter: int
    """Number of the message in its chain, from 0."""
    previous_counter: int
    """How many messages the sender sent in the chain before."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """The values that bind a SignalMessage to its sender and recipient."""

    mac_key: bytes = field(repr=False)
    """32 bytes."""
    sender_identity: bytes
    """32 bytes."""
    receiver_identity: bytes
    """32 bytes."""

    def mac(self, covered: bytes) -> bytes:
        """Returns the 8-byte MAC over the version byte and the protobuf."""
        identities = encode_public_key(self.sender_identity) + encode_public_key(self.receiver_identity)
        return hmac.digest(self.mac_key, identities + covered, "sha256")[:MAC_BYTES]


@dataclass(frozen=True, slots=True)
class SignalMessage:
    """One Double Ratchet message."""

    header: Header
    """The part that is not encrypted."""
    ciphertext: bytes
    """One or more blocks of 16 bytes."""
    covered: bytes
    """The bytes that the MAC covers: version byte and protobuf, as received."""
    mac: bytes
    """8 bytes."""

    @classmethod
    def seal(cls, header: Header, ciphertext: bytes, authentication: Authentication) -> Self:
        """Makes a message with its MAC."""
        proto = session_pb2.SignalMessage(
            ratchet_key=encode_public_key(header.ratchet_key),
            counter=header.counter,
            previous_counter=header.previous_counter,
            ciphertext=ciphertext,
        )
        covered = _VERSION_BYTE + proto.SerializeToString()
        return cls(header, ciphertext, covered, authentication.mac(covered))

    def encode(self) -> bytes:
        """Returns the bytes for the wire."""
        return self.covered + self.mac

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Reads a message without authenticating it.

        Raises:
            InvalidMessage: The bytes are not a SignalMessage of session version 3.
            InvalidKey: Its ratchet key is malformed.
        """
        _check_version(body)
        covered, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
        proto = session_pb2.SignalMessage()
        _parse(proto, covered[1:])
        if not (proto.HasField("ratchet_key") and proto.HasField("counter")):
            raise InvalidMessage("a SignalMessage lacks its ratchet key or its counter")
        if not proto.ciphertext or len(proto.ciphertext) % _BLOCK_BYTES:
            raise InvalidMessage("the ciphertext is not one or more blocks of 16 bytes")
        header = Header(decode_public_key(proto.ratchet_key), proto.counter, proto.previous_counter)
        return cls(header, proto.ciphertext, covered, mac)

    def verify(self, authentication: Authentication) -> None:
        """Checks the MAC.

        Raises:
            BadMac: The MAC does not match.
        """
        if not hmac.compare_digest(self.mac, authentication.mac(self.covered)):
            raise BadMac("the MAC does not match")


@dataclass(frozen=True, slots=True)
class PreKeySignalMessage:
    """A first message of a session, with the keys from which the recipient builds the session."""

    registration_id: int
    """The initiator's; 0 when the message does not say."""
    signed_prekey_id: int
    """Id of the recipient's signed prekey that the initiator used."""
    one_time_prekey_id: int | None
    """Id of the recipient's one-time prekey that the initiator used, if any."""
    base_key: bytes
    """The initiator's base key, 32 bytes; it names the session."""
    identity_key: bytes
    """The initiator's identity key, 32 bytes."""
    message: SignalMessage
    """The message itself."""

    def encode(self) -> bytes:
        """Returns the bytes for the wire."""
        proto = session_pb2.PreKeySignalMessage(
            pre_key_id=self.one_time_prekey_id,
            base_key=encode_public_key(self.base_key),
            identity_key=encode_public_key(self.identity_key),
            message=self.message.encode(),
            registration_id=self.registration_id,
            signed_pre_key_id=self.signed_prekey_id,
        )
        return _VERSION_BYTE + proto.SerializeToString()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Reads a message without authenticating it.

        Raises:
            InvalidMessage: The bytes are not a PreKeySignalMessage of session version 3.
            InvalidKey: One of its keys is malformed.
        """
        _check_version(body)
        proto = session_pb2.PreKeySignalMessage()
        _parse(proto, body[1:])
        if not proto.HasField("signed_pre_key_id"):
            raise InvalidMessage("a PreKeySignalMessage lacks the id of the signed prekey")
        return cls(
            registration_id=proto.registration_id,
            signed_prekey_id=proto.signed_pre_key_id,
            one_time_prekey_id=proto.pre_key_id if proto.HasField("pre_key_id") else None,
            base_key=decode_public_key(proto.base_key),
            identity_key=decode_public_key(proto.identity_key),
            message=SignalMessage.decode(proto.message),
        )


def _check_version(body: bytes) -> None:
    if not 1 < len(body) <= MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"a message has {len(body)} bytes")
    session_version, highest_known = body[0] >> 4, body[0] & 0x0F
    # libsignal writes 0x34 for session version 3: the low nibble is only the highest version that the sender knows.
    if session_version != SESSION_VERSION or highest_known < SESSION_VERSION:
        raise InvalidMessage(f"version byte 0x{body[0]:02x}: only session version {SESSION_VERSION} is supported")


def _parse(proto: session_pb2.SignalMessage | session_pb2.PreKeySignalMessage, body: bytes) -> None:
    try:
        proto.ParseFromString(body)
    except DecodeError as error:
        raise InvalidMessage("the message is not a protobuf") from error
