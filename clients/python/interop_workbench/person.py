"""A person of WhatsApp: their client, and their phone, which shows what the client tells; knows no habit and no page.

What a person sees comes from their own client, over the wire, as everybody's does.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from interop_admin.client import AdminClient
from interop_api.v1 import stanza_pb2
from interop_client.errors import ConnectionEnded, Recovery, ServerRefusal
from interop_client.media.crypto import MediaTampered
from interop_client.media.file_names import harmless_name
from interop_client.messaging.events import ConnectionLost, Event, Incoming, MediaReceived, Message, Typing
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.signal.errors import SignalError
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.endpoint import ServerAddress
from interop_workbench.cast import Role
from interop_workbench.kept_files import KeptFiles
from interop_workbench.phone import Phone, ShownFile, ShownMessage
from interop_workbench.pictures import HEAD_BYTES, picture_type
from interop_workbench.screen import Screen

PREKEYS = 100
"""How many one-time prekeys a person publishes."""
MAX_FILE_BYTES = 32 << 20
"""The longest file that a phone loads."""
MAX_KEPT = 500
"""How many messages of others a person can still answer, read or load a file of, and how many names they know."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
INBOX_MODES = {"separate": stanza_pb2.INBOX_MODE_SEPARATE, "combined": stanza_pb2.INBOX_MODE_COMBINED}

TROUBLES = (ServerRefusal, ConnectionEnded, SignalError, TimeoutError, MediaTampered, OSError)
"""What can become of anything that a person does, without a fault of this program."""

OnMessage = Callable[["Person", Message], Awaitable[None]]
"""What a person does about a message that came."""


