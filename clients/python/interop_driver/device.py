"""One device of a run: its client, what the client has saved, and what its user was shown; knows no command."""

import asyncio
import itertools
import logging
import shutil
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.connection.login import LoginOptions
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ServerRefusal
from interop_client.media.upload import MediaHost, media_host
from interop_client.messaging.events import (
    ConnectionLost,
    Event,
    Incoming,
    MediaReceived,
    MediaRetryRequested,
    RetryUnanswered,
    StanzaRefused,
    Typing,
)
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.state import ClientState, StateFile
from interop_client.third_party import ThirdPartyClient
from interop_driver.files import sha256_of, write_file
from interop_driver.outcomes import EXPECTED, WrongCommand, sentence
from interop_driver.screen import Screen, shown
from interop_driver.tokens import Tokens
from interop_protocol.endpoint import ServerAddress

ROOT_KEY_BYTES = 32
KEPT_MESSAGES = 1_000
"""How many received messages can still be answered, read and reported."""
KEPT_FILES = 16
"""How many sent files can still be sent again."""

_BESIDE = (RetryUnanswered, StanzaRefused, Typing)
"""Events that do not come as deliveries."""
_GONE = ("BLOB_NOT_FOUND", "BLOB_EXPIRED")

_log = logging.getLogger(__name__)


