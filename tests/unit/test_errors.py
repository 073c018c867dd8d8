"""Refusals explain themselves, in the same words on every wire, and never give away what they were about."""

import ast
import json
import re
from enum import Enum
from pathlib import Path

import grpc
import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

import interop_server
from interop_api.admin.v1alpha1 import admin_pb2, faults_pb2, standing_pb2
from interop_api.v1 import chat_pb2, errors_pb2, integrity_pb2, interop_pb2, stanza_pb2
from interop_server.core import fault_rules, messages, model
from interop_server.core.enlistment.enlistment import EnlistmentForm, check_form_keys
from interop_server.core.errors import Category, Reason, Recovery, Refusal
from interop_server.core.media.media import parse_upload_token
from interop_server.http.refusals import refusal_to_json
from interop_server.ledger import load_ledger
from interop_server.rpc.convert.login import login_from
from interop_server.rpc.errors import refusal_to, status_details
from interop_server.rpc.statuses import STATUS_CODES
from tests.ledger import reasons
from tests.refusals import ABOUT_A_FIELD

LEDGER = load_ledger()
REQUIREMENT = re.compile(r"(ENL|CHN|PRX|KEY|OPT|MSG|RCP|MED|ABU|LIF|SIM)-[0-9]{2}")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_whole_row(reason: Reason) -> None:
    """The id of what was broken, what it means, what to do, for people and for programs, and its codes (SIM-01)."""
    assert not reason.requirement or (REQUIREMENT.fullmatch(reason.requirement) and reason.requirement in LEDGER.rows)
    for text in (reason.meaning, reason.advice):
        assert re.fullmatch(r"[A-Z`].{8,}[.]", text)
        assert "  " not in text
    assert isinstance(reason.category, Category)
    assert isinstance(reason.recovery, Recovery)
    assert 400 <= reason.code < 600 and 400 <= reason.login_code < 600
    assert 400 <= reason.http_status < 600


def test_no_two_reasons_share_a_number_or_a_name() -> None:
    """A number is taken once: what was given up is not given out again."""
    assert (
        len(Reason.__members__) == len({reason.value for reason in Reason}) == len({reason.name for reason in Reason})
    )
    assert all(Reason(reason.value) is reason for reason in Reason)


def test_what_asks_for_new_keys_has_the_code_on_which_clients_make_them() -> None:
    """406, as observed; a ban has it, too, which is why a client decides by what to do and not by code (KEY-13)."""
    assert {reason.code for reason in Reason if reason.recovery is Recovery.NEW_KEYS} == {406}
    assert [reason for reason in Reason if reason.code == 406 and reason.recovery is not Recovery.NEW_KEYS] == [
        Reason.BANNED
    ]


def test_the_contract_says_what_the_table_says() -> None:
    """`make gen` writes errors.proto from it: number, meaning, and status in brackets."""
    text = reasons.ERRORS_PROTO.read_text()
    assert reasons.with_reasons(text) == text
    for reason in Reason:
        assert f"  ERROR_REASON_{reason.name} = {reason.value};\n" in text
    changed = text.replace("[UNAUTHENTICATED]", "[UNAUTHORIZED]")
    assert changed != text and reasons.with_reasons(changed) == text


def test_a_contract_without_its_markers_is_noticed() -> None:
    """Otherwise a reason would stay as it is for good."""
    text = reasons.ERRORS_PROTO.read_text()
    for wrong in (text.replace(reasons.BEGIN, ""), text.replace(reasons.END, "")):
        with pytest.raises(reasons.MarkersMissing):
            reasons.with_reasons(wrong)


@pytest.mark.parametrize(
    ("reason", "bracket"),
    [
        (Reason.TOKEN_EXPIRED, "[UNAUTHENTICATED]"),
        (Reason.BANNED, "[PERMISSION_DENIED; code 406]"),
        (Reason.RATE_LIMITED, "[RESOURCE_EXHAUSTED; login code 503]"),
        (Reason.BLOB_EXPIRED, "[NOT_FOUND; code 410; HTTP 410]"),
        (Reason.SERVER_FAULT, "[INTERNAL]"),
    ],
)
def test_brackets_hold_the_status_and_what_is_special(reason: Reason, bracket: str) -> None:
    """The status says the rest: it stands for all reasons of its kind."""
    assert reasons.bracket(reason) == bracket


def test_every_category_has_its_own_status() -> None:
    """The one place that maps them maps them all, and no two alike."""
    assert set(STATUS_CODES) == set(Category)
    assert len(set(STATUS_CODES.values())) == len(Category)


def test_a_fault_of_the_server_is_not_repeated_by_stock_policies() -> None:
    """They repeat UNAVAILABLE by themselves, and a fault may come after the work was done."""
    assert STATUS_CODES[Reason.SERVER_FAULT.category] is grpc.StatusCode.INTERNAL
    assert [r for r in Reason if r.category is Category.INTERNAL] == [Reason.SERVER_FAULT]


