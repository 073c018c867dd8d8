"""The protocol between a client and its partner's proxy over a WebSocket; opens no WebSocket, and reads no stanza.

WhatsApp does not see this protocol and does not define it: each partner has its own (PRX-01). This is the sample's.

1. The client sends a text frame, `Hello`.
2. The proxy logs in to WhatsApp and sends a batch whose first stanza is `login_success` without its session token: the
   proxy keeps the token, because it makes the unary calls.
3. Both sides send binary frames: a type byte, then
   - 0x01, both ways: a serialised `Batch`;
   - 0x02, client → proxy, a unary call: call id (u32), length of the method's name (u16), the name, the request;
   - 0x03, proxy → client, its answer: call id (u32), gRPC status code (u8), the response; when the code is not 0, the
     `google.rpc.Status` of `grpc-status-details-bin`, or one of the code and message alone.
   Numbers are big-endian.
4. When the connection to WhatsApp ends or is refused, the proxy sends a text frame, `Ended`, with the reason, and then
   closes the WebSocket. When the client closes, the proxy ends its connection to WhatsApp at once (PRX-04).

The proxy does not encrypt messages: the clients encrypt the content of a batch (PRX-06). Blobs do not go through the
proxy: clients move them over HTTP.
"""

import json
import struct
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Self, TypeVar

from interop_protocol.json_text import read_json
from interop_protocol.sizes import MAX_JID_CHARACTERS, MAX_TOKEN_BYTES

MAX_FRAME_BYTES = (4 << 20) + 1024
"""Room for the largest response that gRPC accepts by default, 4 MiB, and a header: the longest frame to a client."""
MAX_CLIENT_FRAME_BYTES = (16 << 20) + 1024
"""Room for the largest request that WhatsApp takes, a list of keys under 16 MiB, and a header: the longest frame of a
client."""
MAX_METHOD_BYTES = 256
HEARTBEAT_SECONDS = 20.0
"""Each side sends a WebSocket ping this often, so that it notices when the other is gone."""

_BATCH, _REQUEST, _RESPONSE = 1, 2, 3
_REQUEST_HEADER = struct.Struct(">BIH")
_RESPONSE_HEADER = struct.Struct(">BIB")
_MAX_USER_CHARACTERS = 256
_MAX_CAPABILITIES = 64
_MAX_ENUM = 2**31 - 1

_T = TypeVar("_T")


class FrameMalformed(ValueError):
    """A frame breaks the protocol above."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The user who connects."""

    user: str
    """User-visible identifier: 1 to 256 printable characters."""
    token: str = field(repr=False)
    """A token that the partner issued to the user: the proxy verifies it and logs in to WhatsApp with it."""
    jid: str
    """JID that the user's enlistment returned."""
    read_receipts: bool = True
    """Whether the user sends and receives read receipts."""
    capabilities: tuple[int, ...] = ()
    """Optional parts of WhatsApp's protocol that the client knows, by number: the proxy names these at login."""

    def encode(self) -> str:
        """Returns the text frame."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads and validates the text frame.

        Raises:
            FrameMalformed: The text is not a hello.
        """
        fields = _json_object(text)
        user, token, jid = (_field(fields, name, str) for name in ("user", "token", "jid"))
        if not (0 < len(user) <= _MAX_USER_CHARACTERS and user.isprintable()):
            raise FrameMalformed("`user` must be 1 to 256 printable characters")
        if not 0 < len(token) <= MAX_TOKEN_BYTES or not token.isascii():
            raise FrameMalformed("`token` must be a JWS of at most 4,096 bytes")
        if not 0 < len(jid) <= MAX_JID_CHARACTERS:
            raise FrameMalformed("`jid` must be a JID")
        return cls(user, token, jid, _field(fields, "read_receipts", bool), _capabilities(fields))


