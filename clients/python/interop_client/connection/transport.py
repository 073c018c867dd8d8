"""How a client reaches the server: chat channel and unary calls together; knows nothing of messages and sessions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

import grpc
import grpc.aio
from google.protobuf.message import Message

from interop_api.v1 import chat_pb2, media_pb2, media_pb2_grpc, stanza_pb2
from interop_client.connection.attempt import Attempt
from interop_client.connection.calls import M, Metadata, ended_by_closing, reading, unary_call
from interop_client.connection.channel import ChannelKeys, ChatChannel
from interop_client.connection.opening import open_channel
from interop_client.errors import ConnectionEnded, refusal_from_rpc_error
from interop_protocol.endpoint import ServerAddress

TRANSFER_SECONDS = 3600.0
"""Longest wait for one upload or download."""

LoginFactory = Callable[[], Awaitable[chat_pb2.LoginPayload]]
"""Makes the payload of a new login: tokens are short-lived, so each connection asks for a new one."""

_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
"""One connection per client (PRX-03): without it, the clients of a process share one TCP connection."""


class Transport(Protocol):
    """Reaches the server for a client."""

    async def connect(self) -> stanza_pb2.LoginSuccess:
        """Opens the chat channel, after closing any open one.

        Raises:
            LoginRefused: The server does not accept the login.
            ServerRefusal: The server ended the handshake, or cannot be reached.
            ConnectionEnded: CLOSED: `close`, or another call of this, came meanwhile.
        """
        ...

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Queues stanzas for sending, in order; waits only while too many are waiting to be sent.

        Raises:
            ConnectionEnded: There is no open channel.
        """
        ...

    def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """Yields the stanzas of each frame. Ends when this end closes the channel.

        Raises:
            ConnectionEnded: The server ended the channel, or it broke.
        """
        ...

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        """Makes a unary call, in the session of the open channel if there is one.

        Args:
            method: Full name, such as `/interop_api.v1.PreKeyService/TakePreKeyBundles`.
            request: The request.
            response_type: Class of the response.

        Raises:
            ServerRefusal: The call was refused or failed.
            ConnectionEnded: CLOSED: this client was closed meanwhile; the call may have been done.
        """
        ...

    def abort(self) -> None:
        """Drops the channel as a crash would: what waits is not sent. `close` frees its resources. Never raises."""
        ...

    async def close(self) -> None:
        """Ends the channel and frees its resources. Idempotent; never raises."""
        ...


@runtime_checkable
class BlobStreams(Protocol):
    """Moves blobs over gRPC."""

    async def upload(self, requests: AsyncIterator[media_pb2.UploadRequest]) -> media_pb2.UploadResponse:
        """Uploads one blob. See MediaService.Upload.

        Raises:
            ServerRefusal: The upload was refused or failed.
        """
        ...

    def download(self, request: media_pb2.DownloadRequest) -> AsyncIterator[media_pb2.DownloadResponse]:
        """Downloads one blob. See MediaService.Download.

        Raises:
            ServerRefusal: The download was refused or failed.
        """
        ...


class DirectTransport:
    """A client that connects itself: one gRPC channel for chat, calls and blobs.

    Without a chat channel, as before `connect`, after `close`, or when the login was refused, the gRPC channel goes
    with the last call on it: nobody may come to close it.

    Args:
        server: Its address, and the root to trust.
        auth_private_key: The client's static key, 32 bytes.
        login: Makes the payload of each login.
    """

    def __init__(self, server: ServerAddress, auth_private_key: bytes, login: LoginFactory) -> None:
        self._address = server.grpc
        self.ca = server.ca
        """The certificate to trust for TLS, as PEM; empty for no TLS."""
        self._keys = ChannelKeys(auth_private_key, server.root_public_key)
        self._login = login
        self._grpc: grpc.aio.Channel | None = None
        self._uses = 0
        """How many calls and logins are under way on it."""
        self._chat: ChatChannel | None = None
        self._attempt: Attempt[stanza_pb2.LoginSuccess] = Attempt()

    async def connect(self) -> stanza_pb2.LoginSuccess:
        """Opens the chat channel, after closing any open one.

        Raises:
            LoginRefused: The server does not accept the login.
            ServerRefusal: The server ended the handshake, or cannot be reached.
            CertificateError: The root does not certify the server.
            RemoteProtocolError: The server broke the protocol.
            TimeoutError: The login took too long.
            ConnectionEnded: CLOSED: `close`, or another call of this, came meanwhile.
        """
        return await self._attempt.make(self._connect())

    async def _connect(self) -> stanza_pb2.LoginSuccess:
        chat, self._chat = self._chat, None
        if chat is not None:
            await chat.close()
        payload = await self._login()  # before the channel is looked at, which may be another one by then
        self._attempt.check()
        async with self._reached() as channel:
            self._chat = await ChatChannel.open(channel, self._keys, payload)
            return self._chat.login

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Queues stanzas for sending. See Transport."""
        await self._open_chat.send(*stanzas)

    def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        """Yields the stanzas of each frame. See Transport."""
        return self._open_chat.receive()

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        """Makes a unary call. See Transport."""
        async with self._reached() as channel:
            return await unary_call(channel, method, request, response_type, self._metadata)

    async def upload(self, requests: AsyncIterator[media_pb2.UploadRequest]) -> media_pb2.UploadResponse:
        """Uploads one blob. See BlobStreams."""
        async with self._reached() as channel:
            call = media_pb2_grpc.MediaServiceStub(channel).Upload(
                requests, metadata=self._metadata, timeout=TRANSFER_SECONDS
            )
            try:
                with ended_by_closing():
                    return await call
            except grpc.aio.AioRpcError as error:
                raise refusal_from_rpc_error(error) from error

    async def download(self, request: media_pb2.DownloadRequest) -> AsyncIterator[media_pb2.DownloadResponse]:
        """Downloads one blob. See BlobStreams."""
        async with self._reached() as channel:
            call = media_pb2_grpc.MediaServiceStub(channel).Download(
                request, metadata=self._metadata, timeout=TRANSFER_SECONDS
            )
            with reading(call):
                async for response in call:
                    yield response

    def abort(self) -> None:
        """Drops the channel. See Transport."""
        if self._chat is not None:
            self._chat.abort()

    async def close(self) -> None:
        """Ends the channel and frees its resources. See Transport."""
        await self._attempt.end()
        # Both at once: an attempt that begins meanwhile gets a channel of its own.
        chat, self._chat = self._chat, None
        channel, self._grpc = self._grpc, None
        try:
            if chat is not None:
                await chat.close()
        finally:
            if channel is not None:
                await channel.close()

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[grpc.aio.Channel]:
        """Yields the gRPC channel, which opens with the first call."""
        if self._grpc is None:
            self._grpc = open_channel(self._address, self.ca, _OPTIONS)
        self._uses += 1
        try:
            yield self._grpc
        finally:
            self._uses -= 1
            if not self._uses and self._chat is None and self._grpc is not None:
                channel, self._grpc = self._grpc, None
                await channel.close()

    @property
    def _open_chat(self) -> ChatChannel:
        if self._chat is None:
            raise ConnectionEnded("CLOSED", "Connect first.")
        return self._chat

    @property
    def _metadata(self) -> Metadata:
        if self._chat is None:
            return ()
        return (("authorization", f"Bearer {self._chat.login.session_token}"),)


def ca_of(transport: Transport) -> str:
    """Returns the certificate that a client trusts for TLS, as PEM; empty when it knows of none, as behind a proxy."""
    return transport.ca if isinstance(transport, DirectTransport) else ""
