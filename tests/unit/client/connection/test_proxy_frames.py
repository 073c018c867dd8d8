"""What a client and its proxy say to each other survives the way, and anything else is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_client.connection.proxy_frames import (
    BatchFrame,
    Ended,
    FrameMalformed,
    Hello,
    RequestFrame,
    ResponseFrame,
    decode_frame,
)

U32 = st.integers(0, (1 << 32) - 1)
METHODS = st.text(st.characters(max_codepoint=127), max_size=256)
FRAMES = (
    st.builds(BatchFrame, st.binary())
    | st.builds(RequestFrame, U32, METHODS, st.binary())
    | st.builds(ResponseFrame, U32, st.integers(0, 16), st.binary())
)
HELLO = {"user": "bob@bats.example", "token": "a.b.c", "jid": "100-10000000000001@interop", "read_receipts": True}


@given(FRAMES)
def test_a_frame_is_read_as_it_was_written(frame: BatchFrame | RequestFrame | ResponseFrame) -> None:
    decoded = decode_frame(frame.encode())
    assert decoded == frame
    assert type(decoded) is type(frame)


@given(st.binary())
def test_no_bytes_break_the_reader(frame: bytes) -> None:
    """Every input is a frame or a FrameMalformed."""
    try:
        decode_frame(frame)
    except FrameMalformed:
        return


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\x04abc",
        b"\x02\x00",
        b"\x02\x00\x00\x00\x01\x00\x05abcd",
        b"\x02\x00\x00\x00\x01\x01\x01" + b"m" * 257,
        b"\x02\x00\x00\x00\x01\x00\x01\xff",
        b"\x03\x00\x00\x00\x01",
    ],
)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    """Empty, of an unknown type, truncated, or with a method that is too long or not ASCII."""
    with pytest.raises(FrameMalformed):
        decode_frame(frame)


def test_the_layout_is_as_documented() -> None:
    """A second implementation needs these bytes."""
    assert BatchFrame(b"\xaa").encode() == b"\x01\xaa"
    assert RequestFrame(258, "/s/m", b"\xbb").encode() == b"\x02\x00\x00\x01\x02\x00\x04/s/m\xbb"
    assert ResponseFrame(258, 5, b"\xcc").encode() == b"\x03\x00\x00\x01\x02\x05\xcc"


def test_hello_and_ended_are_read_as_they_were_written() -> None:
    hello = Hello("bob@bats.example", "a.b.c", "100-1@interop", read_receipts=False, capabilities=(1, 99))
    ended = Ended("NOT_ENLISTED", "Enlist.", "CHN-10", None, 401, None, "c0ffee")
    assert Hello.decode(hello.encode()) == hello
    assert Ended.decode(ended.encode()) == ended
    assert Hello.decode(json.dumps(HELLO)).capabilities == ()  # of a client that knows no capabilities


def test_a_hello_does_not_show_its_token() -> None:
    """It may end up in a log."""
    assert "secret" not in repr(Hello("bob", "secret", "100-1@interop"))


@pytest.mark.parametrize(
    "change",
    [
        {"user": ""},
        {"user": "a" * 257},
        {"user": "a\n"},
        {"user": 1},
        {"token": ""},
        {"token": "x" * 4097},
        {"token": "ä"},
        {"jid": ""},
        {"jid": "1" * 129},
        {"jid": None},
        {"read_receipts": 1},
        {"capabilities": None},
        {"capabilities": {"1": 1}},
        {"capabilities": ["1"]},
        {"capabilities": [True]},
        {"capabilities": [-1]},
        {"capabilities": [2**31]},
        {"capabilities": [1] * 65},
    ],
)
def test_a_hello_that_lacks_something_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FrameMalformed):
        Hello.decode(json.dumps({**HELLO, **change}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_a_text_frame_must_be_a_json_object(text: str) -> None:
    with pytest.raises(FrameMalformed):
        Hello.decode(text)
    with pytest.raises(FrameMalformed):
        Ended.decode(text)
