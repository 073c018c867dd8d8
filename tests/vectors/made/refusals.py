"""Refusals as bytes: in the trailer of a call, in a stanza, and over HTTP."""

import json
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from interop_api.v1 import errors_pb2, stanza_pb2
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from interop_server.core.errors import Reason, Refusal
from interop_server.http.refusals import refusal_to_json
from interop_server.rpc.errors import DETAILS_METADATA, refusal_to, status_details
from interop_server.rpc.statuses import STATUS_CODES
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import big, choice, number, octets, optional, record, several, text

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = (
    errors_pb2.Refusal,
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.BadRequest,
)
_RECOVERIES = (
    "NEVER",
    "SAME_AGAIN",
    "RECONNECT",
    "NEW_TOKEN",
    "ENLIST",
    "NEW_KEYS",
    "REFRESH_DEVICES",
    "CHALLENGE",
    "UNKNOWN",
)
_FIELDS = {
    "grpc_status": number("The gRPC status of the call, as a number."),
    "grpc_message": text("The message of the status."),
    "status_details": optional(octets("The trailer grpc-status-details-bin: a google.rpc.Status; null: absent.")),
    "detail_types": optional(several("The type URLs of its details, in order.", text("One of them."))),
    "refusal": optional(octets("The Refusal alone, as in `error` of many stanzas and items; null: there is none.")),
    "stanza": optional(octets("A Stanza with `stanza_refused`, which holds it.")),
    "http_status": optional(number("The status over HTTP, where a refusal of this reason has one.")),
    "http_body": optional(text("The body over HTTP: JSON.")),
    "reason": text("What a client reads: the ErrorReason without its prefix, or else the name of the gRPC status."),
    "requirement": text("Empty where it is not told."),
    "advice": text("For people. Where there is no Refusal, the message of the status."),
    "retry_after_ms": optional(big("Milliseconds; null: there is no estimate.")),
    "request_id": text("Names the refusal in the server's journal."),
    "code": number("On the modelled wire; 0 where it is not told."),
    "recovery": choice("What a client acts on; UNKNOWN where it is not told, or newer than the client.", *_RECOVERIES),
    "violations": several(
        "The fields that are wrong.",
        record("One of them.", {"field": text("Its path."), "description": text("What is wrong with it.")}),
    ),
}


def document() -> Document:
    """Returns the file."""
    given = [
        ("not-reachable", "Nothing to try: NEVER.", Refusal(Reason.RECIPIENT_NOT_REACHABLE)),
        ("rate-limited", "The same again, after the delay.",
         Refusal(Reason.RATE_LIMITED, "too many at once", 1_500, requirement="SIM-06")),
        ("session-required", "Connect first.", Refusal(Reason.SESSION_REQUIRED)),
        ("token-expired", "Get another token.", Refusal(Reason.TOKEN_EXPIRED)),
        ("not-enlisted", "Enlist again.", Refusal(Reason.NOT_ENLISTED)),
        ("key-malformed", "It says which field is wrong.",
         Refusal(Reason.KEY_MALFORMED, "has 31 bytes", field="one_time_prekeys[3].public_key", requirement="KEY-02")),
        ("prekey-signature", "Make new keys.",
         Refusal(Reason.PREKEY_SIGNATURE_INVALID, field="signed_prekey.signature")),
        ("blob-expired", "HTTP has a status of its own for it.", Refusal(Reason.BLOB_EXPIRED)),
        ("range-invalid", "So has it for this.", Refusal(Reason.RANGE_INVALID, "the blob has 58 bytes")),
        ("server-fault", "An unexpected failure.", Refusal(Reason.SERVER_FAULT)),
    ]  # fmt: skip
    for position, (_, _, refusal) in enumerate(given):
        refusal.request_id = f"{position:016x}"
    return Document(
        "refusals",
        "Refusals as they travel: the trailer of a call, a stanza, a body over HTTP. Read each form, and get the same. "
        "The last ones have no Refusal that can be read: a client then has the status of the call. On "
        "RESOURCE_EXHAUSTED, which is gRPC's own, it acts as on NEVER; of the others it does not know whether the call "
        "was done (errors.proto).",
        ("SIM-01",),
        _FIELDS,
        [*(_vector(*each) for each in given), _newer_reason(), *_without_refusal()],
    )


