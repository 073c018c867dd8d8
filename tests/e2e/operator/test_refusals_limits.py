"""Limits that take long to reach, at simulators of their own: the limits are small, or time is moved by hand."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from interop_api.v1 import media_pb2, stanza_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from interop_protocol.endpoint import Endpoint
from interop_protocol.noise import InitiatorHandshake
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.core.limits import Limits
from interop_server.rpc import interceptor, media
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.media.test_refusals_downloads import download
from tests.e2e.media.test_refusals_uploads import CONTENT, Uploader, chunk
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream, case, check, no_trace, refused
from tests.e2e.wire import Wire, sealed_message
from tests.evidence import new_journal

DAY_MS = 24 * 3_600 * 1_000
FREE_PORT = "127.0.0.1:0"


@asynccontextmanager
async def own_world(
    folder: Path,
    keys: SigningKeys,
    limits: Limits | None = None,
    clock: AdjustableClock | None = None,
    trace: bool = False,
) -> AsyncIterator[tuple[World, Simulator]]:
    """A world in a simulator of its own, in this process; its messenger goes by the same clock."""
    db, journal = folder / "simulator.db", new_journal()
    config = Config(
        FREE_PORT, FREE_PORT, FREE_PORT, db, journal=journal, limits=limits or Limits(), grace_seconds=0.5, trace=trace
    )
    clock = clock or AdjustableClock()
    simulator = Simulator(config, clock)
    addresses = await simulator.start()
    try:
        endpoint = Endpoint(addresses.grpc, addresses.root_public_key, addresses.http, addresses.admin)
        async with open_world(endpoint, keys, folder / "partner", lambda: clock.now_ms() / 1_000) as world:
            yield world, simulator
    finally:
        await simulator.stop()


@pytest.mark.requirement("CHN-01")
async def test_a_handshake_that_takes_too_long_is_ended(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Who says nothing, and who stops half-way, holds no stream open (CHN-01)."""
    async with (
        own_world(tmp_path, signing_keys, Limits(handshake_seconds=1)) as (world, _),
        RawStream(world.endpoint.grpc) as silent,
        RawStream(world.endpoint.grpc) as half_way,
    ):
        await half_way.hello(InitiatorHandshake(os.urandom(32), os.urandom(32)))
        for name, stream in (("silent", silent), ("half-way", half_way)):
            with case(name):
                ending = await stream.ending()
                check(ending, "HANDSHAKE_TIMEOUT")
                assert ending.retry_after_ms == Limits().reconnect_ms


