"""What was just stored is given to a connection only where nothing waits before it."""

import pytest

from interop_server.core.messages import Delivery, MailboxItem, StanzaKind, Stored
from interop_server.core.model import InboxMode
from interop_server.rpc.handover import MAX_BYTES, MAX_DELIVERIES, Handover


def stored(delivery_id: int, follows: int, *, at_ms: int = 50, content: bytes = b"x") -> Stored:
    item = MailboxItem(1, 2, "", StanzaKind.MESSAGE, 1, 1, f"m{delivery_id}", at_ms, content)
    return Stored(at_ms, False, False, Delivery(delivery_id, item, InboxMode.SEPARATE), follows)


def ids(deliveries: list[Delivery]) -> list[int]:
    return [delivery.delivery_id for delivery in deliveries]


@pytest.fixture
def handover() -> Handover:
    """One whose connection has looked into its mailbox."""
    handover = Handover()
    assert handover.must_look
    handover.must_look = False
    return handover


def test_what_follows_is_taken_in_order_and_no_more_than_fits(handover: Handover) -> None:
    """Nothing is left to look for (MSG-08)."""
    handover.put([stored(5, 3), stored(6, 5)])
    handover.put([stored(9, 6)])
    assert (ids(handover.take(3, 2, 0)), ids(handover.take(6, 2, 0)), ids(handover.take(9, 2, 0))) == ([5, 6], [9], [])
    assert not handover.must_look


def test_what_the_connection_has_had_already_is_left_out(handover: Handover) -> None:
    """It has looked meanwhile, and found it."""
    handover.put([stored(5, 3), stored(6, 5)])
    assert (ids(handover.take(5, 9, 0)), handover.must_look) == ([6], False)


def test_a_gap_makes_the_connection_look(handover: Handover) -> None:
    """Something else waits between: all that stands here waits in the mailbox too, behind it."""
    handover.put([stored(5, 3), stored(9, 8), stored(10, 9)])
    assert (ids(handover.take(3, 9, 0)), handover.must_look) == ([5], True)
    assert handover.take(5, 9, 0) == []


def test_what_has_expired_makes_the_connection_look(handover: Handover) -> None:
    """The mailbox says what still waits (MSG-07)."""
    handover.put([stored(5, 3, at_ms=50)])
    assert (handover.take(3, 9, 51), handover.must_look) == ([], True)


@pytest.mark.parametrize("without", [Stored(50, True), Stored(50, False)])
def test_what_went_into_no_mailbox_makes_the_connection_look(handover: Handover, without: Stored) -> None:
    """A duplicate tells nothing of what waits."""
    handover.put([without])
    assert (handover.take(3, 9, 0), handover.must_look) == ([], True)


@pytest.mark.parametrize(
    ("content", "most"), [(b"x", MAX_DELIVERIES), (bytes(960), MAX_BYTES >> 10), (bytes(MAX_BYTES), 1)]
)
def test_who_takes_nothing_costs_a_bounded_amount(handover: Handover, content: bytes, most: int) -> None:
    """In number and in bytes; the rest is found in the mailbox, and room comes back with what is taken."""
    handover.put([stored(number, number - 1, content=content) for number in range(1, 3_000)])
    assert (len(handover.take(0, 9_999, 0)), handover.must_look) == (most, True)
    handover.must_look = False
    handover.put([stored(3_000, most, content=content)])
    assert (ids(handover.take(most, 9, 0)), handover.must_look) == ([3_000], False)
