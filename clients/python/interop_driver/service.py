"""The driver as a gRPC server, each stream a run of its own; knows no command."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_driver.driver import Driver
from interop_driver.frames import MAX_MESSAGE_BYTES, MessageMalformed, read_request

MAX_RUNS = 8
"""Most streams at once; one more is refused with RESOURCE_EXHAUSTED."""

_SERVICE = pb.DESCRIPTOR.services_by_name["ClientDriver"]
Context = grpc.aio.ServicerContext[Any, pb.DriveResponse]


def driver_server(folder: Path) -> grpc.aio.Server:
    """Returns a server of the driver protocol.

    Args:
        folder: For what devices save.
    """

    async def drive(messages: AsyncIterator[bytes], context: Context) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as run_folder:

            async def send(response: pb.DriveResponse) -> None:
                try:
                    await context.write(response)
                except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
                    raise ConnectionResetError("the kit is gone") from error

            try:
                await Driver(Path(run_folder), send).run(_requests(messages))
            except MessageMalformed as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    # Bytes are parsed here: gRPC itself answers what is no message with INTERNAL.
    handler: grpc.RpcMethodHandler[bytes, pb.DriveResponse] = grpc.stream_stream_rpc_method_handler(
        drive, request_deserializer=None, response_serializer=pb.DriveResponse.SerializeToString
    )
    server = grpc.aio.server(
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)),
        maximum_concurrent_rpcs=MAX_RUNS,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE.full_name, {"Drive": handler}),))
    return server


async def _requests(messages: AsyncIterator[bytes]) -> AsyncIterator[pb.DriveRequest]:
    async for message in messages:
        yield read_request(message)
