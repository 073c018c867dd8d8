"""One of several nodes: says that it lives, looks at what has changed, tells and hears; knows no rule and no SQL."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from google.protobuf.message import DecodeError

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_api.v1 import stanza_pb2
from interop_server.background import log_end
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account, ConnectionFacts, PreKeyCounts
from interop_server.core.nodes import BEGINNING, Claim, News, NodeStore, Turn
from interop_server.core.sweeps import WorldTurns
from interop_server.crash_points import passing
from interop_server.nodes import PeopleElsewhere
from interop_server.nodes.asking import Asking
from interop_server.nodes.bus import Bus
from interop_server.nodes.clock import WorldClock
from interop_server.nodes.connections import Away, WorldConnections, hash_of
from interop_server.nodes.outgoing import kinds_from
from interop_server.rpc.connections import Admission, ClientTraits, ConnectionRegistry, LiveConnection
from interop_server.rpc.convert.indicators import INDICATORS
from interop_server.rpc.entrance import Session
from interop_server.runtime.clock import AdjustableClock

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often a node looks by itself at what has changed, and says that it lives."""
_MAIL_LOOKS = 20
"""After so many looks it looks at its mailboxes, too, although it has missed nothing that it knows of."""
_BURY_LOOKS = 10
"""After so many looks in a row a node judges which others are dead: one that has just come back has nothing to say."""
_PEOPLE = "people"
"""What it is called that a node has the people of the world, among what one node at a time does."""
_MOST_GONE = 1_000
"""How many of the accounts are remembered that were connected a moment ago."""

Push = Callable[[Account, Reason | None], Awaitable[None]]
"""Pushes to a user who is connected nowhere, and whose mailbox is not empty."""


async def _push_nothing(_account: Account, _reason: Reason | None) -> None:
    """Stands for the rule until the node has started."""


def _forget_nothing(_integrator: int) -> None:
    """Likewise."""


