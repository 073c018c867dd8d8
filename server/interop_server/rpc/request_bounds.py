"""How large a request of each method and its metadata can be, and how many elements its lists have; knows no rule.

Looked at in the bytes as they came, before anything is made of them. Whether the elements are right is for the rules.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor

from interop_protocol.sizes import (
    MAX_BUNDLE_USERS,
    MAX_DEVICES,
    MAX_FRAME_BYTES,
    MAX_INTEGRATOR,
    MAX_KEM_PREKEYS,
    MAX_ONE_TIME_PREKEYS,
    MAX_RESOLVE_USERS,
)
from interop_server.core.abuse.reports import MAX_REPORTED_MESSAGES
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_checks import MAX_FAULTS, MAX_REPLACEMENTS, REQUIREMENT
from interop_server.core.fault_rules import MAX_VALUE_BYTES
from interop_server.rpc.wire_lists import TooMany, Unreadable, WireLists

METADATA_BYTES = 16 << 10
"""Longest metadata of a call, counted as HTTP/2 does: each name and value, and what an entry takes up; policy."""
_ENTRY_BYTES = 32
"""What HTTP/2 counts for an entry beside its name and value (RFC 9113, 6.5.2)."""
PLAIN_BYTES = 128 << 10
"""Room for what is in no list: more than any of it needs, so that the rules say what is too long."""


class _List(NamedTuple):
    """A list in a request."""

    most: int
    element_bytes: int
    """More than a right element needs, with its header."""
    requirement: str
    """Id of the rule that bounds it."""


_KEM_PREKEYS = "KemPreKeys.one_time"
_REPORTED = "ReportRequest.messages"
_LISTS = {
    "SetPreKeysRequest.one_time_prekeys": _List(MAX_ONE_TIME_PREKEYS, 64, "KEY-04"),
    "AddOneTimePreKeysRequest.one_time_prekeys": _List(MAX_ONE_TIME_PREKEYS, 64, "KEY-04"),
    "DeleteOneTimePreKeysRequest.key_ids": _List(MAX_ONE_TIME_PREKEYS, 16, "KEY-03"),
    _KEM_PREKEYS: _List(MAX_KEM_PREKEYS, 2_048, "KEY-15"),
    "TakePreKeyBundlesRequest.jids": _List(MAX_BUNDLE_USERS, 1_024, "KEY-07"),
    "TakeMissingPreKeyBundlesRequest.users": _List(MAX_BUNDLE_USERS, 1_024, "KEY-07"),
    "KnownRegistration.devices": _List(MAX_DEVICES, 64, "KEY-12"),
    "OptInRequest.integrators": _List(MAX_INTEGRATOR, 16, "OPT-03"),
    "OptOutRequest.integrators": _List(MAX_INTEGRATOR, 16, "OPT-03"),
    "SetReachabilityRequest.muted_integrators": _List(MAX_INTEGRATOR, 16, "OPT-11"),
    "ResolveRequest.users": _List(MAX_RESOLVE_USERS, 4_096, "OPT-08"),
    _REPORTED: _List(MAX_REPORTED_MESSAGES, 1_024, "ABU-03"),  # and what each reveals
    "FieldMask.paths": _List(64, 256, "SIM-01"),
    "AddFaultsRequest.faults": _List(MAX_FAULTS, 4_096, REQUIREMENT),
    "FaultReplaceKeys.replacements": _List(MAX_REPLACEMENTS, MAX_VALUE_BYTES + 16, REQUIREMENT),
    "ClearFaultsRequest.names": _List(MAX_FAULTS, 128, REQUIREMENT),
}
"""Every list that a request can have, by message and field."""
_PARTS = 16_384
"""In how many parts the messages of a request may be given together: protobuf joins them."""
_MOST = {name: each.most for name, each in _LISTS.items()}


class RequestBounds:
    """What the request of one method can be."""

    def __init__(self, kind: Descriptor, *, has_kem_prekeys: bool, max_ciphertext_bytes: int) -> None:
        room = _room(max_ciphertext_bytes)
        if not has_kem_prekeys:
            del room[_KEM_PREKEYS]
        self.most_bytes = PLAIN_BYTES + _list_bytes(kind, room)
        self._lists = WireLists.of(kind, _MOST, _PARTS)

    def check(self, serialized: bytes) -> None:
        """Refuses a request that is larger than any right one, or has more elements.

        Raises:
            Refusal: REQUEST_MALFORMED or TOO_MANY_ITEMS.
        """
        if len(serialized) > self.most_bytes:
            detail = f"the bytes are {len(serialized):,}, and a request of this method has at most {self.most_bytes:,}"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, requirement="SIM-06")
        self.count(serialized)

    def count(self, serialized: bytes) -> None:
        """Refuses a request that has more elements than any right one.

        Raises:
            Refusal: REQUEST_MALFORMED or TOO_MANY_ITEMS.
        """
        try:
            self._lists.check(serialized)
        except Unreadable as error:
            raise unreadable() from error
        except TooMany as error:
            if error.most:
                detail = f"`{error.path}` has at most {error.most:,} entries"
                raise Refusal(
                    Reason.TOO_MANY_ITEMS, detail, field=error.path, requirement=_LISTS[error.name].requirement
                ) from error
            detail = f"`{error.path}` is given in too many parts" if error.path else "the request has too many fields"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field=error.path, requirement="SIM-06") from error


@cache
def bounds_of(kind: Descriptor, has_kem_prekeys: bool, max_ciphertext_bytes: int) -> RequestBounds:
    """Returns what a request of that kind can be, with or without KEM prekeys, by the largest ciphertext."""
    return RequestBounds(kind, has_kem_prekeys=has_kem_prekeys, max_ciphertext_bytes=max_ciphertext_bytes)


def most_received_bytes(max_ciphertext_bytes: int) -> int:
    """Returns what gRPC must let in for the bounds here to be the ones that refuse: a frame, or all of a report."""
    reported = _LISTS[_REPORTED].most * _room(max_ciphertext_bytes)[_REPORTED]
    return PLAIN_BYTES + max(MAX_FRAME_BYTES, reported)


def check_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Refuses a call whose metadata is longer than any right one.

    gRPC does so itself, but not before its client has acknowledged the settings of the connection.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    size = sum(_ENTRY_BYTES + len(name) + len(value) for name, value in metadata)
    if size > METADATA_BYTES:
        detail = f"the metadata has {size:,} bytes, and a call has at most {METADATA_BYTES:,}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, requirement="SIM-06")


def unreadable() -> Refusal:
    """Returns the refusal of bytes that are no message."""
    return Refusal(Reason.REQUEST_MALFORMED, "the bytes are no message of this method", requirement="SIM-01")


def _room(max_ciphertext_bytes: int) -> dict[str, int]:
    room = {name: each.element_bytes for name, each in _LISTS.items()}
    room[_REPORTED] += max_ciphertext_bytes  # what could be sent can be revealed
    return room


def _list_bytes(kind: Descriptor, room: Mapping[str, int], times: int = 1) -> int:
    size = 0
    for each in kind.fields:
        name = f"{kind.name}.{each.name}"
        most, element_bytes = (_LISTS[name].most, room[name]) if name in room else (1, 0)
        size += times * most * element_bytes
        if each.message_type is not None:
            size += _list_bytes(each.message_type, room, times * most)
    return size
