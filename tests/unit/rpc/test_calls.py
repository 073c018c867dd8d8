"""What the contract says of a method decides how a call of it is treated; a call knows who makes it and its name."""

from typing import Any

import grpc.aio
import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.model import Account
from interop_server.core.newest import Origin
from interop_server.rpc.calls import Call, call_of, caller, method_of
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

from .contexts import METHODS, FromGrpc

ADA = Account(7, "100-7@interop", 100, "ada", bytes(32))


def call(name: str, journal: Journal, *metadata: tuple[str, str | bytes]) -> Any:
    context: Any = FromGrpc(*metadata)
    return Call(context, METHODS[name], journal)


@pytest.fixture
def journal() -> Journal:
    return Journal(ManualClock(0), SeededRng(1), origin=Origin(run="00ff00ff"))


def test_all_but_the_beginning_needs_a_session() -> None:
    """A fact of the service: whoever enlists or connects has none yet, and the operator never has (CHN-01)."""
    without = {name for name, method in METHODS.items() if not method.needs_session and not method.is_admin}
    assert without == {"EnlistmentService.Enlist", "ChatService.Connect"}
    assert not any(method.needs_session for method in METHODS.values() if method.is_admin)
    assert METHODS["MediaService.Download"].needs_session


def test_which_admin_calls_only_look_stands_in_the_contract() -> None:
    """Not in the beginning of their names."""
    looking = {name for name, method in METHODS.items() if method.only_looks}
    assert looking == {
        "AdminService.ListPartners",
        "AdminService.ListConnections",
        "AdminService.GetStatistics",
        "ClockService.GetClock",
        "FaultService.ListFaults",
        "JournalService.ReadJournal",
        "JournalService.ExplainRefusal",
        "StandingService.GetStanding",
        "StandingService.AuditAccount",
        "TraceService.ReadTrace",
    }


def test_what_a_repetition_would_do_twice_can_be_named() -> None:
    """And nothing else: the request id that is explained is another one's."""
    assert {name for name, method in METHODS.items() if method.is_repeatable} == {
        "PreKeyService.SetPreKeys",
        "PreKeyService.AddOneTimePreKeys",
        "PreKeyService.AddKemPreKeys",
        "PreKeyService.TakePreKeyBundles",
        "PreKeyService.TakeMissingPreKeyBundles",
        "IntegrityService.Report",
        "IntegrityService.RequestChallenge",
        "IntegrityService.AnswerChallenge",
        "AdminService.ChangeNumber",
        "ClockService.AdvanceClock",
        "FaultService.AddFaults",
        "StandingService.ImposeSanction",
    }


def test_other_services_are_nobodys_business() -> None:
    """Health and reflection have contracts of their own."""
    assert method_of("/grpc.health.v1.Health/Check") is None


@pytest.mark.parametrize("name", ["my-call_1.0", "x" * 64])
def test_a_call_is_called_what_its_client_calls_it(journal: Journal, name: str) -> None:
    """In the journal, too."""
    done = call("PreKeyService.SetPreKeys", journal, ("other", "x"), ("x-request-id", name))
    done.belongs_to(ADA)
    done.accept()
    [entry], _ = journal.after(0, 10)
    assert (entry.request_id, entry.actor, entry.action) == (name, ADA.jid, "PreKeyService.SetPreKeys")
    refused = call("PreKeyService.SetPreKeys", journal, ("x-request-id", name))
    refusal = Refusal(Reason.KEY_MALFORMED, requirement="KEY-02")
    refused.refuse(refusal)
    assert refusal.request_id == refused.request_id == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", b"bytes"])
def test_another_name_is_none(journal: Journal, name: str | bytes) -> None:
    """Then the server names the call."""
    done = call("PreKeyService.SetPreKeys", journal, ("x-request-id", name))
    assert done.request_id == ""
    done.accept()
    [entry], _ = journal.after(0, 10)
    assert entry.request_id == done.request_id != name


def test_a_call_stands_in_the_journal_once(journal: Journal) -> None:
    """What was refused inside it is its outcome (ENL-11)."""
    refused = call("EnlistmentService.Enlist", journal)
    refused.refuse(Refusal(Reason.BAD_INTEGRATOR))
    refused.accept()
    assert [entry.outcome for entry in journal.after(0, 10)[0]] == ["refused"]


def test_who_only_looks_is_answered_with_a_name_and_leaves_no_trace(journal: Journal) -> None:
    """Unless it is refused."""
    looking = call("StandingService.GetStanding", journal)
    looking.accept()
    assert looking.request_id == "00ff00ff00000001"
    assert journal.after(0, 10) == ([], 0)
    refused = call("StandingService.GetStanding", journal)
    refused.refuse(Refusal(Reason.NOT_REGISTERED, requirement="ENL-01"))
    assert [entry.actor for entry in journal.after(0, 10)[0]] == ["operator"]


def test_a_servicer_finds_the_caller_in_what_it_was_given(journal: Journal) -> None:
    """And everything that gRPC's context has; outside the interceptor there is nobody."""
    under_way = call("PreKeyService.SetPreKeys", journal)
    with pytest.raises(AssertionError):
        caller(under_way)
    under_way.belongs_to(ADA)
    assert (caller(under_way), under_way.peer()) == (ADA, "ipv4:127.0.0.1:5")
    bare: Any = FromGrpc()
    assert not isinstance(bare, grpc.aio.ServicerContext)
    with pytest.raises(AssertionError):
        call_of(bare)
