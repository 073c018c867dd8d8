"""A saved state of which one value is of another kind, or cut off, is none: that is said when it is read."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from interop_client.memory import Asked, TextTimes, WaitingChange
from interop_client.signal.errors import InvalidSnapshot
from interop_client.state import ClientState

from .conftest import ALICE, BOB, Pair

Place = tuple[str | int, ...]


@pytest.fixture
def saved(pair: Pair) -> tuple[Any, Any]:
    """Both lines of a state with something of everything."""
    alice = pair.alice
    alice.offer_one_time_prekeys(2)
    alice.confirm_one_time_prekeys(alice.generate_one_time_prekeys(2))
    alice.offer_signed_prekey()
    alice.generate_kem_prekeys(1)
    alice.kem_last_resort()
    alice.kem.seen.add(BOB)
    skipped, read = (
        pair.bob.encrypt(ALICE, b"one"),
        pair.bob.encrypt(ALICE, b"two"),
    )
    assert skipped.type is read.type
    alice.decrypt(BOB, read.type, read.body)
    state = ClientState(ALICE, bytes(range(32)), alice)
    state.deliveries.finish(b"12345678")
    state.deliveries.keep_opened(b"87654321", b"words")
    state.deliveries.asked[BOB, "m1"] = Asked(2, [7, 8])
    state.deliveries.texts[BOB, "m2"] = TextTimes(5, 6)
    state.deliveries.changes[BOB, "m3"] = WaitingChange("m4", 7, b"new words", True)
    header, _, signal = state.to_bytes().partition(b"\n")
    return json.loads(header), json.loads(signal)


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The values that hold no others, and where they stand."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield place, value
        return
    for key, each in parts:
        yield from leaves(each, (*place, key))


def wrong_for(value: Any) -> list[Any]:
    """What may not stand in the place of a value."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int):
        return ["7", -1, 1.5, True, [], {}]
    return [7, None, [7], {"a": 7}, *_shorter(value)]


def _shorter(text: str) -> list[str]:
    """A key that is cut off, and one with what is no letter of it."""
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        content = b""
    if len(text) == 64:
        return [text[:-2]]
    return [b64encode(content[:-1]).decode(), f"{text[:4]}*{text[4:]}"] if len(content) in (32, 64) else []


def put(document: Any, place: Place, value: Any) -> None:
    """Replaces a value."""
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = value


def test_a_state_is_whole_or_none(saved: tuple[Any, Any]) -> None:
    """Every value in it, one at a time."""
    assert ClientState.from_bytes(b"\n".join(json.dumps(part).encode() for part in saved)).jid
    taken = []
    tried = 0
    for number, part in enumerate(saved):
        for place, value in list(leaves(part)):
            for wrong in wrong_for(value):
                put(part, place, wrong)
                tried += 1
                try:
                    ClientState.from_bytes(b"\n".join(json.dumps(each).encode() for each in saved))
                    taken.append((number, place, wrong))
                except InvalidSnapshot:
                    pass
            put(part, place, value)
    assert not taken
    assert tried > 300


def test_what_no_release_saves_is_none(saved: tuple[Any, Any]) -> None:
    """Nor is anything left out."""
    header, signal = saved
    for changed in ({**header, "id_prefix": 5}, {key: header[key] for key in header if key != "next_number"}):
        with pytest.raises(InvalidSnapshot):
            ClientState.from_bytes(b"\n".join(json.dumps(each).encode() for each in (changed, signal)))
