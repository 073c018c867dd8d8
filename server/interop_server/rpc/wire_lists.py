"""Counts the objects that a message on the wire would be parsed into, before any is made; knows no service and no rule.

A list of two million empty messages has four megabytes on the wire and costs a hundred once it is parsed. So the lists
of a message are counted in its bytes, and counting stops at the first element too many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5
_MORE = 0x80
"""The bit of a varint's byte that says that another one follows."""
_MAX_VARINT_BYTES = 10
_MOST_PLAIN = 1 << 17
"""How many fields there may be that make no objects, in all of a message: more than in a right one of any length that
this server takes. They are looked at one by one, and meanwhile nobody else has a turn."""
_ENDINGS = bytes(range(_MORE))
"""The bytes with which a varint ends."""
_FIXED_BYTES = {
    FieldDescriptor.TYPE_FIXED64: 8, FieldDescriptor.TYPE_SFIXED64: 8, FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED32: 4, FieldDescriptor.TYPE_SFIXED32: 4, FieldDescriptor.TYPE_FLOAT: 4,
}  # fmt: skip


class TooMany(Exception):
    """A list has more elements than it may have, or a message more fields.

    Args:
        path: Names of the fields that lead to it: `users.devices`; empty when it is no list, but the message as a whole
            that has too many fields.
        most: How many elements it may have.
        name: Message and field: `TakeMissingPreKeyBundlesRequest.users`.
    """

    def __init__(self, path: str, most: int, name: str = "") -> None:
        super().__init__(path)
        self.path = path
        self.most = most
        self.name = name


class Unreadable(Exception):
    """The bytes are no message."""


@dataclass(slots=True)
class _Counted:
    """A field that makes objects each time it occurs: a list, or a message."""

    name: str
    message: str
    """Name of the message that the field belongs to."""
    most: int | None
    """How often it may occur in one message that has it; None for what counts as spare."""
    element_bytes: int = 0
    """Of a packed element of fixed length; 0 for varints."""
    is_packable: bool = False
    inside: "dict[int, _Counted] | None" = None
    """What is counted in the message that the field holds, by tag as on the wire; None where it holds none."""


@dataclass(frozen=True, slots=True)
class WireLists:
    """What is counted in the messages of one kind."""

    _fields: "dict[int, _Counted]" = field(repr=False)
    _spare: int

    @classmethod
    def of(cls, kind: Descriptor, most: Mapping[str, int], spare: int, *, is_deep: bool = True) -> "WireLists":
        """Derives what is counted from the contract.

        Args:
            kind: The message.
            most: By message and list, such as `ReportRequest.messages`: how many elements it may have.
            spare: How many elements there may be together in all lists that are not named, and of messages: one that is
                no list may be given in parts.
            is_deep: Whether the messages inside are looked into.
        """
        found = _fields_of(kind, most, {})
        if not is_deep:
            found = {tag: replace(counted, inside=None) for tag, counted in found.items()}
        return cls(found, spare)

    def check(self, serialized: bytes) -> int:
        """Counts the lists of a message, and in all messages inside it.

        Returns:
            How many elements there are in the lists that are not named.

        Raises:
            TooMany: A list has more elements than it may have.
            Unreadable: The bytes are no message.
        """
        spare = _Spare(self._spare)
        try:
            _count(serialized, 0, len(serialized), self._fields, spare)
        except IndexError as error:
            raise Unreadable from error
        return self._spare - spare.left


def _fields_of(kind: Descriptor, most: Mapping[str, int], known: "dict[str, Any]") -> "dict[int, _Counted]":
    if kind.full_name in known:
        return known[kind.full_name]  # type: ignore[no-any-return]
    found: dict[int, _Counted] = {}
    known[kind.full_name] = found
    for each in kind.fields:
        if not each.is_repeated and each.message_type is None:
            continue
        allowed = most.get(f"{kind.name}.{each.name}")
        inside = None if each.message_type is None else _fields_of(each.message_type, most, known)
        is_packable = each.is_repeated and each.type not in (
            FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE
        )  # fmt: skip
        counted = _Counted(each.name, kind.name, allowed, _FIXED_BYTES.get(each.type, 0), is_packable, inside)
        for wire_type in (_VARINT, _FIXED64, _BYTES, _FIXED32) if is_packable else (_BYTES,):
            found[each.number << 3 | wire_type] = counted
    return found


@dataclass(slots=True)
class _Spare:
    """What there may still be of what has no bound of its own."""

    left: int
    plain: int = _MOST_PLAIN
    """Fields that make no objects, unknown ones and those in groups among them."""

    def take(self, path: str, elements: int) -> None:
        self.left -= elements
        if self.left < 0:
            raise TooMany(path, 0)

    def take_plain(self) -> None:
        self.plain -= 1
        if self.plain < 0:
            raise TooMany("", 0)