ENUMS: list[tuple[type[Enum], EnumTypeWrapper, str]] = [
    (Reason, errors_pb2.ErrorReason, "ERROR_REASON_"),
    (Recovery, errors_pb2.Recovery, "RECOVERY_"),
    (model.PartnerStatus, interop_pb2.PartnerStatus, "PARTNER_STATUS_"),
    (model.IdentifierType, interop_pb2.IdentifierType, "IDENTIFIER_TYPE_"),
    (model.Platform, admin_pb2.DevicePlatform, "DEVICE_PLATFORM_"),
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
    (fault_rules.Direction, faults_pb2.FaultDirection, "FAULT_DIRECTION_"),
    (fault_rules.Part, faults_pb2.FaultPart, "FAULT_PART_"),
    (fault_rules.Ending, faults_pb2.FaultEnding, "FAULT_ENDING_"),
    (fault_rules.KeyPart, faults_pb2.FaultKeyPart, "FAULT_KEY_PART_"),
    (fault_rules.Chain, faults_pb2.FaultChain, "FAULT_CHAIN_"),
]


@pytest.mark.parametrize(("ours", "wire", "prefix"), ENUMS, ids=lambda value: getattr(value, "__name__", ""))
def test_names_and_numbers_are_those_of_the_wire(ours: type[Enum], wire: EnumTypeWrapper, prefix: str) -> None:
    """Conversion is a cast, so nothing may be missing on either side."""
    on_the_wire = {name.removeprefix(prefix): number for name, number in wire.items() if number}
    assert {member.name: member.value for member in ours if member.value} == on_the_wire


Facts = dict[str, object]


def facts_of(message: errors_pb2.Refusal) -> Facts:
    """What a refusal as a message says."""
    return {
        "reason": errors_pb2.ErrorReason.Name(message.reason).removeprefix("ERROR_REASON_"),
        "requirement": message.requirement,
        "advice": message.advice,
        "recovery": errors_pb2.Recovery.Name(message.recovery).removeprefix("RECOVERY_"),
        "code": message.code,
        "request_id": message.request_id,
        "retry_after_ms": message.retry_after_ms if message.HasField("retry_after_ms") else None,
        "violations": [(each.field, each.description) for each in message.violations],
    }


def facts_of_json(refusal: Refusal) -> Facts:
    """The same for the object that goes over HTTP."""
    facts = json.loads(json.dumps(refusal_to_json(refusal)))
    violations = [(each["field"], each["description"]) for each in facts.pop("violations", [])]
    for name in ("reason", "recovery"):
        facts[name] = facts[name].upper()
    return {"retry_after_ms": None, **facts, "violations": violations}


