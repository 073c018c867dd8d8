"""Two nodes, one world: what guards people is counted over both, so that nobody gains by going to another."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from interop_api.v1 import integrity_pb2, interop_pb2, interop_pb2_grpc
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from interop_client.messaging.events import ConnectionLost
from interop_client.third_party import ThirdPartyClient
from interop_server.core.limit_facts import Scope
from interop_server.core.limits import LEAST_UPLOAD_BYTES, names_of
from partner_server import SigningKeys
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.nodes.conftest import Both, Nodes, at_both, two_nodes
from tests.e2e.nodes.test_connections import bearer, second_of
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message

CAPTCHA = integrity_pb2.CHALLENGE_OPTION_CAPTCHA
BURST = 2
AT_ONCE = 200
"""Calls that one account makes at each node: fewer than it may make there."""
LIMITS = {name: BURST for name in names_of(Scope.WORLD) if name.endswith("_burst")} | {
    "bundle_burst": 2 * BURST,
    "challenge_burst": 2 * BURST,
    "capped_until_ban": BURST,
    "new_chats": 0,
    "upload_burst": BURST * LEAST_UPLOAD_BYTES,
    "max_blob_bytes": LEAST_UPLOAD_BYTES,
}
"""Each of the shared ones lets through two; one that is met before another lets through more. That of uploads counts
bytes, so many for each at least."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def strict_nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """Two nodes that let through little, and nothing more in the time that a test takes."""
    rates = [name.replace("_burst", "_per_second") for name in LIMITS if name.endswith("_burst")]
    settings = [f"{name}={value}" for name, value in LIMITS.items()] + [f"{name}=1e-9" for name in rates]
    options = [part for setting in settings for part in ("--limit", setting)]
    async with two_nodes(tmp_path_factory.mktemp("strict"), options) as nodes:
        yield nodes


@pytest_asyncio.fixture
async def strict(strict_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> AsyncIterator[Both]:
    """A messenger in that world."""
    async with at_both(strict_nodes, signing_keys, tmp_path / "partner") as both:
        yield both


Attempt = Callable[[InteropClient], Awaitable[object]]


async def take_of_anybody(both: Both) -> Attempt:
    """Each time of somebody else, so that nobody is taken of too often."""
    people = iter([await both.here.whatsapp(options=QUIET) for _ in range(2 * BURST + 2)])
    return lambda client: client.take_prekey_bundle(next(people).jid)


async def take_of_one(both: Both) -> Attempt:
    alice = await both.here.whatsapp(options=QUIET)
    return lambda client: client.take_prekey_bundle(alice.jid)


async def look_up(_: Both) -> Attempt:
    async def resolve(client: InteropClient) -> None:
        if (reason := await refused(client.resolve("+4915100000000"))) != "RECIPIENT_NOT_REACHABLE":
            assert reason == "RATE_LIMITED"
            raise ServerRefusal(reason, "OPT-09")

    return resolve


async def report(both: Both) -> Attempt:
    eve = await both.here.whatsapp(options=QUIET)
    request = integrity_pb2.ReportRequest(
        jid=eve.jid,
        spam_flow=integrity_pb2.SPAM_FLOW_MESSAGE_MENU,
        messages=[integrity_pb2.ReportedMessage(message_id="never")],
    )
    return lambda client: client._call("IntegrityService/Report", request, integrity_pb2.ReportResponse)


async def enlist(both: Both) -> Attempt:
    async def enlist_again(client: InteropClient) -> None:
        assert isinstance(client, ThirdPartyClient)
        await client.enlist(both.here.partner.issue_token("bob"))

    return enlist_again


async def begin_challenge(_: Both) -> Attempt:
    async def begin(client: InteropClient) -> None:
        assert isinstance(client, ThirdPartyClient)
        await client.request_challenge()

    return begin


async def meet_challenge(_: Both) -> Attempt:
    async def meet(client: InteropClient) -> None:
        assert isinstance(client, ThirdPartyClient)
        challenge = await client.request_challenge()
        await client.answer_challenge(challenge.challenge_id, challenge.captcha_prompt[::-1], CAPTCHA)

    return meet


async def upload(_: Both) -> Attempt:
    async def upload_another(client: InteropClient) -> None:
        uploader, content = Uploader(client), os.urandom(8)
        await uploader.grant()
        await uploader.upload(uploader.start(content), chunk(content))

    return upload_another


ATTEMPTS: dict[str, Callable[[Both], Awaitable[Attempt]]] = {
    "bundle_burst": take_of_anybody,
    "bundle_target_burst": take_of_one,
    "challenge_burst": begin_challenge,
    "challenge_success_burst": meet_challenge,
    "enlist_identifier_burst": enlist,
    "report_burst": report,
    "resolve_burst": look_up,
    "upload_burst": upload,
}


@pytest.mark.requirement("KEY-14", "OPT-09", "ENL-17", "ABU-03", "ABU-06", "MED-07")
@pytest.mark.parametrize("name", ATTEMPTS)
async def test_who_goes_to_another_node_gains_nothing(strict: Both, name: str) -> None:
    """All of a burst is taken at one node, but for the last, which is there at the other; nothing more is at either."""
    attempt = await ATTEMPTS[name](strict)
    is_upload = name == "upload_burst"  # which is for WhatsApp users
    here = await (strict.here.whatsapp(options=QUIET) if is_upload else strict.here.third_party("bob", QUIET))
    left = BURST if is_upload else LIMITS[name] - (name == "enlist_identifier_burst")
    for _ in range(left - 1):
        await attempt(here)
    there = second_of(here, "bob", strict.there)
    await there.connect()
    await attempt(there)
    assert await refused(attempt(there)) == "RATE_LIMITED"
    again = second_of(here, "bob", strict.here)
    await again.connect()
    assert await refused(attempt(again)) == "RATE_LIMITED"


@pytest.mark.requirement("OPT-09")
async def test_of_many_at_once_the_burst_is_let_through(strict: Both) -> None:
    """At both nodes, in one session, all together: as many as one burst has, and not one more."""
    bob = await strict.here.third_party("bob", QUIET)
    await bob.close()
    user = interop_pb2.ExternalUser(external_id="+4915100000000")
    request = interop_pb2.ResolveRequest(users=[user])

    async def look_up_at(stub: interop_pb2_grpc.InteropServiceStub, token: str) -> str:
        try:
            await stub.Resolve(request, metadata=bearer(token))
        except grpc.aio.AioRpcError as error:
            return refusal_from_rpc_error(error).reason
        return "let through"

    async with Wire(bob.transport) as wire, AsyncExitStack() as stack:
        stubs = []
        for world in (strict.here, strict.there):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(world.endpoint.grpc))
            stubs.append(interop_pb2_grpc.InteropServiceStub(channel))
        asked = (look_up_at(stubs[number % 2], wire.login.session_token) for number in range(2 * AT_ONCE))
        assert Counter(await asyncio.gather(*asked)) == {"let through": BURST, "RATE_LIMITED": 2 * AT_ONCE - BURST}


@pytest.mark.requirement("ABU-05")
async def test_who_goes_on_beyond_the_cap_at_another_node_is_banned(strict: Both) -> None:
    """His attempts are counted over both; he is banned as if he had stayed."""
    people = [await strict.here.whatsapp(options=QUIET) for _ in range(BURST + 1)]
    here = await strict.here.third_party("bob", QUIET)
    for person in people[:-1]:
        assert await refused(here.send_encrypted(sealed_message(person.jid, "hi").message)) == "NEW_CHATS_CAPPED"
    there = second_of(here, "bob", strict.there)
    await there.connect()
    assert await refused(there.send_encrypted(sealed_message(people[-1].jid, "hi").message)) == "NEW_CHATS_CAPPED"
    assert (await there.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED"


@pytest.mark.requirement("SIM-07")
def test_every_rate_that_nodes_share_is_tried() -> None:
    """A new one has to be, too: it is shared because it says so, and because it is."""
    assert ATTEMPTS.keys() == {name for name in names_of(Scope.WORLD) if name.endswith("_burst")}