def _count(data: bytes, at: int, end: int, fields: "dict[int, _Counted]", spare: _Spare, path: str = "") -> None:
    seen: dict[str, int] = {}
    while at < end:
        tag = data[at]
        if tag < _MORE and tag & 7 == _BYTES and data[at + 1] < _MORE:  # most fields: written out, because this is hot
            start = at + 2
            at = start + data[at + 1]
        elif tag < _MORE and tag & 7 == _BYTES and data[at + 2] < _MORE:  # most stanzas, likewise
            start = at + 3
            at = start + (data[at + 1] & _MORE - 1 | data[at + 2] << 7)
        else:
            tag, at = _varint(data, at)
            start, at = _skip(data, at, tag & 7, spare)
        if at > end:
            raise Unreadable
        counted = fields.get(tag)
        if counted is None:
            spare.take_plain()
            continue
        elements = _elements(data, start, at, counted, tag & 7, spare) if counted.is_packable else 1
        if counted.most is None:
            spare.take(path + counted.name, elements)
        else:
            number = seen[counted.name] = seen.get(counted.name, 0) + elements
            if number > counted.most:
                raise TooMany(path + counted.name, counted.most, f"{counted.message}.{counted.name}")
        if counted.inside:
            _count(data, start, at, counted.inside, spare, f"{path}{counted.name}.")


def _elements(data: bytes, start: int, end: int, counted: _Counted, wire_type: int, spare: _Spare) -> int:
    """Returns how many numbers there are: one, or those of a packed list."""
    if wire_type != _BYTES:
        spare.take_plain()
        return 1
    if counted.element_bytes:
        return (end - start) // counted.element_bytes
    packed = data[start:end]
    return len(packed) - len(packed.translate(None, _ENDINGS))


def _skip(data: bytes, at: int, wire_type: int, spare: _Spare) -> tuple[int, int]:
    """Returns where a field's content begins and ends."""
    if wire_type == _BYTES:
        length, at = _varint(data, at)
        return at, at + length
    if wire_type == _VARINT:
        return at, _varint(data, at)[1]
    if wire_type in (_FIXED32, _FIXED64):
        return at, at + (4 if wire_type == _FIXED32 else 8)
    if wire_type == _GROUP:  # the contract has none, so it is kept as it came
        return at, _end_of_group(data, at, spare)
    raise Unreadable


def _end_of_group(data: bytes, at: int, spare: _Spare) -> int:
    depth = 1
    while depth:
        spare.take_plain()
        tag, at = _varint(data, at)
        if tag & 7 in (_GROUP, _GROUP_END):
            depth += 1 if tag & 7 == _GROUP else -1
        else:
            _, at = _skip(data, at, tag & 7, spare)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    if value < _MORE:
        return value, at + 1
    value &= _MORE - 1
    for shift in range(7, 7 * _MAX_VARINT_BYTES, 7):
        at += 1
        byte = data[at]
        value |= (byte & (_MORE - 1)) << shift
        if byte < _MORE:
            return value, at + 1
    raise Unreadable


_FIELD = descriptor_pb2.FieldDescriptorProto
_PLAIN_TYPES = {FieldDescriptor.TYPE_ENUM: _FIELD.TYPE_INT32, FieldDescriptor.TYPE_STRING: _FIELD.TYPE_BYTES}
"""Whether a text is UTF-8 is checked where the message is read."""


class OnlyOnce:
    """Tells at once of most messages that nothing in them is a list of more than one element, or given twice.

    It parses them as if no field were a list: of what comes twice only the last is left, so that the message has become
    shorter. What it makes is bounded by the contract, whatever the message holds.

    Args:
        kind: The message.
        top: Its field whose elements are looked into, each on its own.
    """

    def __init__(self, kind: Descriptor, top: str) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="only_once.proto", package="only_once", syntax="proto3")
        waiting, done = [kind], set[str]()
        while waiting:
            each = waiting.pop()
            if each.name in done:
                continue
            done.add(each.name)
            waiting += _add_without_lists(file, each, top if each is kind else "")
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._class: type[Message] = message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"only_once.{kind.name}")
        )

    def holds(self, serialized: bytes) -> bool:
        """Says so; False when it may be otherwise."""
        try:
            return self._class.FromString(serialized).ByteSize() == len(serialized)
        except DecodeError:
            return False


def _add_without_lists(file: descriptor_pb2.FileDescriptorProto, kind: Descriptor, top: str) -> list[Descriptor]:
    """Adds a message whose fields are no lists and are in no oneof; returns the messages that it holds."""
    message = file.message_type.add(name=kind.name)
    inside: list[Descriptor] = []
    for each in kind.fields:
        is_list = each.name == top
        label = _FIELD.LABEL_REPEATED if is_list else _FIELD.LABEL_OPTIONAL
        field_type = _PLAIN_TYPES.get(each.type, _FIELD.Type.ValueType(each.type))
        added = message.field.add(name=each.name, number=each.number, label=label, type=field_type)
        if each.message_type is not None:
            added.type_name = f".only_once.{each.message_type.name}"
            inside.append(each.message_type)
        elif not is_list:
            _make_explicit(message, added)
    return inside


def _make_explicit(message: descriptor_pb2.DescriptorProto, added: descriptor_pb2.FieldDescriptorProto) -> None:
    """Makes a field keep what it is given, also where that is 0 or empty."""
    added.proto3_optional = True
    added.oneof_index = len(message.oneof_decl)
    message.oneof_decl.add(name=f"_{added.name}")
