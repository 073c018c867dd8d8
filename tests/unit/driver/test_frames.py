"""Messages on a pipe: read one by one, bounded, and never guessed at."""

import asyncio
from io import BytesIO

import pytest
from google.protobuf import proto

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_driver.frames import MAX_MESSAGE_BYTES, MessageMalformed, delimited, read_requests


def stream_of(content: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(content)
    stream.feed_eof()
    return stream


def pipe(*requests: pb.DriveRequest) -> bytes:
    buffer = BytesIO()
    for request in requests:
        proto.serialize_length_prefixed(request, buffer)
    return buffer.getvalue()


async def test_requests_come_as_they_were_sent() -> None:
    """Empty ones, and those whose length takes one, two and three bytes."""
    requests = [pb.DriveRequest(device="x" * length) for length in (0, 1, 100, 200, 20_000)]
    assert [each async for each in read_requests(stream_of(pipe(*requests)))] == requests
    assert [each async for each in read_requests(stream_of(b""))] == []


async def test_the_longest_message_is_read_and_a_longer_one_is_not() -> None:
    """Nothing is kept of what is too long."""
    room = MAX_MESSAGE_BYTES - pb.DriveRequest(device="x" * (1 << 20)).ByteSize() + (1 << 20)
    longest = pb.DriveRequest(device="x" * room)
    assert longest.ByteSize() == MAX_MESSAGE_BYTES
    assert [each async for each in read_requests(stream_of(pipe(longest)))] == [longest]
    for too_long in (pipe(pb.DriveRequest(device="x" * (room + 1)))[:8], b"\xff\xff\xff\xff\x01"):
        with pytest.raises(MessageMalformed):
            await anext(read_requests(stream_of(too_long)))


@pytest.mark.parametrize("content", [b"\x80", b"\x05abc", b"\x02\xff\xff", b"GET / HTTP/1.1\r\n"])
async def test_what_is_no_message_is_refused(content: bytes) -> None:
    """A length or a message that ends too early, and bytes that are no request: what follows cannot be read."""
    with pytest.raises(MessageMalformed) as refused:
        [each async for each in read_requests(stream_of(content))]
    assert str(refused.value).endswith(".")


def test_what_is_sent_has_its_length_before_it() -> None:
    """As protobuf's own libraries read it."""
    response = pb.DriveResponse(result=pb.CommandResult(id=7))
    assert proto.parse_length_prefixed(pb.DriveResponse, BytesIO(delimited(response))) == response
