"""What clients see, written down so that two runs can be compared; knows no scenario and no mode of connection."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as Protobuf

from interop_api.v1 import media_pb2, stanza_pb2
from interop_client.connection.calls import M
from interop_client.connection.transport import BlobStreams, Transport
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging.events import Event

Seen = dict[str, dict[str, dict[str, list[Any]]]]
"""By step, by who saw it and by what it was: everything, in the order in which it came."""

_NAMED = frozenset(
    {
        "id", "jid", "peer_jid", "from_jid", "to_jid", "sender", "message_id", "message_ids", "reply_to", "target_id",
        "login", "direct_path", "auth", "phash", "key_id", "registration_id", "delivery_id", "signed_prekey_id",
        "one_time_prekey_id", "one_time_prekey_ids", "stanza_id",
    }
)  # fmt: skip
"""Fields whose values are ids: equal ones get the same name, whatever they are."""
_LEFT_OUT = frozenset({"request_id", "session_token"})
"""What is new for every answer and means nothing to who gets it, and what is for whoever makes a client's calls: by
proxy that is the proxy, which keeps it to itself."""
_JID = re.compile(r"\d+-\d+@interop|\d+@s\.whatsapp\.net")
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
_EPOCH_MS = 10**12
"""What is larger is a time, and no duration."""


class Transcript:
    """All that some clients see, step by step.

    Args:
        start_ms: Times are told as the distance from it: milliseconds since the UNIX epoch.
    """

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._step = "before the first step"
        self._seen: Seen = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Puts what is seen from now on under a name of its own."""
        assert name not in self._seen, f"{name!r} is the name of two steps"
        self._step = name
        self._seen.setdefault(name, {})
        yield

    def add(self, who: str, what: str, value: object) -> None:
        """Writes down what somebody saw."""
        self._seen.setdefault(self._step, {}).setdefault(who, {}).setdefault(what, []).append(_plain(value))

    async def attempt(self, who: str, what: str, doing: Awaitable[object]) -> None:
        """Writes down what came of somebody's doing: what it returned, or how it was refused."""
        try:
            self.add(who, what, await doing)
        except (ServerRefusal, ConnectionEnded) as error:
            self.add(who, what, refusal(error))

    def normalised(self) -> Seen:
        """Everything, with names for ids and distances for times: the same for runs that differ in nothing else."""
        names = _Names(self._start_ms)
        return {
            step: {
                who: {what: [names.normalise(value) for value in values[what]] for what in sorted(values)}
                for who, values in sorted(seen.items())
            }
            for step, seen in self._seen.items()
        }


def refusal(error: ServerRefusal | ConnectionEnded) -> dict[str, object]:
    """All that a refusal, or the end of a connection, tells a client."""
    return {"type": type(error).__name__, **vars(error)}


def differences(one: Seen, other: Seen) -> list[str]:
    """Says where two runs differ, a line each; none when they do not."""
    return list(_differences("", one, other))


class Recorded:
    """A transport that writes down all that comes through it. A `Transport`, and `BlobStreams` if the inner one is.

    Args:
        inner: What reaches the server.
        transcript: Where to write.
        who: Whose client it is.
    """

    def __init__(self, inner: Transport, transcript: Transcript, who: str) -> None:
        self._inner = inner
        self._transcript = transcript
        self._who = who

    async def connect(self) -> stanza_pb2.LoginSuccess:
        """See Transport."""
        try:
            success = await self._inner.connect()
        except ServerRefusal as error:
            self._transcript.add(self._who, "login", refusal(error))
            raise
        self._transcript.add(self._who, "login", success)
        return success

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """See Transport."""
        await self._inner.send(*stanzas)

    async def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """See Transport."""
        try:
            async for stanzas in self._inner.receive():
                for stanza in stanzas:
                    self._take(stanza)
                yield stanzas
        except ConnectionEnded as error:
            self._transcript.add(self._who, "end of the connection", refusal(error))
            raise

    async def call(self, method: str, request: Protobuf, response_type: type[M]) -> M:
        """See Transport."""
        name = method.rpartition("/")[2]
        try:
            response = await self._inner.call(method, request, response_type)
        except ServerRefusal as error:
            self._transcript.add(self._who, name, refusal(error))
            raise
        self._transcript.add(self._who, name, response)
        return response

    async def upload(self, requests: AsyncIterator[media_pb2.UploadRequest]) -> media_pb2.UploadResponse:
        """See BlobStreams."""
        assert isinstance(self._inner, BlobStreams)
        return await self._inner.upload(requests)

    def download(self, request: media_pb2.DownloadRequest) -> AsyncIterator[media_pb2.DownloadResponse]:
        """See BlobStreams."""
        assert isinstance(self._inner, BlobStreams)
        return self._inner.download(request)

    async def close(self) -> None:
        """See Transport."""
        await self._inner.close()

    def _take(self, stanza: stanza_pb2.Stanza) -> None:
        kind = stanza.WhichOneof("kind")
        if kind == "send_acks":
            for ack in stanza.send_acks.acks:  # how many go into one stanza is chance
                self._transcript.add(self._who, "ack", ack)
        elif kind != "pong":  # the answers to pings by which a test waits
            self._transcript.add(self._who, str(kind), stanza)


def recorder(transcript: Transcript, who: str) -> Callable[[Event], Awaitable[None]]:
    """Returns what writes down a client's events, texts and files included: for `ClientOptions.on_event`."""

    async def record(event: Event) -> None:
        transcript.add(who, type(event).__name__, event)

    return record


def _plain(value: object) -> Any:
    if isinstance(value, Protobuf):
        return {descriptor.name: _field(descriptor, field) for descriptor, field in value.ListFields()}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(field) for name, field in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(field) for name, field in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return b""
    if isinstance(value, Path):
        return value.name
    return value


def _field(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.is_repeated:
        return [_item(descriptor, item) for item in value]
    return _item(descriptor, value)


def _item(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.enum_type is not None:
        known = descriptor.enum_type.values_by_number
        return known[value].name if value in known else value
    return _plain(value)


class _Names:
    """Names for ids, in the order in which they are met."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._names: dict[str, str] = {}

    def normalise(self, value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self.normalise(value[name], name) for name in sorted(value) if name not in _LEFT_OUT}
        if isinstance(value, list):
            return [self.normalise(item, field) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, bytes):
            return "<bytes>"
        if field in _NAMED and value != "":
            return self._name(str(value))
        if field.endswith("_ms") and int(value) > _EPOCH_MS:
            return f"start + {int(value) - self._start_ms} ms"
        if isinstance(value, str):
            return _ADDRESS.sub("<address>", _JID.sub(lambda match: self._name(match.group()), value))
        return value

    def _name(self, value: str) -> str:
        kind = "JID" if _JID.fullmatch(value) else "id"
        return self._names.setdefault(value, f"<{kind} {len(self._names) + 1}>")


def _differences(path: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            here = f"{path} / {name}" if path else str(name)
            if name not in one or name not in other:
                yield f"{here}: only in the {'first' if name in one else 'second'}: {one.get(name, other.get(name))}"
            else:
                yield from _differences(here, one[name], other[name])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from _differences(f"{path} [{at}]", first, second)
    elif one != other:
        yield f"{path}: {one!r} in the first, {other!r} in the second"
