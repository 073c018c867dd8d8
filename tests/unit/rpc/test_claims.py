"""Each kind of call needs its own seats, so that none of them takes those of another."""

from dataclasses import replace
from typing import Any, cast

import pytest

from interop_api.v1 import media_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal, Origin
from interop_server.core.limits import Limits
from interop_server.core.media.media import PROXY_PREFIX, UPLOAD_PREFIX
from interop_server.core.model import Account
from interop_server.core.seats import Claim, Seats
from interop_server.rpc.calls import Call, foreign_method
from interop_server.rpc.claims import claims_of, download_of, handshake_from
from interop_server.rpc.media import MediaServicer
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


@pytest.mark.requirement("MED-03")
def test_a_download_from_a_partner_needs_one_of_its_address_more() -> None:
    """Else two accounts of one address could take all that there are."""
    download = call("MediaService.Download", ADA)
    assert download_of(download, f"{PROXY_PREFIX}100/r/") == (Claim("address_partner_media", HERE),)
    assert download_of(download, f"{UPLOAD_PREFIX}62/x") == ()
    limits = Limits()
    assert limits.address_partner_media < limits.partner_media_each < limits.partner_media_requests


@pytest.mark.requirement("MED-03")
async def test_a_download_from_a_partner_waits_for_no_seat() -> None:
    """It is refused while its address has as many as it may, and nobody is asked for the blob."""
    seats, nobody, path = Seats(Limits(address_partner_media=1)), cast("Any", None), f"{PROXY_PREFIX}100/r/"
    download: Any = call("MediaService.Download", ADA)
    servicer = MediaServicer(nobody, "", Limits(), nobody, seats)
    with seats.taken(download_of(download, path)), pytest.raises(Refusal) as caught:
        await servicer.Download(media_pb2.DownloadRequest(direct_path=path), download)
    assert (caught.value.reason, caught.value.requirement) == (Reason.RATE_LIMITED, "SIM-06")


def test_a_channel_needs_one_until_it_is_logged_in() -> None:
    """Of its address: whose it is, is not known yet."""
    assert handshake_from(call("ChatService.Connect")) == (Claim("address_handshakes", HERE),)
