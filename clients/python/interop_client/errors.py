"""The exceptions that end a call, a login or a connection; knows of the transport only the two forms of a refusal.

Source: interop_api/v1/errors.proto.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from interop_api.v1 import errors_pb2, stanza_pb2

if TYPE_CHECKING:
    import grpc.aio

_DETAILS_KEY = "grpc-status-details-bin"
_REASON_PREFIX = "ERROR_REASON_"
_RECOVERY_PREFIX = "RECOVERY_"
_MAX_DETAILS = 16

SDK_CALLS = {
    "GetMediaConnection": "send_document()",
    "GetUploadStatus": "send_document()",
    "ListPartners": "list_partners()",
    "OptIn": "opt_in()",
    "RecordTerms": "record_terms()",
    "RequestChallenge": "request_challenge()",
    "Resolve": "resolve()",
    "SetPreKeys": "publish_prekeys()",
    "PutPartner": "put_partner()",
    "RefreshJwks": "refresh_jwks()",
}
"""The call of the SDK, or of `interop_admin`, for each call of the protocol that the server's advice names."""
SDK_ADVICE = {
    "SESSION_REQUIRED": "Connect first: connect().",
    "CONNECTION_SILENT": "Nothing was heard from this client for too long: connect() again.",
    "BLOB_NOT_FOUND": "Ask the sender for the file again: request_media_again().",
    "BLOB_EXPIRED": "The file is no longer kept; ask the sender for it again: request_media_again().",
}
"""What to do with this SDK, where the server's advice is about the protocol that the SDK speaks by itself."""
_PROTOCOL_CALL = re.compile(rf"\b(?:{'|'.join(SDK_CALLS)})\b")


class Recovery(Enum):
    """What to do after a refusal. Names are those of `Recovery` in errors.proto."""

    UNKNOWN = "UNSPECIFIED"
    """The call failed before the server could say, or the server says something newer than this client."""
    NEVER = "NEVER"
    """Do nothing: the same request would be refused again."""
    SAME_AGAIN = "SAME_AGAIN"
    """Send the same request again: after `retry_after_ms`, or else with back-off."""
    RECONNECT = "RECONNECT"
    """Open a new connection: after `retry_after_ms`, or else with back-off."""
    NEW_TOKEN = "NEW_TOKEN"
    """Get a new token from the partner's server, then try again."""
    ENLIST = "ENLIST"
    """Enlist (again)."""
    NEW_KEYS = "NEW_KEYS"
    """Make new keys and publish them (KEY-13)."""
    REFRESH_DEVICES = "REFRESH_DEVICES"
    """Begin a new session with the recipient's devices, then send again (MSG-05)."""
    CHALLENGE = "CHALLENGE"
    """Request a challenge and answer it (ABU-06)."""


class Violation(NamedTuple):
    """A field of the request that is not valid."""

    field: str
    """Path of the field, such as `users[3].external_id`."""
    description: str
    """What is wrong with the field, for people."""


def describe(reason: str, requirement: str, request_id: str, advice: str, violations: Sequence[Violation] = ()) -> str:
    """Returns a refusal for people: with requirement and request id, and with calls as this SDK names them."""
    named = [requirement, f"request {request_id}" if request_id else ""]
    head = " ".join(filter(None, (reason, f"({', '.join(filter(None, named))})" if any(named) else "")))
    words = [
        SDK_ADVICE.get(reason, advice),
        *(f"{each.field}: {each.description}." for each in violations if each.description not in advice),
    ]
    text = " ".join(filter(None, words))
    return f"{head}: {_PROTOCOL_CALL.sub(lambda call: SDK_CALLS[call[0]], text)}" if text else head


