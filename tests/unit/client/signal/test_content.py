"""The plaintext of a message: its padding, and which contents are refused on either side."""

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal import InvalidContent, decode_message, encode_message
from interop_client.signal.content import MAX_PADDING_BYTES, MAX_TEXT_BYTES, pad, unpad


def test_every_length_of_padding_comes_off_again() -> None:
    """1 to 16 bytes, each of which holds their number."""
    for length in range(1, MAX_PADDING_BYTES + 1):
        padded = pad(b"text", length)
        assert padded == b"text" + bytes([length]) * length
        assert unpad(padded) == b"text"
    for length in (0, MAX_PADDING_BYTES + 1):
        with pytest.raises(ValueError, match="padding"):
            pad(b"text", length)


@pytest.mark.parametrize("padded", [b"", b"\0", b"text\x11", b"\x11" * 17, b"\x02", b"text\x01\x02"])
def test_broken_padding_is_refused(padded: bytes) -> None:
    """None, too long, longer than the plaintext, or of differing bytes."""
    with pytest.raises(InvalidContent, match="padded"):
        unpad(padded)


def test_a_message_survives_the_round_trip_with_every_padding() -> None:
    """The length of the padding comes from the randomness given, and takes each value."""
    message = content_pb2.Message(conversation="héllo")
    lengths = set()
    for byte in range(256):
        plaintext = encode_message(message, lambda count, byte=byte: bytes([byte]) * count)  # type: ignore[misc]
        lengths.add(plaintext[-1])
        assert decode_message(plaintext) == message
    assert lengths == set(range(1, MAX_PADDING_BYTES + 1))
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        content_pb2.Message(),
        content_pb2.Message(conversation="a", image_message=content_pb2.ImageMessage()),
        content_pb2.Message(conversation="é" * (MAX_TEXT_BYTES // 2) + "a"),
        content_pb2.Message(extended_text_message=content_pb2.ExtendedTextMessage(text="a" * (MAX_TEXT_BYTES + 1))),
    ],
    ids=["empty", "two contents", "long text", "long reply"],
)
def test_a_message_without_one_sound_content_is_refused(message: content_pb2.Message) -> None:
    """By the sender as by the receiver."""
    with pytest.raises(InvalidContent):
        encode_message(message)
    with pytest.raises(InvalidContent):
        decode_message(pad(message.SerializeToString(), 1))


def test_bytes_that_are_no_protobuf_are_refused() -> None:
    """An authentic sender can still be wrong."""
    with pytest.raises(InvalidContent, match="not a Message"):
        decode_message(pad(b"\xff\xff", 3))
