"""What calls and connections leave behind: nothing that waits for the garbage collector.

The collector counts objects and not bytes, and looks at old ones seldom. What one call leaves for it (a request of a
megabyte, a connection of gRPC's) is kept until then, as often as a client likes to make such calls.
"""

import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import aiohttp
import grpc.aio
import pytest

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2, journal_pb2_grpc
from interop_api.v1 import integrity_pb2, media_pb2, media_pb2_grpc, prekeys_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.connection.transport import DirectTransport
from interop_client.errors import LoginRefused, ServerRefusal
from interopsim import ClientState, Endpoint, Simulator, WhatsAppClient
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import RawStream, check, refused

pytestmark = pytest.mark.requirement("SIM-06")

SERVER = "interop_server"
ROUNDS = 20
"""Of the event loop, after which whatever has ended is gone."""


class Home(NamedTuple):
    """A simulator in this process, and one user of it."""

    endpoint: Endpoint
    admin: AdminClient
    state: ClientState

    async def open(self, stream: RawStream) -> None:
        """Logs the user in."""
        await stream.log_in(self.state.auth_private_key, whatsapp_login(self.state.jid))


async def hang_up(home: Home) -> None:
    """Without a word."""
    async with RawStream(home.endpoint.grpc) as stream:
        await home.open(stream)


async def come_and_go(home: Home) -> None:
    """With the SDK, which says what it can do, and says that it goes."""
    async with WhatsAppClient.direct(home.endpoint, home.state) as ada:
        await ada.ping()
        await ada.get_settings()


async def be_replaced(home: Home) -> None:
    """By a newer login."""
    async with RawStream(home.endpoint.grpc) as one, RawStream(home.endpoint.grpc) as other:
        await home.open(one)
        await home.open(other)
        await one.check_ends("CONNECTION_REPLACED")


async def send_what_is_no_frame(home: Home) -> None:
    """After a login."""
    async with RawStream(home.endpoint.grpc) as stream:
        await home.open(stream)
        await stream.seal(b"no batch")
        await stream.check_ends("FRAME_MALFORMED")


async def be_silent(home: Home) -> None:
    """Until the server ends the connection."""
    async with RawStream(home.endpoint.grpc) as stream:
        await home.open(stream)
        await home.admin.advance_clock(3_600_000)
        await stream.check_ends("CONNECTION_SILENT")


async def be_refused(home: Home) -> None:
    """At the login."""
    with pytest.raises(LoginRefused):
        async with RawStream(home.endpoint.grpc) as stream:
            await stream.log_in(home.state.auth_private_key, whatsapp_login("31600000009@s.whatsapp.net"))


async def shake_no_hands(home: Home) -> None:
    """But send something else."""
    async with RawStream(home.endpoint.grpc) as stream:
        await stream.send(b"nothing")
        assert (await stream.ending()).reason != "OK"


async def call_in_vain(home: Home) -> None:
    """With a request that is refused after it was read, and parsed."""
    keys = [prekeys_pb2.OneTimePreKey(key_id=number + 1, public_key=b"") for number in range(100)]
    async with RawStream(home.endpoint.grpc) as stream:
        success = await stream.log_in(home.state.auth_private_key, whatsapp_login(home.state.jid))
        session = (("authorization", f"Bearer {success.session_token}"),)
        call = stream.grpc_channel.unary_unary("/interop_api.v1.PreKeyService/AddOneTimePreKeys")
        request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=keys).SerializeToString()
        for metadata in (session, ()):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(request, metadata=metadata)
        report = stream.grpc_channel.unary_unary("/interop_api.v1.IntegrityService/Report")
        for wrong in (integrity_pb2.ReportRequest(jid="x").SerializeToString(), b"\xff" * 10):
            with pytest.raises(grpc.aio.AioRpcError):
                await report(wrong, metadata=session)


