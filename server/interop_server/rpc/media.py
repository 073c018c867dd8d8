"""The media service: authenticate, convert, stream, answer; knows no rule and no file."""

from collections.abc import AsyncIterator

from interop_api.v1 import media_pb2 as pb
from interop_api.v1 import media_pb2_grpc
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.media import Media, Upload, UploadRequest
from interop_server.rpc.errors import Context
from interop_server.rpc.session import Sessions

MAX_CHUNK_BYTES = 1 << 20


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    """See MediaService in media.proto."""

    def __init__(self, sessions: Sessions, media: Media, http_url: str, limits: Limits) -> None:
        self._sessions = sessions
        self._media = media
        self._http_url = http_url
        self._limits = limits

    async def GetMediaConnection(
        self, request: pb.GetMediaConnectionRequest, context: Context
    ) -> pb.GetMediaConnectionResponse:
        """Grants an upload."""
        auth = self._media.grant_upload(self._sessions.account(context))
        return pb.GetMediaConnectionResponse(
            auth=auth,
            auth_ttl_seconds=self._limits.upload_auth_seconds,
            hosts=[self._http_url],
            max_blob_bytes=self._limits.max_blob_bytes,
        )

    async def GetUploadStatus(self, request: pb.GetUploadStatusRequest, context: Context) -> pb.GetUploadStatusResponse:
        """Says how much of an upload is stored."""
        account = self._sessions.account(context)
        committed, direct_path = await self._media.upload_status(account, request.auth, request.token)
        return pb.GetUploadStatusResponse(committed_bytes=committed, direct_path=direct_path)

    async def Upload(self, request_iterator: AsyncIterator[pb.UploadRequest], context: Context) -> pb.UploadResponse:
        """Takes a blob in chunks."""
        account = self._sessions.account(context)
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "start":
            raise Refusal(Reason.REQUEST_MALFORMED, "the first message of an upload must have `start`")
        start = first.start
        upload = await self._media.start_upload(
            account, UploadRequest(start.auth, start.token, start.length, start.offset)
        )
        if isinstance(upload, str):
            return pb.UploadResponse(direct_path=upload)
        return pb.UploadResponse(direct_path=await _receive(upload, requests))

    async def Download(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.DownloadRequest, context: Context
    ) -> None:
        """Streams a blob or a range of it."""
        self._sessions.account(context)
        offset = request.offset if request.HasField("offset") else None
        length = request.length if request.HasField("length") else None
        async with self._media.open_download(request.direct_path, offset, length) as download:
            start = pb.DownloadStart(total_bytes=download.total_bytes, offset=download.offset)
            await context.write(pb.DownloadResponse(start=start))
            async for chunk in download.chunks:
                for at in range(0, len(chunk), MAX_CHUNK_BYTES):
                    await context.write(pb.DownloadResponse(chunk=chunk[at : at + MAX_CHUNK_BYTES]))


async def _receive(upload: Upload, requests: AsyncIterator[pb.UploadRequest]) -> str:
    try:
        async for request in requests:
            if request.WhichOneof("part") != "chunk" or not 1 <= len(request.chunk) <= MAX_CHUNK_BYTES:
                raise Refusal(Reason.REQUEST_MALFORMED, "after the first message of an upload send chunks up to 1 MiB")
            await upload.write(request.chunk)
        return await upload.finish()
    finally:
        # A broken stream keeps what came for a resumption; after finish or a discard there is nothing left to keep.
        await upload.suspend()
