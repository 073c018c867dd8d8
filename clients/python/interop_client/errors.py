"""What can end a call, a login or a connection; knows no transport beyond the two forms in which refusals travel.

Source: interop_api/v1/errors.proto.
"""

from typing import TYPE_CHECKING

from interop_api.v1 import errors_pb2, stanza_pb2

if TYPE_CHECKING:
    import grpc.aio

DOMAIN = "interopsim"
"""Domain of the server's own `google.rpc.ErrorInfo`."""

_DETAILS_KEY = "grpc-status-details-bin"
_REASON_PREFIX = "ERROR_REASON_"
_MAX_DETAILS = 16
_MAX_CODE_DIGITS = 4


class ServerRefusal(Exception):
    """The server said no, and why.

    Args:
        reason: Name of the reason, such as `RECIPIENT_NOT_REACHABLE`: the `ErrorReason` without its prefix. When the
            call failed before the server could explain itself, the name of the gRPC status, such as `UNAVAILABLE`.
        requirement: Id of the requirement that was broken, such as `OPT-09`; may be empty.
        advice: What to do about it, for people; may be empty.
        retry_after_ms: Milliseconds after which a retry can succeed; None when a retry cannot help.
        request_id: Names the refusal in the server's journal, for `interopsim explain`; may be empty.
        code: What stands for it on the wire that is modelled, such as 406, on which keys are made anew, or 503, after
            which a retry with back-off can succeed (KEY-13); 0 when the server did not get as far as to say.
    """

    def __init__(
        self,
        reason: str,
        requirement: str = "",
        advice: str = "",
        retry_after_ms: int | None = None,
        request_id: str = "",
        code: int = 0,
    ) -> None:
        super().__init__(f"{reason}: {advice}" if advice else reason)
        self.reason = reason
        self.requirement = requirement
        self.advice = advice
        self.retry_after_ms = retry_after_ms
        self.request_id = request_id
        self.code = code


class LoginRefused(ServerRefusal):
    """The handshake succeeded, the login did not (CHN-10).

    Its code is one of logins, as observed on the wire: 401 enlist again, 402 banned for a time, 403 locked, 405 client
    outdated, 406 banned, 500 the server's own fault, 503 try later.
    """

    def __init__(
        self, refusal: ServerRefusal, code: int, expires_after_seconds: int | None, sub_code: int | None = None
    ) -> None:
        facts = refusal.reason, refusal.requirement, refusal.advice, refusal.retry_after_ms, refusal.request_id
        super().__init__(*facts, code)
        self.expires_after_seconds = expires_after_seconds
        """For a temporary ban: seconds until it ends."""
        self.sub_code = sub_code
        """For a temporary ban, what it is for: 101 too many chats with people who do not know the sender, 102 blocked
        or reported by many, 103 too many groups, 104 the same message too often, 106 too many broadcasts."""


class ConnectionEnded(Exception):
    """The chat channel is over. What was sent and not acked may or may not have been taken.

    Args:
        reason: Name of the reason, such as `CONNECTION_REPLACED`; `CLOSED` when this end closed it; otherwise the name
            of the gRPC status that ended the stream.
        advice: What to do about it, for people; may be empty.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}: {advice}" if advice else reason)
        self.reason = reason
        self.advice = advice


def refusal_from_stanza_error(error: errors_pb2.Refusal) -> ServerRefusal:
    """Returns the refusal that came inside the chat channel or inside a response."""
    retry_after_ms = error.retry_after_ms if error.HasField("retry_after_ms") else None
    reason = _reason_name(error.reason)
    return ServerRefusal(reason, error.requirement, error.advice, retry_after_ms, error.request_id, error.code)


def refusal_from_login_failure(failure: stanza_pb2.LoginFailure) -> LoginRefused:
    """Returns the refusal of a login."""
    expires_after_seconds = failure.expires_after_seconds if failure.HasField("expires_after_seconds") else None
    sub_code = failure.sub_code if failure.HasField("sub_code") else None
    return LoginRefused(refusal_from_stanza_error(failure.error), failure.code, expires_after_seconds, sub_code)


def refusal_from_rpc_error(error: "grpc.aio.AioRpcError") -> ServerRefusal:
    """Returns the refusal that a failed call carries in its trailer.

    A trailer that is absent, malformed or of another domain leaves the gRPC status and its message.
    """
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            refusal = _refusal_from_details(value)
            if refusal is not None:
                return refusal
    return ServerRefusal(error.code().name, advice=error.details() or "")


def _refusal_from_details(details: bytes) -> ServerRefusal | None:
    # Imported at the first refusal: a client that meets none does not pay for it.
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    has_retry = False
    try:
        for detail in status_pb2.Status.FromString(details).details[:_MAX_DETAILS]:
            detail.Unpack(info)
            has_retry |= detail.Unpack(retry)
    except DecodeError:
        return None
    if info.domain != DOMAIN or not info.reason:
        return None
    facts = info.metadata
    return ServerRefusal(
        info.reason,
        facts.get("requirement", ""),
        facts.get("advice", ""),
        retry.retry_delay.ToMilliseconds() if has_retry else None,
        facts.get("request_id", ""),
        _code(facts.get("code", "")),
    )


def _code(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_CODE_DIGITS else 0


def _reason_name(reason: errors_pb2.ErrorReason.ValueType) -> str:
    try:
        return errors_pb2.ErrorReason.Name(reason).removeprefix(_REASON_PREFIX)
    except ValueError:  # a reason that is newer than this client
        return f"REASON_{reason}"
