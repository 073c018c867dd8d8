"""Refusals on the gRPC wire: as a message and as a status; knows no rule."""

# At the start, although a plain start needs none of it: a process without descriptors can import nothing, and what goes
# wrong while a refusal is written would reach the wire as it is.
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from interop_api.v1 import errors_pb2
from interop_server.core.errors import Refusal
from interop_server.rpc.statuses import STATUS_CODES

DOMAIN = "interopsim"
DETAILS_METADATA = "grpc-status-details-bin"


def refusal_to(refusal: Refusal) -> errors_pb2.Refusal:
    """Returns a refusal as a message."""
    message = errors_pb2.Refusal(
        reason=errors_pb2.ErrorReason.ValueType(refusal.reason.value),
        requirement=refusal.requirement,
        advice=refusal.advice,
        request_id=refusal.request_id,
        code=refusal.code,
        recovery=errors_pb2.Recovery.ValueType(refusal.reason.recovery.value),
        violations=[errors_pb2.FieldViolation(**violation._asdict()) for violation in refusal.violations],
    )
    if refusal.retry_after_ms is not None:
        message.retry_after_ms = refusal.retry_after_ms
    return message


def status_details(refusal: Refusal) -> bytes:
    """Returns a refusal as a serialised `google.rpc.Status`: see errors.proto for the details that it has."""
    message = refusal_to(refusal)
    details: list[Message] = [_error_info(refusal), message]
    if message.HasField("retry_after_ms"):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(message.retry_after_ms)
        details.append(retry)
    if refusal.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(**violation._asdict()) for violation in refusal.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    status = status_pb2.Status(code=STATUS_CODES[refusal.reason.category].value[0], message=str(refusal))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def _error_info(refusal: Refusal) -> Message:
    metadata = {
        "requirement": refusal.requirement,
        "advice": refusal.advice,
        "recovery": refusal.reason.recovery.name,
        "code": str(refusal.code),
        "request_id": refusal.request_id,
    }
    info: Message = error_details_pb2.ErrorInfo(reason=refusal.reason.name, domain=DOMAIN, metadata=metadata)
    return info
