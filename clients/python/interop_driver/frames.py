"""Messages of the driver protocol as bytes, with their lengths before them on a pipe; knows no command."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO

from google.protobuf import proto
from google.protobuf.message import DecodeError, Message

from interop_api.conformance.v1 import driver_pb2 as pb

MAX_MESSAGE_BYTES = 2 << 20
"""Longest message, either way."""

_LENGTH_BYTES = 4
"""Of a varint that says no more than the longest message."""


class MessageMalformed(Exception):
    """What came is no message, or too long: the rest of the stream cannot be read. The text is a sentence."""


class StreamCut(MessageMalformed):
    """The stream ended within a message.

    Args:
        where: In which part of it.
    """

    def __init__(self, where: str) -> None:
        super().__init__(f"The stream ended within {where}.")
        self.where = where


def read_request(message: bytes) -> pb.DriveRequest:
    """Returns a request.

    Raises:
        MessageMalformed: The bytes are none.
    """
    try:
        return pb.DriveRequest.FromString(message)
    except DecodeError as error:
        raise MessageMalformed("The bytes are no DriveRequest.") from error


async def read_requests(stream: asyncio.StreamReader) -> AsyncIterator[pb.DriveRequest]:
    """Yields the requests on a pipe, until it ends.

    Raises:
        MessageMalformed: What came is no request, or the pipe ended within one.
    """
    async for message in read_messages(stream):
        yield read_request(message)


async def read_messages(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yields the messages on a pipe as bytes, until it ends.

    Raises:
        StreamCut: The pipe ended within one.
        MessageMalformed: One is too long.
    """
    while (length := await _read_length(stream)) is not None:
        try:
            message = await stream.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise StreamCut("a message") from error
        yield message


async def _read_length(stream: asyncio.StreamReader) -> int | None:
    length = 0
    for at in range(_LENGTH_BYTES):
        byte = await stream.read(1)
        if not byte:
            if at:
                raise StreamCut("the length of a message")
            return None
        length |= (byte[0] & 0x7F) << 7 * at
        if byte[0] < 0x80:
            break
    else:
        raise MessageMalformed("The length of a message takes more than four bytes.")
    if length > MAX_MESSAGE_BYTES:
        raise MessageMalformed(f"A message has {length:,} bytes, the limit is {MAX_MESSAGE_BYTES:,}.")
    return length


def delimited(message: Message) -> bytes:
    """Returns a message with its length before it."""
    buffer = BytesIO()
    proto.serialize_length_prefixed(message, buffer)
    return buffer.getvalue()
