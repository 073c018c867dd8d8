"""How fast blobs go up and down, and what they cost the server in memory."""

import hashlib
import os
import statistics
import time
from pathlib import Path

import grpc.aio

from interop_api.v1 import media_pb2, media_pb2_grpc
from interop_protocol.encoding import media_token
from tests.bench.bare_client import CHANNEL_OPTIONS, BareCalls, bare_server, encode_sizes
from tests.bench.lean_client import LeanClient
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed

CHUNK_BYTES = 128 << 10
REPETITIONS = 3
_CHUNK_TAG = 0x12
_UPLOAD = "/interop_api.v1.MediaService/Upload"
_DOWNLOAD = "/interop_api.v1.MediaService/Download"


class _Blob:
    """Ciphertext as far as the server can tell: random, and different from any other."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.direct_path = ""
        self.chunks = [os.urandom(CHUNK_BYTES)] * (length // CHUNK_BYTES)
        digest = hashlib.sha256()
        for chunk in self.chunks:
            digest.update(chunk)
        self.sha256 = digest.digest()
        # Serialised once, as the bare ones are bytes: the load generator is not what is measured.
        self.messages = [media_pb2.UploadRequest(chunk=self.chunks[0]).SerializeToString()] * len(self.chunks)


async def measure_media(settings: Settings) -> list[Figure]:
    """Uploads and downloads blobs, then streams as many bytes to and from a bare server."""
    async with Testbed(settings.folder) as testbed:
        client = await testbed.whatsapp_user()
        blobs = [_Blob(settings.blob_bytes) for _ in range(REPETITIONS)]
        idle = _reset_peak(testbed.server.pid)
        ups = [await _upload(client, blob) for blob in blobs]
        downs = [await _download(client, blob) for blob in blobs]
        growth = _memory(testbed.server.pid, "VmHWM") - idle
        chunk_bytes = await _verify(client, blobs[-1])
    async with (
        bare_server(settings.folder / "bare.log") as bare,
        grpc.aio.insecure_channel(str(bare.ready["grpc"]), options=CHANNEL_OPTIONS) as channel,
    ):
        calls = BareCalls(channel)
        bare_ups = [await _upload_bare(calls, blob) for blob in blobs]
        bare_downs = [await _download_bare(calls, settings.blob_bytes, chunk_bytes) for _ in blobs]
    size = f"{settings.blob_bytes >> 20} MiB"
    up_note = f"{size} in chunks of {CHUNK_BYTES >> 10} KiB, hashed and durable; "
    up_note += (
        f"writing and syncing such a file takes this disk alone {_sync_seconds(settings.folder, blobs[-1]):.2g} s"
    )
    return [
        _rate("media_up_bytes_per_second", ups, bare_ups, up_note),
        _rate("media_down_bytes_per_second", downs, bare_downs, f"{size} in chunks of {chunk_bytes >> 10} KiB"),
        Figure("media_server_memory_growth_bytes", growth, "bytes", None, f"peak over idle, blobs of {size}"),
    ]


def _rate(name: str, rates: list[float], ceilings: list[float], note: str) -> Figure:
    note = f"median of {REPETITIONS} times {note}"
    return Figure(name, statistics.median(rates), "bytes/s", statistics.median(ceilings), note)


async def _upload(client: LeanClient, blob: _Blob) -> float:
    service = media_pb2_grpc.MediaServiceStub(client.channel)
    connection = await service.GetMediaConnection(media_pb2.GetMediaConnectionRequest(), metadata=client.metadata)
    start = media_pb2.UploadStart(auth=connection.auth, upload_token=media_token(blob.sha256), length=blob.length)
    upload: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = client.channel.stream_unary(_UPLOAD)
    started = time.perf_counter()
    call = upload(metadata=client.metadata)
    await call.write(media_pb2.UploadRequest(start=start).SerializeToString())
    for message in blob.messages:
        await call.write(message)
    await call.done_writing()
    response = await call
    elapsed = time.perf_counter() - started
    blob.direct_path = media_pb2.UploadResponse.FromString(response).direct_path
    return blob.length / elapsed


async def _download(client: LeanClient, blob: _Blob) -> float:
    download: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = client.channel.unary_stream(_DOWNLOAD)
    request = media_pb2.DownloadRequest(direct_path=blob.direct_path).SerializeToString()
    total = 0
    started = time.perf_counter()
    call = download(request, metadata=client.metadata)
    while isinstance(message := await call.read(), bytes):
        total += _chunk_length(message)
    elapsed = time.perf_counter() - started
    if total != blob.length:
        raise WrongAnswer(f"{blob.length} bytes went up, {total} came down")
    return total / elapsed


def _chunk_length(message: bytes) -> int:
    """Length of the chunk in a serialised DownloadResponse, 0 for the first message, without copying it."""
    if message[0] != _CHUNK_TAG:
        return 0
    end_of_length = next(at for at in range(1, 6) if message[at] < 0x80)
    return len(message) - end_of_length - 1


async def _verify(client: LeanClient, blob: _Blob) -> int:
    """Downloads once more and compares, which no figure should pay for; returns the size of the largest chunk."""
    digest, chunk_bytes = hashlib.sha256(), 0
    service = media_pb2_grpc.MediaServiceStub(client.channel)
    call = service.Download(media_pb2.DownloadRequest(direct_path=blob.direct_path), metadata=client.metadata)
    while isinstance(response := await call.read(), media_pb2.DownloadResponse):
        digest.update(response.chunk)
        chunk_bytes = max(chunk_bytes, len(response.chunk))
    if digest.digest() != blob.sha256:
        raise WrongAnswer("other bytes came down than went up")
    return chunk_bytes


async def _upload_bare(calls: BareCalls, blob: _Blob) -> float:
    started = time.perf_counter()
    call = calls.upload()
    for chunk in blob.chunks:
        await call.write(chunk)
    await call.done_writing()
    await call
    return blob.length / (time.perf_counter() - started)


async def _download_bare(calls: BareCalls, length: int, chunk_bytes: int) -> float:
    started = time.perf_counter()
    call = calls.download(encode_sizes(length, chunk_bytes))
    while isinstance(await call.read(), bytes):
        pass
    return length / (time.perf_counter() - started)


def _sync_seconds(folder: Path, blob: _Blob) -> float:
    started = time.perf_counter()
    with (folder / "sync").open("wb") as file:
        file.writelines(blob.chunks)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def _reset_peak(pid: int) -> int:
    """Makes the kernel forget the process's peak, and returns what is resident now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def _memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) << 10
    raise KeyError(field)
