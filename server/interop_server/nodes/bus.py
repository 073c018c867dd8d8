"""The bus on a NATS server: what one node says, all others hear, or nobody; knows nothing of what is said."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from interop_server.core.troubles import BUS, Troubles
from interop_server.nodes import BusUnusable
from interop_server.nodes.address import BusAddress

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 2
"""How long a server may take to accept a connection, and the start of a node waits for the bus."""
_AGAIN_SECONDS = 0.25
"""How long after a failure the next attempt is made."""
_PING_SECONDS = 1
"""How often it is asked whether the server still answers; after two answers that do not come, it is gone."""
_FAILURES = (OSError, TimeoutError, nats.errors.Error)
_NOT_LET_IN = ("authorization violation", "authentication", "credentials")
"""What errors say of a user or a file that is wrong: they have no class of their own."""

ANSWER_SECONDS = 2
"""How long another node may take for an answer."""

Heard = Callable[[bytes], None]
Asked = Callable[[bytes], Awaitable[bytes]]


class NoAnswer(Exception):
    """Another node did not answer in time, or could not be asked."""


class Bus:
    """One node's end of the bus. It connects, and connects again, by itself; nothing waits for it.

    Args:
        address: Where the bus is.
        world: Tells a world from others that have the same prefix.
        troubles: Where it is kept what is wrong with it.
        heard: Gets what other nodes say.
        seat: The number of this node, under which others ask it.
        asked: Answers what they ask.
    """

    def __init__(
        self, address: BusAddress, world: str, troubles: Troubles, heard: Heard, seat: int, asked: Asked
    ) -> None:
        self._address = address
        self._troubles = troubles
        self._heard = heard
        self._subject = f"{address.prefix}.{world}.nodes"
        self._own_subject = f"{address.prefix}.{world}.node."
        self._seat = seat
        self._asked = asked
        self._client: Client | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._not_let_in: Exception | None = None
        self._is_over = False

    async def open(self) -> None:
        """Connects, or leaves it to the background when the server is away: a node can do without.

        Raises:
            BusUnusable: The server lets this node not in.
        """
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._keep_connected(tried), name="bus")
        await tried.wait()
        if self._not_let_in is not None:
            raise BusUnusable(
                f"The bus at {self._address.shown} does not let this node in: {_words_of(self._not_let_in)}."
            )

    async def close(self) -> None:
        """Ends the connection; what was said before is sent first, if that is possible at once."""
        self._is_over = True  # the library can take a cancellation for one of its own
        if self._task is not None:
            tasks = (self._task, *self._answering)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def say(self, what: bytes) -> bool:
        """Tells all other nodes something, and says whether it went out: then they hear it, or find out that not."""
        client = self._client
        if client is None:
            return False
        try:
            await client.publish(self._subject, what)
        except _FAILURES as error:
            _log.debug("the bus did not take an announcement: %s", error)
            return False
        return True

    async def ask(self, seat: int, what: bytes) -> bytes:
        """Asks one other node, and returns its answer.

        Raises:
            NoAnswer: It is not there, or does not answer in time.
        """
        if self._client is None:
            raise NoAnswer("the bus cannot be used")
        try:
            answer = await self._client.request(f"{self._own_subject}{seat}", what, ANSWER_SECONDS)
        except _FAILURES as error:
            raise NoAnswer(_words_of(error)) from error
        return answer.data

    async def _keep_connected(self, tried: asyncio.Event) -> None:
        while not self._is_over:
            try:
                await self._be_connected(tried)
            except _FAILURES as error:
                if any(words in str(error).lower() for words in _NOT_LET_IN):
                    self._not_let_in = error
                self._meet(error)
            tried.set()
            await asyncio.sleep(_AGAIN_SECONDS)  # in real time: a server knows no other

    async def _be_connected(self, tried: asyncio.Event) -> None:
        """Connects, and returns when the connection has gone."""
        client, gone = Client(), asyncio.Event()

        async def note_gone() -> None:
            gone.set()

        try:
            await client.connect(
                list(self._address.servers),
                name="interopsim",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=_PING_SECONDS,
                no_echo=True,
                user_credentials=self._address.credentials,
                error_cb=_note,
                closed_cb=note_gone,
                disconnected_cb=note_gone,
            )
            await client.subscribe(self._subject, cb=self._take)
            await client.subscribe(f"{self._own_subject}{self._seat}", cb=self._take_question)
            await client.flush(CONNECT_SECONDS)
            self._client = client
            self._troubles.end(BUS)
            tried.set()
            if self._is_over:
                return
            await gone.wait()
            raise ConnectionError("the connection has gone")
        finally:
            self._client = None
            with suppress(*_FAILURES):
                await client.close()

    async def _take(self, message: Msg) -> None:
        self._heard(message.data)

    async def _take_question(self, message: Msg) -> None:
        """Answers in its own time: one that waits for something holds up no other."""
        answering = asyncio.create_task(self._answer(message), name="answers another node")
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            await message.respond(await self._asked(message.data))
        except _FAILURES as error:  # whoever asked finds that nothing comes
            _log.debug("another node got no answer: %s", error)
        except Exception:  # noqa: BLE001 - likewise, and others ask on
            _log.exception("a question of another node failed")

    def _meet(self, error: BaseException) -> None:
        what = f"the bus at {self._address.shown} cannot be used ({_words_of(error)})"
        self._troubles.meet(BUS, f"{what}: other nodes hear of things a second late.")


def _words_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__


async def _note(error: Exception) -> None:
    _log.debug("the bus: %s", error)
