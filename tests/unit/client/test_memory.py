"""What a client remembers of deliveries is bounded, and comes back as it was saved."""

import json

import pytest

from interop_client.memory import EDIT_WINDOW_MS, MAX_TEXTS, DeliveryMemory

NAME = ("12-34@interop", "m1")
OTHER = ("12-34@interop", "m2")


def test_it_comes_back_as_it_was_saved() -> None:
    memory = DeliveryMemory()
    memory.opened(7)
    memory.opened(3)
    memory.ask_again(NAME, 0).prekey_ids.append(99)
    memory.ask_again(OTHER, 4)
    memory.text_came(NAME, 5)
    restored = DeliveryMemory.from_json(json.loads(json.dumps(memory.to_json())))
    assert restored == memory
    assert restored.last_delivery_id == 7
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