class ServerRefusal(Exception):
    """The server refused a request, and said why. As text, it names the requirement, the request and the SDK's calls.

    Args:
        reason: Name of the reason, such as `RECIPIENT_NOT_REACHABLE`: the `ErrorReason` without its prefix. When the
            call failed before the server could explain itself, the name of the gRPC status, such as `UNAVAILABLE`.
        requirement: Id of the requirement that was broken, such as `OPT-09`; may be empty.
        advice: What to do about it, for people, in the server's words; may be empty.
        retry_after_ms: Milliseconds after which a new attempt can succeed; None when there is no estimate.
        request_id: Names the refusal in the server's journal, for `interopsim explain`; may be empty.
        code: WhatsApp's code for the reason, such as 406 or 503, for information only: act on `recovery`. 0 when the
            call failed before the server could send one.
        recovery: What to do about it, for programs.
        violations: The fields of the request that are not valid.
    """

    def __init__(  # noqa: PLR0913 - all that can be known of a refusal
        self,
        reason: str,
        requirement: str = "",
        advice: str = "",
        retry_after_ms: int | None = None,
        request_id: str = "",
        *,
        code: int = 0,
        recovery: Recovery = Recovery.UNKNOWN,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(describe(reason, requirement, request_id, advice, violations))
        self.reason = reason
        self.requirement = requirement
        self.advice = advice
        self.retry_after_ms = retry_after_ms
        self.request_id = request_id
        self.code = code
        self.recovery = recovery
        self.violations = tuple(violations)


class LoginRefused(ServerRefusal):
    """The handshake succeeded, the login did not (CHN-10).

    Its code is one of the login codes observed on the wire: 401 enlist again, 402 banned for a time, 403 locked, 405
    client outdated, 406 banned, 500 the server's own fault, 503 try later.
    """

    def __init__(
        self, refusal: ServerRefusal, expires_after_seconds: int | None = None, sub_code: int | None = None
    ) -> None:
        super().__init__(
            refusal.reason,
            refusal.requirement,
            refusal.advice,
            refusal.retry_after_ms,
            refusal.request_id,
            code=refusal.code,
            recovery=refusal.recovery,
            violations=refusal.violations,
        )
        self.expires_after_seconds = expires_after_seconds
        """For a temporary ban: seconds until it ends."""
        self.sub_code = sub_code
        """For a temporary ban, the cause: 101 too many chats with recipients who do not know the sender, 102 blocked or
        reported by many users, 103 too many groups, 104 the same message too often, 106 too many broadcasts."""


class ConnectionEnded(Exception):
    """The chat channel has ended. The server may or may not have accepted stanzas that it has not acked.

    Args:
        reason: Name of the reason, such as `CONNECTION_REPLACED`; `CLOSED` when this end closed it; otherwise the name
            of the gRPC status that ended the stream.
        advice: What to do about it, for people; may be empty.
        recovery: What to do about it, for programs.
        requirement: Id of the requirement that was broken; may be empty.
        request_id: Names the refusal in the server's journal; may be empty.
    """

    def __init__(
        self,
        reason: str,
        advice: str = "",
        recovery: Recovery = Recovery.UNKNOWN,
        requirement: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(describe(reason, requirement, request_id, advice))
        self.reason = reason
        self.advice = advice
        self.recovery = recovery
        self.requirement = requirement
        self.request_id = request_id

    def again(self) -> Self:
        """Returns the same, to be kept, or raised once more.

        One that was raised holds the frames that it went through, and they hold the connection: kept there it would
        keep all of it until the garbage collector comes.
        """
        return type(self)(self.reason, self.advice, self.recovery, self.requirement, self.request_id)


def ended_by(refusal: ServerRefusal) -> ConnectionEnded:
    """Returns the end of a channel that the server has ended with a refusal."""
    return ConnectionEnded(refusal.reason, refusal.advice, refusal.recovery, refusal.requirement, refusal.request_id)


def refusal_from_stanza_error(error: errors_pb2.Refusal) -> ServerRefusal:
    """Returns the refusal in a stanza of the chat channel or in a response."""
    return ServerRefusal(
        _reason_name(error.reason),
        error.requirement,
        error.advice,
        error.retry_after_ms if error.HasField("retry_after_ms") else None,
        error.request_id,
        code=error.code,
        recovery=_recovery(error.recovery),
        violations=[Violation(violation.field, violation.description) for violation in error.violations],
    )


def refusal_from_login_failure(failure: stanza_pb2.LoginFailure) -> LoginRefused:
    """Returns the refusal of a login."""
    expires_after_seconds = failure.expires_after_seconds if failure.HasField("expires_after_seconds") else None
    sub_code = failure.sub_code if failure.HasField("sub_code") else None
    return LoginRefused(refusal_from_stanza_error(failure.error), expires_after_seconds, sub_code)


def refusal_from_json(facts: Mapping[str, Any]) -> ServerRefusal:
    """Returns the refusal in a JSON object from the HTTP surface.

    Raises:
        KeyError, TypeError, ValueError: The object is not a refusal.
    """
    delay = facts.get("retry_after_ms")
    return ServerRefusal(
        str(facts["reason"]).upper(),
        str(facts.get("requirement", "")),
        str(facts.get("advice", "")),
        None if delay is None else int(delay),
        str(facts.get("request_id", "")),
        code=int(facts.get("code", 0)),
        recovery=recovery_named(str(facts.get("recovery", "")).upper()),
        violations=[Violation(str(each["field"]), str(each["description"])) for each in facts.get("violations", ())],
    )


def recovery_named(name: str) -> Recovery:
    """Returns the recovery of that name; UNKNOWN when this client does not know it."""
    try:
        return Recovery(name)
    except ValueError:
        return Recovery.UNKNOWN


def refusal_from_rpc_error(error: "grpc.aio.AioRpcError") -> ServerRefusal:
    """Returns the refusal that a failed call carries in its trailer.

    When the trailer is absent, malformed or without the server's own details, the refusal has the gRPC status and its
    message.
    """
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            refusal = _refusal_from_details(value)
            if refusal is not None:
                return refusal
    return ServerRefusal(error.code().name, advice=error.details() or "")


def _refusal_from_details(details: bytes) -> ServerRefusal | None:
    # Imported at the first refusal, so that a client without one does not pay for it.
    from google.protobuf.message import DecodeError
    from google.rpc import status_pb2

    refusal = errors_pb2.Refusal()
    try:
        for detail in status_pb2.Status.FromString(details).details[:_MAX_DETAILS]:
            if detail.Unpack(refusal):
                return refusal_from_stanza_error(refusal) if refusal.reason else None
    except DecodeError:
        pass
    return None


def _recovery(recovery: errors_pb2.Recovery.ValueType) -> Recovery:
    try:
        return recovery_named(errors_pb2.Recovery.Name(recovery).removeprefix(_RECOVERY_PREFIX))
    except ValueError:  # newer than this client
        return Recovery.UNKNOWN


def _reason_name(reason: errors_pb2.ErrorReason.ValueType) -> str:
    try:
        return errors_pb2.ErrorReason.Name(reason).removeprefix(_REASON_PREFIX)
    except ValueError:  # a reason that is newer than this client
        return f"REASON_{reason}"