@dataclass(frozen=True, slots=True)
class Ended:
    """Why the connection to WhatsApp ended, or was refused."""

    reason: str
    """Name of the reason: WhatsApp's, or one of the proxy's that begins with `PROXY_`."""
    advice: str = ""
    """What to do about it, for people."""
    requirement: str = ""
    """The requirement that was broken; may be empty."""
    retry_after_ms: int | None = None
    """Milliseconds after which a retry can succeed; None when a retry cannot help."""
    login_code: int | None = None
    """The failure code when WhatsApp refused the login (CHN-10)."""
    expires_after_seconds: int | None = None
    """For a temporary ban: seconds until it ends."""
    request_id: str = ""
    """Names the refusal in the simulator's journal; may be empty."""
    sub_code: int | None = None
    """For a temporary ban: the cause."""
    recovery: str = ""
    """What to do about it, for programs: the name of the server's `Recovery`; empty when it did not give one."""

    def encode(self) -> str:
        """Returns the text frame."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads and validates the text frame.

        Raises:
            FrameMalformed: The text is not such a frame.
        """
        fields = _json_object(text)
        reason, advice, requirement = (_field(fields, name, str) for name in ("reason", "advice", "requirement"))
        retry_after_ms, login_code, expires_after_seconds, sub_code = (
            _optional_int(fields, name)
            for name in ("retry_after_ms", "login_code", "expires_after_seconds", "sub_code")
        )
        request_id, recovery = _field(fields, "request_id", str), _field(fields, "recovery", str)
        return cls(
            reason,
            advice,
            requirement,
            retry_after_ms,
            login_code,
            expires_after_seconds,
            request_id,
            sub_code,
            recovery,
        )


class BatchFrame(NamedTuple):
    """Stanzas, either way."""

    batch: bytes
    """A serialised `Batch`."""

    def encode(self) -> bytes:
        """Returns the binary frame."""
        return bytes((_BATCH,)) + self.batch


class RequestFrame(NamedTuple):
    """A unary call."""

    call_id: int
    """Chosen by the client, unique among the calls that wait for an answer."""
    method: str
    """Full name, such as `/interop_api.v1.PreKeyService/TakePreKeyBundles`."""
    request: bytes

    def encode(self) -> bytes:
        """Returns the binary frame."""
        method = self.method.encode()
        return _REQUEST_HEADER.pack(_REQUEST, self.call_id, len(method)) + method + self.request


class ResponseFrame(NamedTuple):
    """The answer to a unary call."""

    call_id: int
    code: int
    """gRPC status code, 0 for success."""
    body: bytes
    """The response, or a `google.rpc.Status`."""

    def encode(self) -> bytes:
        """Returns the binary frame."""
        return _RESPONSE_HEADER.pack(_RESPONSE, self.call_id, self.code) + self.body


def decode_frame(frame: bytes) -> BatchFrame | RequestFrame | ResponseFrame:
    """Reads a binary frame.

    Raises:
        FrameMalformed: The bytes are not such a frame.
    """
    kind = frame[0] if frame else None
    try:
        if kind == _BATCH:
            return BatchFrame(frame[1:])
        if kind == _REQUEST:
            _, call_id, length = _REQUEST_HEADER.unpack_from(frame)
            end = _REQUEST_HEADER.size + length
            if length > MAX_METHOD_BYTES or end > len(frame):
                raise FrameMalformed("the method's name is too long")
            return RequestFrame(call_id, frame[_REQUEST_HEADER.size : end].decode("ascii"), frame[end:])
        if kind == _RESPONSE:
            _, call_id, code = _RESPONSE_HEADER.unpack_from(frame)
            return ResponseFrame(call_id, code, frame[_RESPONSE_HEADER.size :])
    except (struct.error, UnicodeDecodeError) as error:
        raise FrameMalformed("the frame is truncated or its method's name is not ASCII") from error
    raise FrameMalformed("the frame's type is unknown")


def _json_object(text: str) -> dict[str, object]:
    try:
        fields = read_json(text)
    except ValueError as error:
        raise FrameMalformed("a text frame must be JSON") from error
    if not isinstance(fields, dict):
        raise FrameMalformed("a text frame must be a JSON object")
    return fields


def _field(fields: dict[str, object], name: str, kind: type[_T]) -> _T:
    value = fields.get(name)
    if not isinstance(value, kind):
        raise FrameMalformed(f"`{name}` must be a {kind.__name__}")
    return value


def _capabilities(fields: dict[str, object]) -> tuple[int, ...]:
    """Those that a hello names; none when it is of a client that knows no capabilities."""
    numbers: object = fields.get("capabilities", [])
    if not isinstance(numbers, list) or len(numbers) > _MAX_CAPABILITIES:
        raise FrameMalformed(f"`capabilities` must be a list of at most {_MAX_CAPABILITIES} numbers")
    if not all(type(number) is int and 0 <= number <= _MAX_ENUM for number in numbers):
        raise FrameMalformed(f"`capabilities` must be numbers from 0 to {_MAX_ENUM:,}")
    return tuple(numbers)


def _optional_int(fields: dict[str, object], name: str) -> int | None:
    return None if fields.get(name) is None else _field(fields, name, int)
