"""What the operator sees of the chat channels: every stanza, both ways, and nothing secret."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interop_api.admin.v1alpha1 import trace_pb2
from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.messaging.events import TextReceived
from interop_server.core.limits import Limits
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream, refused
from tests.e2e.wire import Wire, sealed_message

IN, OUT = trace_pb2.TRACE_DIRECTION_TO_SERVER, trace_pb2.TRACE_DIRECTION_TO_CLIENT
Responses = AsyncGenerator[trace_pb2.ReadTraceResponse, None]


@asynccontextmanager
async def following(world: World, **wanted: Any) -> AsyncIterator[Responses]:
    """Reads on from here: whatever happens in the block is recorded."""
    responses = world.admin.read_trace(follow=True, **wanted)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            assert not (await anext(responses)).HasField("entry")
        yield responses
    finally:
        await responses.aclose()


async def take_until(responses: Responses, kind: str) -> list[trace_pb2.TraceEntry]:
    """Takes entries up to and including the first of a kind."""
    taken: list[trace_pb2.TraceEntry] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for response in responses:
            taken.append(response.entry)
            if response.entry.kind == kind:
                return taken
    raise AssertionError("the stream has ended")


async def recorded(world: World, **wanted: Any) -> list[trace_pb2.TraceEntry]:
    """What is kept now."""
    return [each.entry async for each in world.admin.read_trace(**wanted) if each.HasField("entry")]


def content(entry: trace_pb2.TraceEntry) -> Any:
    return json.loads(entry.content_json)


async def test_a_channel_is_shown_from_its_handshake_on(world: World) -> None:
    """Each message both ways, in order, with sizes and the server's time, under the name of its account."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    async with following(world, jid=bob.jid) as responses, Wire(bob.transport) as wire:
        before_ms = (await world.admin.get_clock()).now_ms
        await wire.send(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=7)), stanza_pb2.Stanza(ref=2**63))
        entries = await take_until(responses, "pong")
        after_ms = (await world.admin.get_clock()).now_ms
        entries += await take_until(responses, "stanza_refused")
    assert [(entry.direction, entry.kind) for entry in entries] == [
        (IN, "client_hello"), (OUT, "server_hello"), (IN, "client_finish"), (IN, "login"), (OUT, "login_success"),
        (OUT, "offline_preview"), (OUT, "offline_end"), (IN, "ping"), (IN, "unknown"), (OUT, "pong"),
        (OUT, "stanza_refused"),
    ]  # fmt: skip
    assert {entry.jid for entry in entries} == {bob.jid}
    assert len({entry.connection for entry in entries}) == 1
    assert [entry.number for entry in entries] == sorted({entry.number for entry in entries})
    ping, unknown = entries[7:9]
    assert before_ms <= ping.at_ms <= after_ms
    assert (ping.size_bytes, ping.position, unknown.position) == (4, 1, 2)
    batch = stanza_pb2.Batch(stanzas=[{"ping": {"id": 7}}, {"ref": 2**63}])  # type: ignore[list-item]
    assert {ping.frame_bytes, unknown.frame_bytes} == {batch.ByteSize() + 16}
    assert (content(ping), content(unknown)) == ({"ping": {"id": "7"}}, {"ref": str(2**63)})
    assert [entry.frame_bytes for entry in entries[:4]] == [0] * 4
    assert len(content(entries[0])["ephemeral"]) == 64


async def test_nothing_secret_is_shown(world: World) -> None:
    """Neither the tokens of login and session, nor what people write, nor its ciphertext: their lengths, and hashes."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    async with following(world) as responses:
        async with Wire(bob.transport) as wire:
            token = wire.login.session_token
            await wire.send(sealed_message(alice.jid, "m1", b"\x01 not to be seen \x02"))
            await wire.take_until("send_acks")
        entries = [entry for entry in await take_until(responses, "send_acks") if entry.jid == bob.jid]
    shown = {entry.kind: content(entry) for entry in entries}
    assert shown["login"]["interop_data"]["token"].keys() == {"length", "sha256"}
    assert shown["login"]["interop_data"]["account_id"] in bob.jid
    assert shown["login_success"]["login_success"]["session_token"]["length"] == len(token)
    [enc] = shown["message"]["message"]["enc"]
    assert enc["ciphertext"].keys() == {"length", "sha256"}
    everything = "".join(str(entry) for entry in entries)
    assert token not in everything and "not to be seen" not in everything
    assert b"not to be seen".hex() not in everything


async def test_both_ends_of_a_message_are_seen(world: World) -> None:
    """The same ciphertext goes in at one channel and out at the other; the clients notice nothing."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    async with following(world) as responses:
        sent = await bob.send_text(alice.jid, "hello")
        await alice.wait_for(TextReceived)
        entries: list[trace_pb2.TraceEntry] = []
        while not any((each.direction, each.kind) == (OUT, "message") for each in entries):
            entries += await take_until(responses, "message")
    messages = {entry.direction: entry for entry in entries if entry.kind == "message"}
    assert (messages[IN].jid, messages[OUT].jid) == (bob.jid, alice.jid)
    went, came = (content(messages[way])["message"] for way in (IN, OUT))
    assert went["id"] == came["id"] == sent.id
    assert went["enc"][0]["ciphertext"] == came["enc"][0]["ciphertext"]


