"""Every kind of stanza, in sealed frames of both sides' channels: answered as documented, and the channel goes on."""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from interop_api.v1 import stanza_pb2
from tests.bench.report import WrongAnswer
from tests.e2e.raw import RawStream
from tests.fuzz.campaign import Campaign
from tests.fuzz.line import Line
from tests.fuzz.messages import MessageWriter, delimited
from tests.fuzz.outcomes import Undocumented, check_item, read
from tests.fuzz.target import Target
from tests.fuzz.words import words_of

pytestmark = pytest.mark.requirement("SIM-01", "CHN-09")

KINDS = stanza_pb2.Stanza.DESCRIPTOR.oneofs_by_name["kind"].fields
UNKNOWN = frozenset({"STANZA_UNKNOWN"})
"""Allowed to every kind: it comes from the server only, or nobody knows it."""
MAX_FRAME_BYTES = 900_000


def frames(stanzas: Sequence[stanza_pb2.Stanza]) -> Iterator[list[stanza_pb2.Stanza]]:
    """Packs stanzas into as few frames as the limit on their size allows."""
    frame: list[stanza_pb2.Stanza] = []
    size = 0
    for stanza in stanzas:
        if frame and size + stanza.ByteSize() > MAX_FRAME_BYTES:
            yield frame
            frame, size = [], 0
        frame.append(stanza)
        size += stanza.ByteSize() + 8
    yield frame


def check_answers(sent: Sequence[stanza_pb2.Stanza], answers: Sequence[stanza_pb2.Stanza]) -> list[str]:
    """Asserts that what came back is an answer to each message, and at most one to anything else; all documented."""
    kind = sent[0].WhichOneof("kind")
    documented = read()[1].get(getattr(sent[0], kind).DESCRIPTOR.full_name, frozenset()) if kind else frozenset()
    acks = [ack for answer in answers for ack in answer.send_acks.acks]
    refused = [answer.stanza_refused for answer in answers if answer.HasField("stanza_refused")]
    outcomes = [check_item(refusal.error, documented | UNKNOWN) for refusal in refused]
    if kind == "message":
        assert [ack.id for ack in acks] == [stanza.message.id[:64] for stanza in sent]
        for ack in acks:
            assert ack.HasField("error") is not bool(ack.timestamp_ms), ack
            outcomes.append(check_item(ack.error, documented) if ack.HasField("error") else "OK")
    else:
        assert not acks
        assert len(refused) <= len(sent)
        outcomes += ["OK"] * (len(sent) - len(refused))
    return outcomes


async def fire(target: Target, campaign: Campaign, kind: FieldDescriptor | None, random: Random) -> None:
    """Fires one batch down the channels of both sides."""
    if any(line.has_ended for line in target.people.lines):
        await target.renew()
    writer = MessageWriter(random, words_of(target))

    def write() -> bytes:
        if kind is None:
            return delimited(29, b"") + writer.extra()
        return delimited(kind.number, writer.decodable(kind.message_type))

    written = campaign.new(write)
    stanzas = [stanza_pb2.Stanza.FromString(stanza) for stanza in written]
    for number, line in enumerate(target.people.lines):
        if kind is not None and kind.name == "client_closed":
            await _close_over_and_over(target, line, stanzas[number::2])
            campaign.outcomes["closed"] += len(stanzas[number::2])
            continue
        for frame in frames(stanzas):
            try:
                campaign.outcomes.update(check_answers(frame, await line.exchange(frame)))
            except (AssertionError, WrongAnswer, TimeoutError) as error:
                texts = [text_format.MessageToString(stanza, as_one_line=True)[:300] for stanza in frame]
                raise Undocumented(f"{error}\nafter, from {line.jid}:\n" + "\n".join(texts)) from error
    campaign.fired.update(written)


async def _close_over_and_over(target: Target, line: Line, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
    """Says on a connection of its own, each time, that the client has closed."""
    for stanza in stanzas:
        async with RawStream(target.endpoint.grpc) as stream:
            await stream.log_in(line.state.auth_private_key, target.login_of(line))
            await stream.send_stanzas(stanza)
            assert (await stream.ending()).reason == "OK"


@pytest.mark.parametrize("kind", [*KINDS, None], ids=lambda kind: kind.name if kind else "unknown")
def test_a_stanza_is_answered_as_documented(
    runner: asyncio.Runner, target: Target, campaign: Campaign, kind: FieldDescriptor | None
) -> None:
    """Messages by an ack or an error each, others by a refusal or not at all; nothing of it ends the channel."""
    campaign.run(lambda random: runner.run(fire(target, campaign, kind, random)))
