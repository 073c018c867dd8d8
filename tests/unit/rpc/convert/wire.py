"""What the tests of this folder say on the wire, and how they look at a refusal; knows no test."""

import re
from typing import Any, TypeVar

import pytest

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Refusal
from tests.refusals import check_said

OWN_JID, PEER_JID = "100-10000000000001@interop", "491511234567@s.whatsapp.net"
R = TypeVar("R", bound=Refusal)


def refusal_of(call: Any, *args: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args)
    check_said(caught.value)
    return caught.value


def recorded(refusal: R) -> R:
    """Only what stands in the journal goes out."""
    refusal.request_id = "00ff00ff00ff00ff"
    return refusal


def check_field(refusal: Refusal, kind: str, changes: dict[str, Any]) -> None:
    """Asserts that a refusal names the field that was changed, from the stanza on (SIM-01)."""
    [changed] = changes
    [violation] = refusal.violations
    assert re.fullmatch(rf"{kind}\.{changed}(\[\d+\](\.\w+)?)?", violation.field), violation
    assert violation.description


def ping(number: int = 1) -> stanza_pb2.Stanza:
    return stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=number))


def receipt(**changes: Any) -> stanza_pb2.Receipt:
    fields = {"type": stanza_pb2.RECEIPT_TYPE_READ, "to_jid": PEER_JID, "message_ids": ["m1"]}
    return stanza_pb2.Receipt(**fields | changes)


def retry_receipt(**changes: Any) -> stanza_pb2.RetryReceipt:
    fields = {"to_jid": PEER_JID, "message_id": "m1", "retry_count": 1, "registration_id": 2**32 - 1}
    return stanza_pb2.RetryReceipt(**fields | changes)
