"""People on both sides for tests, with calls that return when the thing is done: no asyncio is needed.

Their clients are those of the SDK, and work in the simulator's thread. What has no call here is done with `client`:
`sim.call(bob.client.send_typing(alice.jid))`.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from interop_client.client import WAIT_SECONDS, InteropClient
from interop_client.media.upload import media_host
from interop_client.messaging.events import Event, Incoming, TextReceived
from interop_client.messaging.outgoing import SentMessage
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_workbench.cast import Cast, PartnerRole, Role
from interop_workbench.person import Person as Player
from interop_workbench.world import World
from interopsim.in_process import Running
from partner_server import SigningKeys

E = TypeVar("E", bound=Event)
T = TypeVar("T")

PREKEYS = 20
_SPARE_SECONDS = 10.0
"""How much longer a call may take than what it waits for, so that it is the waiting that ends first."""


class _Side(ABC):
    """What users of both messengers can do."""

    def __init__(self, sim: Running) -> None:
        self._sim = sim

    @property
    @abstractmethod
    def client(self) -> InteropClient:
        """Their client, in the simulator's thread: see `Running.call`."""

    @property
    def jid(self) -> str:
        """Their JID."""
        return self.client.jid

    def send(self, to: "_Side | str", text: str, reply_to: Incoming | None = None) -> SentMessage:
        """Writes, and returns when the server has stored it.

        Raises:
            ServerRefusal: The server refused it.
        """
        return self._do(self.client.send_text(_jid(to), text, reply_to))

    def react(self, to: "_Side | str", message: Incoming | SentMessage, emoji: str) -> SentMessage:
        """Reacts to a message of theirs, or to one's own."""
        is_own = isinstance(message, SentMessage)
        return self._do(self.client.send_reaction(_jid(to), message.id, emoji, is_own_message=is_own))

    def edit(self, to: "_Side | str", message: SentMessage, text: str) -> SentMessage:
        """Edits a text of one's own (MSG-12)."""
        return self._do(self.client.send_edit(_jid(to), message.id, text))

    def delete(self, to: "_Side | str", message: SentMessage) -> SentMessage:
        """Deletes a message of one's own, on both sides (MSG-12)."""
        return self._do(self.client.send_deletion(_jid(to), message.id))

    def read(self, *messages: Incoming) -> None:
        """Tells senders that their messages are read."""
        self._do(self.client.mark_read(*messages))

    def receive(self, seconds: float | None = WAIT_SECONDS) -> TextReceived:
        """Returns the next text that comes, or has come, within some seconds; None waits for ever.

        Raises:
            TimeoutError: None came in time.
        """
        return self.wait_for(TextReceived, seconds)

    def wait_for(self, kind: type[E], seconds: float | None = WAIT_SECONDS) -> E:
        """Returns the next event of a kind that comes, or has come; see `receive`.

        Raises:
            TimeoutError: None came in time.
        """
        return self._wait(self.client.wait_for(kind, seconds), kind.__name__, seconds)

    def wait_until(self, wanted: Callable[[Event], bool], seconds: float | None = WAIT_SECONDS) -> Event:
        """Returns the next event for which something holds; see `receive`.

        Raises:
            TimeoutError: None came in time.
        """
        return self._wait(self.client.wait_for(wanted, seconds), "event that was wanted", seconds)

    def block(self, who: "_Side | str") -> None:
        """Blocks somebody (ABU-02)."""
        self._do(self.client.block(_jid(who)))

    def connect(self) -> None:
        """Connects (again)."""
        self._do(self.client.connect())

    def disconnect(self) -> None:
        """Ends the connection."""
        self._do(self.client.close())

    def download(self, message: Any, target: Path) -> Path:
        """Downloads the file of a `MediaReceived` to a path, and returns that."""
        self._do(self.client.download(message.media, target, self._sim.endpoint.http))
        return target

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._sim.call(work)

    def _wait(self, work: Coroutine[Any, Any, T], what: str, seconds: float | None) -> T:
        try:
            return self._sim.call(work, None if seconds is None else seconds + _SPARE_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"No {what} came to {self.jid} within {seconds} seconds.") from error


class User(_Side):
    """A user of a third-party messenger, enlisted, connected and with prekeys. `Messenger.user` makes one."""

    def __init__(self, sim: Running, name: str, client: ThirdPartyClient, media_url: str) -> None:
        super().__init__(sim)
        self.name = name
        """The user-visible identifier."""
        self._client = client
        self._media_url = media_url

    @property
    def client(self) -> ThirdPartyClient:
        """Their client, in the simulator's thread: see `Running.call`."""
        return self._client

    def send_image(self, to: _Side | str, path: Path, caption: str = "") -> SentMessage:
        """Sends a picture, whose encrypted blob lies on the messenger's media server (MED-02)."""
        return self._do(self._client.send_image(_jid(to), path, media_host(self._media_url), caption=caption))

    def ping(self, phone_number: str, display_name: str = "") -> None:
        """Tells a WhatsApp user that this user would like to write (OPT-10)."""
        self._do(self._client.send_reachability_ping(phone_number, display_name or self.name))


