"""A client learns why it was refused from a status, a stanza or a login failure, and trusts none to be whole."""

import re
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from interop_admin.client import AdminClient
from interop_api.v1 import errors_pb2, stanza_pb2
from interop_client.errors import (
    SDK_ADVICE,
    SDK_CALLS,
    Recovery,
    ServerRefusal,
    Violation,
    ended_by,
    refusal_from_json,
    refusal_from_login_failure,
    refusal_from_rpc_error,
    refusal_from_stanza_error,
)
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_server.core.reasons import Reason

REFUSAL = errors_pb2.Refusal(
    reason=errors_pb2.ERROR_REASON_RATE_LIMITED,
    requirement="MSG-11",
    advice="Slow down.",
    retry_after_ms=1500,
    request_id="c0ffee",
    code=429,
    recovery=errors_pb2.RECOVERY_SAME_AGAIN,
    violations=[errors_pb2.FieldViolation(field="users[3].external_id", description="is empty")],
)


def packed(*messages: Message) -> bytes:
    details = [AnyMessage() for _ in messages]
    for detail, message in zip(details, messages, strict=True):
        detail.Pack(message)
    return status_pb2.Status(code=8, message="slow down", details=details).SerializeToString()


def rpc_error(trailer: bytes | None) -> grpc.aio.AioRpcError:
    entries = () if trailer is None else (("grpc-status-details-bin", trailer),)
    return grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata(*entries), "slow down"
    )


def test_a_status_tells_all_that_the_refusal_in_it_says() -> None:
    refusal = refusal_from_rpc_error(rpc_error(packed(error_details_pb2.ErrorInfo(reason="X"), REFUSAL)))
    assert (refusal.reason, refusal.requirement, refusal.advice) == ("RATE_LIMITED", "MSG-11", "Slow down.")
    assert (refusal.retry_after_ms, refusal.request_id, refusal.code) == (1500, "c0ffee", 429)
    assert refusal.recovery is Recovery.SAME_AGAIN
    assert refusal.violations == (Violation("users[3].external_id", "is empty"),)


def test_over_http_the_same_facts_travel_as_an_object() -> None:
    facts = {
        "reason": "rate_limited",
        "requirement": "MSG-11",
        "advice": "Slow down.",
        "retry_after_ms": 1500,
        "request_id": "c0ffee",
        "code": 429,
        "recovery": "same_again",
        "violations": [{"field": "users[3].external_id", "description": "is empty"}],
    }
    assert vars(refusal_from_json(facts)) == vars(refusal_from_stanza_error(REFUSAL))


@pytest.mark.parametrize(
    "facts", [{}, {"reason": "x", "code": "many"}, {"reason": "x", "violations": 5}, {"reason": "x", "code": []}]
)
def test_an_object_that_is_no_refusal_is_an_error(facts: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        refusal_from_json(facts)


def test_a_refusal_without_a_delay_promises_nothing() -> None:
    without = errors_pb2.Refusal(reason=errors_pb2.ERROR_REASON_KEY_MALFORMED)
    refusal = refusal_from_rpc_error(rpc_error(packed(without)))
    assert (refusal.retry_after_ms, refusal.violations) == (None, ())


@pytest.mark.parametrize(
    "trailer",
    [
        None,
        b"",
        b"\xff not a status",
        packed(error_details_pb2.RetryInfo()),
        packed(error_details_pb2.ErrorInfo(reason="STOCKOUT", domain="elsewhere.example")),
        packed(error_details_pb2.ErrorInfo(domain="interopsim")),
        packed(errors_pb2.Refusal()),
    ],
)
def test_without_the_servers_own_details_the_status_remains(trailer: bytes | None) -> None:
    refusal = refusal_from_rpc_error(rpc_error(trailer))
    assert (refusal.reason, refusal.advice, refusal.code) == ("RESOURCE_EXHAUSTED", "slow down", 0)
    assert refusal.recovery is Recovery.UNKNOWN


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
        recovery=errors_pb2.RECOVERY_SAME_AGAIN,
    )
    refusal = refusal_from_stanza_error(error)
    assert (refusal.reason, refusal.requirement, refusal.advice) == ("MAILBOX_FULL", "MSG-11", "Wait.")
    assert (refusal.retry_after_ms, refusal.request_id, refusal.code) == (60_000, "c0ffee", 429)
    assert refusal.recovery is Recovery.SAME_AGAIN
    assert str(refusal) == "MAILBOX_FULL (MSG-11, request c0ffee): Wait."


