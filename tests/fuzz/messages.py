"""Generates messages of any type from its descriptor, as bytes: good shapes with hostile values, and broken shapes.

They are written byte by byte, and say what no library would let them: text that is no UTF-8, fields of other types,
numbers that do not fit, both sides of a `oneof`, fields that nobody knows, nesting without end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

from tests.fuzz import hostile

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_MAX_DEPTH = 4
_MANY = (300, 1_100, 5_000)
"""How often a repeated field is repeated when it is too often."""

_MAX_REPEATED_BYTES = 400_000
"""All of them together; moving more takes time and tells nothing."""


@dataclass(frozen=True)
class Vocabulary:
    """Values that mean something to the server under test: its accounts, keys, tokens."""

    fields: Mapping[str, Sequence[str | bytes | int]] = field(default_factory=dict)
    """By name of a field."""
    messages: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """By full name of a message: serialised ones that are good."""


NOTHING = Vocabulary()


def varint(number: int) -> bytes:
    """Encodes a number as protobuf does; a negative one in 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


def tag(number: int, wire_type: int) -> bytes:
    """Encodes what stands before a field."""
    return varint(number << 3 | wire_type)


def delimited(number: int, content: bytes) -> bytes:
    """Encodes a field of bytes, text or a message."""
    return tag(number, _BYTES) + varint(len(content)) + content


batches = st.integers(0, 2**64 - 1).map(Random)
"""Where batches of messages come from: hypothesis chooses the seed, and a batch is cheap enough for thousands."""


class MessageWriter:
    """Writes messages of one type.

    Args:
        random: What it decides by.
        words: What the server knows.
    """

    def __init__(self, random: Random, words: Vocabulary = NOTHING) -> None:
        self._random = random
        self._words = words
        self._is_decodable = True

    def payload(self, descriptor: Descriptor) -> bytes:
        """Returns bytes in the place of a message: mostly messages, some of them cut off, spoilt or only noise."""
        kind = self._random.randrange(20)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(40))
        self._is_decodable = kind < 12
        message = self._message(descriptor)
        if kind == 1:
            return message[: self._random.randrange(len(message) + 1)]
        if kind == 2 and message:
            spoilt = bytearray(message)
            spoilt[self._random.randrange(len(message))] ^= 1 << self._random.randrange(8)
            return bytes(spoilt)
        return message

    def decodable(self, descriptor: Descriptor) -> bytes:
        """Returns a message that every decoder can read, with values good and hostile."""
        self._is_decodable = True
        return self._message(descriptor)

    def extra(self) -> bytes:
        """Returns a field that no message of the server's has."""
        return self._unknown_field(776)

    def _message(self, descriptor: Descriptor, depth: int = 0) -> bytes:
        good = self._words.messages.get(descriptor.full_name)
        if good and not self._one_in(3):
            # As it is, or with one field changed: what comes later in a message counts.
            return self._random.choice(good) + (self._any_field(descriptor, depth) if self._one_in(2) else b"")
        is_good = self._one_in(3)
        parts = [
            self._field(each, depth, is_good=is_good)
            for each in self._chosen_fields(descriptor)
            if is_good or not self._one_in(6)
        ]
        return b"".join(parts) + self._extras(descriptor)

    def _any_field(self, descriptor: Descriptor, depth: int) -> bytes:
        return self._field(self._random.choice(descriptor.fields), depth, is_good=False) if descriptor.fields else b""

    def _chosen_fields(self, descriptor: Descriptor) -> list[FieldDescriptor]:
        chosen = {oneof.name: self._random.choice(oneof.fields).number for oneof in descriptor.oneofs}
        return [
            each
            for each in descriptor.fields
            if each.containing_oneof is None
            or chosen[each.containing_oneof.name] == each.number
            or (len(each.containing_oneof.fields) > 1 and self._one_in(25))
        ]

    def _field(self, each: FieldDescriptor, depth: int, *, is_good: bool) -> bytes:
        if not each.is_repeated:
            return self._value(each, depth, is_good=is_good)
        if not is_good and self._one_in(25):
            value = self._value(each, depth, is_good=is_good)
            return value * min(self._random.choice(_MANY), _MAX_REPEATED_BYTES // len(value))
        count = self._random.choice((1, 1, 2, 3) if is_good else (0, 1, 1, 2, 2, 3, 7))
        return b"".join(self._value(each, depth, is_good=is_good) for _ in range(count))

    def _value(self, each: FieldDescriptor, depth: int, *, is_good: bool) -> bytes:
        if not (self._is_decodable or is_good) and self._one_in(30):
            return self._of_another_type(each.number)
        if each.type == FieldDescriptor.TYPE_MESSAGE:
            return delimited(each.number, self._message(each.message_type, depth + 1) if depth < _MAX_DEPTH else b"")
        words = self._words.fields.get(each.name)
        if words and (is_good or not self._one_in(3)):
            word = self._random.choice(words)
            if isinstance(word, int):
                return tag(each.number, _VARINT) + varint(word)
            return delimited(each.number, word.encode() if isinstance(word, str) else word)
        if each.type == FieldDescriptor.TYPE_STRING:
            return delimited(each.number, self._text(is_good=is_good))
        if each.type == FieldDescriptor.TYPE_BYTES:
            return delimited(each.number, hostile.data(self._random))
        return tag(each.number, _VARINT) + varint(self._number(each, is_good=is_good))

    def _number(self, each: FieldDescriptor, *, is_good: bool) -> int:
        if each.type == FieldDescriptor.TYPE_ENUM and (is_good or not self._one_in(4)):
            values = each.enum_type.values[1:] if is_good else each.enum_type.values  # the first one means nothing
            return int(self._random.choice(values or each.enum_type.values).number)
        if each.type == FieldDescriptor.TYPE_BOOL:
            return self._random.choice((0, 1, 1, 2))
        return self._random.choice((1, 2, 3, 10, 100)) if is_good else hostile.number(self._random)

    def _text(self, *, is_good: bool) -> bytes:
        if not (self._is_decodable or is_good) and self._one_in(12):
            return self._random.choice(hostile.BROKEN_TEXTS)
        return hostile.text(self._random).encode()

    def _of_another_type(self, number: int) -> bytes:
        return self._random.choice(
            (
                tag(number, _VARINT) + varint(7),
                tag(number, _FIXED64) + bytes(8),
                tag(number, _FIXED32) + bytes(4),
                delimited(number, b"\x08\x01"),
                delimited(number, b"\x0a" * 200),
                tag(number, _GROUP) + tag(number, _END_GROUP),
                tag(number, _GROUP),
                tag(number, _VARINT) + b"\x80" * 10 + b"\x01",
                tag(number, _BYTES) + b"\xff\xff\xff\xff\x0f",
            )
        )

    def _extras(self, descriptor: Descriptor) -> bytes:
        if descriptor.fields and not self._one_in(4):
            return b""
        known = {each.number for each in descriptor.fields}
        number = self._random.choice([each for each in (1, 15, 16, 777, 18_000, 2**29 - 1) if each not in known])
        return self._unknown_field(number)

    def _unknown_field(self, number: int) -> bytes:
        kind = self._random.randrange(5)
        if kind < 2:
            return tag(number, _VARINT) + varint(hostile.number(self._random))
        if kind < 4:
            return delimited(number, hostile.data(self._random)[:64])
        nested = b""
        for _ in range(self._random.choice((1, 90, 150))):
            nested = delimited(number, nested)
        return nested

    def _one_in(self, chances: int) -> bool:
        return self._random.randrange(chances) == 0
