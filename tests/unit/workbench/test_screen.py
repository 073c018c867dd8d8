"""What a phone shows of each event that its client tells."""

from typing import Any

import pytest

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.media.crypto import EncryptedMedia, MediaType
from interop_client.media.reference import MediaReference
from interop_client.messaging.events import (
    ChangeRefused,
    ConnectionLost,
    DeletionReceived,
    EditReceived,
    IdentityChanged,
    MediaReceived,
    MessageAwaited,
    MessageHeld,
    PreKeysLow,
    ReachabilityPing,
    ReactionReceived,
    ReceiptReceived,
    TextReceived,
    Typing,
    Undecryptable,
    Unsupported,
)
from interop_workbench.phone import (
    MAX_CHATS,
    MAX_MESSAGES,
    MAX_NOTICES,
    MAX_SHOWN_CHARACTERS,
    Chat,
    Phone,
    ShownMessage,
)
from interop_workbench.screen import MAX_EARLY, NEW_KEY, Screen

BOB = "31-1@interop"


@pytest.fixture
def phone() -> Phone:
    """The phone of a person to whom nobody has written."""
    return Phone("Ada", "+31600000002", "none")


@pytest.fixture
def screen(phone: Phone) -> Screen:
    """Its screen."""
    return Screen(phone)


def envelope(id: str = "m1", sender: str = BOB, request_state: str = "") -> dict[str, Any]:
    """The fields of every message."""
    return {
        "sender": sender,
        "id": id,
        "timestamp_ms": 1_700_000_000_000,
        "inbox_mode": "SEPARATE",
        "request_state": request_state,
        "offline": False,
    }


def text(words: str, id: str = "m1", reply_to: str | None = None, request_state: str = "") -> TextReceived:
    """A text from Bob."""
    return TextReceived(**envelope(id, request_state=request_state), text=words, reply_to=reply_to)


def chat(phone: Phone) -> Chat:
    """The chat with Bob."""
    return phone.chats[BOB]


def test_texts_stand_in_order_with_what_they_answer(phone: Phone, screen: Screen) -> None:
    """Unread until they are read; the newest chat first."""
    screen.show(text("one"))
    screen.show(text("two", "m2", reply_to="m1"))
    screen.show(TextReceived(**envelope("x", sender="31-2@interop"), text="other", reply_to=None))
    shown = phone.as_json()
    assert [each["peer"] for each in shown["chats"]] == ["31-2@interop", BOB]
    assert [(each["text"], each["reply_to"]) for each in shown["chats"][1]["messages"]] == [("one", ""), ("two", "m1")]
    assert shown["chats"][1]["unread"] == 2


def test_a_request_stands_as_the_message_says(phone: Phone, screen: Screen) -> None:
    """And as the server lists it from then on."""
    screen.show(text("hello", request_state="REQUESTED"))
    assert chat(phone).request_state == "requested"
    listed = interop_pb2.ThirdPartyChat(
        peer_jid=BOB, integrator=31, external_id="bob", request_state=stanza_pb2.MESSAGE_REQUEST_STATE_ACCEPTED
    )
    screen.show_chat(listed, "Pigeon")
    assert (chat(phone).title, chat(phone).partner, chat(phone).request_state) == ("bob", "Pigeon", "accepted")
    listed.read_only = True
    screen.show_chat(listed, "")
    assert chat(phone).is_read_only and chat(phone).partner == "Pigeon"


def test_edits_and_deletions_change_what_is_shown(phone: Phone, screen: Screen) -> None:
    """A refused change changes nothing; a deleted message is not brought back by an edit."""
    screen.show(text("one"))
    screen.show(ChangeRefused(**envelope("c0"), target_id="m1", reason="TOO_LATE"))
    assert chat(phone).messages[False, "m1"].text == "one"
    screen.show(EditReceived(**envelope("c1"), target_id="m1", text="won"))
    assert chat(phone).messages[False, "m1"].text == "won" and chat(phone).messages[False, "m1"].is_edited
    screen.show(DeletionReceived(**envelope("c2"), target_id="m1"))
    screen.show(EditReceived(**envelope("c3"), target_id="m1", text="back"))
    screen.show(EditReceived(**envelope("c4"), target_id="nothing", text="back"))
    assert chat(phone).messages[False, "m1"].is_deleted and chat(phone).messages[False, "m1"].text == ""


def test_reactions_stand_at_the_message_and_go_again(phone: Phone, screen: Screen) -> None:
    """At one's own messages and at theirs; one for a message that is not there is passed over."""
    phone.show(BOB, ShownMessage("o1", True, "mine", 1, tick="sent"))
    screen.show(text("theirs"))
    for target in ("o1", "m1", "none"):
        screen.show(ReactionReceived(**envelope(f"r-{target}"), target_id=target, emoji="👍"))
    assert chat(phone).messages[True, "o1"].reactions == chat(phone).messages[False, "m1"].reactions == {"them": "👍"}
    screen.show(ReactionReceived(**envelope("r9"), target_id="o1", emoji=""))
    assert chat(phone).messages[True, "o1"].reactions == {}


