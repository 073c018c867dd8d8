"""Every vector, taken from its committed file alone, is what the code does: as another client would find it."""

from itertools import pairwise

import pytest

from tests.vectors.documents import FOLDER, SCHEMA_NAME, Vector, read
from tests.vectors.replays.by_file import REPLAYS

FILES = {path.stem: read(path.stem) for path in sorted(FOLDER.glob("*.json")) if path.name != SCHEMA_NAME}
VECTORS = [
    pytest.param(name, vector, id=f"{name}/{vector['name']}")
    for name, document in FILES.items()
    for vector in document["vectors"]
]


def test_every_file_is_replayed() -> None:
    """None is only written."""
    assert sorted(REPLAYS) == sorted(FILES)


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_the_code_does_what_a_vector_shows(name: str, vector: Vector) -> None:
    """Both ways, where there are two."""
    REPLAYS[name](vector)


def test_the_steps_of_the_conversation_follow_each_other() -> None:
    """It begins as x3dh.json says; each party goes on where its last step ended, and opens what the other one sent."""
    steps = FILES["ratchet"]["vectors"]
    for actor in ("alice", "bob"):
        own = [step for step in steps if step["actor"] == actor]
        assert all(before["state_after"] == after["state_before"] for before, after in pairwise(own))
    first = next(vector for vector in FILES["x3dh"]["vectors"] if vector["name"] == "with-one-time-prekey")
    assert (steps[0]["message"], steps[0]["state_after"]) == (first["message"], first["initiator_session"])
    assert next(step for step in steps if step["actor"] == "bob")["state_after"] == first["responder_session"]
    sent = {step["message_id"]: step["message"] for step in steps if step["action"] == "encrypt"}
    for step in steps:
        if step["action"] == "decrypt" and step["message_id"] in sent:
            assert step["message"] == sent[step["message_id"]]
    failed = [step["error"] for step in steps if step["error"]]
    assert len(steps) - len(failed) >= 20
    assert set(failed) == {"DUPLICATE_MESSAGE", "INVALID_SESSION", "BAD_MAC", "TOO_FAR_IN_FUTURE"}