def test_a_reason_newer_than_this_client_keeps_its_number_and_what_to_do() -> None:
    error = errors_pb2.Refusal(reason=errors_pb2.ErrorReason.ValueType(9999), recovery=errors_pb2.RECOVERY_ENLIST)
    refusal = refusal_from_stanza_error(error)
    assert (refusal.reason, refusal.recovery) == ("REASON_9999", Recovery.ENLIST)


def test_what_to_do_that_is_newer_than_this_client_is_unknown() -> None:
    error = errors_pb2.Refusal(reason=1, recovery=errors_pb2.Recovery.ValueType(99))
    assert refusal_from_stanza_error(error).recovery is Recovery.UNKNOWN


def test_every_recovery_of_the_contract_is_known() -> None:
    names = {name.removeprefix("RECOVERY_") for name in errors_pb2.Recovery.DESCRIPTOR.values_by_name}
    assert names == {recovery.value for recovery in Recovery}


def test_a_login_failure_tells_code_and_duration() -> None:
    error = errors_pb2.Refusal(
        reason=errors_pb2.ERROR_REASON_NOT_ENLISTED, requirement="CHN-10", request_id="c0ffee", code=402
    )
    refusal = refusal_from_login_failure(stanza_pb2.LoginFailure(error=error, expires_after_seconds=60))
    assert (refusal.reason, refusal.code, refusal.expires_after_seconds) == ("NOT_ENLISTED", 402, 60)
    assert refusal.request_id == "c0ffee"
    assert refusal_from_login_failure(stanza_pb2.LoginFailure(error=error)).expires_after_seconds is None


def test_the_text_of_a_refusal_names_requirement_and_request_and_what_is_wrong() -> None:
    """Also when it ended a connection; what is not known is left out."""
    refusal = refusal_from_stanza_error(REFUSAL)
    assert str(refusal) == "RATE_LIMITED (MSG-11, request c0ffee): Slow down. users[3].external_id: is empty."
    assert str(ended_by(refusal)) == "RATE_LIMITED (MSG-11, request c0ffee): Slow down."
    assert str(ServerRefusal("UNAVAILABLE")) == "UNAVAILABLE"
    assert str(ServerRefusal("X", request_id="7")) == "X (request 7)"
    assert str(ServerRefusal("X", "MSG-11", "Wait.")) == "X (MSG-11): Wait."


def methods_of_the_protocol() -> set[str]:
    protos = Path(__file__).parents[3] / "protos" / "interop_api"
    return {name for file in protos.rglob("*.proto") for name in re.findall(r"rpc (\w+)\(", file.read_text())}


@pytest.mark.parametrize("reason", list(Reason))
def test_the_text_of_a_refusal_speaks_of_the_calls_of_the_sdk(reason: Reason) -> None:
    """No call of the protocol is left in what any reason says to do, but words that are English, too."""
    refusal = ServerRefusal(reason.name, "KEY-01", reason.advice)
    words = set(re.findall(r"\w+", str(refusal)))
    assert words & methods_of_the_protocol() <= {"Connect", "Enlist"}
    assert refusal.advice == reason.advice


def test_the_calls_that_a_refusal_speaks_of_exist() -> None:
    clients = (WhatsAppClient, ThirdPartyClient, AdminClient)
    texts = [*SDK_CALLS.values(), *SDK_ADVICE.values()]
    named = {name for text in texts for name in re.findall(r"(\w+)\(\)", text)}
    assert len(named) >= len(set(SDK_CALLS.values()))
    assert [name for name in named if not any(hasattr(client, name) for client in clients)] == []
    assert SDK_CALLS.keys() <= methods_of_the_protocol()
    assert SDK_ADVICE.keys() <= set(Reason.__members__)
