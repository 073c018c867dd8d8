"""Refusals explain themselves, in the same words on every wire, and never give away what they were about."""

import re
from enum import Enum

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from interop_api.admin.v1 import admin_pb2, standing_pb2
from interop_api.v1 import chat_pb2, errors_pb2, integrity_pb2, interop_pb2, stanza_pb2
from interop_server.core import messages, model
from interop_server.core.enlistment.enlistment import EnlistmentForm, check_form_keys
from interop_server.core.errors import RULES, Category, Reason, Refusal
from interop_server.core.media.media import parse_upload_token
from interop_server.rpc.convert import login_from
from interop_server.rpc.errors import STATUS_CODES, stanza_error, status_details

REQUIREMENT = re.compile(r"(ENL|CHN|PRX|KEY|OPT|MSG|RCP|MED|ABU|LIF|SIM)-[0-9]{2}")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_requirement_and_advice(reason: Reason) -> None:
    """The id of what was broken, and a sentence that says what to do (SIM-01)."""
    rule = RULES[reason]
    assert reason.rule is rule
    assert REQUIREMENT.fullmatch(rule.requirement)
    assert re.fullmatch(r"[A-Z`].{8,}[.]", rule.advice)
    assert "  " not in rule.advice
    assert isinstance(rule.category, Category)


def test_every_rule_has_a_reason() -> None:
    """The table is complete and holds nothing else."""
    assert set(RULES) == set(Reason)


def test_every_category_has_its_own_status() -> None:
    """The one place that maps them maps them all, and no two alike."""
    assert set(STATUS_CODES) == set(Category)
    assert len(set(STATUS_CODES.values())) == len(Category)


ENUMS: list[tuple[type[Enum], EnumTypeWrapper, str]] = [
    (Reason, errors_pb2.ErrorReason, "ERROR_REASON_"),
    (model.PartnerStatus, interop_pb2.PartnerStatus, "PARTNER_STATUS_"),
    (model.IdentifierType, interop_pb2.IdentifierType, "IDENTIFIER_TYPE_"),
    (model.Platform, admin_pb2.Platform, "PLATFORM_"),
    (model.InboxMode, stanza_pb2.InboxMode, "INBOX_MODE_"),
    (model.ConnectionMode, chat_pb2.ConnectionMode, "CONNECTION_MODE_"),
    (messages.CiphertextType, stanza_pb2.CiphertextType, "CIPHERTEXT_TYPE_"),
    (messages.MessageType, stanza_pb2.MessageType, "MESSAGE_TYPE_"),
    (messages.ReceiptType, stanza_pb2.ReceiptType, "RECEIPT_TYPE_"),
    (messages.RetryReason, stanza_pb2.RetryReason, "RETRY_REASON_"),
    (messages.TypingState, stanza_pb2.TypingState, "TYPING_STATE_"),
    (model.MessageRequestState, stanza_pb2.MessageRequestState, "MESSAGE_REQUEST_STATE_"),
    (model.SpamFlow, integrity_pb2.SpamFlow, "SPAM_FLOW_"),
    (model.ChallengeOption, integrity_pb2.ChallengeOption, "CHALLENGE_OPTION_"),
    (model.SanctionKind, standing_pb2.SanctionKind, "SANCTION_KIND_"),
]


@pytest.mark.parametrize(("ours", "wire", "prefix"), ENUMS, ids=lambda value: getattr(value, "__name__", ""))
def test_names_and_numbers_are_those_of_the_wire(ours: type[Enum], wire: EnumTypeWrapper, prefix: str) -> None:
    """Conversion is a cast, so nothing may be missing on either side."""
    on_the_wire = {name.removeprefix(prefix): number for name, number in wire.items() if number}
    assert {member.name: member.value for member in ours if member.value} == on_the_wire


@pytest.mark.requirement("SIM-01")
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("retry_after_ms", [None, 0, 1_500])
def test_both_wires_say_the_same(reason: Reason, retry_after_ms: int | None) -> None:
    """Inside the chat channel and as a status: reason, requirement, advice and delay (SIM-01)."""
    refusal = Refusal(reason, "the detail", retry_after_ms, cause="what the caller must not learn")
    refusal.request_id = "request 1"
    stanza = stanza_error(refusal)
    status = status_pb2.Status.FromString(status_details(refusal))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert errors_pb2.ErrorReason.Name(stanza.reason) == f"ERROR_REASON_{info.reason}" == f"ERROR_REASON_{reason.name}"
    assert stanza.requirement == info.metadata["requirement"] == reason.rule.requirement
    assert stanza.advice == info.metadata["advice"] == f"the detail. {reason.rule.advice}"
    assert (info.domain, info.metadata["request_id"], stanza.request_id) == ("interopsim", "request 1", "request 1")
    assert info.metadata["code"] == str(stanza.code) == str(reason.rule.code)
    assert b"must not learn" not in stanza.SerializeToString() + status.SerializeToString()
    assert status.code == STATUS_CODES[reason.rule.category].value[0]
    assert status.message == f"{reason.name}: the detail"
    assert stanza.HasField("retry_after_ms") == (len(status.details) == 2) == (retry_after_ms is not None)
    if retry_after_ms is not None:
        assert status.details[1].Unpack(retry)
        assert stanza.retry_after_ms == retry.retry_delay.ToMilliseconds() == retry_after_ms


def test_without_a_detail_there_is_only_the_advice() -> None:
    """Two refusals of one reason are then the same in every byte (OPT-09)."""
    one, other = Refusal(Reason.RECIPIENT_NOT_REACHABLE), Refusal(Reason.RECIPIENT_NOT_REACHABLE)
    assert one.advice == Reason.RECIPIENT_NOT_REACHABLE.rule.advice
    assert str(one) == "RECIPIENT_NOT_REACHABLE"
    assert stanza_error(one) == stanza_error(other)
    assert status_details(one) == status_details(other)


@given(st.binary(min_size=16, max_size=70), st.sampled_from(["auth_key", "identity_key", "signed_prekey", "token"]))
def test_a_refusal_never_holds_what_was_sent(secret: bytes, where: str) -> None:
    """Neither token nor key bytes come back, as bytes, hex or text (CHN-08)."""
    fields: dict[str, bytes] = {
        "auth_key": bytes(32),
        "key_type": b"\x05",
        "registration_id": bytes(4),
        "identity_key": bytes(32),
        "signed_prekey_id": b"\0\0\1",
        "signed_prekey": bytes(32),
        "signed_prekey_signature": bytes(64),
    }
    login = chat_pb2.LoginPayload(
        product=chat_pb2.PRODUCT_INTEROP,
        connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
        interop_data=chat_pb2.InteropData(token=secret + b"\xff"),
    )
    refusals = [refusal_of(lambda: login_from(login.SerializeToString(), bytes(32)))]
    if where != "token":
        form = EnlistmentForm(**fields | {where: secret}, token="", protocol_version=1)
        refusals.append(refusal_of(lambda: check_form_keys(form)))
    refusals.append(refusal_of(lambda: parse_upload_token(secret.hex())))
    for refusal in refusals:
        said = stanza_error(refusal).SerializeToString() + status_details(refusal)
        for form_of_secret in (secret, secret.hex().encode(), repr(secret).encode()):
            assert form_of_secret not in said


def refusal_of(call: object) -> Refusal:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value
