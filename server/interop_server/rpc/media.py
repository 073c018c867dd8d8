"""The media service: authenticates, converts, streams, answers; knows no rule and no file.

Most bytes that the server moves are chunks, and a protobuf message copies its content at every step. So both streams
read and write the one field `chunk` on the wire themselves; every other message is parsed and serialised as usual.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from interop_api.v1 import media_pb2 as pb
from interop_api.v1 import media_pb2_grpc
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_rules import Direction
from interop_server.core.limits import Limits
from interop_server.core.media.media import Media, Upload, UploadRequest
from interop_server.core.seats import Seats
from interop_server.fault_gate import FaultGate
from interop_server.faulty_media import MediaAccess, SpoiledMedia
from interop_server.rpc.calls import Context, call_of, caller
from interop_server.rpc.claims import download_of
from interop_server.rpc.faulty_calls import event_of
from interop_server.rpc.fields import field_header

MAX_CHUNK_BYTES = 1 << 20
STALL_SECONDS = 60.0
"""How long an upload may send nothing before it counts as broken; policy."""

_CHUNK_FIELD = 2
"""`chunk` in UploadRequest and in DownloadResponse."""
_CHUNK_TAG = field_header(_CHUNK_FIELD, 0)[0]
_MAX_VARINT_BYTES = 4
"""Room for the length of any message that gRPC accepts."""


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    """See MediaService in media.proto."""

    def __init__(self, media: Media, http_url: str, limits: Limits, gate: FaultGate, seats: Seats) -> None:
        self._gate = gate
        self._media = media
        self._http_url = http_url
        self._limits = limits
        self._seats = seats

    async def GetMediaConnection(
        self, request: pb.GetMediaConnectionRequest, context: Context
    ) -> pb.GetMediaConnectionResponse:
        """Grants an upload."""
        auth = await self._media.grant_upload(caller(context))
        return pb.GetMediaConnectionResponse(
            auth=auth,
            auth_expires_after_seconds=self._limits.upload_auth_seconds,
            hosts=[self._http_url],
            max_blob_bytes=self._limits.max_blob_bytes,
        )

    async def GetUploadStatus(self, request: pb.GetUploadStatusRequest, context: Context) -> pb.GetUploadStatusResponse:
        """Says how much of an upload is stored."""
        account = caller(context)
        committed, direct_path = await self._media.upload_status(account, request.auth, request.upload_token)
        return pb.GetUploadStatusResponse(committed_bytes=committed, direct_path=direct_path)

    async def Upload(  # see upload_request_from: what the iterator yields is a chunk or a message
        self, request_iterator: AsyncIterator[pb.UploadRequest | memoryview], context: Context
    ) -> pb.UploadResponse:
        """Takes a blob in chunks."""
        account = caller(context)
        first = await _next(context)
        if not isinstance(first, pb.UploadRequest) or first.WhichOneof("part") != "start":
            raise Refusal(
                Reason.REQUEST_MALFORMED,
                "the first message of an upload must have `start`",
                field="start",
                requirement="MED-07",
            )
        start = first.start
        upload = await self._media.start_upload(
            account, UploadRequest(start.auth, start.upload_token, start.length, start.offset)
        )
        if isinstance(upload, str):
            return pb.UploadResponse(direct_path=upload)
        return pb.UploadResponse(direct_path=await _receive(upload, context))

    async def Download(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.DownloadRequest, context: Context
    ) -> None:
        """Streams a blob or a range of it."""
        offset = request.offset if request.HasField("offset") else None
        length = request.length if request.HasField("length") else None
        path = request.direct_path
        with self._seats.taken(download_of(call_of(context), path)):
            async with self._access(context).open_download(path, offset, length) as download:
                start = pb.DownloadStart(total_bytes=download.total_bytes, offset=download.offset)
                await context.write(pb.DownloadResponse(start=start))
                async for chunk in download.chunks:
                    for at in range(0, len(chunk), MAX_CHUNK_BYTES):
                        await context.write(chunk[at : at + MAX_CHUNK_BYTES])

    def _access(self, context: Context) -> MediaAccess:
        if self._gate.faults.is_on:
            fired = self._gate.faults.meet(event_of(call_of(context), Direction.TO_CLIENT))
            if fired is not None:
                return SpoiledMedia(self._media, fired, self._gate.clock)
        return self._media


async def _next(context: Context) -> object:
    """Returns the next message; None at the end, or after a silence: a silent client must not hold a blob for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STALL_SECONDS):
            message = await context.read()
            return None if message is grpc.aio.EOF else message
    return None


async def _receive(upload: Upload, context: Context) -> str:
    try:
        while (chunk := await _next(context)) is not None:
            if not isinstance(chunk, memoryview) or not 1 <= len(chunk) <= MAX_CHUNK_BYTES:
                detail = "after the first message of an upload send chunks up to 1 MiB"
                raise Refusal(Reason.REQUEST_MALFORMED, detail, field="chunk", requirement="MED-07")
            await upload.write(chunk)
        return await upload.finish()
    finally:
        # A broken stream keeps the received bytes for a resumption; after finish or discard this does nothing.
        await upload.suspend()


def upload_request_from(serialized: bytes) -> pb.UploadRequest | memoryview:
    """Parses a message of an upload: a chunk as a view of the received bytes, anything else as a message."""
    if serialized[:1] == bytes((_CHUNK_TAG,)):
        length, shift = 0, 0
        for at, byte in enumerate(serialized[1 : 1 + _MAX_VARINT_BYTES], start=2):
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if at + length == len(serialized):
                    return memoryview(serialized)[at:]
                break
    request = pb.UploadRequest.FromString(serialized)
    return memoryview(request.chunk) if request.WhichOneof("part") == "chunk" else request


def download_response_to(response: pb.DownloadResponse | bytes) -> bytes:
    """Serialises a message of a download: a chunk, or the first message."""
    if isinstance(response, pb.DownloadResponse):
        return response.SerializeToString()
    return b"".join((field_header(_CHUNK_FIELD, len(response)), response))


def add_media_service(servicer: MediaServicer, server: grpc.aio.Server) -> None:
    """Adds the media service to a server, with its own codecs for the two streams."""
    handlers: dict[str, Any] = {
        "GetMediaConnection": grpc.unary_unary_rpc_method_handler(
            servicer.GetMediaConnection,
            request_deserializer=pb.GetMediaConnectionRequest.FromString,
            response_serializer=pb.GetMediaConnectionResponse.SerializeToString,
        ),
        "GetUploadStatus": grpc.unary_unary_rpc_method_handler(
            servicer.GetUploadStatus,
            request_deserializer=pb.GetUploadStatusRequest.FromString,
            response_serializer=pb.GetUploadStatusResponse.SerializeToString,
        ),
        "Upload": grpc.stream_unary_rpc_method_handler(
            servicer.Upload,
            request_deserializer=upload_request_from,
            response_serializer=pb.UploadResponse.SerializeToString,
        ),
        "Download": grpc.unary_stream_rpc_method_handler(
            servicer.Download,
            request_deserializer=pb.DownloadRequest.FromString,
            response_serializer=download_response_to,
        ),
    }
    name = pb.DESCRIPTOR.services_by_name["MediaService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
