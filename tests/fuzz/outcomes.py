"""Whether an answer is one that the protos document: statuses, reasons, details, refusals of single items."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from interop_api.v1 import errors_pb2
from interop_server.core.errors import Reason
from interop_server.rpc.errors import DOMAIN
from interop_server.rpc.statuses import STATUS_CODES
from tests.fuzz.documented import read_documented
from tests.fuzz.methods import message_class, path_of
from tests.refusals import ABOUT_A_FIELD, UNNAMEABLE, may_rest_on

GENERIC = frozenset({"REQUEST_MALFORMED", "RATE_LIMITED", "SESSION_REQUIRED", "SESSION_DEAD"})
"""Allowed to every RPC: bytes that are no message of it, too many at once, and calls without a living session."""
_REQUEST_ID = re.compile(r"[0-9a-f]{16}")
_SENTENCE = re.compile(r"\S.*[.]", re.DOTALL)


@dataclass
class Answer:
    """What came of a call."""

    status: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    details: bytes = b""
    """The trailer with the details of a refusal."""
    responses: list[bytes] = field(default_factory=list)
    is_open: bool = False
    """Whether a stream was still open when it was left."""


class Undocumented(AssertionError):
    """An answer that no comment allows."""


def check_answer(method: MethodDescriptor, answer: Answer) -> str:
    """Asserts that an answer is a documented one, and returns what it is in a word: `OK` or a reason."""
    documented = read()[0][path_of(method)]
    if answer.status is not grpc.StatusCode.OK:
        return _check_refusal(answer, documented.whole | GENERIC)
    for response in answer.responses:
        for error in _errors(_decoded(method, response)):
            check_item(error, documented.item)
    return "OK"


read = cache(read_documented)
"""What the comments document, read once."""


def check_item(error: errors_pb2.Refusal, allowed: frozenset[str]) -> str:
    """Asserts that the refusal of one item is well-formed and documented, and returns its reason."""
    name = errors_pb2.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    if name not in allowed:
        raise Undocumented(f"{name} is not among {sorted(allowed)}: {error}")
    _check_facts(name, error.requirement, error.advice, error.request_id, str(error.code))
    if error.HasField("retry_after_ms"):
        assert error.retry_after_ms < 1 << 53, error
    _check_code(name, str(error.code))
    assert errors_pb2.Recovery.Name(error.recovery) == f"RECOVERY_{Reason[name].recovery.name}", error
    _check_fields(error)
    return name


def _check_refusal(answer: Answer, allowed: frozenset[str]) -> str:
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(answer.details)
    if not any(detail.Unpack(info) for detail in status.details):
        raise Undocumented(f"{answer.status} without details: {answer.message}")
    if info.domain != DOMAIN or info.reason not in allowed:
        raise Undocumented(f"{info.reason} ({answer.message}) is not among {sorted(allowed)}")
    assert STATUS_CODES[Reason[info.reason].category] is answer.status, answer
    _check_details(answer, info)
    facts = info.metadata
    _check_facts(info.reason, facts["requirement"], facts["advice"], facts["request_id"], facts["code"])
    return info.reason


def _check_details(answer: Answer, info: error_details_pb2.ErrorInfo) -> None:
    """Asserts that the refusal itself travels along, and says the same."""
    refusals = [errors_pb2.Refusal()]
    status = status_pb2.Status.FromString(answer.details)
    assert [detail for detail in status.details if detail.Unpack(refusals[0])], answer
    [refusal] = refusals
    facts = {
        "requirement": refusal.requirement,
        "advice": refusal.advice,
        "recovery": errors_pb2.Recovery.Name(refusal.recovery).removeprefix("RECOVERY_"),
        "code": str(refusal.code),
        "request_id": refusal.request_id,
    }
    assert facts == dict(info.metadata), answer
    assert errors_pb2.ErrorReason.Name(refusal.reason) == f"ERROR_REASON_{info.reason}", answer
    assert refusal.recovery == Reason[info.reason].recovery.value, answer
    _check_fields(refusal)


def _check_fields(refusal: errors_pb2.Refusal) -> None:
    """Asserts that what was wrong with a request that could be read is named (SIM-01)."""
    if Reason(refusal.reason) in ABOUT_A_FIELD and not re.match(UNNAMEABLE, refusal.advice):
        assert refusal.violations and all(each.field and each.description for each in refusal.violations), refusal


def _check_facts(reason: str, requirement: str, advice: str, request_id: str, code: str) -> None:
    assert may_rest_on(Reason[reason], requirement), (reason, requirement)
    assert _SENTENCE.fullmatch(advice), (reason, advice)
    assert _REQUEST_ID.fullmatch(request_id), (reason, request_id)
    _check_code(reason, code)


def _check_code(reason: str, code: str) -> None:
    assert code in (str(Reason[reason].code), str(Reason[reason].login_code)), (reason, code)


def _decoded(method: MethodDescriptor, response: bytes) -> Message:
    try:
        return message_class(method.output_type).FromString(response)
    except DecodeError as error:
        raise Undocumented(f"{path_of(method)} answered {response!r}") from error


def _errors(message: Message) -> Iterator[errors_pb2.Refusal]:
    if isinstance(message, errors_pb2.Refusal):
        yield message
        return
    for each, value in message.ListFields():
        if each.message_type is None or each.message_type.GetOptions().map_entry:
            continue
        for inner in value if each.is_repeated else (value,):
            yield from _errors(inner)
