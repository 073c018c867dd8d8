"""What is under way at once is counted, and one too many is refused: nothing waits for a seat."""

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.seats import Claim, Seats, transfer_from

pytestmark = pytest.mark.requirement("SIM-06", "MED-04")


def test_one_too_many_is_refused_and_takes_nothing() -> None:
    """Whichever of its seats is not free; and when one is given back, the next may come."""
    seats = Seats(Limits(address_transfers=2, transfers=3))
    with seats.taken(transfer_from("a")), seats.taken(transfer_from("b")):
        with seats.taken(transfer_from("a")):
            for address in ("a", "c"):
                with pytest.raises(Refusal) as raised, seats.taken(transfer_from(address)):
                    pass
                assert raised.value.reason is Reason.RATE_LIMITED
                assert raised.value.retry_after_ms and raised.value.detail
        with seats.taken(transfer_from("c")):
            pass


def test_nothing_is_remembered_of_who_holds_no_seat() -> None:
    """Also after a refusal, and after an error in the block."""
    seats = Seats(Limits(account_downloads=1))
    for holder in range(100):
        with pytest.raises(ZeroDivisionError), seats.taken((Claim("account_downloads", holder),)):
            raise ZeroDivisionError
    assert not seats._taken
