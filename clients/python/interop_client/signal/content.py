"""What a session protects: the `Message` protobuf with its padding; knows no keys.

Source: `interop_api/e2ee/v1/content.proto`; MSG-12.
"""

import os

from google.protobuf.message import DecodeError

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal.errors import InvalidContent
from interop_client.signal.keys import Entropy

MAX_PADDING_BYTES = 16
MAX_TEXT_BYTES = 65_536
"""Longest text, in UTF-8."""


def pad(plaintext: bytes, length: int) -> bytes:
    """Appends padding that hides the exact length of a plaintext.

    Args:
        plaintext: Any bytes.
        length: Bytes of padding to append, 1 to 16; each holds this number.

    Raises:
        ValueError: The length is out of range.
    """
    if not 1 <= length <= MAX_PADDING_BYTES:
        raise ValueError(f"{length} is not 1 to {MAX_PADDING_BYTES} bytes of padding")
    return plaintext + bytes((length,)) * length


def unpad(padded: bytes) -> bytes:
    """Removes the padding.

    Raises:
        InvalidContent: There is none, or its bytes differ.
    """
    length = padded[-1] if padded else 0
    if not 1 <= length <= MAX_PADDING_BYTES or padded[-length:] != bytes((length,)) * length:
        raise InvalidContent("the plaintext is not padded with 1 to 16 bytes that hold their number")
    return padded[:-length]


def pad_at_random(plaintext: bytes, entropy: Entropy = os.urandom) -> bytes:
    """Appends 1 to 16 bytes of padding."""
    return pad(plaintext, 1 + entropy(1)[0] % MAX_PADDING_BYTES)


def serialize_message(message: content_pb2.Message) -> bytes:
    """Returns a message as a plaintext without padding: what a reporting token covers.

    Raises:
        InvalidContent: Not exactly one content field is set, or a text is too long.
    """
    _check(message)
    return message.SerializeToString()


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
        InvalidContent: It is no protobuf, or not exactly one content field is set, or a text is too long.
    """
    message = content_pb2.Message()
    try:
        message.ParseFromString(plaintext)
    except DecodeError as error:
        raise InvalidContent("the plaintext is no Message") from error
    _check(message)
    return message


def content_fields(message: content_pb2.Message) -> list[str]:
    """Returns the names of the content fields that are set: all but what goes with every message."""
    return [field.name for field, _ in message.ListFields() if field.name != "message_context_info"]


def _check(message: content_pb2.Message) -> None:
    fields = content_fields(message)
    if len(fields) != 1:
        raise InvalidContent(f"a message has exactly one content field, not {fields}")
    for text in (message.conversation, message.extended_text_message.text):
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise InvalidContent(f"a text has more than {MAX_TEXT_BYTES} bytes")
