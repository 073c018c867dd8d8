"""What became of a command, from what it returned or raised; knows no command."""

import logging

import aiohttp
from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.media.crypto import MediaTampered
from interop_client.signal.errors import InvalidContent, SignalError, UntrustedIdentity
from interop_protocol.certificates import CertificateError
from interop_protocol.noise import RemoteProtocolError

MAX_DETAIL = 1_000
"""Most characters of a sentence."""

_log = logging.getLogger(__name__)


class WrongCommand(Exception):
    """The command cannot be done on this device. The text is a sentence that says why."""


class Unsupported(Exception):
    """The client has no such thing. The text says what; may be empty."""


_KINDS: tuple[tuple[type[Exception], pb.FailureKind.ValueType], ...] = (
    (WrongCommand, pb.FAILURE_KIND_WRONG_COMMAND),
    (InvalidContent, pb.FAILURE_KIND_WRONG_COMMAND),
    (CertificateError, pb.FAILURE_KIND_UNTRUSTED_SERVER),
    (RemoteProtocolError, pb.FAILURE_KIND_UNTRUSTED_SERVER),
    (UntrustedIdentity, pb.FAILURE_KIND_UNTRUSTED_IDENTITY),
    (SignalError, pb.FAILURE_KIND_UNUSABLE_KEYS),
    (ConnectionEnded, pb.FAILURE_KIND_CONNECTION_ENDED),
    (TimeoutError, pb.FAILURE_KIND_TIMED_OUT),
    (OSError, pb.FAILURE_KIND_UNREACHABLE),
    (aiohttp.ClientError, pb.FAILURE_KIND_UNREACHABLE),
)
"""The first class that fits counts."""
EXPECTED: tuple[type[Exception], ...] = (MediaTampered, LookupError, *(kind for kind, _ in _KINDS))
"""What a client can meet without a fault of its own, refusals apart."""
_FIELDS = {
    pb.DescribeResult: "description",
    pb.AccountResult: "account",
    pb.SendResult: "sent",
    pb.ListBlockedResult: "blocked",
    pb.ReportResult: "report",
    pb.ListShownResult: "shown",
    pb.RefusedResult: "refused",
    pb.UnsupportedResult: "unsupported",
    pb.FailedResult: "failed",
    pb.DoneResult: "done",
}


def result_of(request_id: int, outcome: Message | None) -> pb.DriveResponse:
    """Returns the answer to a command.

    Args:
        request_id: Of the command.
        outcome: One of the outcomes in driver.proto; None for what is done and returns nothing.
    """
    outcome = outcome or pb.DoneResult()
    result = pb.CommandResult(id=request_id)
    getattr(result, _FIELDS[type(outcome)]).CopyFrom(outcome)
    return pb.DriveResponse(result=result)


def outcome_of(error: Exception) -> Message:
    """Returns the outcome of a command that raised something."""
    if isinstance(error, ServerRefusal):
        return pb.RefusedResult(
            reason=error.reason,
            requirement=error.requirement,
            advice=error.advice,
            retry_after_ms=error.retry_after_ms,
            request_id=error.request_id,
            code=error.code,
        )
    if isinstance(error, Unsupported):
        return pb.UnsupportedResult(detail=str(error))
    for kind, number in _KINDS:
        if isinstance(error, kind):
            return pb.FailedResult(kind=number, detail=sentence(error))
    _log.error("a command failed", exc_info=error)
    return pb.FailedResult(detail=sentence(error))


def sentence(error: Exception) -> str:
    """Returns what went wrong, for people."""
    return (str(error) or type(error).__name__)[:MAX_DETAIL]