class NotPossible(Exception):
    """A person cannot do what they are told; the message is a sentence that says why."""

    @property
    def is_wrong_use(self) -> bool:
        """Whether what was asked for can never be: the simulator names a field that is wrong."""
        return isinstance(self.__cause__, ServerRefusal) and bool(self.__cause__.violations)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all people share."""

    server: ServerAddress
    admin: AdminClient
    integrator: int
    """Of the ready-made messenger, whose users are known by name."""
    folder: Path
    """For the files that come; temporary."""
    seed: int | None
    """Decides the ids of messages; None for random ones."""
    register_partner: Callable[[], Awaitable[None]]
    """Registers the ready-made messenger: once more, when the world of the simulator has begun anew."""
    changed: Callable[["Person"], None]
    """Called when what a phone shows has changed."""


class Person:
    """A person. `begin` once, and `end`.

    Args:
        role: Who they are.
        place: Their surroundings.
        on_message: Their habit.
    """

    def __init__(self, role: Role, place: Surroundings, on_message: OnMessage) -> None:
        self.role = role
        self.phone = Phone(role.name, role.phone_number, role.habit, inbox=role.inbox)
        self._place = place
        self._on_message = on_message
        self._screen = Screen(self.phone)
        self._generation = 0
        self._client = self._new_client()
        self._tasks: set[asyncio.Task[None]] = set()
        self._living: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._received: dict[tuple[str, str], Message] = {}
        self._typing: dict[str, Typing] = {}
        self._found: dict[str, str] = {}
        self._files = KeptFiles(place.folder, role.name)
        self._downloads = asyncio.Semaphore(4)

    @property
    def client(self) -> WhatsAppClient:
        """Their client now: another one after `change_keys`."""
        return self._client

    async def begin(self) -> None:
        """Registers the person, and brings them to where their role begins; once more in a world that begins anew.

        Raises:
            ServerRefusal, ConnectionEnded, TimeoutError: The simulator does not take part.
        """
        await self._register()
        await self._client.connect()
        await self._client.publish_prekeys(PREKEYS)
        if self.role.opted_in:
            await self._client.accept_terms()
            await self._client.opt_in([self._place.integrator])
            await self._client.set_inbox_mode(INBOX_MODES[self.role.inbox])
        await self._look()
        if self.role.online or self.phone.is_online:
            self._live()
        else:
            await self._client.close()
        self._changed()

    async def end(self) -> None:
        """Ends all that the person does."""
        for task in [*self._tasks, *([self._living] if self._living else [])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._client.close()

    async def go_online(self) -> None:
        """Connects. Idempotent."""
        async with self._turn:
            if self.phone.is_online:
                return
            self.phone.is_online = True
            try:
                await self._connect()
            except BaseException:
                self.phone.is_online = False
                raise
            self._live()
            self._changed()

    async def go_offline(self) -> None:
        """Ends the connection, until `go_online`. Idempotent."""
        async with self._turn:
            self.phone.is_online = False
            await self._client.close()
            self._changed()

    async def change_keys(self) -> None:
        """Gets a new phone: new keys under the same number, of which the server tells the peers (KEY-17)."""
        async with self._turn:
            old = self._client
            self._generation += 1
            self._client = self._new_client()
            await old.close()
            await self._register()
            await self._client.connect()
            await self._client.publish_prekeys(PREKEYS)
            if not self.phone.is_online:
                self._live()
            self._changed()

    async def find(self, name: str) -> str:
        """Returns the JID of a peer: of a JID itself, or of the ready-made messenger's user with that name.

        Whom the server does not show any more, as nobody whom the person has blocked, is who had the name before.

        Raises:
            NotPossible: There is no such user, or the person cannot see them.
        """
        if "@" in name and (name in self.phone.chats or name.endswith("@interop")):
            return name
        for chat in self.phone.chats.values():
            if chat.title == name:
                return chat.peer
        try:
            peer = await self._client.resolve(name, self._place.integrator)
        except ServerRefusal as refusal:
            if name in self._found:
                return self._found[name]
            raise NotPossible(f"{self.role.name} does not find {name!r}: {refusal}") from refusal
        self._found.pop(name, None)
        self._found[name] = peer  # the newest
        if len(self._found) > MAX_KEPT:
            del self._found[next(iter(self._found))]
        return peer

    async def send(self, peer: str, text: str, reply_to: Message | None = None) -> str:
        """Writes to a peer, and returns the message's id.

        Raises:
            NotPossible: It was refused, or no answer came.
        """
        shown = ShownMessage("", True, text, 0, tick="pending", reply_to=reply_to.id if reply_to else "")
        return await self._send(peer, shown, self._client.send_text(peer, text, reply_to))

    async def send_file(self, peer: str, path: Path, name: str, mimetype: str = "application/octet-stream") -> str:
        """Sends a file as a document, and returns the message's id.

        Args:
            peer: JID.
            path: The file.
            name: As the peer sees it.
            mimetype: Of the file.

        Raises:
            NotPossible: It was refused, or no answer came.
        """
        named = path.with_name(harmless_name(name))
        if named != path:
            await asyncio.to_thread(named.write_bytes, await asyncio.to_thread(path.read_bytes))
        shown = ShownMessage("", True, "", 0, kind="file", tick="pending")
        shown.file = ShownFile(named.name, mimetype, (await asyncio.to_thread(named.stat)).st_size, "ready")
        return await self._send(peer, shown, self._client.send_document(peer, named, mimetype=mimetype))

    async def react(self, peer: str, message_id: str, emoji: str, *, is_own_message: bool = False) -> None:
        """Reacts to a message.

        Raises:
            NotPossible: There is no such message, it was refused, or no answer came.
        """
        shown = self.phone.chat(peer).find(message_id, is_own=is_own_message)
        if shown is None:
            whose = "of their own" if is_own_message else "of this peer's"
            raise NotPossible(f"{self.role.name} has no message {message_id} {whose} in this chat.")
        work = self._client.send_reaction(peer, message_id, emoji, is_own_message=is_own_message)
        await self.does(f"react to {message_id}", work)
        shown.reactions["me"] = emoji
        self._changed()

    async def type(self, peer: str) -> None:
        """Shows a peer that the person is typing.

        Raises:
            NotPossible: There is no connection.
        """
        await self.does("show that they type", self._client.send_typing(peer))

    async def read(self, peer: str, *messages: Message) -> int:
        """Reads messages of a peer, by default all that are not read yet; returns how many.

        Raises:
            NotPossible: There is no connection.
        """
        chat = self.phone.chat(peer)
        shown = [chat.find(message.id, is_own=False) for message in messages] if messages else chat.unread()
        unread = [message for message in shown if message is not None and not message.is_read]
        kept = [self._received[peer, message.id] for message in unread if (peer, message.id) in self._received]
        if kept:
            await self.does("read", self._client.mark_read(*kept))
        for message in unread:
            message.is_read = True
        self._changed()
        return len(unread)

    async def accept(self, peer: str) -> None:
        """Accepts a message request (OPT-14)."""
        await self.does("accept the request", self._client.accept_message_request(peer))
        await self._look_again()

    async def decline(self, peer: str) -> None:
        """Declines a message request (OPT-14)."""
        await self.does("decline the request", self._client.decline_message_request(peer))
        await self._look_again()

    async def block(self, peer: str) -> None:
        """Blocks a peer (ABU-02)."""
        await self.does("block", self._client.block(peer))
        await self._look_again()

    async def unblock(self, peer: str) -> None:
        """Removes a peer from the blocklist (ABU-02)."""
        await self.does("unblock", self._client.unblock(peer))
        await self._look_again()

    async def opt_in(self, integrators: list[int]) -> None:
        """Accepts the terms, if need be, and turns third-party chats on for messengers, beside those chosen before."""
        if not self.phone.has_accepted_terms:
            await self.does("accept the terms", self._client.accept_terms())
        chosen = sorted({*self.phone.integrators, *(integrators or [self._place.integrator])})
        await self.does("opt in", self._client.opt_in(chosen))
        await self._look_again()

    async def opt_out(self, integrators: list[int]) -> None:
        """Turns third-party chats off for messengers; for all without any: chats become read-only (OPT-06)."""
        await self.does("opt out", self._client.opt_out(integrators or self.phone.integrators))
        await self._look_again()

    async def choose_inbox(self, inbox: str) -> None:
        """Shows third-party chats in a list of their own, or among the others: `separate` or `combined` (OPT-05)."""
        if inbox not in INBOX_MODES:
            raise NotPossible("The inbox is separate or combined.")
        await self.does("choose the inbox", self._client.set_inbox_mode(INBOX_MODES[inbox]))
        self.phone.inbox = inbox
        self._changed()

    async def accept_identity(self, peer: str) -> None:
        """Accepts a peer's new identity key, and opens the messages that waited for that (KEY-17)."""
        self.phone.chat(peer).warning = ""
        await self.does("accept the identity", self._client.accept_identity(peer))
        self._changed()

    def received(self, peer: str, message_id: str) -> Message | None:
        """Returns a message that came, if it is still known."""
        return self._received.get((peer, message_id))

    def file_of(self, peer: str, message_id: str) -> Path:
        """Returns where the file of a peer's message is or will be."""
        return self._files.path_of(peer, message_id)

    def later(self, work: Awaitable[None]) -> None:
        """Does something beside everything else; what becomes of it shows on the phone only."""

        async def run() -> None:
            with contextlib.suppress(NotPossible, *TROUBLES):
                await work

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def does(self, what: str, work: Awaitable[object]) -> None:
        """Does something, and shows on the phone when it cannot be done.

        Raises:
            NotPossible: It cannot.
        """
        try:
            await work
        except TROUBLES as error:
            sentence = f"{self.role.name} cannot {what}: {_why(error)}"
            self.phone.notice("connection", sentence)
            self._changed()
            raise NotPossible(sentence) from error

    async def _send(self, peer: str, shown: ShownMessage, work: Awaitable[SentMessage]) -> str:
        if not self.phone.is_online:
            if asyncio.iscoroutine(work):
                work.close()
            raise NotPossible(f"{self.role.name} is offline.")
        try:
            sent = await work
        except TROUBLES as error:
            shown.id, shown.tick = f"failed-{len(self.phone.chat(peer).messages)}", "failed"
            self.phone.show(peer, shown)
            self._changed()
            raise NotPossible(f"{self.role.name} cannot send: {_why(error)}") from error
        shown.id, shown.at_ms, shown.tick = sent.id, sent.timestamp_ms, "sent"
        self.phone.show(peer, shown)
        self._screen.catch_up(peer, sent.id)
        if self.phone.chat(peer).request_state != "accepted":
            await self._look_again()
        self._changed()
        return sent.id

    def _live(self) -> None:
        self.phone.is_online = True
        if self._living is None or self._living.done():
            self._living = asyncio.ensure_future(self._take_events())

    async def _take_events(self) -> None:
        while self.phone.is_online:
            client = self._client
            async for event in client.events():
                await self._take(event)
            if client is self._client:
                return

    async def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionLost):
            await self._connect_again(event)
        elif isinstance(event, Typing):
            self.later(self._forget_typing(event))
        elif isinstance(event, Incoming):
            self._keep(event)
            if self._screen.is_new(event):
                with contextlib.suppress(*TROUBLES):
                    await self._look()
        self._screen.show(event)
        self._changed()
        if isinstance(event, Incoming):
            if isinstance(event, MediaReceived):
                await self._load(event)
            with contextlib.suppress(NotPossible, *TROUBLES):
                await self._on_message(self, event)

    async def _forget_typing(self, event: Typing) -> None:
        """Has a peer type no longer than they said, unless they have said so again (MSG-13)."""
        self._typing[event.sender] = event
        await asyncio.sleep(event.expires_after_seconds)
        if self._typing.get(event.sender) is event:
            del self._typing[event.sender]
            self.phone.chat(event.sender).typing = ""
            self._changed()

    def _keep(self, message: Message) -> None:
        self._received[message.sender, message.id] = message
        while len(self._received) > MAX_KEPT:
            del self._received[next(iter(self._received))]

    async def _load(self, message: MediaReceived) -> None:
        shown = self.phone.chat(message.sender).find(message.id, is_own=False)
        if shown is None or shown.file is None:
            return
        if message.media.encrypted.plaintext_length > MAX_FILE_BYTES:
            shown.file.state = "too long"
            return
        path = self.file_of(message.sender, message.id)
        try:
            async with self._downloads:
                await self._client.download(message.media, path)
        except MediaTampered:
            shown.file.state = "broken"
        except TROUBLES:
            shown.file.state = "gone"
        else:
            with path.open("rb") as file:
                shown.file.is_picture = bool(picture_type(file.read(HEAD_BYTES)))
            shown.file.state = "ready"
            self._files.keep(path)
        self._changed()

    async def _connect_again(self, lost: ConnectionLost) -> None:
        """Connects anew, for as long as it takes: a simulator can restart, and a world can begin anew."""
        if lost.recovery is Recovery.NEVER:
            self.phone.is_online = False
            return
        pause = FIRST_PAUSE_SECONDS
        while self.phone.is_online:
            with contextlib.suppress(*TROUBLES):
                await self._connect()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _connect(self) -> None:
        """Connects. Whom the simulator does not know any more begins anew: so has its world."""
        try:
            await self._client.connect()
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.ENLIST:
                raise
            self.phone.chats.clear()
            self._found.clear()
            await self._place.register_partner()
            await self.begin()
        else:
            await self._look()

    async def _look_again(self) -> None:
        with contextlib.suppress(*TROUBLES):
            await self._look()
        self._changed()

    async def _look(self) -> None:
        """Has the phone show what the server keeps for the person: choices, chats, blocklist."""
        client, phone = self._client, self.phone
        settings = await client.get_settings()
        phone.has_accepted_terms, phone.is_enabled = settings.terms_accepted, settings.enabled
        phone.integrators = tuple(settings.integrators)
        names = {listing.integrator: listing.name for listing in await client.list_partners()}
        blocked = set(await client.get_blocklist())
        async for listed in client.list_chats():
            self._screen.show_chat(listed, names.get(listed.integrator, ""))
        for chat in phone.chats.values():
            chat.is_blocked = chat.peer in blocked

    async def _register(self) -> None:
        state = self._client.state
        state.jid = self.phone.jid = await self._place.admin.put_whatsapp_user(
            self.role.phone_number, state.auth_public_key
        )

    def _new_client(self) -> WhatsAppClient:
        state = ClientState.generate()
        if self._place.seed is not None:
            name = f"{self._place.seed} {self.role.name} {self._generation}".encode()
            state.id_prefix = hashlib.sha256(name).hexdigest()[:12]
        return WhatsAppClient.direct(self._place.server, state, options=ClientOptions())

    def _changed(self) -> None:
        self._place.changed(self)


def _why(error: Exception) -> str:
    """Returns why something could not be done. What a refusal may not tell its client, the operator can ask for."""
    if isinstance(error, ServerRefusal) and error.request_id:
        return f"{error} `interopsim explain {error.request_id}` says why."
    return str(error) or type(error).__name__