class Device:
    """A third-party user's device.

    Args:
        name: Its name.
        start: What the kit has said of it.
        folder: For what it saves; made here.
        emit: Tells the kit.

    Raises:
        WrongCommand: What the kit has said is not right.
    """

    def __init__(
        self,
        name: str,
        start: pb.StartDeviceCommand,
        folder: Path,
        emit: Callable[[pb.DriveResponse], Awaitable[None]],
    ) -> None:
        if len(start.root_public_key) != ROOT_KEY_BYTES:
            raise WrongCommand(f"`root_public_key` has {ROOT_KEY_BYTES} bytes.")
        folder.mkdir()
        self._folder = folder
        self._start = start
        self._file = StateFile(folder / "state")
        self.screen = Screen(name, emit)
        self.tokens = Tokens(lambda: self.screen.show(token_wanted=pb.TokenWanted()))
        self._received: OrderedDict[tuple[str, str], Incoming] = OrderedDict()
        self._sent_files: OrderedDict[str, Path] = OrderedDict()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_connected = False
        self.client = self._client_of(ClientState.generate())
        """The client, whether or not it is connected."""

    async def enlist(self, token: str) -> str:
        """Enlists the user with the documented form, with the proxy's auth key where there is one; returns the JID."""
        async with self._turn:
            jid = await self.client.enlist_over_http(self._start.http, token, self._start.proxy.auth_public_key)
            if self._start.HasField("proxy") and not self._is_connected:
                self.client = self._client_of(self.client.state)  # the proxy is told the JID
            return jid

    async def connect(self, token: str) -> None:
        """Connects, after ending any connection, with a token or with one that the kit is asked for."""
        if not self.client.jid:
            raise WrongCommand("Enlist first.")
        async with self._turn:
            await self._note_connection(False, "CLOSED")
            self.tokens.give(token)
            await self.client.close()
            await self.client.connect()
            self._begin(self._listen(self.client))
            await self._note_connection(True)

    async def disconnect(self, *, is_abrupt: bool) -> None:
        """Ends the connection."""
        async with self._turn:
            await (self.client.abort() if is_abrupt else self.client.close())
            await self._note_connection(False, "CLOSED")

    async def restart(self) -> None:
        """Ends the client as a crash would, and makes it anew from what it has saved."""
        async with self._turn:
            await self._crash()
            saved = await asyncio.to_thread(self._file.load)
            self.client = self._client_of(saved or ClientState.generate())

    async def wipe(self) -> None:
        """Makes the client anew, with nothing of what was saved."""
        async with self._turn:
            await self._crash()
            await self._delete_all()
            self._folder.mkdir()
            self.client = self._client_of(ClientState.generate())

    async def stop(self) -> None:
        """Ends the client. Nothing of it goes on, or is left."""
        async with self._turn:
            await self._cancel_tasks()
            await self.client.abort()
            await self._delete_all()

    def message(self, sender: str, message_id: str) -> Incoming:
        """Returns a message that has come.

        Raises:
            WrongCommand: None has.
        """
        try:
            return self._received[sender, message_id]
        except KeyError:
            raise WrongCommand(f"No message {message_id!r} of {sender!r} has come.") from None

    async def send_media(self, command: pb.SendMediaCommand) -> SentMessage:
        """Makes a file and sends it."""
        path = self._new_path()
        await asyncio.to_thread(write_file, command, path)
        mimetype = command.mimetype or "image/png"
        sent = await self.client.send_image(
            command.to_jid, path, self._host, mimetype=mimetype, caption=command.caption
        )
        self._sent_files[sent.id] = path
        if len(self._sent_files) > KEPT_FILES:
            _, oldest = self._sent_files.popitem(last=False)
            oldest.unlink(missing_ok=True)
        return sent

    def _client_of(self, state: ClientState) -> ThirdPartyClient:
        start = self._start
        has_receipts = start.read_receipts if start.HasField("read_receipts") else True
        options = ClientOptions(on_event=self._deliver)
        if not start.HasField("proxy"):
            server = ServerAddress(start.grpc, start.root_public_key, start.http)
            login = LoginOptions(read_receipts=has_receipts)
            return ThirdPartyClient.direct(server, state, self.tokens.take, self._file, options, login=login)
        proxy_login = ProxyLogin(start.user, state.jid, self.tokens.take, has_receipts)
        try:
            transport = ProxyTransport(start.proxy.url, proxy_login, start.proxy.client_ip)
        except ValueError as error:
            raise WrongCommand(f"`client_ip` is no address: {error}.") from error
        return ThirdPartyClient(transport, state, self._file, options)

    async def _deliver(self, event: Event) -> None:
        """Shows what a delivery says, before the client acks it: what was acked does not come again."""
        if isinstance(event, Incoming):
            self._received[event.sender, event.id] = event
            if len(self._received) > KEPT_MESSAGES:
                self._received.popitem(last=False)
        if isinstance(event, MediaReceived):
            self._begin(self._attempt(event.id, self._download(event)))
        elif isinstance(event, MediaRetryRequested):
            self._begin(self._attempt(event.message_id, self._send_again(event)))
        elif kind := shown(event):
            await self.screen.show(**kind)

    async def _listen(self, client: ThirdPartyClient) -> None:
        async for event in client.events():
            if isinstance(event, ConnectionLost):
                await self._note_connection(False, event.reason)
            elif isinstance(event, _BESIDE):
                await self.screen.show(**shown(event))

    async def _download(self, message: MediaReceived) -> None:
        path, media = self._new_path(), message.media
        try:
            await self.client.download(media, path, self._start.http)
            digest, size = await asyncio.to_thread(sha256_of, path), path.stat().st_size
        except ServerRefusal as refusal:
            if refusal.reason not in _GONE or not await self.client.request_media_again(message, refusal):
                raise
            return
        finally:
            path.unlink(missing_ok=True)
        file = pb.MediaShown(
            sender_jid=message.sender,
            message_id=message.id,
            sha256=digest,
            size_bytes=size,
            name=media.name,
            mimetype=media.mimetype,
        )
        await self.screen.show(media_shown=file)

    async def _send_again(self, request: MediaRetryRequested) -> None:
        path = self._sent_files.get(request.message_id)
        if path is None:
            raise LookupError(f"The file of {request.message_id} is not kept any more.")
        await self.client.resend_media(request, path, self._host)

    @property
    def _host(self) -> MediaHost:
        if not self._start.media_url:
            raise WrongCommand("The device has no `media_url`: it cannot send files.")
        return media_host(self._start.media_url)

    async def _attempt(self, message_id: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ServerRefusal as refusal:
            await self._show_error(message_id, refusal.reason, refusal)
        except EXPECTED as error:
            await self._show_error(message_id, type(error).__name__, error)
        except Exception as error:  # noqa: BLE001 - whatever else goes wrong with a file, the user is told
            _log.exception("what message %s needs has failed", message_id)
            await self._show_error(message_id, type(error).__name__, error)

    async def _show_error(self, message_id: str, reason: str, error: Exception) -> None:
        await self.screen.show(error_shown=pb.ErrorShown(message_id=message_id, reason=reason, detail=sentence(error)))

    async def _note_connection(self, is_connected: bool, reason: str = "") -> None:
        if is_connected != self._is_connected:
            self._is_connected = is_connected
            change = pb.ConnectionChanged(is_connected=is_connected, reason=reason)
            await self.screen.show(connection_changed=change)

    async def _crash(self) -> None:
        await self._cancel_tasks()
        await self.client.abort()
        await self._note_connection(False, "CLOSED")

    async def _delete_all(self) -> None:
        self._received.clear()
        self._sent_files.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _new_path(self) -> Path:
        return self._folder / f"file-{next(self._numbers)}"
