"""The driver on stdin and stdout; knows no command."""

import asyncio
import os
import sys
from pathlib import Path

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_driver.driver import Driver
from interop_driver.frames import delimited, read_requests


class NoPipe(Exception):
    """Stdin or stdout is a file. The text is a sentence."""


async def drive_over_pipes(folder: Path) -> None:
    """Runs until stdin ends.

    Args:
        folder: For what devices save.

    Raises:
        MessageMalformed: What came is no request.
        NoPipe: There is nothing to read from, or to write to.
    """
    # Whatever prints from here on does so on stderr: stdout is for messages alone.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), output
        )
    except ValueError as error:
        raise NoPipe("Stdin and stdout must be pipes: a kit starts the driver, or use --listen.") from error
    transport.set_write_buffer_limits(0)  # what was drained has been written
    writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def send(response: pb.DriveResponse) -> None:
        writer.write(delimited(response))
        await writer.drain()

    try:
        await Driver(folder, send).run(read_requests(reader))
    finally:
        if not transport.is_closing():  # it closes by itself when the kit is gone
            transport.abort()  # what the kit has not read by now it does not want
