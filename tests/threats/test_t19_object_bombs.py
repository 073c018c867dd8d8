"""T19: requests and frames that are small on the wire, and large once objects are made of them."""

import asyncio
import os
from collections import Counter

import grpc.aio
import pytest

from interop_api.v1 import prekeys_pb2, stanza_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.errors import refusal_from_rpc_error
from interop_demo.processes import Child
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, RawStream
from tests.threats.bystanders import MIB, bystanders, peak_bytes
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T19"), pytest.mark.requirement("SIM-06", "CHN-09")]

BOMB_BYTES = 16_000_000
CALLS = 1_500
AT_ONCE = 20
"""How many the attacker has under way, for the attacker's own memory."""
REFUSED_CALLS, FIRST_CALLS = 60, 5
MOST_LEFT_BYTES = 20 * MIB
"""How much more memory the later ones may take up than the first: each makes more than a megabyte of objects."""
LISTS = {
    "IntegrityService/Report": b"\x1a\x00",
    "PreKeyService/SetPreKeys": b"\x2a\x00",
    "PreKeyService/AddOneTimePreKeys": b"\x0a\x00",
    "PreKeyService/TakeMissingPreKeyBundles": b"\x0a\x00",
    "InteropService/Resolve": b"\x0a\x00",
}
"""By method: an empty element of its list."""


async def reasons_of(address: str, metadata: tuple[tuple[str, str], ...], count: int, size: int) -> Counter[str]:
    """What becomes of so many calls with bombs of a size."""
    reasons: Counter[str] = Counter()
    slots = asyncio.Semaphore(AT_ONCE)
    async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:

        async def call(method: str, element: bytes) -> None:
            async with slots:
                try:
                    stub = channel.unary_unary(f"/interop_api.v1.{method}")
                    await stub(element * (size // len(element)), metadata=metadata, timeout=100)
                except grpc.aio.AioRpcError as error:
                    reasons[refusal_from_rpc_error(error).reason] += 1

        kinds = list(LISTS.items())
        await asyncio.gather(*(call(*kinds[number % len(kinds)]) for number in range(count)))
    return reasons


async def test_empty_elements_cost_nothing(world: World, simulator_process: Child, attack: Attack) -> None:
    """Without a session the request is not received; with one it is measured and counted before it is parsed."""
    attack.tries(f"{CALLS} calls with lists of empty messages, 1 MB and 16 MB each, with a session and without")
    async with whatsapp_crowd(world, 1) as [user], bystanders(world, simulator_process.pid, attack):
        address = world.endpoint.grpc
        strangers = await reasons_of(address, (), CALLS // 2, 60_000)
        large_strangers = await reasons_of(address, (), 4, BOMB_BYTES)
        users = await reasons_of(address, user.metadata, CALLS // 2, 60_000)
        large = await reasons_of(address, user.metadata, 10, BOMB_BYTES)
    assert set(strangers) == set(large_strangers) == {"SESSION_REQUIRED"}
    assert set(users) == {"TOO_MANY_ITEMS"} or set(users) == {"TOO_MANY_ITEMS", "RATE_LIMITED"}, users
    assert set(large) == {"REQUEST_MALFORMED"}, large
    attack.holds("SESSION_REQUIRED before it is received; TOO_MANY_ITEMS or REQUEST_MALFORMED before it is parsed")


async def test_a_refused_request_is_let_go(world: World, simulator_process: Child, attack: Attack) -> None:
    """Of 18,000 keys the last is none: the rest were parsed for nothing, and are gone with the answer."""
    attack.tries(f"{REFUSED_CALLS} requests of 18,000 prekeys, of which the last is none")
    keys = [prekeys_pb2.OneTimePreKey(key_id=number + 1, public_key=os.urandom(32)) for number in range(18_000)]
    keys[-1].public_key = b""
    request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=keys).SerializeToString()
    async with whatsapp_crowd(world, 1) as [user], bystanders(world, simulator_process.pid, attack):
        async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
            call = channel.unary_unary("/interop_api.v1.PreKeyService/AddOneTimePreKeys")
            for number in range(REFUSED_CALLS):
                if number == FIRST_CALLS:
                    before = peak_bytes(simulator_process.pid)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(request, metadata=user.metadata, timeout=100)
                assert refusal_from_rpc_error(refused.value).reason == "KEY_MALFORMED"
        grown = peak_bytes(simulator_process.pid) - before
    assert grown < MOST_LEFT_BYTES, f"{grown // MIB} MiB"
    attack.holds(f"The server takes up {grown // MIB} MiB more after {REFUSED_CALLS} than after {FIRST_CALLS}")


async def test_a_frame_of_empty_stanzas_ends_its_channel(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """Half a million stanzas, and half a million ciphertexts in one message."""
    attack.tries("Frames of a megabyte that hold half a million empty stanzas, or one message with as many ciphertexts")
    alice = await world.whatsapp(options=QUIET)
    await alice.close()
    message = stanza_pb2.Message(id="a", enc=[stanza_pb2.Enc()] * 500_000)
    inside = stanza_pb2.Batch(stanzas=[stanza_pb2.Stanza(message=message)]).SerializeToString()
    async with bystanders(world, simulator_process.pid, attack):
        for plaintext, reason in ((b"\x0a\x00" * 500_000, "BATCH_TOO_LARGE"), (inside, "FRAME_MALFORMED")):
            async with RawStream(world.endpoint.grpc) as stream:
                await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
                await stream.seal(plaintext)
                await stream.check_ends(reason)
    attack.holds("BATCH_TOO_LARGE and FRAME_MALFORMED: counted in the bytes, before anything is made of them")
