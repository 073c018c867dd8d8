"""One-time prekeys: what is acked is there, and none is handed out twice (KEY-05, KEY-06)."""

import asyncio
import os
from collections.abc import Sequence

from interop_api.v1 import prekeys_pb2 as pb
from interop_client.errors import refusal_from_stanza_error
from interop_protocol.xeddsa_keys import KEY_TYPE
from tests.chaos.people import Broken, Person, settle

ADDED_AT_ONCE = 10
TAKEN_PER_ROUND = 4
ENOUGH = 40


class PreKeys:
    """A third-party user who publishes one-time prekeys, and two people who take them."""

    def __init__(self, owner: Person, takers: Sequence[Person]) -> None:
        self._owner = owner
        self._takers = takers
        self._public: dict[int, bytes] = {}
        """All that were ever offered, by id."""
        self._left: set[int] = set()
        """Those that the server must have."""
        self._unsure: list[set[int]] = []
        """Those that it may have, as they were added: that was not answered."""
        self._taken: set[int] = set()
        self._unanswered = 0
        """Takes that may or may not have happened."""
        self._late = 0
        """Of those before the last check, the ones that may still happen."""
        self._is_set = False
        self.pause_seconds = 0.0
        """Between two rounds of takes."""

    async def return_(self) -> None:
        """Connects everybody."""
        for person in (self._owner, *self._takers):
            await person.connect()

    async def check(self) -> None:
        """Compares what the server has with what was acked and taken."""
        if not self._is_set:
            await self._publish()
            self._is_set = True
        digest = await self._owner.call("PreKeyService/GetKeyDigest", pb.GetKeyDigestRequest(), pb.GetKeyDigestResponse)
        held = set(digest.one_time_prekey_ids)
        if again := held & self._taken:
            raise Broken(f"prekeys {sorted(again)} were handed out, and are here again")
        if strange := held - self._left.union(*self._unsure):
            raise Broken(f"prekeys {sorted(strange)} were not offered, or were gone already")
        lost, unsure = self._left - held, self._unanswered + self._late
        if len(lost) > unsure:
            raise Broken(f"prekeys {sorted(lost)} are gone, and only {unsure} takes were not answered")
        for added in self._unsure:
            if held & added and len(added - held - self._taken) > self._unanswered:
                raise Broken(f"of prekeys {sorted(added)}, which were added together, some are here and some not")
        self._late = min(self._unanswered, unsure - len(lost)) if self._owner.stage.can_be_late else 0
        self._left, self._unsure, self._unanswered = held, [], 0

    async def work(self) -> None:
        """Adds and takes until the server is gone."""
        while True:
            if len(self._left) - self._unanswered < ENOUGH:
                await self._add()
            takes = [asyncio.create_task(self._take(taker)) for taker in self._takers for _ in range(TAKEN_PER_ROUND)]
            await settle(takes)
            await asyncio.sleep(self.pause_seconds)

    async def close(self) -> None:
        """Ends the connections."""
        for person in (self._owner, *self._takers):
            await person.close()

    async def _publish(self) -> None:
        keys = self._owner.state.signal.publishable
        signed = keys.signed_prekey
        request = pb.SetPreKeysRequest(
            registration_id=keys.registration_id,
            key_type=bytes((KEY_TYPE,)),
            identity_key=keys.identity_key,
            signed_prekey=pb.SignedPreKey(
                key_id=signed.key_id, public_key=signed.public_key, signature=signed.signature
            ),
            one_time_prekeys=self._new(ADDED_AT_ONCE),
        )
        self._unsure.append({key.key_id for key in request.one_time_prekeys})
        await self._owner.call("PreKeyService/SetPreKeys", request, pb.SetPreKeysResponse)
        self._left = self._unsure.pop()

    async def _add(self) -> None:
        added = self._new(ADDED_AT_ONCE)
        self._unsure.append({key.key_id for key in added})
        request = pb.AddOneTimePreKeysRequest(one_time_prekeys=added)
        await self._owner.call("PreKeyService/AddOneTimePreKeys", request, pb.AddOneTimePreKeysResponse)
        self._left |= self._unsure.pop()

    async def _take(self, taker: Person) -> None:
        self._unanswered += 1
        request = pb.TakePreKeyBundlesRequest(jids=[self._owner.jid])
        response = await taker.call("PreKeyService/TakePreKeyBundles", request, pb.TakePreKeyBundlesResponse)
        self._unanswered -= 1
        [result] = response.results
        if result.error.reason == "STORAGE_UNAVAILABLE" and self._owner.stage.may_refuse:
            raise refusal_from_stanza_error(result.error)
        if result.HasField("error") or not result.bundles[0].HasField("one_time_prekey"):
            raise Broken(f"no one-time prekey came although there were some: {result.error.reason}")
        prekey = result.bundles[0].one_time_prekey
        if prekey.key_id in self._taken:
            raise Broken(f"prekey {prekey.key_id} was handed out twice")
        if self._public.get(prekey.key_id) != prekey.public_key:
            raise Broken(f"prekey {prekey.key_id} was never offered")
        self._taken.add(prekey.key_id)
        self._left.discard(prekey.key_id)

    def _new(self, count: int) -> list[pb.OneTimePreKey]:
        first = len(self._public) + 1
        keys = {key_id: os.urandom(32) for key_id in range(first, first + count)}
        self._public |= keys
        return [pb.OneTimePreKey(key_id=key_id, public_key=public_key) for key_id, public_key in keys.items()]