class Person(_Side):
    """A person of WhatsApp, connected and with prekeys, by default opted in. `Messenger.person` makes one."""

    def __init__(self, sim: Running, client: WhatsAppClient, phone_number: str, integrator: int) -> None:
        super().__init__(sim)
        self.phone_number = phone_number
        """E.164 with a leading `+`."""
        self._client = client
        self._integrator = integrator

    @property
    def client(self) -> WhatsAppClient:
        """Their client, in the simulator's thread: see `Running.call`."""
        return self._client

    def opt_in(self) -> None:
        """Accepts the terms, and turns third-party chats on for the messenger."""
        self._do(self._client.accept_terms())
        self._do(self._client.opt_in([self._integrator]))

    def opt_out(self) -> None:
        """Turns them off: chats become read-only (OPT-06)."""
        self._do(self._client.opt_out([self._integrator]))

    def accept(self, who: _Side | str) -> None:
        """Accepts a message request (OPT-14)."""
        self._do(self._client.accept_message_request(_jid(who)))

    def decline(self, who: _Side | str) -> None:
        """Declines a message request (OPT-14)."""
        self._do(self._client.decline_message_request(_jid(who)))

    def find(self, name: str) -> str:
        """Returns the JID of the messenger's user with that name (OPT-08)."""
        return self._do(self._client.resolve(name, self._integrator))

    def send_document(self, to: _Side | str, path: Path) -> SentMessage:
        """Sends a file."""
        return self._do(self._client.send_document(_jid(to), path))


class Messenger:
    """A third-party messenger with a server of its own, registered with a simulator. A context manager.

    Args:
        sim: The simulator.
        integrator: Its integrator id, 1 to 999; each messenger of a simulator has its own.
        folder: For its files; temporary.
        keys: What it signs tokens with; None makes them, which takes tenths of a second.
    """

    def __init__(self, sim: Running, integrator: int, folder: Path, keys: SigningKeys | None = None) -> None:
        self._sim = sim
        self.integrator = integrator
        host = f"messenger-{integrator}.example"
        role = PartnerRole(integrator, f"Messenger {integrator}", f"https://{host}")

        async def make() -> World:  # where it is made is where its connections belong
            return World(sim.endpoint, Cast(role, ()), folder, None, lambda _: None, keys)

        self._world = sim.call(make())
        self._clients: list[InteropClient] = []
        self._people = 0

    def __enter__(self) -> "Messenger":
        self._sim.call(self._world.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            with contextlib.suppress(Exception):
                self._sim.call(client.close())
        self._sim.call(self._world.__aexit__())

    def token(self, user: str, *, ttl: int = 600, defect: str = "") -> str:
        """Vouches for a user; wrongly, when a defect is named: `interopsim token --list-defects` lists them.

        Raises:
            ValueError: There is no such defect; the message names the nearest.
        """
        return self._sim.call(self._world.token(user, ttl, defect)).token

    def user(self, name: str = "bob") -> User:
        """Returns a new user of the messenger, enlisted, connected and with prekeys."""
        client = self._sim.call(self._make_user(name))
        self._clients.append(client)
        return User(self._sim, name, client, self._world.partner.media_url)

    def person(self, *, opted_in: bool = True, phone_number: str = "") -> Person:
        """Returns a new person of WhatsApp, connected and with prekeys.

        Args:
            opted_in: Whether they have third-party chats turned on for this messenger.
            phone_number: E.164 with a leading `+`; one of their own by default.
        """
        self._people += 1
        number = phone_number or f"+49152{self.integrator:03}{self._people:05}"
        client = self._sim.call(self._make_person(number))
        self._clients.append(client)
        person = Person(self._sim, client, number, self.integrator)
        if opted_in:
            person.opt_in()
        return person

    def play(self, name: str, habit: str = "echo", **fields: Any) -> Player:
        """Returns a new person of WhatsApp who does something by themselves: see `interop_workbench.cast.Role`.

        Raises:
            ValueError: There is no such habit; the message names the nearest.
        """
        self._people += 1
        role = Role(name, f"+49152{self.integrator:03}{self._people:05}", habit, **fields)
        return self._sim.call(self._world.add(role))

    async def _make_user(self, name: str) -> ThirdPartyClient:
        async def get_token() -> str:
            return (await self._world.token(name)).token

        client = ThirdPartyClient.direct(self._sim.endpoint, ClientState.generate(), get_token)
        await client.enlist(await get_token())
        await client.connect()
        await client.publish_prekeys(PREKEYS)
        return client

    async def _make_person(self, phone_number: str) -> WhatsAppClient:
        state = ClientState.generate()
        state.jid = await self._sim.admin.put_whatsapp_user(phone_number, state.auth_public_key)
        client = WhatsAppClient.direct(self._sim.endpoint, state)
        await client.connect()
        await client.publish_prekeys(PREKEYS)
        return client


def _jid(who: _Side | str) -> str:
    return who if isinstance(who, str) else who.jid
