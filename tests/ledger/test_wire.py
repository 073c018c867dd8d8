"""End-to-end tests have had every call made, every call refused, and every reason for a refusal given."""

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import FileDescriptor

import interop_api
from interop_api.v1 import errors_pb2
from tests.evidence import Evidence

REASONS = sorted(name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number)


def files() -> list[FileDescriptor]:
    """Every proto file of the contract."""
    names = (module.name for module in pkgutil.walk_packages(interop_api.__path__, "interop_api."))
    return [importlib.import_module(name).DESCRIPTOR for name in names if name.endswith("_pb2")]


METHODS = sorted(
    f"{service.name}.{method.name}"
    for file in files()
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
