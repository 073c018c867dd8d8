"""What a command that raised something is answered with."""

import aiohttp
import pytest
from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.signal.errors import InvalidSignature, UnsupportedContent, UntrustedIdentity
from interop_driver.outcomes import MAX_DETAIL, Unsupported, WrongCommand, outcome_of, result_of
from interop_protocol.certificates import CertificateError
from interop_protocol.noise import RemoteProtocolError

KINDS = [
    (WrongCommand("Enlist first."), pb.FAILURE_KIND_WRONG_COMMAND),
    (UnsupportedContent("a sticker"), pb.FAILURE_KIND_WRONG_COMMAND),
    (CertificateError("", "expired"), pb.FAILURE_KIND_UNTRUSTED_SERVER),
    (RemoteProtocolError("HANDSHAKE_AUTHENTICATION_FAILED", "no"), pb.FAILURE_KIND_UNTRUSTED_SERVER),
    (UntrustedIdentity("1@x", bytes(32), bytes(32)), pb.FAILURE_KIND_UNTRUSTED_IDENTITY),
    (InvalidSignature("bad"), pb.FAILURE_KIND_UNUSABLE_KEYS),
    (ConnectionEnded("CLOSED"), pb.FAILURE_KIND_CONNECTION_ENDED),
    (TimeoutError(), pb.FAILURE_KIND_TIMED_OUT),
    (ConnectionRefusedError("nobody there"), pb.FAILURE_KIND_UNREACHABLE),
    (aiohttp.ClientError("nobody there"), pb.FAILURE_KIND_UNREACHABLE),
    (ValueError("a fault of the driver"), pb.FAILURE_KIND_UNSPECIFIED),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=lambda value: type(value).__name__)
def test_a_failure_has_its_kind_and_a_detail(error: Exception, kind: pb.FailureKind.ValueType) -> None:
    """A kit decides by the kind; people read the detail, which is never empty."""
    outcome = outcome_of(error)
    assert isinstance(outcome, pb.FailedResult)
    assert outcome.kind == kind and outcome.detail


def test_a_refusal_is_passed_on_as_the_client_met_it() -> None:
    """All that the client knows of it; what nobody has said is absent."""
    refusal = ServerRefusal("RATE_LIMITED", "KEY-06", "Wait.", 500, "r1", code=429)
    assert outcome_of(refusal) == pb.RefusedResult(
        reason="RATE_LIMITED", requirement="KEY-06", advice="Wait.", retry_after_ms=500, request_id="r1", code=429
    )
    unsaid = outcome_of(ServerRefusal("UNAVAILABLE"))
    assert isinstance(unsaid, pb.RefusedResult) and not unsaid.HasField("retry_after_ms")


def test_what_is_long_is_cut() -> None:
    """A message to the kit has a bounded size."""
    outcome = outcome_of(WrongCommand("x" * 5_000))
    assert isinstance(outcome, pb.FailedResult) and len(outcome.detail) == MAX_DETAIL


@pytest.mark.parametrize(
    ("outcome", "field"),
    [
        (None, "done"),
        (pb.AccountResult(jid="1@x"), "account"),
        (pb.ListShownResult(), "shown"),
        (outcome_of(Unsupported("calls")), "unsupported"),
    ],
)
def test_an_outcome_stands_in_its_field(outcome: Message | None, field: str) -> None:
    """Also an empty one: a result always has exactly one outcome."""
    response = result_of(7, outcome)
    assert (response.result.id, response.result.WhichOneof("outcome")) == (7, field)
