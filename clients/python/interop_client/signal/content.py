"""The plaintext of a session: the `Message` protobuf with its padding; knows no keys.

Source: `interop_api/e2ee/v1/content.proto`; MSG-12.
"""

import os

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal.errors import InvalidContent, UnsupportedContent
from interop_client.signal.keys import Entropy

MAX_PADDING_BYTES = 16
STICKER_FIELD = 26
"""Observed field of `Message`; not in content.proto, since third-party chats do not support stickers."""
EPHEMERAL_FIELD = 40
"""Likewise, for a disappearing message."""
MAX_TEXT_BYTES = 65_536
"""Longest text, in UTF-8."""
MAX_QUOTE_BYTES = 16_384
"""Longest quote of a text, in UTF-8: the longest answer to the longest text still fits into a ciphertext (MSG-11)."""
MAX_CONTENT_BYTES = 97_280
"""Longest content, serialised. Padded, and in the first message of a session, it still fits into a ciphertext (MSG-11):
so what was sent in a session can be sent again in a new one."""


_FIELDS = {STICKER_FIELD: "STICKER", EPHEMERAL_FIELD: "DISAPPEARING_MESSAGES"}
_CHANGES = {int(content_pb2.PROTOCOL_MESSAGE_TYPE_EPHEMERAL_SETTING): "DISAPPEARING_MESSAGES"}
_SUPPORTED_CHANGES = (content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE, content_pb2.PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT)


def pad(plaintext: bytes, length: int) -> bytes:
    """Appends padding that hides the exact length of a plaintext.

    Args:
        plaintext: Any bytes.
        length: How many bytes of padding to append, 1 to 16; each holds this number.

    Raises:
        ValueError: The length is out of range.
    """
    if not 1 <= length <= MAX_PADDING_BYTES:
        raise ValueError(f"{length} is not 1 to {MAX_PADDING_BYTES} bytes of padding")
    return plaintext + bytes((length,)) * length


def unpad(padded: bytes) -> bytes:
    """Removes the padding.

    Raises:
        InvalidContent: There is no padding, or its bytes differ.
    """
    length = padded[-1] if padded else 0
    if not 1 <= length <= MAX_PADDING_BYTES or padded[-length:] != bytes((length,)) * length:
        raise InvalidContent("the plaintext is not padded with 1 to 16 bytes that hold their number")
    return padded[:-length]


def pad_at_random(plaintext: bytes, entropy: Entropy = os.urandom) -> bytes:
    """Appends 1 to 16 bytes of padding."""
    return pad(plaintext, 1 + entropy(1)[0] % MAX_PADDING_BYTES)


def serialize_message(message: content_pb2.Message) -> bytes:
    """Returns a message as a plaintext without padding, as a reporting token covers it.

    Raises:
        UnsupportedContent: The message has a content that third-party chats do not support (MSG-12).
        InvalidContent: The message does not have exactly one content field, or a text or the whole is too long.
    """
    if (kind := unsupported_kind(message)) is not None or _unknown_fields(message):
        raise UnsupportedContent(f"third-party chats do not support this: {kind or _unknown_fields(message)}")
    _check(message)
    serialized = message.SerializeToString()
    if len(serialized) > MAX_CONTENT_BYTES:
        raise InvalidContent(f"a content has more than {MAX_CONTENT_BYTES:,} bytes")
    return serialized


def encode_message(message: content_pb2.Message, entropy: Entropy = os.urandom) -> bytes:
    """Returns a message as the padded plaintext for a session.

    Raises:
        InvalidContent: As `serialize_message`.
    """
    return pad_at_random(serialize_message(message), entropy)


def decode_message(plaintext: bytes) -> content_pb2.Message:
    """Reads a message from the padded plaintext of a session.

    Raises:
        InvalidContent: The padding is broken; or as `parse_message`.
    """
    return parse_message(unpad(plaintext))


def parse_message(plaintext: bytes) -> content_pb2.Message:
    """Reads a message from a plaintext without padding.

    Raises:
        InvalidContent: The plaintext is not a `Message`, does not have exactly one content field, or has a text that is
            too long. A content that third-party chats do not support does not raise.
    """
    message = content_pb2.Message()
    try:
        message.ParseFromString(plaintext)
    except DecodeError as error:
        raise InvalidContent("the plaintext is not a Message") from error
    if unsupported_kind(message) is None:
        _check(message)
    return message


def unsupported_kind(message: content_pb2.Message) -> str | None:
    """Returns the kind of a content that third-party chats do not support; None for any other content (MSG-12)."""
    if message.HasField("protocol_message"):
        change = message.protocol_message
        if not change.HasField("type"):
            return (
                "PROTOCOL_MESSAGE_WITHOUT_TYPE"  # what is absent is not REVOKE, although that is 0: nothing is deleted
            )
        if change.type not in _SUPPORTED_CHANGES:
            return _CHANGES.get(change.type, f"PROTOCOL_MESSAGE_{change.type}")
    if content_fields(message):
        return None  # unknown fields beside a content come from a newer release, and are ignored
    unknown = _unknown_fields(message)
    return _FIELDS.get(unknown[0], f"FIELD_{unknown[0]}") if unknown else None


def _unknown_fields(message: content_pb2.Message) -> list[int]:
    fields = UnknownFieldSet(message)
    return [fields[index].field_number for index in range(len(fields))]


def content_fields(message: content_pb2.Message) -> list[str]:
    """Returns the names of the content fields that are set: all but `message_context_info`."""
    return [field.name for field, _ in message.ListFields() if field.name != "message_context_info"]


def _check(message: content_pb2.Message) -> None:
    fields = content_fields(message)
    if len(fields) != 1:
        raise InvalidContent(f"a message has exactly one content field, not {fields}")
    texts = (
        message.conversation,
        message.extended_text_message.text,
        message.protocol_message.edited_message.conversation,
    )
    for text in texts:
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise InvalidContent(f"a text has more than {MAX_TEXT_BYTES} bytes")