def _vector(name: str, comment: str, refusal: Refusal) -> Vector:
    message = refusal_to(refusal)
    stanza = stanza_pb2.Stanza(stanza_refused=stanza_pb2.StanzaRefused(id="3EB0A1B2C3", kind="receipt", error=message))
    return _shown(
        name,
        comment,
        STATUS_CODES[refusal.reason.category],
        str(refusal),
        in_order(status_details(refusal)),
        refusal=_bytes(message).hex(),
        stanza=_bytes(stanza).hex(),
        http_status=refusal.reason.http_status,
        http_body=json.dumps(refusal_to_json(refusal)),
    )


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def in_order(details: bytes) -> bytes:
    """Returns a `google.rpc.Status` whose maps are in the order of their keys: protobuf leaves it open."""
    status = status_pb2.Status.FromString(details)
    for detail in status.details:
        for kind in _DETAILS:
            message = kind()
            if detail.Unpack(message):
                detail.value = _bytes(message)
    return _bytes(status)


def _newer_reason() -> Vector:
    message = errors_pb2.Refusal(
        reason=errors_pb2.ErrorReason.ValueType(9_999),
        requirement="OPT-09",
        advice="Wait for the full moon.",
        retry_after_ms=60_000,
        request_id="000000000000000a",
        code=503,
        recovery=errors_pb2.RECOVERY_SAME_AGAIN,
    )
    detail = AnyMessage()
    detail.Pack(message)
    code = grpc.StatusCode.UNAVAILABLE
    status = status_pb2.Status(code=code.value[0], message="MOON_NOT_FULL", details=[detail])
    return _shown(
        "newer-reason",
        "A reason that is newer than the client: its recovery says what to do.",
        code,
        "MOON_NOT_FULL",
        _bytes(status),
        refusal=_bytes(message).hex(),
    )


def _without_refusal() -> list[Vector]:
    other = AnyMessage()
    other.Pack(error_details_pb2.RetryInfo())
    internal, exhausted = grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED
    foreign = _bytes(status_pb2.Status(code=13, message="somebody else's", details=[other]))
    empty = AnyMessage()
    empty.Pack(errors_pb2.Refusal())
    unset = _bytes(status_pb2.Status(code=13, message="no reason", details=[empty]))
    return [
        _shown("no-trailer", "gRPC itself refused.", exhausted, "Received message larger than max", None),
        _shown("other-details", "Somebody on the way refused.", internal, "somebody else's", foreign),
        _shown("no-reason", "A Refusal whose reason is not set.", internal, "no reason", unset),
        _shown(
            "no-protobuf",
            "The trailer is no Status. Some libraries of gRPC then fail the call in their own words.",
            internal,
            "broken",
            b"\xff" * 4,
        ),
    ]


def _shown(name: str, comment: str, code: grpc.StatusCode, message: str, details: bytes | None, **forms: Any) -> Vector:
    return {
        "name": name,
        "comment": comment,
        "grpc_status": code.value[0],
        "grpc_message": message,
        "status_details": None if details is None else details.hex(),
        "detail_types": types_of(details),
        **dict.fromkeys(("refusal", "stanza", "http_status", "http_body")),
        **forms,
        **shown(refusal_of_call(code.value[0], message, details)),
    }


def types_of(details: bytes | None) -> list[str] | None:
    """Returns the type URLs of a Status's details; None if it cannot be read."""
    try:
        return None if details is None else [each.type_url for each in status_pb2.Status.FromString(details).details]
    except DecodeError:
        return None


def refusal_of_call(status: int, message: str, details: bytes | None) -> ServerRefusal:
    """Returns what a client makes of a failed call."""
    trailer = grpc.aio.Metadata() if details is None else grpc.aio.Metadata((DETAILS_METADATA, details))
    return refusal_from_rpc_error(grpc.aio.AioRpcError(_CODES[status], grpc.aio.Metadata(), trailer, message))


def shown(refusal: ServerRefusal) -> Vector:
    """Returns a refusal as a client has it."""
    return {
        "reason": refusal.reason,
        "requirement": refusal.requirement,
        "advice": refusal.advice,
        "retry_after_ms": None if refusal.retry_after_ms is None else str(refusal.retry_after_ms),
        "request_id": refusal.request_id,
        "code": refusal.code,
        "recovery": refusal.recovery.name,
        "violations": [{"field": each.field, "description": each.description} for each in refusal.violations],
    }
