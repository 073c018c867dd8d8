"""What a client sends before, in and after the handshake, and in sealed frames: noise, cut off, spoilt, hostile."""

import asyncio
import os
from random import Random

import pytest
from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.errors import LoginRefused, ServerRefusal
from interop_protocol.noise import InitiatorHandshake
from tests.e2e.raw import RawStream
from tests.fuzz.amount import BATCH
from tests.fuzz.campaign import Campaign
from tests.fuzz.line import Line
from tests.fuzz.messages import MessageWriter
from tests.fuzz.outcomes import Undocumented, read
from tests.fuzz.target import Target
from tests.fuzz.words import words_of

pytestmark = pytest.mark.requirement("SIM-01", "CHN-01", "CHN-09")

CONNECT = "/interop_api.v1.ChatService/Connect"
MAX_FRAME_BYTES = 1 << 20
MAX_STANZAS = 1_024
TAG_BYTES = 16


def documented() -> frozenset[str]:
    """The reasons for which a chat channel may end."""
    return read()[0][CONNECT].whole - {"SERVER_FAULT"}


def allowed(refusal: ServerRefusal) -> str:
    """Returns the reason for which a channel ended, after making sure that it is a documented one."""
    if refusal.reason not in documented() | {"OK"}:
        raise Undocumented(f"the channel ended with {refusal}")
    return refusal.reason


def expected_end(plaintext: bytes) -> str | None:
    """The reason for which a frame with this plaintext ends its channel; None when the channel goes on."""
    if len(plaintext) + TAG_BYTES > MAX_FRAME_BYTES:
        return "FRAME_TOO_LARGE"
    try:
        stanzas = stanza_pb2.Batch.FromString(plaintext).stanzas
    except DecodeError:
        return "FRAME_MALFORMED"
    if not stanzas:
        return "FRAME_MALFORMED"
    if len(stanzas) > MAX_STANZAS:
        return "BATCH_TOO_LARGE"
    return "OK" if any(stanza.HasField("client_closed") for stanza in stanzas) else None


async def open_channel(target: Target, line: Line, stream: RawStream) -> None:
    """Logs in as one of the people, in place of the connection that there is."""
    await stream.log_in(line.state.auth_private_key, target.login_of(line))


async def fire_plaintexts(target: Target, campaign: Campaign, random: Random) -> None:
    """Seals one batch, each in a frame of a channel that lives as long as it may."""
    line = random.choice(target.people.lines)
    writer = MessageWriter(random, words_of(target))
    plaintexts = campaign.new(lambda: writer.payload(stanza_pb2.Batch.DESCRIPTOR))
    at = 0
    while at < len(plaintexts):
        async with RawStream(target.endpoint.grpc) as stream:
            await open_channel(target, line, stream)
            end = None
            while end is None and at < len(plaintexts):
                plaintext, at = plaintexts[at], at + 1
                end = expected_end(plaintext)
                await stream.seal(plaintext)
                if end is None:
                    ping = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=2**64 - at))
                    await stream.send_stanzas(ping)
                    # What was fired may hold pings, too: their pongs can come in the same frame as this one's.
                    while not any(each.pong.id == ping.ping.id for each in await stream.receive()):
                        pass
                elif (reason := allowed(await stream.ending())) != end:
                    raise Undocumented(f"{reason} in place of {end}: {plaintext[:1_000].hex()}")
                campaign.outcomes[end or "goes on"] += 1
                campaign.fired.add(plaintext)


async def fire_logins(target: Target, campaign: Campaign, random: Random) -> None:
    """Makes one batch of proper handshakes, with payloads of all kinds."""
    line = random.choice(target.people.lines)
    writer = MessageWriter(random, words_of(target))
    payloads = campaign.new(lambda: writer.payload(chat_pb2.LoginPayload.DESCRIPTOR))
    for payload in payloads:
        async with RawStream(target.endpoint.grpc) as stream:
            await stream.shake_hands(line.state.auth_private_key, payload)
            try:
                await stream.read_login()
                campaign.outcomes["OK"] += 1
            except LoginRefused as refusal:
                campaign.outcomes[allowed(refusal)] += 1
                assert refusal.code in (400, 401, 402, 403, 405, 406, 503), refusal.code
        campaign.fired.add(payload)


async def fire_requests(target: Target, campaign: Campaign, random: Random) -> None:
    """Sends one batch of anything in place of the first message, of the third, and of a sealed frame."""
    writer = MessageWriter(random, words_of(target))
    line = random.choice(target.people.lines)
    for number in range(BATCH):
        payload = writer.payload(chat_pb2.ConnectRequest.DESCRIPTOR)
        stage = ("first", "third", "later")[number % 3]
        async with RawStream(target.endpoint.grpc) as stream:
            if stage == "third":
                await stream.hello(InitiatorHandshake(os.urandom(32), os.urandom(32)))
            elif stage == "later":
                await open_channel(target, line, stream)
            await stream.send(payload)
            try:
                if stage == "first":
                    hello = await stream.read()
                    assert hello.handshake.HasField("server_hello")
                    campaign.outcomes["goes on"] += 1
                else:
                    campaign.outcomes[allowed(await stream.ending())] += 1
            except ServerRefusal as refusal:
                campaign.outcomes[allowed(refusal)] += 1
        campaign.fired.add(payload)


def test_a_plaintext_in_a_frame_ends_the_channel_or_does_not(
    runner: asyncio.Runner, target: Target, campaign: Campaign
) -> None:
    """Exactly when it is no batch, an empty one, or one that is too long; all others are answered stanza by stanza."""
    campaign.run(lambda random: runner.run(fire_plaintexts(target, campaign, random)))


def test_a_login_payload_is_accepted_or_refused_as_documented(
    runner: asyncio.Runner, target: Target, campaign: Campaign
) -> None:
    """In a stanza and in the status alike, with one of the codes that are observed on the wire."""
    campaign.run(lambda random: runner.run(fire_logins(target, campaign, random)))


def test_any_message_at_any_stage_ends_the_stream_as_documented(
    runner: asyncio.Runner, target: Target, campaign: Campaign
) -> None:
    """Before the handshake, in it, and in place of a frame."""
    campaign.run(lambda random: runner.run(fire_requests(target, campaign, random)))
