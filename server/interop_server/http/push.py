"""Tells partners' servers, over HTTP, that one of their users should connect; knows no message, sender or count."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from interop_server.core.errors import Refusal
from interop_server.core.limits import SECOND_MS
from interop_server.core.model import Partner, PartnerStatus
from interop_server.core.ports import Clock
from interop_server.fault_gate import FaultGate
from interop_server.http.outbound import UNREACHED, describe_failure, open_session, transport_errors
from interop_server.http.own_places import OwnPlaces

if TYPE_CHECKING:
    from aiohttp import ClientSession

T = TypeVar("T")
_log = logging.getLogger(__name__)


class TokenSigner(Protocol):
    """Signs the token of a push."""

    def sign(self, audience: str, issued_at: int) -> str:
        """Returns a token for one partner, by base URL; the time in seconds since the UNIX epoch."""
        ...


class PushTarget(NamedTuple):
    """The user that a push tells to connect."""

    integrator: int
    external_id: str


@dataclass(frozen=True, slots=True)
class PushPolicy:
    """The bounds of pushing; all policy (LIF-02)."""

    max_waiting: int = 10_000
    """Users with a push queued, in progress or to be retried; pushes for more users are dropped and counted."""
    concurrent_per_partner: int = 8
    """Concurrent requests to one partner, so that a slow partner delays only its own pushes."""
    retry_delays_seconds: tuple[float, ...] = (0.2, 1.0, 5.0, 30.0)
    """The wait before each retry; after the last retry the push fails."""
    storage_delays_seconds: tuple[float, ...] = (0.2, 1.0, 5.0, *(30.0,) * 20)
    """The wait before each further look at a database that is away; after the last, ten minutes on, the push fails."""
    timeout_seconds: float = 10.0
    """For one request."""
    merge_seconds: float = 1.0
    """After a push that arrived, what comes for the same user in this time makes one push together, at its end."""


class HttpPushGateway:
    """POSTs `{"to": …}` to partners' push URLs. Source: LIF-01, LIF-02; threat T10.

    Args:
        get_partner: Looks up a partner by integrator id.
        get_signer: Returns the signer; awaited only when there is something to push.
        clock: Dates tokens and paces retries.
        policy: The bounds of pushing.
        expect: Called with the task of each push, so that an advance of the clock waits for pushes in progress.
        own: Where nothing is pushed.
        gate: Whether anything gets there.
    """

    def __init__(  # noqa: PLR0913 - each is a port of its own
        self,
        get_partner: Callable[[int], Awaitable[Partner | None]],
        get_signer: Callable[[], Awaitable[TokenSigner]],
        clock: Clock,
        policy: PushPolicy | None = None,
        expect: Callable[[asyncio.Task[None]], None] | None = None,
        own: OwnPlaces | None = None,
        gate: FaultGate | None = None,
    ) -> None:
        self._gate = gate
        self._own = own or OwnPlaces()
        self._get_partner = get_partner
        self._get_signer = get_signer
        self._clock = clock
        self._policy = policy or PushPolicy()
        self._expect = expect or (lambda _: None)
        self._queue: asyncio.Queue[PushTarget] = asyncio.Queue()
        self._waiting: set[PushTarget] = set()
        self._requested: set[PushTarget] = set()
        self._resting: set[PushTarget] = set()
        self._again: set[PushTarget] = set()
        self._slots: dict[int, asyncio.Semaphore] = {}
        self._counters = {"push_sent": 0, "push_failed": 0, "push_dropped": 0, "push_coalesced": 0}

    def counters(self) -> dict[str, int]:
        """Returns how many pushes were sent, failed, dropped and coalesced so far, by name."""
        return dict(self._counters)

    def notify(self, integrator: int, external_id: str) -> None:
        """Queues a push; never waits, and merges it with one that waits, is sent or has just arrived (LIF-02)."""
        target = PushTarget(integrator, external_id)
        if target in self._waiting:
            self._counters["push_coalesced"] += 1
            if target in self._requested or target in self._resting:
                # The partner may have acted on the last request before this one came: send another one after it.
                self._again.add(target)
        elif len(self._waiting) - len(self._resting) >= self._policy.max_waiting:
            self._counters["push_dropped"] += 1
        else:
            self._waiting.add(target)
            self._queue.put_nowait(target)

    async def run(self) -> None:
        """Sends queued pushes until cancelled."""
        target = await self._queue.get()
        async with open_session(self._own, self._policy.timeout_seconds) as session, asyncio.TaskGroup() as deliveries:
            while True:
                # One task per target, at most `max_waiting`: a target that waits for its retry delays no other.
                self._expect(deliveries.create_task(self._deliver(session, target), name="push_retry"))
                target = await self._queue.get()

    async def _deliver(self, session: "ClientSession", target: PushTarget) -> None:
        try:
            partner = await self._patiently(lambda: self._get_partner(target.integrator))
            if partner is not None and partner.status is PartnerStatus.ACTIVE and partner.push_url:
                signer = await self._patiently(self._get_signer)
                is_sent = await self._try_and_retry(session, partner, target, signer)
                self._counters["push_sent" if is_sent else "push_failed"] += 1
                if is_sent:
                    await self._rest(target)
        except Refusal as refusal:
            self._counters["push_failed"] += 1
            _log.info("a push was given up: %s", refusal)
        except Exception:  # noqa: BLE001 - supervises: one push must not end the others
            self._counters["push_failed"] += 1
            _log.exception("a push failed unexpectedly")
        self._waiting.discard(target)
        if target in self._again:
            self._again.discard(target)
            self.notify(*target)

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """Returns what a push needs of the database; while that is away, looks again, later and later.

        Raises:
            Refusal: STORAGE_UNAVAILABLE, when it is away for too long.
        """
        for delay_seconds in self._policy.storage_delays_seconds:
            try:
                return await read()
            except Refusal as refusal:
                _log.debug("a push waits: %s", refusal)
            await self._clock.sleep(delay_seconds)
        return await read()

    async def _rest(self, target: PushTarget) -> None:
        self._resting.add(target)
        try:
            await self._clock.sleep(self._policy.merge_seconds)
        finally:
            self._resting.discard(target)

    async def _try_and_retry(
        self, session: "ClientSession", partner: Partner, target: PushTarget, signer: TokenSigner
    ) -> bool:
        for delay_seconds in self._policy.retry_delays_seconds:
            if await self._try(session, partner, target, signer):
                return True
            self._again.discard(target)  # the retry tells the partner anyway
            await self._clock.sleep(delay_seconds)
        return await self._try(session, partner, target, signer)

    async def _try(self, session: "ClientSession", partner: Partner, target: PushTarget, signer: TokenSigner) -> bool:
        slots = self._slots.setdefault(partner.integrator, asyncio.Semaphore(self._policy.concurrent_per_partner))
        async with slots:
            if self._gate is not None and self._gate.faults.is_on and not await self._reaches(self._gate, partner):
                return False
            token = signer.sign(partner.base_url, self._clock.now_ms() // SECOND_MS)
            self._requested.add(target)
            try:
                return await _post(session, partner.push_url, token, target.external_id)
            finally:
                self._requested.discard(target)

    async def _reaches(self, gate: FaultGate, partner: Partner) -> bool:
        is_reached = await gate.reaches("partner.push", partner.integrator)
        if not is_reached:
            _log.info("a push did not arrive: %s", UNREACHED)
        return is_reached


async def _post(session: "ClientSession", url: str, token: str, external_id: str) -> bool:
    try:
        async with session.post(
            url, json={"to": external_id}, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
        ) as response:
            if response.status == 200:
                return True
            _log.info("a partner answered a push with status %d", response.status)
    except transport_errors() as error:
        _log.info("a push did not arrive: %s", describe_failure(error))
    return False
