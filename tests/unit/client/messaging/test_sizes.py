"""What may be sent may be quoted, reported and sent again: one set of sizes that fits (MSG-11, ABU-03)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_client.messaging.contents import text_content
from interop_client.messaging.events import TextReceived
from interop_client.signal.content import MAX_PADDING_BYTES, MAX_QUOTE_BYTES, MAX_TEXT_BYTES
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


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_short_text_is_quoted_whole(text: str, answer: str) -> None:
    """And the answer stays as it is."""
    content = text_content(answer, received(text)).extended_text_message
    assert (content.text, content.context_info.quoted_message.conversation) == (answer, text)
