"""A message as a person may see it: JSON without secrets and ciphertexts; knows no channel and no reader."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

MOST_ELEMENTS = 256
"""Elements of a list that are shown; policy."""
MOST_CHARACTERS = 320
"""Of a text that is shown, and hexadecimal digits; policy."""
UNKNOWN_BYTES = 4 << 10
"""Up to this length of a message the fields that nobody knows are looked for: there can be many."""
HASHED_BYTES = 16
"""From this length on a secret has a hash: a shorter one could be found by trying."""
HASH_DIGITS = 16

SECRET = frozenset(
    {
        "interop_api.v1.ChallengeCode.digits",
        "interop_api.v1.ClientFinish.payload",
        "interop_api.v1.ClientFinish.static_key",
        "interop_api.v1.ConnectRequest.sealed",
        "interop_api.v1.ConnectResponse.sealed",
        "interop_api.v1.Enc.ciphertext",
        "interop_api.v1.InteropData.token",
        "interop_api.v1.LoginSuccess.session_token",
        "interop_api.v1.Message.reporting_token",
        "interop_api.v1.ServerHello.payload",
        "interop_api.v1.ServerHello.static_key",
    }
)
"""Fields of the chat channel that hold a secret or a ciphertext. All others are public: a test says what for."""

_TEXTUAL = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)
_LONG = (
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
)


class Shown(NamedTuple):
    """A message as JSON."""

    content: str
    is_shortened: bool
    """Whether something was left out because it is too long."""


def shown(message: Message, size: int) -> Shown:
    """Returns the fields of a message that are set, as trace.proto describes them.

    Args:
        message: The message.
        size: Its length: bytes.
    """
    view = _View(size <= UNKNOWN_BYTES)
    return Shown(json.dumps(view.message(message), ensure_ascii=False), view.is_shortened)


def hidden(secret: bytes) -> dict[str, Any]:
    """Returns what is shown of a secret or ciphertext."""
    digest = {"sha256": sha256(secret).hexdigest()[:HASH_DIGITS]} if len(secret) >= HASHED_BYTES else {}
    return {"length": len(secret), **digest}


class _View:
    def __init__(self, looks_for_unknown: bool) -> None:
        self._looks_for_unknown = looks_for_unknown
        self.is_shortened = False

    def message(self, message: Message) -> dict[str, Any]:
        fields = {field.name: self._field(field, value) for field, value in message.ListFields()}
        if self._looks_for_unknown and (unknown := _unknown_fields(message)):
            fields["unknown_fields"] = unknown
        return fields

    def _field(self, field: FieldDescriptor, value: Any) -> Any:
        if not field.is_repeated:
            return self._value(field, value)
        assert not isinstance(value, Mapping), "the chat channel has no maps"
        return [self._value(field, each) for each in self._shortened(value, MOST_ELEMENTS)]

    def _value(self, field: FieldDescriptor, value: Any) -> Any:
        if isinstance(value, Message):
            return self.message(value)
        if field.type in _TEXTUAL:
            return self._text(value, is_secret=field.full_name in SECRET)
        if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return value if known is None else known.name
        return str(value) if field.type in _LONG else value

    def _text(self, text: str | bytes, *, is_secret: bool) -> Any:
        if is_secret:
            return hidden(text.encode() if isinstance(text, str) else text)
        if isinstance(text, bytes):
            return bytes(self._shortened(text, MOST_CHARACTERS // 2)).hex()
        return "".join(self._shortened(text, MOST_CHARACTERS))

    def _shortened(self, whole: Sequence[Any], most: int) -> Sequence[Any]:
        if len(whole) <= most:
            return whole
        self.is_shortened = True
        return tuple(islice(whole, most))


def _unknown_fields(message: Message) -> list[int]:
    unknown = UnknownFieldSet(message)
    return sorted({unknown[at].field_number for at in range(len(unknown))})