@pytest.mark.requirement("CHN-01", "SIM-06", "SIM-07")
async def test_what_is_left_open_takes_a_seat(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """A handshake until it is over, and a reader of the journal as long as it reads: one too many is refused."""
    limits = Limits(address_handshakes=1, journal_readers=1)
    async with own_world(tmp_path, signing_keys, limits) as (world, _):
        reader = world.admin.read_journal(follow=True)
        await anext(reader)
        with refused("RATE_LIMITED"):
            await anext(world.admin.read_journal())
        await reader.aclose()
        async with RawStream(world.endpoint.grpc) as first:
            await first.hello(InitiatorHandshake(os.urandom(32), os.urandom(32)))
            async with RawStream(world.endpoint.grpc) as second:
                # It says nothing: gRPC forgets why a call was refused that is written to just then.
                check(await second.ending(), "RATE_LIMITED")
            await first.end()
            await first.ending()
        alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
        assert await alice.count_prekeys() == await bob.count_prekeys() > 0


@pytest.mark.requirement("SIM-06")
async def test_a_request_that_does_not_come_is_refused(
    tmp_path: Path, signing_keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time, which is shorter here; its seat is free again."""
    monkeypatch.setattr(interceptor, "REQUEST_SECONDS", 0.2)
    async with own_world(tmp_path, signing_keys, Limits(account_calls=1)) as (world, _):
        bob = await world.third_party("bob", QUIET)
        await bob.close()
        async with Wire(bob.transport) as wire, grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
            metadata = (("authorization", f"Bearer {wire.login.session_token}"),)
            for _ in range(2):
                call = channel.stream_stream("/interop_api.v1.PreKeyService/CountOneTimePreKeys")(metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await call.read()
                refusal = refusal_from_rpc_error(raised.value)
                assert (refusal.reason, refusal.requirement) == ("REQUEST_MALFORMED", "SIM-06")


@pytest.mark.requirement("ABU-01")
async def test_a_full_blocklist_takes_nobody_more(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Until somebody is taken off it; who is on it can be blocked again (ABU-01)."""
    async with own_world(tmp_path, signing_keys, Limits(max_blocked=2)) as (world, _):
        alice = await world.whatsapp_device(QUIET)
        await alice.connect()
        first, second, third = (f"{world.integrator}-1000000000000{number}@interop" for number in range(1, 4))
        await alice.block(first)
        await alice.block(second)
        with refused("QUOTA_EXCEEDED"):
            await alice.block(third)
        await alice.block(second)
        await alice.unblock(first)
        await alice.block(third)
        assert await alice.get_blocklist() == sorted([second, third])


@pytest.mark.requirement("CHN-12")
async def test_a_silent_connection_is_ended(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """After 180 seconds in which nothing came; whatever came starts them anew (CHN-12)."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, clock=clock) as (world, _):
        alice = await world.whatsapp_device(QUIET)
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
            await clock.advance(179_000)
            await stream.send_stanzas(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1)))
            await stream.receive_kind("pong")
            await clock.advance(179_000)
            await stream.send_stanzas(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=2)))
            await stream.receive_kind("pong")
            assert [connection.jid for connection in await world.admin.list_connections()] == [alice.jid]
            await clock.advance(180_000)
            assert await world.admin.list_connections() == []
            await stream.check_ends("CONNECTION_SILENT")


async def test_a_stopping_server_says_so(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Who is connected is told to come back (CHN-10)."""
    async with own_world(tmp_path, signing_keys) as (world, simulator):
        alice = await world.whatsapp_device(QUIET)
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
            await stream.receive_kind("offline_end")
            await simulator.stop()
            ending = await stream.check_ends("SERVER_DRAINING")
            assert ending.retry_after_ms == Limits().reconnect_ms


@pytest.mark.requirement("MSG-11")
async def test_a_full_mailbox_takes_no_more(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """By number or by size, within one batch too; the sender is told when to try again (MSG-11)."""
    limits = Limits(max_mailbox_items=3, max_mailbox_bytes=1_000)
    async with own_world(tmp_path, signing_keys, limits) as (world, _):
        bob = await world.third_party("bob", QUIET)
        for size, fits in ((10, 3), (400, 2)):
            alice = await world.whatsapp(options=QUIET)
            await alice.close()
            for number in range(fits):
                await bob.send_encrypted(sealed_message(alice.jid, f"{size}-{number}", bytes(size)).message)
            async with no_trace(world.admin):
                with case(f"{fits} of {size} bytes"), pytest.raises(ServerRefusal) as raised:
                    await bob.send_encrypted(sealed_message(alice.jid, f"{size}-more", bytes(size)).message)
            check(raised.value, "MAILBOX_FULL")
            assert raised.value.retry_after_ms == limits.mailbox_full_retry_ms


@pytest.mark.requirement("MSG-11")
async def test_who_sends_too_fast_is_slowed_down(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """To one recipient; others still get their messages, and so does that one from others (MSG-11)."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    limits = Limits(send_burst=5, send_per_second=0.01)
    async with own_world(tmp_path, signing_keys, limits, clock) as (world, _):
        alice, other = await world.whatsapp(options=QUIET), await world.whatsapp(options=QUIET)
        bob, carol = await world.third_party("bob", QUIET), await world.third_party("carol", QUIET)
        for number in range(5):
            await bob.send_encrypted(sealed_message(alice.jid, f"m{number}").message)
        with pytest.raises(ServerRefusal) as raised:
            await bob.send_encrypted(sealed_message(alice.jid, "m5").message)
        check(raised.value, "RATE_LIMITED")
        assert raised.value.retry_after_ms is not None and 99_000 < raised.value.retry_after_ms < 101_000
        await bob.send_encrypted(sealed_message(other.jid, "m6").message)
        await carol.send_encrypted(sealed_message(alice.jid, "m0").message)
        await clock.advance(raised.value.retry_after_ms)
        await bob.send_encrypted(sealed_message(alice.jid, "m5").message)


@pytest.mark.requirement("MED-07")
async def test_who_uploads_too_much_waits(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Until there is room again; others upload meanwhile, and what is stored stays (MED-07)."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    limits = Limits(max_blob_bytes=100_000, upload_burst=100_000, upload_per_second=100.0, silent_seconds=10**9)
    async with own_world(tmp_path, signing_keys, limits, clock) as (world, _):
        first = await world.whatsapp(options=QUIET)
        alice, other = Uploader(first), Uploader(await world.whatsapp(options=QUIET))
        await alice.grant(), await other.grant()
        path, large = await alice.upload(alice.start(), chunk(CONTENT)), os.urandom(100_000)
        async with no_trace(world.admin):
            refusal = await alice.refusal(alice.start(large), chunk(large))
        check(refusal, "RATE_LIMITED")
        assert refusal.retry_after_ms is not None and 645_000 < refusal.retry_after_ms < 656_000
        await other.upload(other.start(large), chunk(large))
        await clock.advance(refusal.retry_after_ms)
        await alice.upload(alice.start(large), chunk(large))
        assert await download(first, path) == CONTENT


@pytest.mark.requirement("MED-04", "MED-05")
async def test_what_has_expired_is_said_to_have(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """A permission to upload after an hour, a blob after 30 days: not as if it had never been (MED-04, MED-05)."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, Limits(silent_seconds=10**9), clock) as (world, _):
        client = await world.whatsapp(options=QUIET)
        alice = Uploader(client)
        await alice.grant()
        path = await alice.upload(alice.start(), chunk(CONTENT))
        await clock.advance(3_600_000)
        with refused("UPLOAD_AUTH_INVALID"):
            await alice.upload(alice.start(), chunk(CONTENT))
        assert await download(client, path) == CONTENT
        await clock.advance(30 * DAY_MS)
        with refused("BLOB_EXPIRED"):
            await download(client, path)


@pytest.mark.requirement("MED-07")
async def test_an_upload_that_falls_silent_is_broken_off(
    tmp_path: Path, signing_keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends nothing holds neither a stream nor the blob; what came is kept, and the upload goes on (MED-07)."""
    monkeypatch.setattr(media, "STALL_SECONDS", 0.2)
    async with own_world(tmp_path, signing_keys) as (world, _):
        alice = Uploader(await world.whatsapp(options=QUIET))
        await alice.grant()

        async def falling_silent(*requests: media_pb2.UploadRequest) -> AsyncIterator[media_pb2.UploadRequest]:
            for request in requests:
                yield request
            await asyncio.Event().wait()

        async with asyncio.timeout(WAIT_SECONDS):
            with refused("REQUEST_MALFORMED", "from the start"):
                await alice.transport.upload(falling_silent())
            with refused("UPLOAD_LENGTH_MISMATCH", "half-way"):
                await alice.transport.upload(falling_silent(alice.start(), chunk(CONTENT[:1_000])))
        assert (await alice.status()).committed_bytes == 1_000
        assert await alice.upload(alice.start(offset=1_000), chunk(CONTENT[1_000:]))


@pytest.mark.requirement("ENL-03")
async def test_key_sets_are_fetched_again_on_a_timer(tmp_path: Path) -> None:
    """A key that its messenger has withdrawn verifies no longer, without anybody asking for it (ENL-03)."""
    clock, keys, limits = AdjustableClock(time.time_ns() // 1_000_000), await asyncio.to_thread(SigningKeys), Limits()
    async with own_world(tmp_path, keys, limits, clock) as (world, _):
        bob = world.device("bob")
        token = world.partner.issue_token("bob")
        await asyncio.to_thread(lambda: keys.rotate(keep_old=False))
        await bob.enlist(token)
        await clock.advance(limits.jwks_refresh_seconds * 1_000)
        with refused("TOKEN_KEY_UNKNOWN"):
            await bob.enlist(token)
