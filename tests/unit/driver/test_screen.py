"""What a user is shown of the client's events, and how much of it is kept."""

from typing import get_args

import pytest

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.messaging import events
from interop_driver import screen
from interop_driver.screen import KEPT, Screen, shown

ELSEWHERE = {
    events.MediaReceived,  # when it has been downloaded
    events.MediaRetryRequested,  # the file is sent again
    events.ConnectionLost,  # `connection_changed`
}
NOT_SHOWN = {
    events.ChangeRefused,
    events.RetryRequested,
    events.MessageResent,
    events.PreKeysLow,
    events.PreKeysCompared,
    events.PqDowngrade,
    events.ChallengeCode,
    events.DigestRequested,
    events.TrustedContact,
    events.ReachabilityPing,
    events.OfflinePreview,
    events.OfflineEnd,
}
"""What the client settles by itself, or what driver.proto has no event for."""


async def emit(_: pb.DriveResponse) -> None:
    """Nobody listens."""


def text(content: str) -> pb.TextShown:
    return pb.TextShown(text=content)


def test_it_is_known_of_each_event_whether_the_user_is_shown_something() -> None:
    """An event that the SDK learns must be put somewhere."""
    known = set(get_args(events.Event))
    assert known == set(screen._SHOWN) | ELSEWHERE | NOT_SHOWN
    assert len(known) == len(screen._SHOWN) + len(ELSEWHERE) + len(NOT_SHOWN)


def test_messages_that_cannot_be_shown_are_told_apart() -> None:
    """One that may still come, one that will not, one of an unknown kind, and one that waits for the user."""
    peer = "49@s.whatsapp.net"
    assert shown(events.MessageAwaited(peer, "m", 1, "NoSession")) == {
        "undecryptable_shown": pb.UndecryptableShown(sender_jid=peer, message_id="m", is_awaited=True)
    }
    assert shown(events.Undecryptable(peer, "m", "BadMac")) == {
        "undecryptable_shown": pb.UndecryptableShown(sender_jid=peer, message_id="m")
    }
    assert shown(events.Unsupported(peer, "m", 1, "", "", False, "STICKER")) == {
        "unknown_content_shown": pb.UnknownContentShown(sender_jid=peer, message_id="m")
    }
    assert shown(events.MessageHeld(peer, "m", bytes(32))) == {
        "identity_change_shown": pb.IdentityChangeShown(jid=peer, identity_key=bytes(32), message_id="m")
    }
    assert shown(events.RetryUnanswered(peer, "m", "CONTENT_UNKNOWN"))["error_shown"]
    assert shown(events.PreKeysLow(3)) == {}


async def test_the_newest_events_are_kept_and_keep_their_numbers() -> None:
    """A kit that asks late learns from the numbers what it missed."""
    device = Screen("d", emit)
    for number in range(KEPT + 2):
        await device.show(text_shown=text(f"{number}"))
    listed = device.after(0)
    assert [event.number for event in listed.events] == list(range(3, KEPT + 3)) and not listed.has_more
    assert [event.text_shown.text for event in device.after(KEPT + 1).events] == [f"{KEPT + 1}"]
    assert device.after(KEPT + 2) == pb.ListShownResult()


@pytest.mark.parametrize(("length", "parts"), [(1_000, [5]), (500_000, [2, 2, 1]), (2_000_000, [1, 1, 1, 1, 1])])
async def test_a_long_list_comes_in_parts(length: int, parts: list[int]) -> None:
    """Each fits into a message; none is left out, and one that is too long comes alone."""
    device = Screen("d", emit)
    for _ in range(5):
        await device.show(text_shown=text("x" * length))
    came, after = [], 0
    while (listed := device.after(after)).events:
        came.append(len(listed.events))
        after = listed.events[-1].number
        assert listed.has_more == (after < 5)
    assert came == parts
