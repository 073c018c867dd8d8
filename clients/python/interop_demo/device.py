"""The commands of a person's device, on either messenger; knows no process and no story.

Each public coroutine of a device is a command: `person` calls it by name with the fields of a request.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.media.crypto import MediaTampered
from interop_client.media.upload import Progress
from interop_client.messaging.events import (
    ConnectionLost,
    Event,
    MediaReceived,
    OfflineEnd,
    OfflinePreview,
    ReceiptReceived,
    StanzaRefused,
    TextReceived,
)
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.state import ClientState, StateFile
from interop_demo.search import files_under, key_secret, search
from interop_protocol.endpoint import ServerAddress

WAIT_SECONDS = 20.0
"""Longest wait for an event that must come."""
PREKEYS = 50
OPTIONS = ClientOptions(refill_count=0)
"""Only the story publishes prekeys, so that it can compare what the server stores before and after a step."""

E = TypeVar("E", bound=Event)


class CommandFailed(Exception):
    """The device cannot carry out a command, or an expected event did not come in time."""


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """The surroundings of a device."""

    folder: Path
    """The folder of this device alone."""
    progress: Progress
    """Called with the progress of uploads."""
    id_prefix: str = ""
    """The beginning of its message ids; empty for a random one."""


class Device(ABC):
    """A person's device: its state in a file, its downloads in a folder."""

    def __init__(self, place: DevicePlace) -> None:
        self.folder = place.folder
        self.progress = place.progress
        self._id_prefix = place.id_prefix
        self._file = StateFile(place.folder / "state")
        self._client: InteropClient | None = None
        self._backup = b""
        self._media: dict[str, MediaReceived] = {}
        self._read: dict[str, TextReceived] = {}

    @property
    def client(self) -> InteropClient:
        """The connected client.

        Raises:
            CommandFailed: The device is not connected.
        """
        if self._client is None:
            raise CommandFailed("not connected")
        return self._client

    def load_state(self) -> ClientState:
        """Returns the state that the device saved before it was switched off, or a new one."""
        state = self._file.load() or ClientState.generate()
        state.id_prefix = self._id_prefix or state.id_prefix
        return state

    @property
    def file(self) -> StateFile:
        """The file with the saved state."""
        return self._file

    @abstractmethod
    async def make_client(self, server: ServerAddress) -> InteropClient:
        """Makes the client for a new connection."""

    async def connect(self, simulator: dict[str, str]) -> dict[str, Any]:
        """Connects, after closing any open connection."""
        await self.disconnect()
        self._client = await self.make_client(address_of(simulator))
        await self._client.connect()
        return {"jid": self._client.jid}

    async def disconnect(self) -> dict[str, Any]:
        """Ends the connection. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        return {}

    async def publish_prekeys(self) -> dict[str, Any]:
        """Publishes prekeys and compares them with those that the server holds."""
        await self.client.publish_prekeys(PREKEYS)
        return {"count": await self.client.count_prekeys(), "intact": await self.client.has_intact_prekeys()}

    async def resolve(self, external_id: str, integrator: int = 0) -> dict[str, Any]:
        """Looks up the JID of a user."""
        return {"jid": await self.client.resolve(external_id, integrator)}

    async def take_bundle(self, jid: str) -> dict[str, Any]:
        """Takes a user's prekey bundle, with which a session begins."""
        bundle = await self.client.take_prekey_bundle(jid)
        return {"has_one_time_prekey": bundle.one_time_prekey_id is not None}

    async def send_text(self, to: str, text: str, reply_to: str = "") -> dict[str, Any]:
        """Sends a text, as an answer when `reply_to` is the id of a text that this device has received."""
        return _facts(await self.client.send_text(to, text, self._read.get(reply_to)))

    async def send_garbage(self, to: str) -> dict[str, Any]:
        """Sends a message stanza with random bytes, for addresses without a session."""
        enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=os.urandom(64))
        message = stanza_pb2.Message(
            id=self.client.state.take_message_id(), to_jid=to, type=stanza_pb2.MESSAGE_TYPE_TEXT, enc=(enc,)
        )
        return _facts(await self.client.send_encrypted(message))

    async def offer_call(self, to: str) -> dict[str, Any]:
        """Offers a call, and returns why the server refuses it."""
        call_id = self.client.state.take_message_id()
        await self.client.transport.send(stanza_pb2.Stanza(call_offer=stanza_pb2.CallOffer(id=call_id, to_jid=to)))
        refused = await self._wait(
            lambda event: isinstance(event, StanzaRefused) and event.id == call_id, "an answer to the call"
        )
        assert isinstance(refused, StanzaRefused)
        return {"reason": refused.reason, "advice": refused.advice, "request_id": refused.request_id}

    async def wait_for_text(self) -> dict[str, Any]:
        """Waits for the next text."""
        text = await self._wait_for(TextReceived, "a message")
        self._read[text.id] = text
        return _told(text)

    async def wait_for_receipts(self, ids: list[str], is_read: bool) -> dict[str, Any]:
        """Waits until a receipt has come for each of these messages."""
        missing, what = set(ids), "read" if is_read else "delivered"
        while missing:
            event = await self._wait(
                lambda event: isinstance(event, ReceiptReceived) and event.is_read == is_read, f"a {what} receipt"
            )
            assert isinstance(event, ReceiptReceived)
            missing.difference_update(event.message_ids)
        return {}

    async def mark_read(self, message_id: str) -> dict[str, Any]:
        """Tells the sender that this user has read a text."""
        await self.client.mark_read(self._read[message_id])
        return {}

    async def wait_for_media(self) -> dict[str, Any]:
        """Waits for the next file."""
        received = await self._wait_for(MediaReceived, "a file")
        self._media[received.id] = received
        return {"sender": received.sender, "id": received.id, "path": received.media.direct_path}

    async def download(self, message_id: str, http: str = "") -> dict[str, Any]:
        """Downloads a received file; over HTTP when a base URL is given.

        Raises:
            CommandFailed: The file is not what its sender described.
        """
        target = self.folder / f"received-{message_id}"
        media = self._media[message_id].media
        try:
            await self.client.download(media, target, http)
        except MediaTampered as error:
            raise CommandFailed(f"the file is not what its sender described: {error}") from error
        return {"file": str(target), "mimetype": media.mimetype, "name": media.name}

    async def take_backlog(self) -> dict[str, Any]:
        """Takes all texts that waited on the server, and those that came right after them."""
        preview = await self._wait_for(OfflinePreview, "the preview of what waited")
        await self._wait_for(OfflineEnd, "the end of what waited")
        await self.client.ping()  # then all that the server sent after the backlog has come, too
        return {"announced": preview.messages, "texts": await self._texts_that_are_here()}

    async def take_texts(self) -> dict[str, Any]:
        """Takes the texts that have come already."""
        await self.client.ping()
        return {"texts": await self._texts_that_are_here()}

    async def block(self, jid: str) -> dict[str, Any]:
        """Blocks a user."""
        await self.client.block(jid)
        return {"blocked": await self.client.get_blocklist()}

    async def back_up(self) -> dict[str, Any]:
        """Keeps a copy of the device's current state."""
        self._backup = self.client.state.to_bytes()
        return {}

    async def restore_backup(self, simulator: dict[str, str]) -> dict[str, Any]:
        """Goes back to that copy and connects: the device loses everything since then, keys included.

        Only the message ids go on: the server would take a message with a used id for a repetition.
        """
        next_number = self.client.state.next_number
        await self.disconnect()
        restored = ClientState.from_bytes(self._backup)
        restored.next_number = next_number
        self._file.save(restored.to_bytes())
        return await self.connect(simulator)

    async def report(self, jid: str, message_id: str) -> dict[str, Any]:
        """Reports a user for a received text, and reveals its content."""
        return {"report_id": await self.client.report(jid, [self._read[message_id]], reveal=True)}

    async def wait_for_loss(self) -> dict[str, Any]:
        """Waits until the server ends the connection."""
        lost = await self._wait_for(ConnectionLost, "the end of the connection")
        return {"reason": lost.reason}

    async def find_own_keys(self, folders: list[str]) -> dict[str, Any]:
        """Searches folders for this device's private identity key: in this process, so that the key never leaves it."""
        secret = key_secret("private identity key", self.load_state().signal.identity.private_key)
        findings = search([secret], files_under(*(Path(folder) for folder in folders)))
        own = search([secret], [self.folder / "state"])
        return {"files": findings.files, "hits": findings.hits, "found_at_home": bool(own.hits)}

    async def _texts_that_are_here(self) -> list[dict[str, Any]]:
        texts = []
        while True:
            try:
                texts.append(_told(await self.client.wait_for(TextReceived, 0)))
            except TimeoutError:
                return texts

    async def _wait_for(self, kind: type[E], what: str) -> E:
        event = await self._wait(lambda event: isinstance(event, kind), what)
        assert isinstance(event, kind)
        return event

    async def _wait(self, wanted: Any, what: str) -> Event:
        try:
            return await self.client.wait_for(wanted, WAIT_SECONDS)
        except TimeoutError as error:
            raise CommandFailed(f"{what} did not come within {WAIT_SECONDS:.0f} s") from error


def _facts(sent: SentMessage) -> dict[str, Any]:
    """Returns the facts of a sent message that the story needs, without its content."""
    return {"id": sent.id, "timestamp_ms": sent.timestamp_ms}


def _told(text: TextReceived) -> dict[str, Any]:
    """Returns the facts of a text that the story needs, without the secret that proves who wrote it."""
    return {name: getattr(text, name) for name in ("sender", "id", "text", "reply_to", "offline", "request_state")}


def address_of(simulator: dict[str, str]) -> ServerAddress:
    """Returns the addresses of a simulator from its ready line."""
    return ServerAddress(simulator["grpc"], bytes.fromhex(simulator["root_public_key"]), simulator["http"])
