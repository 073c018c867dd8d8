"""A driver as a gRPC service that the subject serves; knows no command of the protocol."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.conformance.v1 import driver_pb2_grpc
from interop_conformance.drivers.driver import SubjectFailed
from interop_driver.frames import MAX_MESSAGE_BYTES

CONNECT_SECONDS = 5.0


class DriverUnreachable(Exception):
    """Nothing answers at the driver's address. The text is a sentence."""


class Service:
    """One stream of a driver's service. Made by `open`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._call: Any = driver_pb2_grpc.ClientDriverStub(channel).Drive()

    @classmethod
    async def open(cls, address: str) -> "Service":
        """Connects.

        Raises:
            DriverUnreachable: Nobody answers.
        """
        limits = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),)
        channel = grpc.aio.insecure_channel(address, options=limits)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await channel.channel_ready()
        except TimeoutError as error:
            await channel.close()
            raise DriverUnreachable(f"no driver answers at {address}: start it first.") from error
        return cls(channel)

    @property
    def log(self) -> str:
        """Not known."""
        return ""

    async def send(self, request: pb.DriveRequest) -> None:
        """Sends a request. See Link."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise SubjectFailed(await self.end()) from error

    async def responses(self) -> AsyncIterator[pb.DriveResponse]:
        """Yields what comes. See Link."""
        try:
            async for response in self._call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise SubjectFailed(f"The driver's stream broke: {error.code().name} {error.details()}") from error

    async def end(self) -> str:
        """Says how it ended. See Link."""
        self._call.cancel()
        return "The driver ended the stream."

    async def close(self) -> None:
        """Ends the stream; the process is not the kit's. See Link."""
        self._call.cancel()
        await self._channel.close()