async def test_what_cannot_be_read_is_shown_as_that(world: World) -> None:
    """A handshake without a login, a refused one, a payload and a frame that are none: they are seen."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    async with following(world) as responses:
        async with RawStream(world.endpoint.grpc) as stream:
            with refused("LOGIN_MALFORMED"):
                await stream.shake_hands(bob.state.auth_private_key, b"\xff" * 20)
                await stream.read_login()
        entries = await take_until(responses, "login_failure")
        assert [entry.kind for entry in entries[-5:]] == [
            "client_hello", "server_hello", "client_finish", "malformed", "login_failure",
        ]  # fmt: skip
        assert {entry.jid for entry in entries[-5:]} == {""}
        assert content(entries[-2])["length"] == entries[-2].size_bytes == 20
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.log_in(bob.state.auth_private_key, await login_of(world, bob.jid))
            await stream.seal(b"\xff" * 30)
            await stream.check_ends("FRAME_MALFORMED")
        entries = await take_until(responses, "stream_error")
        [malformed] = [entry for entry in entries if entry.kind == "malformed"]
        assert (malformed.jid, malformed.size_bytes, malformed.frame_bytes) == (bob.jid, 30, 46)


async def login_of(world: World, jid: str) -> chat_pb2.LoginPayload:
    """A good login of a third-party user's."""
    account = int(jid.partition("-")[2].removesuffix("@interop"))
    data = chat_pb2.InteropData(account_id=account, token=world.partner.issue_token("bob").encode())
    return chat_pb2.LoginPayload(
        product=chat_pb2.PRODUCT_INTEROP,
        interop_data=data,
        protocol_version=1,
        connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
    )


async def test_nothing_is_recorded_while_nobody_follows(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """And what was recorded for a follower is gone with it."""
    async with own_world(tmp_path, signing_keys) as (world, _):
        bob = await world.third_party("bob", QUIET)
        [first] = [response async for response in world.admin.read_trace()]
        assert not first.is_kept and not first.HasField("entry")
        async with following(world):
            await bob.close()
            await bob.connect()
            assert await recorded(world, jid=bob.jid)
        async with asyncio.timeout(WAIT_SECONDS):
            while await recorded(world):  # until the server has noticed that its follower has gone
                await world.admin.get_clock()


async def test_the_trace_is_bounded_and_read_on_by_tokens(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Kept from the start, the newest; a reader is told what it missed, and too many readers are refused."""
    limits = Limits(trace_entries=4, trace_readers=1)
    async with own_world(tmp_path, signing_keys, limits, trace=True) as (world, _):
        await world.third_party("bob", QUIET)
        first, oldest, *rest = [response async for response in world.admin.read_trace()]
        assert first.is_kept
        assert (len(rest), oldest.missed) == (3, oldest.entry.number - 1)
        assert [each.entry.number for each in rest] == [oldest.entry.number + step for step in (1, 2, 3)]
        assert {each.entry.node for each in rest} == {"node-1"}
        read_on = await recorded(world, resume_token=rest[1].entry.resume_token)
        assert [entry.number for entry in read_on] == [rest[2].entry.number]
        journal_token = (await anext(world.admin.read_journal())).entry.resume_token
        for wrong in ("x", journal_token):
            with refused("REQUEST_MALFORMED", wrong):
                await recorded(world, resume_token=wrong)
        async with following(world):
            with refused("RATE_LIMITED"):
                await recorded(world)
