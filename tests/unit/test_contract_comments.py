"""The comments in protos/ are the specification: each call and stanza says what an implementer must know of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from interop_server.core.capabilities import Capability
from interop_server.core.limits import Limits
from tests.proto_sources import comments, read_protos

SAID = ("Repeat", "Bounds", "Capability")
"""What is said of every call and every stanza, in this order: whether it may be repeated, its bounds, what it needs."""
STANZA, KIND = "Stanza", "kind"
_ADMIN = "interop_api.admin."
_NAME = re.compile(r"\b[A-Z]+_[A-Z_]+\b|\b[A-Z]{3,}\b")
_MESSAGES, _SERVICES, _METHODS, _FIELDS, _NESTED = 4, 6, 2, 2, 3
"""Numbers of these lists in a file, a service and a message, as paths of source information have them."""


def problems(files: list[descriptor_pb2.FileDescriptorProto]) -> list[str]:
    """What the comments of these files lack."""
    stanzas = {name for file in files for name in _stanzas(file)}
    found = []
    for file in files:
        said = dict(comments(file))
        for name, comment, can_be_refused in _calls(file, said):
            found += _unsaid(name, comment)
            if can_be_refused and not re.search(r"^\s*Errors\b[^:\n]*:", comment, re.MULTILINE):
                found.append(f"{name}: no Errors:")
        for at, message in enumerate(file.message_type):
            if f".{file.package}.{message.name}" in stanzas:
                found += _unsaid(f"{file.package}.{message.name}", said.get((_MESSAGES, at), ""))
        for name, comment in _fields(file, said):
            if not comment.strip():
                found.append(f"{name}: no comment")
    return found


def _stanzas(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        kinds = [at for at, oneof in enumerate(message.oneof_decl) if oneof.name == KIND]
        if message.name == STANZA and kinds:
            yield from (
                field.type_name
                for field in message.field
                if field.HasField("oneof_index") and field.oneof_index in kinds
            )


def _calls(
    file: descriptor_pb2.FileDescriptorProto, said: Mapping[tuple[int, ...], str]
) -> Iterator[tuple[str, str, bool]]:
    """Name, comment, and whether it can be refused: it needs a session, or something can be wrong in its request."""
    empty = {f".{file.package}.{message.name}" for message in file.message_type if not message.field}
    for at, service in enumerate(file.service):
        for method_at, method in enumerate(service.method):
            can_be_refused = not file.package.startswith(_ADMIN) or method.input_type not in empty
            yield f"{service.name}.{method.name}", said.get((_SERVICES, at, _METHODS, method_at), ""), can_be_refused


def _unsaid(name: str, comment: str) -> Iterator[str]:
    lines = re.findall(r"^\s*(\w+)(?:, [^:\n]*)?: *(.*)", comment, re.MULTILINE)
    texts = {label: text for label, text in lines if label in SAID}
    yield from (f"{name}: no {label}:" for label in SAID if not texts.get(label))
    labels = [label for label, _ in lines if label in (*SAID, "Errors", "Source")]
    if labels != [label for label in (*SAID, "Errors", "Source") if label in labels]:
        yield f"{name}: {', '.join(labels)} is another order, or says something twice"


def _fields(file: descriptor_pb2.FileDescriptorProto, said: Mapping[tuple[int, ...], str]) -> Iterator[tuple[str, str]]:
    waiting = [((_MESSAGES, at), f"{file.package}.{one.name}", one) for at, one in enumerate(file.message_type)]
    for path, name, message in waiting:
        for at, field in enumerate(message.field):
            yield f"{name}.{field.name}", said.get((*path, _FIELDS, at), "")
        for at, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:  # the compiler's, and nobody wrote it
                waiting.append(((*path, _NESTED, at), f"{name}.{nested.name}", nested))


def unknown_limits(files: list[descriptor_pb2.FileDescriptorProto]) -> list[str]:
    """What `Bounds:` names in backticks, and is no limit, no beginning of one, and no field of the contract."""
    limits = {limit.name for limit in fields(Limits)}
    names = {field.name for file in files for message in file.message_type for field in message.field}
    bounds = re.findall(
        r"^\s*Bounds:(.*?)(?=^\s*Capability:)",
        "\n".join(comment for file in files for _, comment in comments(file)),
        re.MULTILINE | re.DOTALL,
    )
    named = [found for text in bounds for found in re.findall(r"`(?:\w+\.)?(\w+)(…?)`", text)]
    return [
        name + rest
        for name, rest in named
        if not (any(limit.startswith(name) for limit in limits) if rest else name in limits | names)
    ]


def unknown_capabilities(files: list[descriptor_pb2.FileDescriptorProto]) -> list[str]:
    """What `Capability:` names in capitals, and is no capability."""
    text = "\n".join(comment for file in files for _, comment in comments(file))
    named = [found for line in re.findall(r"^\s*Capability:(.*)", text, re.MULTILINE) for found in _NAME.findall(line)]
    return [name for name in named if name not in {known.name for known in Capability}]


def test_every_call_every_stanza_and_every_field_says_what_it_must() -> None:
    """Whether it may be repeated after a lost answer, what bounds it, which capability it needs, how it is refused."""
    assert problems(read_protos()) == []


def test_bounds_name_limits_that_exist() -> None:
    """A reader of a bound finds the limit behind it."""
    assert unknown_limits(read_protos()) == []


def test_capabilities_are_those_that_there_are() -> None:
    """A reader finds what to name at login."""
    assert unknown_capabilities(read_protos()) == []


BROKEN = """\
syntax = "proto3";
package interop_api.admin.v1alpha1;
// A service.
service ThingService {
  // Says everything.
  //
  // Repeat: safe.
  // Bounds: `gone_burst`, `bundle_…`, `gone_…`,
  // `Ping.silent`, `bundle_burst`.
  // Capability: none; TYPING for one thing, TELEPATHY for another.
  // Errors: REQUEST_MALFORMED.
  // Source: KEY-05.
  rpc Good(GoodRequest) returns (GoodResponse);
  // Says nothing: its request has a field, so that it can be refused.
  rpc Silent(GoodRequest) returns (GoodResponse);
  // Capability: none.
  // Bounds: request: empty.
  // Repeat:
  rpc Confused(EmptyRequest) returns (GoodResponse);
}
// A request.
message GoodRequest {
  // A field.
  string field = 1;
  string silent = 2;
  // Lies inside.
  message Inner {
    string also_silent = 1;
  }
}
// Has no fields.
message EmptyRequest {}
// A response.
message GoodResponse {
  // By name.
  map<string, uint32> counts = 1;
}
// What travels.
message Stanza {
  // Exactly one.
  oneof kind {
    // Says nothing.
    Ping ping = 1;
  }
}
// Keep-alive.
message Ping {}
"""


def test_the_search_finds_what_is_left_unsaid(tmp_path: Path) -> None:
    """A search that finds nothing proves something only if it can find."""
    (tmp_path / "broken.proto").write_text(BROKEN)
    files = read_protos(tmp_path)
    assert unknown_limits(files) == ["gone_burst", "gone_…"]
    assert unknown_capabilities(files) == ["TELEPATHY"]
    assert problems(files) == [
        "ThingService.Silent: no Repeat:",
        "ThingService.Silent: no Bounds:",
        "ThingService.Silent: no Capability:",
        "ThingService.Silent: no Errors:",
        "ThingService.Confused: no Repeat:",
        "ThingService.Confused: Capability, Bounds, Repeat is another order, or says something twice",
        "interop_api.admin.v1alpha1.Ping: no Repeat:",
        "interop_api.admin.v1alpha1.Ping: no Bounds:",
        "interop_api.admin.v1alpha1.Ping: no Capability:",
        "interop_api.admin.v1alpha1.GoodRequest.silent: no comment",
        "interop_api.admin.v1alpha1.GoodRequest.Inner.also_silent: no comment",
    ]


@pytest.mark.parametrize("stanza", ["Message", "Receipt", "Typing", "OfflineBatch"])
def test_the_search_knows_the_stanzas(stanza: str) -> None:
    """They are the kinds of `Stanza`, wherever they are declared."""
    assert f".interop_api.v1.{stanza}" in {name for file in read_protos() for name in _stanzas(file)}
