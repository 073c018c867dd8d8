"""What a client remembers of deliveries is bounded, and comes back as it was saved."""

import json

import pytest

from interop_client.memory import (
    EDIT_WINDOW_MS,
    MAX_FINISHED,
    MAX_OPENED,
    MAX_TEXTS,
    MAX_WAIT_MS,
    MAX_WAITING_BYTES,
    MAX_WAITING_CHANGES,
    DeliveryMemory,
    WaitingChange,
)

NAME = ("12-34@interop", "m1")
OTHER = ("12-34@interop", "m2")
CHANGE = WaitingChange("e1", 5, b"edit", False)


def test_it_comes_back_as_it_was_saved() -> None:
    memory = DeliveryMemory()
    memory.finish(b"finished")
    memory.keep_opened(b"opened 1", b"Hi")
    memory.wait(OTHER, CHANGE)
    memory.ask_again(NAME, 0).prekey_ids.append(99)
    memory.ask_again(OTHER, 4)
    memory.text_came(NAME, 5)
    memory.texts[NAME].edited_ms = 6
    restored = DeliveryMemory.from_json(json.loads(json.dumps(memory.to_json())))
    assert restored == memory
    assert list(restored.finished) == [b"finished"]
    assert [(asked.count, asked.prekey_ids) for asked in restored.asked.values()] == [(1, [99]), (5, [])]
    assert list(restored.asked) == [NAME, OTHER], "the oldest is forgotten first"


@pytest.mark.parametrize("saved", [{}, {"last_delivery_id": 1, "asked": [[1]], "texts": []}, {"asked": 5}])
def test_what_is_no_memory_is_refused(saved: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        DeliveryMemory.from_json(saved)


@pytest.mark.requirement("MSG-12")
def test_a_text_may_be_changed_for_twenty_minutes() -> None:
    """Not one of another sender, nor one that never came; a second copy of a text gives no more time."""
    memory = DeliveryMemory()
    memory.text_came(NAME, 1_000)
    memory.text_came(NAME, 2_000)
    assert memory.may_edit(NAME, 1_000 + EDIT_WINDOW_MS)
    assert not memory.may_edit(NAME, 1_001 + EDIT_WINDOW_MS)
    assert not memory.may_edit(OTHER, 1_000)
    assert not memory.may_edit(("12-35@interop", "m1"), 1_000)


@pytest.mark.requirement("MSG-12")
def test_texts_are_forgotten_when_they_are_old_or_many() -> None:
    """What can still be changed is a matter of minutes; a flood of texts fills no disk."""
    memory = DeliveryMemory()
    memory.text_came(NAME, 1_000)
    memory.text_came(OTHER, 1_001 + EDIT_WINDOW_MS)
    assert list(memory.texts) == [OTHER]
    for number in range(MAX_TEXTS + 10):
        memory.text_came(("flood", str(number)), 2_000 + EDIT_WINDOW_MS)
    assert len(memory.texts) == MAX_TEXTS
    assert OTHER not in memory.texts


def test_the_memory_of_the_first_release_is_read() -> None:
    """It knew deliveries by a number, which says nothing now."""
    saved = {"last_delivery_id": 7, "asked": [[*NAME, 1, [99]]], "texts": [[*OTHER, 5]]}
    memory = DeliveryMemory.from_json(saved)
    assert (memory.asked[NAME].count, memory.may_edit(OTHER, 6), memory.finished) == (1, True, {})


def test_finished_and_opened_deliveries_are_bounded() -> None:
    """By what the server may have in flight, and by a fixed bound whatever the server says; the oldest go."""
    memory = DeliveryMemory()
    for number in range(MAX_FINISHED + 10):
        memory.finish(number.to_bytes(8, "big"), 10**9)
        memory.keep_opened(number.to_bytes(8, "big"), b"Hi")
    assert (len(memory.finished), len(memory.opened)) == (MAX_FINISHED, MAX_OPENED)
    memory.finish(bytes(8), 20)
    assert (len(memory.finished), list(memory.finished)[-1]) == (20, bytes(8))


@pytest.mark.requirement("MSG-12")
def test_waiting_changes_are_bounded() -> None:
    """In number, in bytes and in time; a newer change of the same message takes the place of the one before."""
    memory = DeliveryMemory()
    for number in range(MAX_WAITING_CHANGES):
        assert memory.wait(("flood", str(number)), CHANGE)
    assert not memory.wait(NAME, CHANGE)
    assert memory.wait(("flood", "0"), CHANGE)
    later = WaitingChange("e2", CHANGE.timestamp_ms + MAX_WAIT_MS + 1, bytes(MAX_WAITING_BYTES), False)
    assert memory.wait(NAME, later), "a change whose message can no longer come is forgotten"
    assert memory.changes == {NAME: later}
    assert not memory.wait(OTHER, WaitingChange("e3", later.timestamp_ms, b"x", False))
