"""What people and the operator choose: it is as it was acked last (OPT-02, ABU-01, ENL-13, LIF-03, SIM-04)."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from interop_api.v1 import account_pb2, integrity_pb2, interop_pb2, stanza_pb2
from interop_client.whatsapp import TERMS_ID
from tests.chaos.people import INTEGRATOR, Broken, Person, Scene

_BLOCKABLE = [f"{INTEGRATOR}-{number}@interop" for number in range(90_000, 90_021)]


async def opt_in(person: Person) -> None:
    """Accepts the terms and turns on chats with the messenger; may be repeated."""
    for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
        terms = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
        await person.call("InteropService/RecordTerms", terms, interop_pb2.RecordTermsResponse)
    request = interop_pb2.OptInRequest(integrators=[INTEGRATOR])
    await person.call("InteropService/OptIn", request, interop_pb2.OptInResponse)


class Settings:
    """A WhatsApp user who changes one setting after the other. Each is as acked, or as in an unanswered change."""

    def __init__(self, person: Person, rng: random.Random) -> None:
        self._person = person
        self._rng = rng
        self._acked: dict[str, Any] = {}
        self._asked: dict[str, list[Any]] = {}
        """What it may be besides: changes that were not answered, since all was looked at."""
        self.pause_seconds = 0.0
        """Between two changes."""

    async def return_(self) -> None:
        """Connects."""
        await self._person.connect()
        if not self._acked:
            await opt_in(self._person)
            self._acked = await self._read()

    async def check(self) -> None:
        """Compares all settings with those acked."""
        found = await self._read()
        for name, value in found.items():
            if value != self._acked[name] and value not in self._asked.get(name, ()):
                raise Broken(f"{name} is {value}, was acked as {self._acked[name]}, and asked as {self._asked}")
        self._acked, self._asked = found, {}

    async def work(self) -> None:
        """Changes settings until the server is gone."""
        changes: list[Callable[[], tuple[str, Any, Awaitable[object]]]]
        changes = [self._set_mode, self._set_block, self._set_reach, self._set_opt_in]
        while True:
            name, value, change = self._rng.choice(changes)()
            self._asked.setdefault(name, []).append(value)
            await change
            self._asked[name].pop()
            self._acked[name] = value
            await asyncio.sleep(self.pause_seconds)

    async def close(self) -> None:
        """Ends the connection."""
        await self._person.close()

    def _set_mode(self) -> tuple[str, Any, Awaitable[object]]:
        mode = self._rng.choice([stanza_pb2.INBOX_MODE_SEPARATE, stanza_pb2.INBOX_MODE_COMBINED])
        request = interop_pb2.SetInboxModeRequest(inbox_mode=mode)
        return (
            "inbox mode",
            mode,
            self._person.call("InteropService/SetInboxMode", request, interop_pb2.SetInboxModeResponse),
        )

    def _set_block(self) -> tuple[str, Any, Awaitable[object]]:
        jid = self._rng.choice(_BLOCKABLE)
        blocks = not self._acked[f"blocked {jid}"]
        action = integrity_pb2.BLOCK_ACTION_BLOCK if blocks else integrity_pb2.BLOCK_ACTION_UNBLOCK
        request = integrity_pb2.UpdateBlocklistRequest(action=action, jid=jid)
        call = self._person.call("IntegrityService/UpdateBlocklist", request, integrity_pb2.UpdateBlocklistResponse)
        return f"blocked {jid}", blocks, call

    def _set_reach(self) -> tuple[str, Any, Awaitable[object]]:
        enabled = self._rng.random() < 0.5
        muted = [INTEGRATOR] if self._rng.random() < 0.5 else []
        request = interop_pb2.SetReachabilityRequest(enabled=enabled, muted_integrators=muted)
        call = self._person.call("InteropService/SetReachability", request, interop_pb2.SetReachabilityResponse)
        return "reachable", (enabled, muted), call

    def _set_opt_in(self) -> tuple[str, Any, Awaitable[object]]:
        if self._acked["opted in"]:
            out = interop_pb2.OptOutRequest(integrators=[INTEGRATOR])
            return "opted in", [], self._person.call("InteropService/OptOut", out, interop_pb2.OptOutResponse)
        request = interop_pb2.OptInRequest(integrators=[INTEGRATOR])
        call = self._person.call("InteropService/OptIn", request, interop_pb2.OptInResponse)
        return "opted in", [INTEGRATOR], call

    async def _read(self) -> dict[str, Any]:
        call = self._person.call
        interop = await call(
            "InteropService/GetInteropSettings",
            interop_pb2.GetInteropSettingsRequest(),
            interop_pb2.GetInteropSettingsResponse,
        )
        reach = await call(
            "InteropService/GetReachability", interop_pb2.GetReachabilityRequest(), interop_pb2.GetReachabilityResponse
        )
        blocked = await call(
            "IntegrityService/GetBlocklist", integrity_pb2.GetBlocklistRequest(), integrity_pb2.GetBlocklistResponse
        )
        return {
            "opted in": list(interop.integrators),
            "inbox mode": interop.inbox_mode,
            "reachable": (reach.enabled, list(reach.muted_integrators)),
            **{f"blocked {jid}": jid in blocked.jids for jid in {*_BLOCKABLE, *blocked.jids}},
        }


class Accounts:
    """People who enlist, and of whom every second one deletes the account again."""

    def __init__(self, stage: Scene) -> None:
        self._stage = stage
        self._alive: dict[str, Person] = {}
        self._unseen: list[str] = []
        """Enlisted since the last kill."""
        self._deleting: set[str] = set()
        """Whose deletion was not answered."""
        self._gone: list[tuple[str, str]] = []
        """Users deleted since the last kill, and the JIDs that they had."""
        self._former: set[str] = set()
        """JIDs of deleted accounts, which nobody gets again."""
        self.pause_seconds = 0.01
        """Between two enlistments."""
        self.most_who_stay = 1 << 30
        """When so many have stayed, all further ones delete their accounts."""
        self._staying = 0

    async def return_(self) -> None:
        """Does nothing: these people do not stay."""

    async def check(self) -> None:
        """Enlists again whoever was enlisted: that gives the same JID, and after a deletion another one."""
        for user in self._unseen:
            person = self._alive[user]
            told, now = person.jid, await person.enlist(user)
            if now != told and user not in self._deleting:
                raise Broken(f"{user} was enlisted as {told}, and is {now} now")
        for user, former in self._gone:
            person = await self._stage.third_party_user(user)
            self._former.add(former)
            if person.jid in self._former:
                raise Broken(f"{user}, who has deleted {former}, got {person.jid}, which somebody has had")
        self._unseen, self._deleting, self._gone = [], set(), []

    async def work(self) -> None:
        """Enlists and deletes until the server is gone."""
        while True:
            user = self._stage.new_user()
            self._alive[user] = await self._stage.third_party_user(user)
            self._unseen.append(user)
            if len(self._alive) % 2 or self._staying >= self.most_who_stay:
                await self._delete(user)
            else:
                self._staying += 1
            await asyncio.sleep(self.pause_seconds)

    async def close(self) -> None:
        """Does nothing."""

    async def _delete(self, user: str) -> None:
        person = self._alive[user]
        await person.connect()
        try:
            self._deleting.add(user)
            request = account_pb2.DeleteAccountRequest()
            await person.call("AccountService/DeleteAccount", request, account_pb2.DeleteAccountResponse)
            self._deleting.discard(user)
            self._unseen.remove(user)
            self._gone.append((user, person.jid))
        finally:
            await person.close()


class Operator:
    """Moves the clock, and looks at it: time never goes back, which `Stage.start` checks."""

    def __init__(self, stage: Scene) -> None:
        self._stage = stage
        self.step_ms = 1_500
        """How far time is moved at once."""
        self.is_resetting = False
        """Whether the operator has a clean world begin, once, when some time has passed."""
        self.pause_seconds = 0.1
        """Between two moves."""

    async def return_(self) -> None:
        """Nothing to do: the stage has the operator's connection."""

    async def check(self) -> None:
        """See `Stage.start`."""

    async def work(self) -> None:
        """Moves the clock until the server is gone; a reset is where it is to die."""
        while True:
            await asyncio.sleep(self.pause_seconds)
            moved = await self._stage.admin.advance_clock(self.step_ms)
            self._stage.note_time(moved.clock.now_ms)
            for _ in range(3):
                await asyncio.sleep(0.03)
                self._stage.note_time((await self._stage.admin.get_clock()).now_ms)
            if self.is_resetting:
                await self._stage.admin.reset(seconds=0)

    async def close(self) -> None:
        """Nothing to do."""
