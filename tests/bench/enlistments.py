"""How many users a second can be enlisted, and how many identifiers a second resolved."""

import random
import statistics

import grpc.aio

from interop_api.v1 import enlistment_pb2, enlistment_pb2_grpc, interop_pb2, interop_pb2_grpc
from tests.bench.bare_client import CHANNEL_OPTIONS
from tests.bench.lean_client import LeanClient
from tests.bench.rates import CALLERS, SLICES, bare_call_rates, call_rates
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.testbed import INTEGRATOR, Applicant, Testbed

APPLICANTS = 2_400
NO_LIMITS = ("enlist_partner_burst=1000000000", "resolve_burst=1000000000")
"""One messenger enlists faster, and one user looks up more, than anybody may (ENL-17, OPT-09)."""
USERS_PER_CALL = 256
ANY_NUMBER = 1 << 30


async def measure_enlistments(settings: Settings) -> list[Figure]:
    """Enlists users who each have a token and keys of their own, made before the clock runs."""
    async with Testbed(settings.folder, NO_LIMITS) as testbed:
        enlister = _Enlister([testbed.applicant() for _ in range(APPLICANTS)])
        async with grpc.aio.insecure_channel(testbed.address, options=CHANNEL_OPTIONS) as channel:
            service = enlistment_pb2_grpc.EnlistmentServiceStub(channel)
            rates = await call_rates(lambda: enlister.enlist(service), settings.seconds, APPLICANTS)
        accounts = await testbed.stored("account")
    if not len(set(enlister.jids.values())) == len(enlister.jids) == accounts:
        raise WrongAnswer(f"{len(enlister.jids)} enlistments made {accounts} accounts")
    ceilings = await bare_call_rates(settings.folder, enlister.request_bytes, enlister.response_bytes, settings.seconds)
    note = f"a token and keys each, {CALLERS} calls at once, durable; median of {SLICES} slices; {accounts:,} enlisted"
    rate, ceiling = statistics.median(rates), statistics.median(ceilings)
    return [Figure("enlistments_per_second", rate, "enlistments/s", ceiling, note)]


async def measure_resolve(settings: Settings) -> list[Figure]:
    """Resolves identifiers chosen at random, then makes calls of the same size to a bare server."""
    async with Testbed(settings.folder, NO_LIMITS) as testbed:
        enlister = _Enlister([testbed.applicant() for _ in range(2 * USERS_PER_CALL)])
        async with grpc.aio.insecure_channel(testbed.address) as channel:
            service = enlistment_pb2_grpc.EnlistmentServiceStub(channel)
            for _ in range(2 * USERS_PER_CALL):
                await enlister.enlist(service)
        resolver = _Resolver(await testbed.whatsapp_user(), enlister.jids)
        rates = await call_rates(resolver.resolve, settings.seconds, ANY_NUMBER)
    ceilings = await bare_call_rates(settings.folder, resolver.request_bytes, resolver.response_bytes, settings.seconds)
    note = f"{USERS_PER_CALL} identifiers a call, {CALLERS} calls at once; median of {SLICES} slices"
    rate, ceiling = (USERS_PER_CALL * statistics.median(slices) for slices in (rates, ceilings))
    return [Figure("resolved_identifiers_per_second", rate, "identifiers/s", ceiling, note)]


class _Enlister:
    """Enlists one applicant after the other, and remembers the JID of each."""

    def __init__(self, applicants: list[Applicant]) -> None:
        self.jids: dict[str, str] = {}
        self.request_bytes = applicants[-1].request.ByteSize()
        self.response_bytes = 0
        self._applicants = iter(applicants)

    async def enlist(self, service: "enlistment_pb2_grpc.EnlistmentServiceAsyncStub") -> None:
        applicant = next(self._applicants)
        jid = await applicant.enlist(service)
        self.jids[applicant.user] = jid
        success = enlistment_pb2.EnlistSuccess(login=jid)
        self.response_bytes = enlistment_pb2.EnlistResponse(success=success).ByteSize()


class _Resolver:
    """A client that resolves identifiers and checks what comes back."""

    def __init__(self, client: LeanClient, jids: dict[str, str]) -> None:
        self.request_bytes = 0
        self.response_bytes = 0
        self._service = interop_pb2_grpc.InteropServiceStub(client.channel)
        self._metadata = client.metadata
        self._jids = jids
        self._users = list(jids)

    async def resolve(self) -> None:
        wanted = random.sample(self._users, USERS_PER_CALL)
        users = [interop_pb2.ExternalUser(external_id=user, integrator=INTEGRATOR) for user in wanted]
        request = interop_pb2.ResolveRequest(users=users)
        response = await self._service.Resolve(request, metadata=self._metadata)
        if [user.resolved.jid for user in response.users] != [self._jids[user] for user in wanted]:
            raise WrongAnswer("an identifier was resolved to somebody else, or to nobody")
        self.request_bytes, self.response_bytes = request.ByteSize(), response.ByteSize()
