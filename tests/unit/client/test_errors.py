"""A client learns why it was refused from a status, a stanza or a login failure, and trusts none to be whole."""

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import errors_pb2, stanza_pb2
from interop_client.errors import (
    refusal_from_login_failure,
    refusal_from_rpc_error,
    refusal_from_stanza_error,
)

METADATA = {"requirement": "MSG-11", "advice": "Slow down.", "request_id": "c0ffee", "code": "429"}


def packed(*messages: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> bytes:
    details = [AnyMessage() for _ in messages]
    for detail, message in zip(details, messages, strict=True):
        detail.Pack(message)
    return status_pb2.Status(code=8, message="slow down", details=details).SerializeToString()


def rpc_error(trailer: bytes | None) -> grpc.aio.AioRpcError:
    entries = () if trailer is None else (("grpc-status-details-bin", trailer),)
    return grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata(*entries), "slow down"
    )


def test_a_status_tells_reason_requirement_advice_delay_and_request() -> None:
    info = error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="interopsim", metadata=METADATA)
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    refusal = refusal_from_rpc_error(rpc_error(packed(info, retry)))
    assert (refusal.reason, refusal.requirement, refusal.advice) == ("RATE_LIMITED", "MSG-11", "Slow down.")
    assert (refusal.retry_after_ms, refusal.request_id, refusal.code) == (1500, "c0ffee", 429)


@pytest.mark.parametrize("code", ["", "-1", "4e2", "٤٠٦", "9" * 5_000])
def test_a_code_that_is_no_number_is_none(code: str) -> None:
    """Text from outside never becomes a fault of the client, nor a code that nobody sent."""
    info = error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="interopsim", metadata=METADATA | {"code": code})
    assert refusal_from_rpc_error(rpc_error(packed(info))).code == 0


def test_a_status_without_retry_info_promises_nothing() -> None:
    info = error_details_pb2.ErrorInfo(reason="KEY_MALFORMED", domain="interopsim", metadata=METADATA)
    assert refusal_from_rpc_error(rpc_error(packed(info))).retry_after_ms is None


@pytest.mark.parametrize(
    "trailer",
    [
        None,
        b"",
        b"\xff not a status",
        packed(error_details_pb2.RetryInfo()),
        packed(error_details_pb2.ErrorInfo(reason="STOCKOUT", domain="elsewhere.example")),
        packed(error_details_pb2.ErrorInfo(domain="interopsim")),
    ],
)
def test_without_the_servers_own_details_the_status_remains(trailer: bytes | None) -> None:
    refusal = refusal_from_rpc_error(rpc_error(trailer))
    assert (refusal.reason, refusal.advice, refusal.code) == ("RESOURCE_EXHAUSTED", "slow down", 0)


@given(st.binary(max_size=200))
def test_no_trailer_breaks_the_reader(trailer: bytes) -> None:
    """Whatever the trailer holds, the caller gets a refusal with a reason."""
    assert refusal_from_rpc_error(rpc_error(trailer)).reason


def test_a_stanza_error_tells_the_same_facts() -> None:
    error = errors_pb2.Refusal(
        reason=errors_pb2.ERROR_REASON_MAILBOX_FULL,
        requirement="MSG-11",
        advice="Wait.",
        retry_after_ms=60_000,
        request_id="c0ffee",
        code=429,
    )
    refusal = refusal_from_stanza_error(error)
    assert (refusal.reason, refusal.requirement, refusal.advice) == ("MAILBOX_FULL", "MSG-11", "Wait.")
    assert (refusal.retry_after_ms, refusal.request_id, refusal.code) == (60_000, "c0ffee", 429)
    assert str(refusal) == "MAILBOX_FULL: Wait."


def test_a_reason_newer_than_this_client_keeps_its_number() -> None:
    error = errors_pb2.Refusal(reason=errors_pb2.ErrorReason.ValueType(9999))
    assert refusal_from_stanza_error(error).reason == "REASON_9999"


def test_a_login_failure_tells_code_and_duration() -> None:
    error = errors_pb2.Refusal(
        reason=errors_pb2.ERROR_REASON_NOT_ENLISTED, requirement="CHN-10", request_id="c0ffee", code=401
    )
    refusal = refusal_from_login_failure(stanza_pb2.LoginFailure(code=402, error=error, expires_after_seconds=60))
    assert (refusal.reason, refusal.code, refusal.expires_after_seconds) == ("NOT_ENLISTED", 402, 60)
    assert refusal.request_id == "c0ffee"
    assert refusal_from_login_failure(stanza_pb2.LoginFailure(code=401, error=error)).expires_after_seconds is None
