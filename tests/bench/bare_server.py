"""A bare grpc.aio server, the ceiling of every figure: frames go in and out as they are; no store, no crypto, no rule.

Run as a script; prints a ready line like the simulator's and ends on SIGTERM.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import grpc
import grpc.aio

SERVICE = "bare.Bare"
SIZE_BYTES = 8
"""Length of a big-endian size at the start of a request that names one."""
QUEUED_FRAMES = 64
"""Frames that may wait for a recipient."""
MAX_MESSAGE_BYTES = (1 << 24) - 1

_Context = grpc.aio.ServicerContext[bytes, bytes]


class Relay:
    """Pairs of streams: what one sends the other gets, and both ends acknowledge with frames of a given size."""

    def __init__(self) -> None:
        self._queues: dict[object, asyncio.Queue[bytes]] = {}

    async def send(self, _: AsyncIterator[bytes], context: _Context) -> None:
        """Passes each frame on and answers with the first bytes of it, as many as metadata `ack-bytes` says."""
        metadata = dict(context.invocation_metadata() or ())
        queue, ack_bytes = self._queue(metadata["pair"]), int(metadata["ack-bytes"])
        while isinstance(frame := await context.read(), bytes):
            await queue.put(frame)
            await context.write(frame[:ack_bytes])

    async def receive(self, _: AsyncIterator[bytes], context: _Context) -> None:
        """Delivers the pair's frames and swallows acknowledgements."""
        queue = self._queue(dict(context.invocation_metadata() or ())["pair"])
        delivering = asyncio.create_task(self._deliver(queue, context))
        try:
            while isinstance(await context.read(), bytes):
                pass
        finally:
            delivering.cancel()

    async def _deliver(self, queue: asyncio.Queue[bytes], context: _Context) -> None:
        while True:
            await context.write(await queue.get())

    def _queue(self, pair: object) -> asyncio.Queue[bytes]:
        return self._queues.setdefault(pair, asyncio.Queue(QUEUED_FRAMES))


async def echo(_: AsyncIterator[bytes], context: _Context) -> None:
    """Sends every frame back."""
    while isinstance(frame := await context.read(), bytes):
        await context.write(frame)


async def answer(request: bytes, _: _Context) -> bytes:
    """Answers with as many bytes as the request's first eight name."""
    return bytes(int.from_bytes(request[:SIZE_BYTES], "big"))


async def upload(_: AsyncIterator[bytes], context: _Context) -> bytes:
    """Counts what comes."""
    total = 0
    while isinstance(chunk := await context.read(), bytes):
        total += len(chunk)
    return total.to_bytes(SIZE_BYTES, "big")


async def download(request: bytes, context: _Context) -> None:
    """Sends as many bytes as the request's first eight name, in chunks of the size that the next eight name."""
    left, chunk_bytes = (int.from_bytes(request[at : at + SIZE_BYTES], "big") for at in (0, SIZE_BYTES))
    chunk = bytes(chunk_bytes)
    while left > 0:
        await context.write(chunk[:left])
        left -= chunk_bytes


async def main() -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),))
    relay = Relay()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Send": grpc.stream_stream_rpc_method_handler(relay.send),
        "Receive": grpc.stream_stream_rpc_method_handler(relay.receive),
        "Answer": grpc.unary_unary_rpc_method_handler(answer),
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Download": grpc.unary_stream_rpc_method_handler(download),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"event": "ready", "grpc": f"127.0.0.1:{port}"}), flush=True)
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
