"""Which of the two clients drives what of the contract: every call, and every stanza each way that it goes.

What there is comes from the protos, and which way a stanza goes from the comment in front of it. Both clients drive all
of it, but for what drives.toml gives a reason for; the evidence of a run says whether they do.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from google.protobuf import descriptor_pb2

from tests.evidence import Driven
from tests.proto_sources import comments, read_protos

PACKAGE = "interop_api.v1"
CLIENTS = {"python": "Python", "typescript": "TypeScript"}
"""The clients, by their name in the evidence, with their name for people."""
EXCEPTIONS = Path(__file__).with_name("drives.toml")
CALLS, SENT, TAKEN = "calls", "sent", "taken"
_MESSAGE_TYPE, _FIELD = 4, 2
"""Field numbers of descriptors, of which paths to comments are made."""
_FROM_CLIENT = re.compile(r"\b(Client|Recipient) → server|\bfrom the client\b")
_FROM_SERVER = re.compile(r"\bServer → |\bfrom the server\b")
_FROM_OTHERS = re.compile(r"\bProxy → server")
_BOTH = re.compile(r"^ ?Both ways\b")


class Row(NamedTuple):
    """Something that a client can drive."""

    way: str
    """A call, or a stanza or handshake message that it sends or takes."""
    name: str
    """`Service.Method`; or the field of the oneof, as the trace calls it."""

    @property
    def key(self) -> str:
        """Its name in drives.toml: a stanza can go both ways."""
        return self.name if self.way == CALLS else f"{self.name} {self.way}"

    def is_in(self, driven: Driven) -> bool:
        """Whether a client was seen to drive it."""
        return self.name in getattr(driven, self.way)


class Exemption(NamedTuple):
    """Why not both clients drive something."""

    driven_by: tuple[str, ...]
    reason: str


class DirectionUntold(Exception):
    """The comment in front of a stanza does not say which way it goes."""


@functools.cache
def rows() -> tuple[Row, ...]:
    """Returns all there is, in the order of the protos.

    Raises:
        DirectionUntold: Of a stanza.
    """
    files = [file for file in read_protos() if file.package == PACKAGE]
    calls = [
        Row(CALLS, f"{service.name}.{method.name}")
        for file in files
        for service in file.service
        for method in service.method
    ]
    return (*calls, *(row for file in files for row in stanza_rows(file)))


def stanza_rows(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Row]:
    """Finds the handshake messages, stanzas and notifications of a file."""
    said = dict(comments(file))
    for at, message in enumerate(file.message_type):
        for field_at, field in enumerate(message.field):
            if not field.HasField("oneof_index") or field.proto3_optional:
                continue
            if message.name == "Notification":
                yield Row(TAKEN, f"notification.{field.name}")
            elif message.name in ("Stanza", "HandshakeMessage"):
                comment = said.get((_MESSAGE_TYPE, at, _FIELD, field_at), "")
                yield from (Row(way, field.name) for way in ways(field.name, comment))


def ways(name: str, comment: str) -> tuple[str, ...]:
    """Returns which ways a stanza goes.

    Raises:
        DirectionUntold: The comment does not say.
    """
    if _BOTH.search(comment):
        return (SENT, TAKEN)
    if _FROM_CLIENT.search(comment) or _FROM_OTHERS.search(comment):
        return (SENT,)
    if _FROM_SERVER.search(comment):
        return (TAKEN,)
    raise DirectionUntold(f"the comment in front of {name!r} does not say which way it goes")


@functools.cache
def exceptions() -> Mapping[str, Exemption]:
    """Returns what not both clients drive, by its key."""
    found = tomllib.loads(EXCEPTIONS.read_text())
    return {key: Exemption(tuple(each["driven_by"]), each["reason"]) for key, each in found.items()}


def is_said_to_drive(client: str, row: Row) -> bool:
    """Whether the table says that a client drives something."""
    exemption = exceptions().get(row.key)
    return exemption is None or client in exemption.driven_by


def lacking(client: str, driven: Driven) -> list[str]:
    """Returns what a client is said to drive and was not seen to."""
    return [row.key for row in rows() if is_said_to_drive(client, row) and not row.is_in(driven)]


def without_need(client: str, driven: Driven) -> list[str]:
    """Returns what a client is said not to drive and was seen to."""
    return [row.key for row in rows() if not is_said_to_drive(client, row) and row.is_in(driven)]


def strangers() -> list[str]:
    """Returns what has a reason and is not in the protos, and clients in reasons that there are not."""
    clients = {client for each in exceptions().values() for client in each.driven_by}
    return sorted({*exceptions()} - {row.key for row in rows()} | clients - {*CLIENTS})