def test_ticks_only_rise(phone: Phone, screen: Screen) -> None:
    """Also when a receipt is quicker than the answer to the message, or comes twice."""
    phone.show(BOB, ShownMessage("o1", True, "mine", 1, tick="sent"))
    screen.show(ReceiptReceived(BOB, True, ("o1", "o2"), 1))
    screen.show(ReceiptReceived(BOB, False, ("o1", "o2"), 2))
    assert chat(phone).messages[True, "o1"].tick == "read"
    phone.show(BOB, ShownMessage("o2", True, "quick", 3, tick="sent"))
    screen.catch_up(BOB, "o2")
    assert chat(phone).messages[True, "o2"].tick == "delivered"
    screen.catch_up(BOB, "o2")
    failed = phone.show(BOB, ShownMessage("o3", True, "failed", 4, tick="failed"))
    screen.show(ReceiptReceived(BOB, False, ("o3",), 5))
    assert failed.tick == "delivered", "who has a receipt has sent it"


def test_a_file_is_announced_by_name_type_and_length(phone: Phone, screen: Screen) -> None:
    """It is loading until the client has it."""
    media = MediaReference(MediaType.IMAGE, "/v/x", bytes(32), EncryptedMedia(b"", 7, b""), "image/png", "A cat")
    screen.show(MediaReceived(**envelope(), media=media))
    file = chat(phone).messages[False, "m1"].file
    assert file is not None and (file.name, file.mimetype, file.length, file.state) == (
        "A cat",
        "image/png",
        7,
        "loading",
    )


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Unsupported(**envelope(), kind="STICKER"), "unsupported"),
        (MessageAwaited(BOB, "m1", 1, "NoSession"), "awaited"),
        (MessageHeld(BOB, "m1", bytes(32)), "held"),
        (Undecryptable(BOB, "m1", "NoSession"), "lost"),
    ],
)
def test_what_cannot_be_read_is_said_where_it_would_stand(phone: Phone, screen: Screen, event: Any, kind: str) -> None:
    """A text of the same id that comes later takes its place."""
    screen.show(event)
    assert chat(phone).messages[False, "m1"].kind == kind
    screen.show(text("at last"))
    assert [(each.kind, each.text) for each in chat(phone).messages.values()] == [("text", "at last")]


def test_a_new_key_is_warned_of(phone: Phone, screen: Screen) -> None:
    """By notice and by message."""
    screen.show(IdentityChanged(BOB))
    screen.show(MessageHeld("31-2@interop", "m", bytes(32)))
    assert [each.warning for each in phone.chats.values()] == [NEW_KEY, NEW_KEY]


def test_typing_lasts_until_it_pauses_or_a_message_comes(phone: Phone, screen: Screen) -> None:
    """As the peer's client says."""
    screen.show(Typing(BOB, "COMPOSING", 10))
    assert chat(phone).typing == "composing"
    screen.show(Typing(BOB, "PAUSED", 10))
    assert chat(phone).typing == ""
    screen.show(Typing(BOB, "RECORDING", 10))
    screen.show(text("said"))
    assert chat(phone).typing == ""


def test_notices_stand_outside_of_chats(phone: Phone, screen: Screen) -> None:
    """Pings of strangers, and the end of a connection; what concerns no owner does not show."""
    screen.show(ReachabilityPing(31, "Pigeon", "Bob", 5))
    screen.show(ConnectionLost("SERVER_DRAINING", "Come back."))
    screen.show(PreKeysLow(3))
    assert [(each.kind, each.at_ms) for each in phone.notices] == [("ping", 5), ("connection", 0)]
    assert "Bob on Pigeon" in phone.notices[0].text and not phone.chats


def test_nobody_fills_a_phone(phone: Phone, screen: Screen) -> None:
    """Chats, messages, notices, receipts and the length of texts have bounds; the oldest goes first."""
    for number in range(MAX_MESSAGES + 5):
        screen.show(text("x" * (MAX_SHOWN_CHARACTERS + 1), f"m{number}"))
    assert len(chat(phone).messages) == MAX_MESSAGES and chat(phone).is_forgotten
    assert next(iter(chat(phone).messages)) == (False, "m5")
    assert len(chat(phone).messages[False, "m5"].text) == MAX_SHOWN_CHARACTERS
    for number in range(MAX_CHATS + 5):
        screen.show(TextReceived(**envelope(sender=f"31-{number}@interop"), text="hi", reply_to=None))
    assert len(phone.chats) == MAX_CHATS and "31-4@interop" not in phone.chats
    for number in range(MAX_NOTICES + 5):
        phone.notice("ping", str(number))
    assert [each.text for each in phone.notices] == [str(number) for number in range(5, MAX_NOTICES + 5)]
    screen.show(ReceiptReceived(BOB, True, tuple(f"o{number}" for number in range(MAX_EARLY + 1)), 1))
    phone.show(BOB, ShownMessage("o0", True, "forgotten", 1, tick="sent"))
    screen.catch_up(BOB, "o0")
    assert chat(phone).messages[True, "o0"].tick == "sent"


def test_a_chat_is_looked_up_until_its_name_is_known(phone: Phone, screen: Screen) -> None:
    """A message of somebody whose name the server has said needs no question."""
    assert screen.is_new(text("hello"))
    screen.show(text("hello"))
    assert screen.is_new(text("again"))
    screen.show_chat(interop_pb2.ThirdPartyChat(peer_jid=BOB, external_id="bob"), "Pigeon")
    assert not screen.is_new(text("more"))
