"""Each kind of call needs its own seats, so that none of them takes those of another."""

from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.journal import Journal, Origin
from interop_server.core.limits import Limits
from interop_server.core.model import Account
from interop_server.core.seats import Claim
from interop_server.rpc.calls import Call, foreign_method
from interop_server.rpc.claims import claims_of, handshake_from
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

from .contexts import METHODS, FromGrpc

pytestmark = pytest.mark.requirement("SIM-06")

HERE, ADA = "127.0.0.1", Account(7, "1-2@interop", 1, "ada", bytes(32))
OF_ADA = {("address_calls", HERE), ("account_calls", 7)}
TRANSFER = {("address_transfers", HERE), ("transfers", None)}
WATCH = "/grpc.health.v1.Health/Watch"


def call(name: str, account: Account | None = None) -> Call:
    context: Any = FromGrpc()
    journal = Journal(ManualClock(0), SeededRng(1), origin=Origin(run="00ff00ff"))
    made = Call(context, METHODS.get(name) or foreign_method(name), journal)
    made.account = account
    return made


@pytest.mark.parametrize(
    ("name", "account", "claims"),
    [
        ("EnlistmentService.Enlist", None, {("address_calls", HERE)}),
        ("PreKeyService.SetPreKeys", ADA, OF_ADA),
        ("MediaService.Download", ADA, {*OF_ADA, *TRANSFER, ("account_downloads", 7)}),
        ("MediaService.Upload", ADA, {*OF_ADA, *TRANSFER, ("account_uploads", 7)}),
        ("JournalService.ReadJournal", None, {("address_calls", HERE), ("journal_readers", None)}),
        ("TraceService.ReadTrace", None, {("address_calls", HERE), ("trace_readers", None)}),
        ("AdminService.GetStatistics", None, {("address_calls", HERE)}),
        (WATCH, None, {("address_calls", HERE), ("address_watches", HERE)}),
    ],
)
def test_a_call_needs_the_seats_of_its_kind(
    name: str, account: Account | None, claims: set[tuple[str, object]]
) -> None:
    """An account's, an address's, or those that there are in all; each is a limit that an operator can set."""
    assert set(claims_of(call(name, account))) == {Claim(*each) for each in claims}
    replace(Limits(), **{limit: 1 for limit, _ in claims})


def test_a_channel_needs_one_until_it_is_logged_in() -> None:
    """Of its address: whose it is, is not known yet."""
    assert handshake_from(call("ChatService.Connect")) == (Claim("address_handshakes", HERE),)
