"""What people send reads the same at the other end, and what a hostile sender makes up opens nothing."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.media.crypto import EncryptedMedia, MediaType
from interop_client.media.file_names import harmless_name
from interop_client.media.reference import MediaReference
from interop_client.messaging.contents import (
    check_description,
    deletion_content,
    edit_content,
    media_content,
    media_type_of,
    message_event,
    message_type,
    reaction_content,
    text_content,
    with_blob,
    with_message_secret,
)
from interop_client.messaging.events import (
    DeletionReceived,
    EditReceived,
    Incoming,
    MediaReceived,
    ReactionReceived,
    TextReceived,
)
from interop_client.signal.content import (
    decode_message,
    encode_message,
    parse_message,
    serialize_message,
    unsupported_kind,
)
from interop_client.signal.errors import InvalidContent, UnsupportedContent

ENVELOPE = Incoming("12-34@interop", "m1", 7, "SEPARATE", "REQUESTED", True)
REFERENCE = MediaReference(
    MediaType.DOCUMENT, "/v/t1", os.urandom(32), EncryptedMedia(bytes(32), 5, bytes(32)), "text/plain", "a.txt"
)


def delivered(content: content_pb2.Message) -> object:
    return message_event(decode_message(encode_message(content)), ENVELOPE)


def test_a_text_keeps_words_and_envelope() -> None:
    event = delivered(text_content("Grüße 👋"))
    assert event == TextReceived(
        "12-34@interop", "m1", 7, "SEPARATE", "REQUESTED", True, text="Grüße 👋", reply_to=None
    )


def test_an_answer_names_and_quotes_what_it_answers() -> None:
    answered = TextReceived("x@s.whatsapp.net", "m0", 1, "", "", False, text="Question?", reply_to=None)
    content = text_content("Answer", reply_to=answered)
    assert content.extended_text_message.context_info.quoted_message.conversation == "Question?"
    event = delivered(content)
    assert isinstance(event, TextReceived) and (event.text, event.reply_to) == ("Answer", "m0")


def test_a_reaction_and_its_removal() -> None:
    for emoji in ("👍", ""):
        event = delivered(reaction_content("x@s.whatsapp.net", "m0", emoji))
        assert isinstance(event, ReactionReceived) and (event.target_id, event.emoji) == ("m0", emoji)


@pytest.mark.parametrize("media_type", list(MediaType))
def test_a_file_keeps_all_that_opens_it(media_type: MediaType) -> None:
    has_name = media_type is not MediaType.AUDIO
    reference = replace(REFERENCE, media_type=media_type, name="a.txt" if has_name else "")
    content = media_content(reference)
    assert message_type(content) == stanza_pb2.MESSAGE_TYPE_MEDIA
    event = delivered(content)
    assert isinstance(event, MediaReceived) and event.media == reference


def test_the_server_learns_text_reaction_or_media() -> None:
    assert message_type(text_content("x")) == stanza_pb2.MESSAGE_TYPE_TEXT
    assert message_type(text_content("x", ENVELOPE)) == stanza_pb2.MESSAGE_TYPE_TEXT
    assert message_type(reaction_content("x", "y", "z")) == stanza_pb2.MESSAGE_TYPE_REACTION


@pytest.mark.parametrize(
    "broken",
    [
        replace(REFERENCE, media_key=b"short"),
        replace(REFERENCE, encrypted=EncryptedMedia(b"short", 5, bytes(32))),
        replace(REFERENCE, encrypted=EncryptedMedia(bytes(32), 5, b"")),
        replace(REFERENCE, direct_path="http://elsewhere.example/blob"),
        replace(REFERENCE, direct_path=""),
        replace(REFERENCE, direct_path="@elsewhere.example/blob"),
    ],
)
def test_a_file_that_cannot_be_opened_is_invalid(broken: MediaReference) -> None:
    with pytest.raises(InvalidContent):
        delivered(media_content(broken))


@pytest.mark.requirement("MSG-12")
def test_a_change_names_a_message_and_holds_a_text() -> None:
    """Both are texts to the server; one without a target, or an edit without words, is broken."""
    for content in (edit_content("x@s.whatsapp.net", "m0", "Hello", 5), deletion_content("x@s.whatsapp.net", "m0")):
        assert message_type(content) == stanza_pb2.MESSAGE_TYPE_TEXT
        assert content.protocol_message.key.from_me
        event = delivered(content)
        assert isinstance(event, EditReceived | DeletionReceived) and event.target_id == "m0"
        content.protocol_message.key.id = ""
        with pytest.raises(InvalidContent):
            delivered(content)
    for edited in (None, content_pb2.Message(), text_content("x", ENVELOPE)):
        broken = edit_content("x@s.whatsapp.net", "m0", "Hello", 5)
        broken.protocol_message.ClearField("edited_message")
        if edited is not None:
            broken.protocol_message.edited_message.CopyFrom(edited)
        with pytest.raises(InvalidContent):
            delivered(broken)
    with pytest.raises(InvalidContent):
        delivered(edit_content("x@s.whatsapp.net", "m0", "x" * 65_537, 5))


@pytest.mark.requirement("MSG-12")
def test_what_is_newer_beside_a_content_is_ignored_and_never_sent() -> None:
    """A later release may add fields to a text; this one does not pass them on as its own."""
    newer = content_pb2.Message.FromString(text_content("Hi").SerializeToString() + b"\x9a\x06\x01x")
    assert unsupported_kind(newer) is None
    event = message_event(parse_message(newer.SerializeToString()), ENVELOPE)
    assert isinstance(event, TextReceived) and event.text == "Hi"
    with pytest.raises(UnsupportedContent):
        serialize_message(newer)
    with pytest.raises(InvalidContent):
        parse_message(b"")


@pytest.mark.requirement("MED-08")
def test_a_file_that_was_uploaded_again_keeps_all_that_was_said_of_it() -> None:
    """Name, type and what it answers stay; only the blob is another."""
    content = media_content(REFERENCE)
    content.document_message.context_info.stanza_id = "m0"
    other = EncryptedMedia(b"1" * 32, 5, b"2" * 32)
    again = with_blob(with_message_secret(content), other, b"3" * 32, "/v/t2")
    event = delivered(again)
    assert isinstance(event, MediaReceived)
    assert event.media == replace(REFERENCE, direct_path="/v/t2", media_key=b"3" * 32, encrypted=other)
    assert again.document_message.context_info.stanza_id == "m0"
    assert content.document_message.direct_path == "/v/t1"
    assert (media_type_of(again), media_type_of(text_content("x"))) == (MediaType.DOCUMENT, None)


@pytest.mark.requirement("ABU-04")
def test_every_message_has_a_secret_of_its_own() -> None:
    """It goes beside the content, which stays as it was; a content with nothing but a secret is none."""
    content = text_content("Hi")
    sent = [with_message_secret(content) for _ in range(2)]
    secrets = {message.message_context_info.message_secret for message in sent}
    assert [len(secret) for secret in secrets] == [32, 32]
    assert delivered(sent[0]) == delivered(content)
    assert with_message_secret(sent[0]) == sent[0], "what is sent again has the same proof"
    with pytest.raises(InvalidContent):
        encode_message(with_message_secret(content_pb2.Message()))


def test_a_file_name_brings_no_folder() -> None:
    event = delivered(media_content(replace(REFERENCE, name="../../etc/passwd")))
    assert isinstance(event, MediaReceived) and event.media.name == "passwd"


@pytest.mark.parametrize("name", ["..", "..\\..\\evil.exe", "a\0b.txt", "x" * 300])
def test_a_file_name_from_others_is_harmless(name: str) -> None:
    """The rules are those of `harmless_name`; a caption is no name, and an absent name stays absent."""
    event = delivered(media_content(replace(REFERENCE, name=name)))
    assert isinstance(event, MediaReceived) and event.media.name == harmless_name(name) != name
    for reference in (replace(REFERENCE, media_type=MediaType.IMAGE, name=name), replace(REFERENCE, name="")):
        event = delivered(media_content(reference))
        assert isinstance(event, MediaReceived) and event.media.name == reference.name


@pytest.mark.parametrize(("mimetype", "name"), [("text/\ud800", ""), ("text/plain", "caf\udce9")])
def test_what_cannot_be_said_of_a_file_is_found_before_its_upload(mimetype: str, name: str) -> None:
    with pytest.raises(InvalidContent, match="Unicode"):
        check_description(MediaType.IMAGE, mimetype, name)


HALF = "Hi \ud83d"
"""Half of an emoji, as a program cuts it that counts in UTF-16."""


@pytest.mark.parametrize(
    "build",
    [
        lambda: text_content(HALF),
        lambda: text_content("Hi", TextReceived("x@s.whatsapp.net", "m0", 1, "", "", False, text=HALF, reply_to=None)),
        lambda: reaction_content("x@s.whatsapp.net", "m0", HALF),
        lambda: edit_content("x@s.whatsapp.net", "m0", HALF, 7),
        lambda: deletion_content("x@s.whatsapp.net", HALF),
    ],
)
def test_what_is_no_unicode_text_is_no_content(build: Callable[[], content_pb2.Message]) -> None:
    with pytest.raises(InvalidContent, match="not Unicode text"):
        build()


def test_a_change_without_a_type_deletes_nothing() -> None:
    """REVOKE is 0, but what is absent is not REVOKE: it is a change that this client does not know."""
    key = content_pb2.MessageKey(from_me=True, id="m1")
    absent = content_pb2.Message(protocol_message=content_pb2.ProtocolMessage(key=key))
    assert unsupported_kind(absent) == "PROTOCOL_MESSAGE_WITHOUT_TYPE"
    absent.protocol_message.type = content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE
    assert unsupported_kind(absent) is None