class Node:
    """One node of a world. It is the entrance for its clients, and keeps the copy of the others' connections.

    Args:
        store: What it says and learns by way of the database.
        registry: Its own connections.
        clock: Its own clock.
    """

    def __init__(self, store: NodeStore, registry: ConnectionRegistry, clock: AdjustableClock) -> None:
        self._store = store
        self._registry = registry
        self._push: Push = _push_nothing
        self._forget_key_set: Callable[[int], None] = _forget_nothing
        self._must_tell, self._must_look = asyncio.Event(), asyncio.Event()
        self.connections = WorldConnections(store.seat, registry, self._must_tell.set)
        self.clock = WorldClock(clock, store, self.connections.tell_of_change)
        self.others = Asking(store.seat, clock)
        self._bus: Bus | None = None
        self._announced = 0
        self._heard: dict[int, int] = {}
        """The number of the newest announcement of each other node that was heard, or is known to be missed."""
        self._has_missed = True
        self._mark = BEGINNING
        self._claiming: Counter[int] = Counter()
        self._seen: dict[int, int] = {}
        """The newest epoch that was seen of the accounts that are claimed just now."""
        self._strays: dict[int, int] = {}
        """Connections of here, in the database, that are not here: account and epoch."""
        self._gone: OrderedDict[int, Account] = OrderedDict()
        self._looks = 0
        self._looking = asyncio.Lock()
        self._key_servers: dict[int, tuple[str, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, bus: Bus, push: Push, forget_key_set: Callable[[int], None]) -> None:
        """Joins: knows the others' connections when this returns.

        Args:
            bus: Its end of the bus, not open yet.
            push: Told whose connection has ended when others may not have known it yet.
            forget_key_set: Called for each partner whose key set comes from another place than before.

        Raises:
            BusUnusable: The bus does not let it in.
            Refusal: STORAGE_UNAVAILABLE.
        """
        self._bus = self.others.bus = bus
        self._push, self._forget_key_set = push, forget_key_set
        await bus.open()
        await self._take_news()
        self.connections.outgoing.look = True  # the others see at once that it is there
        await self._tell()
        self._spawn(self._keep_living(), "says that this node lives")
        self._spawn(self._keep_looking(), "looks at other nodes")
        self._spawn(self._keep_telling(), "tells other nodes")
        self._spawn(self.clock.keep_following(), "follows the clock")

    async def take_people(self) -> None:
        """Makes this node the one that has the people of its world, as long as it lives.

        A node that was killed has them until the others take it for dead, which this waits for.

        Raises:
            PeopleElsewhere: A node that lives has them.
            Refusal: STORAGE_UNAVAILABLE.
        """
        before: Turn | None = None
        while not await self._store.take_turn(_PEOPLE):
            having = await self._store.whose_turn(_PEOPLE)
            if having is not None and before is not None and having.renewed_at_ms != before.renewed_at_ms:
                raise PeopleElsewhere(
                    f"The people of this world live at the node {having.node} already: start this one without "
                    "--people, and write to them from any node."
                )
            before = having
            await asyncio.sleep(LOOK_SECONDS)  # in real time, as it lives

    async def stop(self) -> None:
        """Leaves: its connections have ended."""
        await self.clock.stop()
        await self.others.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._store.leave()
            self.connections.outgoing.look = True
            await self._tell()
        finally:
            assert self._bus is not None
            await self._bus.close()

    @property
    def seat(self) -> int:
        """Its number, which no other node ever has."""
        return self._store.seat

    @property
    def turns(self) -> WorldTurns:
        """Its turns to do what one node at a time does."""
        return self._store

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        log_end(_log, f"{task.get_name()}: failed", task)

    # The entrance: see `Entrance`.

    async def open(self, facts: ConnectionFacts, client: ClientTraits) -> LiveConnection:
        """Registers a connection; replaces and ends the account's other one, at whatever node (CHN-11).

        Raises:
            Refusal: SERVER_DRAINING, STORAGE_UNAVAILABLE.
        """
        self._registry.check_open()
        account_id, token = facts.account.account_id, self._registry.new_token()
        self._claiming[account_id] += 1
        try:
            claimed = await self._store.claim(Claim(facts, hash_of(token), client.capabilities))
            passing("node.open")
            live = self._registry.open(facts, client, Admission(token, claimed.epoch))
            newest = self._seen.get(account_id, 0)
        finally:
            self._claiming[account_id] -= 1
            if not self._claiming[account_id]:
                del self._claiming[account_id]
                self._seen.pop(account_id, None)
        if claimed.refused is not None:
            live.end(claimed.refused)
        elif newest > claimed.epoch:
            live.end(Reason.CONNECTION_REPLACED)
        self.connections.tell_of_change()
        return live

    async def close(self, connection: LiveConnection) -> None:
        """Forgets a connection and kills its session token, here at once, elsewhere when it is told."""
        self._registry.close(connection)
        account = connection.account
        if not account.is_whatsapp:
            self._gone[account.account_id] = account
            self._gone.move_to_end(account.account_id)
            while len(self._gone) > _MOST_GONE:
                self._gone.popitem(last=False)
        try:
            passing("node.close")
            await self._store.close(account.account_id, connection.epoch)
        except Refusal:
            self._strays[account.account_id] = connection.epoch
        self.connections.tell_of_change()

    async def session(self, session_token: str) -> Session:
        """Returns the connection of a session, at whatever node.

        Raises:
            Refusal: SESSION_DEAD, STORAGE_UNAVAILABLE.
        """
        try:
            return self._registry.by_token(session_token)
        except Refusal:
            token_sha256 = hash_of(session_token)
            if (away := self.connections.by_token(token_sha256)) is not None:
                return away
            found = await self._store.find(token_sha256)
            if found is None or found.facts is None or found.seat == self._store.seat:
                raise
            self._must_look.set()  # what was found may be over: what is remembered comes with the news
            return Away(found, found.facts)

    # What it tells.

    async def _keep_telling(self) -> None:
        while True:
            await self._must_tell.wait()
            self._must_tell.clear()
            await self._note_observed()
            await self._tell()

    async def _note_observed(self) -> None:
        observed, self.connections.observed = self.connections.observed, []
        for account_id, closed_at_ms in observed:
            try:
                await self._store.observe_client(account_id, closed_at_ms)
            except Refusal as refusal:
                _log.warning("the state of an end client could not be noted: %s", refusal)
            self.connections.outgoing.look = True

    async def _tell(self) -> None:
        assert self._bus is not None
        for announcement in self.connections.outgoing.take():
            self._announced += 1  # also when it does not go out: then others find that they have missed something
            announcement.seat, announcement.number = self._store.seat, self._announced
            passing("node.tell")
            await self._bus.say(announcement.SerializeToString())

    # What it hears.

    def hear(self, said: bytes) -> None:
        """Takes in an announcement of another node; what is none is ignored."""
        try:
            announcement = bus_pb2.Announcement.FromString(said)
        except DecodeError:
            _log.warning("something on the bus is no announcement of a node: does another program use its subject?")
            return
        seat, number = announcement.seat, announcement.number
        if seat == self._store.seat:
            return
        before = self._heard.get(seat)
        if before is not None and number > before + 1:
            self._has_missed = True
        is_late = before is not None and number <= before
        self._heard[seat] = max(number, before or 0)
        if announcement.look or self._has_missed:
            self._must_look.set()
        self._wake(announcement.wakes)
        for few in announcement.few_prekeys:
            counts = PreKeyCounts(few.one_time, few.kem if few.HasField("kem") else None)
            self._registry.notify_prekeys_low(few.account_id, counts, kinds_from(few.few))
        for enough in announcement.enough_prekeys:
            self._registry.prekeys_refilled(enough.account_id, kinds_from(enough.enough))
        if not is_late:
            self._show(announcement.shown)

    def _wake(self, account_ids: Iterable[int]) -> None:
        for account_id in account_ids:
            # Whoever stored something did not know yet that the account had just gone.
            if not self._registry.wake(account_id) and (account := self._gone.get(account_id)) is not None:
                self._spawn(self._push(account, None), "push")

    def _show(self, shown: Iterable[bus_pb2.ShownIndicator]) -> None:
        for each in shown:
            try:
                stanza = stanza_pb2.Stanza.FromString(each.stanza)
                read = INDICATORS[stanza.WhichOneof("kind") or ""]
                _, indicator = read(stanza, each.sender_jid)
            except (DecodeError, KeyError, Refusal):  # a newer node may know more of them
                continue
            self._registry.show(each.account_id, each.sender_jid, indicator, each.expires_after_seconds)

    # What it looks at.

    async def _keep_living(self) -> None:
        while True:
            try:
                await self._live_on()
                await self._take_news()
            except Refusal as refusal:
                self._looks = 0
                _log.debug("what other nodes do cannot be seen: %s", refusal)
            await asyncio.sleep(LOOK_SECONDS)  # in real time: the database measures by its own clock who lives

    async def _keep_looking(self) -> None:
        while True:
            await self._must_look.wait()
            self._must_look.clear()
            try:
                await self._take_news()
            except Refusal as refusal:  # what lives on looks again
                _log.debug("what other nodes do cannot be seen: %s", refusal)

    async def _live_on(self) -> None:
        self._looks += 1
        passing("node.renew")
        if not await self._store.renew(self._announced):
            _log.error("the other nodes took this one for dead: its connections end, and their clients come back")
            self._looks = 0
            self._registry.send_away()
            await self._store.join_again()
            self.clock.arrive_again()
        if self._looks % _MAIL_LOOKS == 0:
            self._has_missed = True
        for account_id, epoch in list(self._strays.items()):
            await self._close_stray(account_id, epoch)
        if self._looks and self._looks % _BURY_LOOKS == 0:
            passing("node.bury")
            for account in await self._store.bury():
                if not account.is_whatsapp:
                    self._spawn(self._push_later(account), "push")
            self._spawn(self._take_over_clock(), "leads the clock")

    async def _take_over_clock(self) -> None:
        try:
            await self.clock.take_over()
        except Refusal as refusal:
            _log.debug("the clock could not be taken over: %s", refusal)

    async def _push_later(self, account: Account) -> None:
        """Pushes to somebody whose node has died, once it is known here that they are connected nowhere."""
        await self._take_news()
        await self._push(account, None)

    async def _close_stray(self, account_id: int, epoch: int) -> None:
        if account_id in self._claiming:
            return
        live = self._registry.of(account_id)
        if live is None or live.epoch != epoch:
            await self._store.close(account_id, epoch)
            self.connections.tell_of_change()
        self._strays.pop(account_id, None)

    async def _take_news(self) -> None:
        async with self._looking:  # what is older must not be taken in later
            await self._take_newer()

    async def _take_newer(self) -> None:
        news = await self._store.news(self._mark)
        self._mark = news.mark
        for connected in news.connections:
            account_id = connected.account_id
            if account_id in self._claiming:
                self._seen[account_id] = max(self._seen.get(account_id, 0), connected.epoch)
            if not self.connections.learn(connected):
                self._strays[account_id] = connected.epoch
        self.others.know(news.nodes)
        self._take_key_servers(news)
        self._compare(news)
        self.clock.learn(news.time)
        if self._has_missed:
            self._has_missed = False
            await self._look_for_mail()

    def _take_key_servers(self, news: News) -> None:
        for integrator, where in self._key_servers.items():
            if news.key_servers.get(integrator, where) != where:
                self._forget_key_set(integrator)
        self._key_servers = dict(news.key_servers)

    def _compare(self, news: News) -> None:
        """Finds out whether something that others have said was not heard, or one has gone with something unsaid."""
        others = {node.seat: node.announced for node in news.nodes if node.seat != self._store.seat}
        for seat, announced in others.items():
            if announced > self._heard.get(seat, 0):
                self._has_missed = True
                self._heard[seat] = announced
        for seat in self._heard.keys() - others.keys():
            del self._heard[seat]
            self._has_missed = True

    async def _look_for_mail(self) -> None:
        for account_id in await self._store.waiting(list(self._registry.connected())):
            self._registry.wake(account_id)
        gone, self._gone = self._gone, OrderedDict()
        for account_id, account in gone.items():
            if account_id not in self.connections.connected():
                self._spawn(self._push(account, None), "push")
