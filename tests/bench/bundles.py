"""How many prekey bundles a second can be taken."""

import os
import random
import statistics

from interop_api.v1 import prekeys_pb2, prekeys_pb2_grpc
from tests.bench.lean_client import LeanClient
from tests.bench.rates import CALLERS, SLICES, bare_call_rates, call_rates
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed

USERS = 60
KEYS_PER_USER = 2_000
JIDS_PER_CALL = 50
MAX_CALLS = 1_600
"""Keys must last: so many calls take 1,333 of each user's."""
NO_LIMITS = ("bundle_burst=1000000000", "bundle_target_burst=1000000000")
"""One taker takes one user's bundles far more often than anybody may (KEY-14)."""


async def measure_bundles(settings: Settings) -> list[Figure]:
    """Takes bundles of users chosen at random, then makes calls of the same size to a bare server."""
    async with Testbed(settings.folder, NO_LIMITS) as testbed:
        jids = [await publish(testbed) for _ in range(USERS)]
        taker = Taker(await testbed.whatsapp_user(), jids)
        rates = await call_rates(taker.take, settings.seconds, MAX_CALLS)
    ceilings = await bare_call_rates(settings.folder, taker.request_bytes, taker.response_bytes, settings.seconds)
    note = (
        f"{JIDS_PER_CALL} JIDs a call, {CALLERS} calls at once; median of {SLICES} slices; "
        f"all {len(taker.taken):,} one-time prekeys handed out once"
    )
    rate, ceiling = (JIDS_PER_CALL * statistics.median(slices) for slices in (rates, ceilings))
    return [Figure("bundles_per_second", rate, "bundles/s", ceiling, note)]


class Taker:
    """A client that takes bundles and checks that no one-time prekey comes twice.

    Args:
        client: Logged in.
        jids: Of users who have published keys.
        taken: The keys that were handed out; takers may share it.
    """

    def __init__(self, client: LeanClient, jids: list[str], taken: set[bytes] | None = None) -> None:
        self.taken: set[bytes] = set() if taken is None else taken
        self.request_bytes = 0
        self.response_bytes = 0
        self._service = prekeys_pb2_grpc.PreKeyServiceStub(client.channel)
        self._metadata = client.metadata
        self._jids = jids

    async def take(self) -> None:
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=random.sample(self._jids, JIDS_PER_CALL))
        response = await self._service.TakePreKeyBundles(request, metadata=self._metadata)
        if [result.jid for result in response.results] != list(request.jids):
            raise WrongAnswer("the results do not stand in the order of the request")
        for result in response.results:
            [bundle] = result.bundles
            if not bundle.HasField("one_time_prekey"):
                raise WrongAnswer(f"no one-time prekey, though {KEYS_PER_USER} a user were published: {result}")
            key = bundle.one_time_prekey.public_key
            if key in self.taken:
                raise WrongAnswer(f"a one-time prekey of {result.jid} was handed out twice")
            self.taken.add(key)
        self.request_bytes, self.response_bytes = request.ByteSize(), response.ByteSize()


async def publish(testbed: Testbed) -> str:
    client, keys = await testbed.third_party_user()
    for key_id in range(1, KEYS_PER_USER + 1):
        keys.one_time_prekeys.add(key_id=key_id, public_key=os.urandom(32))
    await prekeys_pb2_grpc.PreKeyServiceStub(client.channel).SetPreKeys(keys, metadata=client.metadata)
    return client.jid
