"""What waits for all channels together is bounded in bytes; the channel that holds most is given up."""

import pytest

from interop_server.rpc.byte_queue import ByteQueue
from interop_server.rpc.waiting import ITEM_BYTES, Share, WaitingRoom

pytestmark = pytest.mark.requirement("MSG-09", "SIM-06")


def test_the_fullest_channel_is_given_up_and_no_other() -> None:
    """However little was added last, and by whom."""
    given_up: list[str] = []
    room = WaitingRoom(100)
    shares: dict[str, Share] = {name: room.open(lambda name=name: given_up.append(name)) for name in "abc"}
    for name, size in (("a", 30), ("b", 60), ("c", 10)):
        shares[name].change(size)
    assert given_up == [] and room.waiting_bytes == 100
    shares["c"].change(1)
    assert given_up == ["b"] and room.waiting_bytes == 41
    shares["b"].change(1_000)
    assert room.waiting_bytes == 41, "a channel that was given up counts no more"
    shares["a"].close()
    shares["a"].close()
    assert room.waiting_bytes == 11


def test_one_item_larger_than_all_room_gives_up_its_own_channel() -> None:
    """And the room is empty again."""
    given_up: list[str] = []
    room = WaitingRoom(100)
    room.open(lambda: given_up.append("own")).change(101)
    assert given_up == ["own"] and room.waiting_bytes == 0


def test_what_was_taken_counts_until_the_next_is_taken() -> None:
    """It is being sent, or worked on."""
    held: list[int] = []
    queue = ByteQueue(10, 1_000, held.append)
    for size in (10, 20, 30):
        queue.append(bytes(size))
    queue.take(2, 1_000)
    assert sum(held) == 60 + 3 * ITEM_BYTES
    queue.take(2, 1_000)
    assert sum(held) == 30 + ITEM_BYTES
    assert queue.take(2, 1_000) == [] and sum(held) == 0
