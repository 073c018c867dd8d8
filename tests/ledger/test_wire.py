"""End-to-end tests have had every call made, every call refused, and every reason for a refusal given."""

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import FileDescriptor

import interop_api
from interop_api.v1 import errors_pb2
from tests.evidence import Evidence
from tests.refusals import places, strangers, unprovoked

REASONS = sorted(name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number)


def files() -> list[FileDescriptor]:
    """Every proto file of the contract."""
    names = (module.name for module in pkgutil.walk_packages(interop_api.__path__, "interop_api."))
    return [importlib.import_module(name).DESCRIPTOR for name in names if name.endswith("_pb2")]


DRIVERS = "interop_api.conformance."
"""What clients under test serve, and no simulator."""
METHODS = sorted(
    f"{service.name}.{method.name}"
    for file in files()
    if not file.package.startswith(DRIVERS)
    for service in file.services_by_name.values()
    for method in service.methods
)


def test_the_contract_has_calls_and_reasons() -> None:
    """What finds them finds them, and no two services share a name."""
    assert {"ChatService.Connect", "MediaService.Upload", "AdminService.PutPartner"} <= set(METHODS)
    assert len(METHODS) == len(set(METHODS)) > 40
    assert "BAD_INTEGRATOR" in REASONS


@pytest.mark.parametrize("method", METHODS)
def test_every_call_was_made_and_refused(evidence: Evidence, method: str) -> None:
    """At least once each, by a test that drives a running simulator."""
    assert method in evidence.wire.accepted, f"no end-to-end test makes {method} succeed"
    assert method in evidence.wire.refused, f"no end-to-end test has {method} refused"


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_was_given(evidence: Evidence, reason: str) -> None:
    """A running simulator has refused something for it."""
    assert reason in evidence.wire.reasons, f"no end-to-end test provokes {reason}"


def test_every_refusal_names_the_rule_of_its_place(evidence: Evidence) -> None:
    """What end-to-end tests provoked is what tests/refusals.toml says: no other rule, and none that nobody provokes."""
    assert strangers(evidence.wire.refusals, places()) == []
    assert unprovoked(evidence.wire.refusals, places()) == []


def test_a_place_that_names_another_rule_is_noticed() -> None:
    """A swapped requirement is a stranger, or leaves a row that nobody provokes."""
    table = {"RATE_LIMITED": {"A.B": ("OPT-12", "KEY-14")}}
    right = ["A.B RATE_LIMITED OPT-12", "A.B RATE_LIMITED KEY-14", "A.B MAILBOX_FULL MSG-11"]
    assert strangers(right, table) == unprovoked(right, table) == []
    assert strangers(["A.B RATE_LIMITED MSG-11", "C.D RATE_LIMITED OPT-12", "A.B MAILBOX_FULL MSG-04"], table) != []
    assert strangers(["A.B MAILBOX_FULL MSG-04"], table) == ["A.B MAILBOX_FULL MSG-04"]
    assert unprovoked(["A.B RATE_LIMITED KEY-14"], table) == ["A.B RATE_LIMITED OPT-12"]
