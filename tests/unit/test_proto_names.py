"""Names and types that are the same all over the contract."""

import importlib
import pkgutil
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

import interop_api


def fields() -> Iterator[FieldDescriptor]:
    """Every field of every message."""
    for module in pkgutil.walk_packages(interop_api.__path__, "interop_api."):
        if module.name.endswith("_pb2"):
            for message in importlib.import_module(module.name).DESCRIPTOR.message_types_by_name.values():
                yield from fields_of(message)


def fields_of(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from fields_of(nested)


def test_milliseconds_are_signed_numbers_of_64_bits() -> None:
    """One type for all times and all spans in milliseconds."""
    times = [field for field in fields() if field.name.endswith("_ms")]
    assert len(times) > 10
    assert [field.full_name for field in times if field.type != FieldDescriptor.TYPE_INT64] == []


def test_what_ends_says_so_in_one_word() -> None:
    """`expires_at_ms` or `expires_after_seconds`, whatever it is that ends."""
    ends = [field for field in fields() if any(word in field.name for word in ("expir", "ttl", "duration", "lifetime"))]
    assert len(ends) > 4
    endings = ("expires_at_ms", "expires_after_seconds")
    assert [field.full_name for field in ends if not field.name.endswith(endings)] == []
