"""The proxy's connection to WhatsApp for one user: chat channel and unary calls; knows nothing of the user's WebSocket.

Source: PRX-01 to PRX-04.
"""

import asyncio
from contextlib import suppress
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import status_pb2

from interop_api.v1 import (
    account_pb2,
    chat_pb2,
    enlistment_pb2,
    integrity_pb2,
    interop_pb2,
    media_pb2,
    prekeys_pb2,
    stanza_pb2,
)
from interop_client.connection.channel import ChannelKeys, ChatChannel
from interop_client.connection.opening import open_channel
from interop_client.connection.proxy_frames import RequestFrame, ResponseFrame
from interop_client.errors import ConnectionEnded
from interop_protocol.endpoint import ServerAddress

CALL_SECONDS = 30.0
"""Longest wait for the answer to a unary call."""
CLIENT_CLOSED_SECONDS = 1.0
"""Longest wait for room to send `client_closed`; the connection ends even if it is not sent."""

# One TCP connection per client (PRX-03): without this option, the clients of a process share one.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


def _unary_methods() -> frozenset[str]:
    modules = (account_pb2, enlistment_pb2, integrity_pb2, interop_pb2, media_pb2, prekeys_pb2)
    services: list[ServiceDescriptor] = [
        service for module in modules for service in module.DESCRIPTOR.services_by_name.values()
    ]
    return frozenset(
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    )


UNARY_METHODS = _unary_methods()
"""The methods that a client may call through the proxy: the unary ones of the contract, and no others of the server."""


class Upstream:
    """An open connection on behalf of one user. Made by `open`; ends with `close`."""

    def __init__(self, channel: grpc.aio.Channel, chat: ChatChannel) -> None:
        self._channel = channel
        self.chat = chat
        """The user's chat channel."""

    @classmethod
    async def open(cls, endpoint: ServerAddress, auth_private_key: bytes, payload: chat_pb2.LoginPayload) -> Self:
        """Connects and logs in.

        Args:
            endpoint: WhatsApp's addresses.
            auth_private_key: The user's static key, 32 bytes.
            payload: The user's login, in proxy mode.

        Raises:
            ServerRefusal: WhatsApp refuses, or cannot be reached; for other errors see ChatChannel.open.
        """
        channel = open_channel(endpoint.grpc, endpoint.ca, _OPTIONS)
        try:
            keys = ChannelKeys(auth_private_key, endpoint.root_public_key)
            return cls(channel, await ChatChannel.open(channel, keys, payload))
        except BaseException:
            await channel.close()
            raise

    def login_success(self) -> stanza_pb2.LoginSuccess:
        """Returns WhatsApp's answer to the login without the session token: the proxy makes the client's calls."""
        login = stanza_pb2.LoginSuccess()
        login.CopyFrom(self.chat.login)
        login.ClearField("session_token")
        return login

    async def call(self, frame: RequestFrame) -> ResponseFrame:
        """Relays a unary call without reading it; returns a refusal as an answer like any other."""
        if frame.method not in UNARY_METHODS:
            message = "The proxy relays the unary methods of interop_api.v1."
            return _refusal(frame, grpc.StatusCode.UNIMPLEMENTED, message)
        unary: grpc.aio.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(frame.method)
        metadata = (("authorization", f"Bearer {self.chat.login.session_token}"),)
        try:
            response: bytes = await unary(frame.request, metadata=metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            for key, value in error.trailing_metadata() or ():
                if key == "grpc-status-details-bin" and isinstance(value, bytes):
                    return ResponseFrame(frame.call_id, error.code().value[0], value)
            return _refusal(frame, error.code(), error.details() or "")
        return ResponseFrame(frame.call_id, 0, response)

    async def close(self) -> None:
        """Tells WhatsApp that the client has closed, and ends the connection at once (PRX-04). Never raises."""
        with suppress(ConnectionEnded, TimeoutError):
            async with asyncio.timeout(CLIENT_CLOSED_SECONDS):
                await self.chat.send(stanza_pb2.Stanza(client_closed=stanza_pb2.ClientClosed()))
        await self.chat.close()
        await self._channel.close()


def _refusal(frame: RequestFrame, code: grpc.StatusCode, message: str) -> ResponseFrame:
    number: int = code.value[0]
    return ResponseFrame(frame.call_id, number, status_pb2.Status(code=number, message=message).SerializeToString())