async def call_what_is_not_there(home: Home) -> None:
    """A method that nobody knows."""
    async with grpc.aio.insecure_channel(home.endpoint.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/interop_api.v1.PreKeyService/Nothing")(b"")


async def ask_the_operator_in_vain(home: Home) -> None:
    """For somebody who is not there."""
    with refused("NOT_REGISTERED"):
        await home.admin.get_standing("31600000009@s.whatsapp.net")
    with pytest.raises(ServerRefusal):
        await home.admin.request_key_digest("nobody")


async def upload_and_download(home: Home) -> None:
    """Well, with fewer bytes than announced, and broken off in the middle."""
    content = os.urandom(200_000)
    async with WhatsAppClient.direct(home.endpoint, home.state) as ada:
        uploader = Uploader(ada)
        await uploader.grant()
        check(await uploader.refusal(uploader.start(content), chunk(content[:1_000])), "UPLOAD_LENGTH_MISMATCH")
        assert isinstance(ada.transport, DirectTransport)
        session = ada.transport._metadata
        async with grpc.aio.insecure_channel(home.endpoint.grpc) as channel:
            media = media_pb2_grpc.MediaServiceStub(channel)
            upload = media.Upload(metadata=session)
            await upload.write(uploader.start(content))
            await upload.write(chunk(content[:100_000]))
            path = await uploader.upload(uploader.start(content[:150_000]), chunk(content[:150_000]))
            upload.cancel()
            for wanted, is_read in ((path, True), (path, False), ("/no/such/path", True)):
                download = media.Download(media_pb2.DownloadRequest(direct_path=wanted), metadata=session)
                with suppress(grpc.aio.AioRpcError):
                    await download.read()
                    while is_read and await download.read() is not grpc.aio.EOF:
                        pass
                download.cancel()
    async with aiohttp.ClientSession(home.endpoint.http) as http:
        for wanted in (path, "/no/such/path"):
            async with http.get(wanted) as answer:
                await answer.content.readany()
        async with http.post("/3p/interop_reg", data={"token": "none"}) as answer:
            assert (await answer.json())["status"] == "fail"


async def look_on(home: Home) -> None:
    """At the journal, the trace and the clock, as long as somebody likes to."""
    async for _ in home.admin.read_trace(follow=True):
        break
    async with grpc.aio.insecure_channel(home.endpoint.admin) as channel:
        journal = journal_pb2_grpc.JournalServiceStub(channel)
        call = journal.ReadJournal(journal_pb2.ReadJournalRequest(follow=True))
        await call.read()
        call.cancel()
    async with grpc.aio.insecure_channel(home.endpoint.grpc) as channel:
        check_health = channel.unary_unary("/grpc.health.v1.Health/Check")
        await check_health(b"")
        with pytest.raises(grpc.aio.AioRpcError):
            await check_health(b"\xff" * 5_000)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        await watch.read()
        watch.cancel()


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """Tells, once the block has ended, what of the server's would have to be collected, by type or code."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        for each in gc.garbage:
            code = each.f_code if type(each).__name__ == "frame" else getattr(each, "cr_code", None)
            if code is not None and f"/{SERVER}/" in code.co_filename:
                found[code.co_qualname] += 1
            elif type(each).__module__.startswith(SERVER):
                found[type(each).__qualname__] += 1
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    "do",
    [
        hang_up, come_and_go, be_replaced, send_what_is_no_frame, be_silent, be_refused, shake_no_hands, call_in_vain,
        call_what_is_not_there, ask_the_operator_in_vain, upload_and_download, look_on,
    ],
)  # fmt: skip
async def test_nothing_of_the_server_waits_for_the_collector(do: Callable[[Home], Awaitable[None]]) -> None:
    """Whatever a client does, and however its call or connection ends."""
    async with Simulator(freeze_at="2026-01-01T00:00:00Z") as sim:
        state = ClientState.generate()
        state.jid = await sim.admin.put_whatsapp_user("+31600000001", state.auth_public_key)
        home = Home(sim.endpoint, sim.admin, state)
        await do(home)  # once before: what is made at its first use stays
        await _settle(sim)
        with garbage() as found:
            await do(home)
            await _settle(sim)
    assert not found, found


async def _settle(sim: Simulator) -> None:
    """Waits until the server knows nobody any more."""
    while await sim.admin.list_connections():
        pass
    for _ in range(ROUNDS):
        await sim.admin.get_clock()