def facts_of_status(status: status_pb2.Status) -> Facts:
    """The same for the details that any gRPC client can read."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info) and info.domain == "interopsim"
    delays = [retry.retry_delay.ToMilliseconds() for detail in status.details if detail.Unpack(retry)]
    violations = [bad.field_violations for detail in status.details if detail.Unpack(bad)]
    return {
        "reason": info.reason,
        **info.metadata,
        "code": int(info.metadata["code"]),
        "retry_after_ms": delays[0] if delays else None,
        "violations": [(each.field, each.description) for each in (violations[0] if violations else ())],
    }


@pytest.mark.requirement("SIM-01")
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("retry_after_ms", [None, 0, 1_500])
@pytest.mark.parametrize("field", ["", "users[3].external_id"])
def test_all_wires_say_the_same(reason: Reason, retry_after_ms: int | None, field: str) -> None:
    """As a message, as a status and over HTTP: reason, requirement, advice, what to do, delay, fields (SIM-01)."""
    refusal = Refusal(
        reason, "the detail", retry_after_ms, cause="what the caller must not learn", field=field, requirement="KEY-05"
    )
    refusal.request_id = "request 1"
    message = refusal_to(refusal)
    status = status_pb2.Status.FromString(status_details(refusal))
    expected: Facts = {
        "reason": reason.name,
        "requirement": "KEY-05",
        "advice": f"the detail. {reason.advice}",
        "recovery": reason.recovery.name,
        "code": reason.code,
        "request_id": "request 1",
        "retry_after_ms": reason.recovery.retry_after_ms if retry_after_ms is None else retry_after_ms,
        "violations": [(field, "the detail")] if field else [],
    }
    packed = errors_pb2.Refusal()
    assert status.details[1].Unpack(packed) and packed == message
    assert facts_of(message) == facts_of_json(refusal) == facts_of_status(status) == expected
    assert b"must not learn" not in message.SerializeToString() + status.SerializeToString()
    assert status.code == STATUS_CODES[reason.category].value[0]
    assert status.message == f"{reason.name}: the detail"


def test_the_place_that_refuses_names_the_requirement() -> None:
    """One reason serves many rules: what was broken is what is told, on every wire (SIM-01)."""
    refusal = Refusal(Reason.RATE_LIMITED, requirement="OPT-12")
    refusal.request_id = "request 1"
    status = status_pb2.Status.FromString(status_details(refusal))
    told = {facts["requirement"] for facts in (facts_of(refusal_to(refusal)), facts_of_status(status))}
    assert told == {refusal_to_json(refusal)["requirement"]} == {"OPT-12"}
    assert Refusal(Reason.MAILBOX_FULL).requirement == Reason.MAILBOX_FULL.requirement == "MSG-11"
    with pytest.raises(AssertionError, match="name the one that is broken"):
        Refusal(Reason.RATE_LIMITED)


@pytest.mark.requirement("SIM-01")
@pytest.mark.parametrize("reason", Reason)
def test_where_a_retry_helps_there_is_a_delay(reason: Reason) -> None:
    """Whoever refuses, and whether or not it knows the time: a client never has to guess (SIM-01)."""
    helps = reason.recovery in (Recovery.SAME_AGAIN, Recovery.RECONNECT)
    assert (Refusal(reason, requirement="SIM-01").retry_after_ms is not None) is helps
    assert Refusal(reason, retry_after_ms=7, requirement="SIM-01").retry_after_ms == 7


def test_without_a_detail_there_is_only_the_advice() -> None:
    """Two refusals of one reason are then the same in every byte (OPT-09)."""
    one, other = Refusal(Reason.RECIPIENT_NOT_REACHABLE), Refusal(Reason.RECIPIENT_NOT_REACHABLE)
    one.request_id = other.request_id = "request 1"
    assert one.advice == Reason.RECIPIENT_NOT_REACHABLE.advice
    assert str(one) == "RECIPIENT_NOT_REACHABLE"
    assert refusal_to(one) == refusal_to(other)
    assert status_details(one) == status_details(other)


UNREADABLE = {"rpc/interceptor.py": 3, "rpc/request_bounds.py": 3, "http/surface.py": 1, "http/forms.py": 7}
"""How often what cannot be read, or is of no form as a whole, is refused: there is no field to name."""


def refusals_without_a_field(source: str) -> int:
    """How often a reason that is about a field is given without one."""
    about = {reason.name for reason in ABOUT_A_FIELD}
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    refused = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Refusal")
    return sum(
        isinstance(call.args[0], ast.Attribute)
        and call.args[0].attr in about
        and "field" not in {keyword.arg for keyword in call.keywords}
        for call in refused
    )


@pytest.mark.requirement("SIM-01")
def test_every_place_that_refuses_a_field_names_it() -> None:
    """Read from the source, so that none is forgotten (SIM-01)."""
    root = Path(next(iter(interop_server.__path__)))
    found = {
        file.relative_to(root).as_posix(): count
        for file in sorted(root.rglob("*.py"))
        if (count := refusals_without_a_field(file.read_text()))
    }
    assert found == UNREADABLE


def refusals_without_a_rule(source: str) -> list[str]:
    """The reasons that serve several rules and are given without one."""
    shared = {reason.name for reason in Reason if not reason.requirement}
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    refused = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Refusal")
    return [
        call.args[0].attr
        for call in refused
        if isinstance(call.args[0], ast.Attribute)
        and call.args[0].attr in shared
        and "requirement" not in {keyword.arg for keyword in call.keywords}
    ]


@pytest.mark.requirement("SIM-01")
def test_every_place_that_refuses_for_a_shared_reason_names_its_rule() -> None:
    """Read from the source, so that none is forgotten; and the search finds what is (SIM-01)."""
    root = Path(next(iter(interop_server.__path__)))
    assert [name for file in root.rglob("*.py") for name in refusals_without_a_rule(file.read_text())] == []
    assert refusals_without_a_rule('raise Refusal(Reason.REQUEST_MALFORMED, "why")') == ["REQUEST_MALFORMED"]


def test_the_search_for_forgotten_fields_finds_them() -> None:
    """A search that finds nothing proves something only if it can find."""
    assert refusals_without_a_field('raise Refusal(Reason.REQUEST_MALFORMED, "why")') == 1
    assert refusals_without_a_field('raise Refusal(Reason.REQUEST_MALFORMED, "why", field="jid")') == 0
    assert refusals_without_a_field("raise Refusal(Reason.NOT_REGISTERED)") == 0


def test_nothing_goes_out_that_the_journal_does_not_know() -> None:
    """On no wire: a refusal that nobody recorded could not be explained (SIM-07)."""
    refusal = Refusal(Reason.NOT_ELIGIBLE)
    assert not refusal.is_recorded
    for say in (refusal_to, status_details, refusal_to_json):
        with pytest.raises(AssertionError, match="was not recorded"):
            say(refusal)


def test_the_same_refusal_of_another_call_says_the_same_and_is_yet_to_be_recorded() -> None:
    """A repetition is another call, with an entry of its own."""
    first = Refusal(Reason.KEY_MALFORMED, "the detail", 5, cause="the cause", field="keys[0]", requirement="KEY-02")
    first.request_id = "request 1"
    again = first.again()
    assert not again.is_recorded
    again.request_id = "request 1"
    assert vars(again) == vars(first) and str(again) == str(first)


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
        refusal.request_id = "request 1"
        said = refusal_to(refusal).SerializeToString() + status_details(refusal)
        for form_of_secret in (secret, secret.hex().encode(), repr(secret).encode()):
            assert form_of_secret not in said


def refusal_of(call: object) -> Refusal:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value
