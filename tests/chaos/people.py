"""What accounts come back to again and again, whatever stands behind it, and these accounts; knows no promise."""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2, enlistment_pb2
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.connection.transport import DirectTransport, LoginFactory
from interop_client.errors import ConnectionEnded, ServerRefusal, refusal_from_stanza_error
from interop_client.state import ClientState
from interop_protocol.endpoint import Endpoint
from partner_server import PartnerServer
from tests.e2e.raw import enlistment
from tests.largest_limits import no_rates

INTEGRATOR = 600
MEDIA_DAYS = 1
STALE_UPLOAD_SECONDS = 60
_WEEK_SECONDS = 7 * 86_400
LIMITS = {
    **no_rates(),
    "media_days": MEDIA_DAYS,
    "stale_upload_seconds": STALE_UPLOAD_SECONDS,
    "silent_seconds": _WEEK_SECONDS,
    "upload_auth_seconds": _WEEK_SECONDS,
    "token_clock_skew_seconds": _WEEK_SECONDS,
}
"""No rate answers for what is tried here, blobs and uploads are old soon, and moving the clock ends no session."""
_BROKEN_OFF = {
    "UNAVAILABLE",
    "CANCELLED",
    "UNKNOWN",
    "INTERNAL",
    "OK",
    "BROKEN",
    "CLOSED",
    "CONNECTION_SILENT",
    "SERVER_DRAINING",
}
"""What a call or a channel ends with when its server is gone, or goes before it dies in a reset."""
M = TypeVar("M", bound=Message)


class Broken(Exception):
    """The server did not keep a promise."""


def is_gone(error: BaseException, also: Collection[str] = ()) -> bool:
    """Whether an error is what a client sees of a server that was killed.

    Args:
        error: What a call or a channel ended with.
        also: Further reasons that it may give where it died.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_gone(each, also) for each in error.exceptions)
    return isinstance(error, ConnectionEnded | ServerRefusal) and (error.reason in _BROKEN_OFF or error.reason in also)


class Scene(ABC):
    """One world, and a messenger.

    Args:
        partner: The messenger's server.
        ahead: How far the messenger's clock is ahead of this machine's, in its only element.
    """

    def __init__(self, partner: PartnerServer, ahead: list[float]) -> None:
        self.partner = partner
        self._ahead = ahead
        self._users = itertools.count(1)
        self.expects_faults = False
        """Whether a fault may be logged and answered, because something was taken away."""
        self.may_refuse = False
        """Whether what is sent may be refused for want of a database."""
        self.can_be_late = False
        """Whether what was broken off may still happen when everybody has come back: who did it lives."""
        self.now_ms = 0
        """The latest time that has been shown to anybody."""
        self.present: set[str] = set()
        """JIDs of those who are connected, as they know it."""

    @property
    @abstractmethod
    def endpoint(self) -> Endpoint:
        """Where the next one connects."""

    @property
    @abstractmethod
    def admin(self) -> AdminClient:
        """The operator's connection."""

    @property
    @abstractmethod
    def keeps_objects(self) -> bool:
        """Whether blobs are objects, and no files."""

    async def died(self, within_seconds: float) -> bool:
        """Says whether who was with a server may have lost it by its death: of several, always."""
        return True

    def note_time(self, ms: int) -> None:
        """Remembers a time that the server has shown."""
        self.now_ms = max(self.now_ms, ms)
        self._ahead[0] = max(self._ahead[0], self.now_ms / 1_000 - time.time())  # tokens are dated by its clock

    @property
    def earliest_ms(self) -> int:
        """A time that no clock of the world is before: of several, each goes its own way to where a move leads."""
        return self.now_ms

    def new_user(self) -> str:
        """A user name that nobody has had."""
        return f"user{next(self._users)}"

    async def whatsapp_user(self) -> "Person":
        """Registers a WhatsApp user; not connected."""
        state = ClientState.generate()
        phone_number = f"+49151{10_000_000 + next(self._users)}"
        state.jid = await self.admin.put_whatsapp_user(phone_number, state.auth_public_key)

        async def log_in() -> chat_pb2.LoginPayload:
            return whatsapp_login(state.jid)

        return Person(self, state, log_in)

    async def third_party_user(self, user: str = "") -> "Person":
        """Enlists a user of the messenger; not connected."""
        name, state = user or self.new_user(), ClientState.generate()

        async def log_in() -> chat_pb2.LoginPayload:
            return third_party_login(state.jid, self.partner.issue_token(name))

        person = Person(self, state, log_in)
        await person.enlist(name)
        return person


class Person:
    """One account, which comes back wherever the scene has it."""

    def __init__(self, stage: Scene, state: ClientState, log_in: LoginFactory) -> None:
        self.stage = stage
        self.state = state
        self._log_in = log_in
        self.transport: DirectTransport

    @property
    def jid(self) -> str:
        return self.state.jid

    async def enlist(self, user: str) -> str:
        """Enlists, again or for the first time."""
        transport = DirectTransport(self.stage.endpoint, self.state.auth_private_key, self._log_in)
        try:
            response = await transport.call(
                "/interop_api.v1.EnlistmentService/Enlist",
                enlistment(self.state, self.stage.partner.issue_token(user)),
                enlistment_pb2.EnlistResponse,
            )
        finally:
            await transport.close()
        if response.HasField("failure"):
            raise refusal_from_stanza_error(response.failure.error)
        self.state.jid = response.success.login
        return self.state.jid

    async def connect(self) -> None:
        """Logs in where the scene has it."""
        self.transport = DirectTransport(self.stage.endpoint, self.state.auth_private_key, self._log_in)
        login = await self.transport.connect()
        self.stage.present.add(self.jid)
        self.stage.note_time(login.server_time_ms)

    async def close(self) -> None:
        """Ends the connection, if there is one."""
        self.stage.present.discard(self.jid)
        if hasattr(self, "transport"):
            await self.transport.close()

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        """Makes a call in the person's session, `Service/Method`."""
        return await self.transport.call(f"/interop_api.v1.{method}", request, response_type)


async def settle(tasks: Sequence[asyncio.Task[None]], also: Collection[str] = ()) -> None:
    """Waits for the end of all tasks.

    Args:
        tasks: What people do.
        also: Further reasons that a server may give where it died.

    Raises:
        Exception: What one of them found; when none has, what they saw of the server's death.
    """
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=lambda each: is_gone(each, also)):
        raise error
