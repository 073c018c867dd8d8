"""What may be sent may be quoted, reported and sent again: one set of sizes that fits (MSG-11, ABU-03)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.e2ee.v1 import content_pb2
from interop_client.media.crypto import MediaType
from interop_client.messaging.contents import check_description, reaction_content, text_content
from interop_client.messaging.events import TextReceived
from interop_client.signal.content import (
    MAX_CONTENT_BYTES,
    MAX_PADDING_BYTES,
    MAX_QUOTE_BYTES,
    MAX_TEXT_BYTES,
    serialize_message,
)
from interop_client.signal.errors import InvalidContent
from interop_server.core.limits import Limits

OVERHEAD_BYTES = 1_024
"""More than a prekey message adds to its padded content: keys, ids, block padding and the tag."""


def received(text: str) -> TextReceived:
    """A text that somebody else has sent."""
    return TextReceived("100-12345678901234@interop", "M" * 64, 1, "", "", False, text, None)


@pytest.mark.requirement("MSG-11")
@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_the_longest_answer_to_the_longest_text_can_be_sent(letter: str) -> None:
    """With letters of one to four bytes (MSG-11)."""
    longest = letter * (MAX_TEXT_BYTES // len(letter.encode()))
    content = text_content(longest, received(longest))
    quoted = content.extended_text_message.context_info.quoted_message.conversation
    assert longest.startswith(quoted) and MAX_QUOTE_BYTES - 4 < len(quoted.encode()) <= MAX_QUOTE_BYTES
    assert content.ByteSize() + MAX_PADDING_BYTES + OVERHEAD_BYTES <= Limits().max_ciphertext_bytes


@pytest.mark.requirement("MSG-11", "RCP-04")
def test_whatever_is_sent_can_be_sent_again_in_a_new_session() -> None:
    """Also a content without a text: its first message in a session is longer than a later one."""
    assert Limits().max_ciphertext_bytes >= MAX_CONTENT_BYTES + OVERHEAD_BYTES

    def image(caption: str) -> content_pb2.Message:
        return content_pb2.Message(image_message=content_pb2.ImageMessage(caption=caption))

    def reaction(emoji: str) -> content_pb2.Message:
        return reaction_content("100-12345678901234@interop", "m1", emoji)

    for make in (image, reaction):
        room = MAX_CONTENT_BYTES - make("c" * MAX_TEXT_BYTES).ByteSize() + MAX_TEXT_BYTES
        assert len(serialize_message(make("c" * room))) == MAX_CONTENT_BYTES
        with pytest.raises(InvalidContent, match="97,280 bytes"):
            serialize_message(make("c" * (room + 1)))


@pytest.mark.requirement("MSG-11")
@pytest.mark.parametrize("media_type", [MediaType.IMAGE, MediaType.VIDEO, MediaType.DOCUMENT])
def test_what_is_too_long_is_said_before_the_upload(media_type: MediaType) -> None:
    """Whatever else of the file its message will hold."""
    check_description(media_type, "image/png", "c" * MAX_TEXT_BYTES)
    for mimetype, name in (("image/png", "c" * MAX_CONTENT_BYTES), ("m" * MAX_CONTENT_BYTES, "")):
        with pytest.raises(InvalidContent, match="97,280 bytes"):
            check_description(media_type, mimetype, name)


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_short_text_is_quoted_whole(text: str, answer: str) -> None:
    """And the answer stays as it is."""
    content = text_content(answer, received(text)).extended_text_message
    assert (content.text, content.context_info.quoted_message.conversation) == (answer, text)
