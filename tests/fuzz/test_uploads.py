"""Uploads in any order of messages, good, hostile and broken: only documented answers, and no blob that is none."""

import asyncio
from random import Random

import pytest
from google.protobuf.descriptor import MethodDescriptor

from interop_api.v1 import media_pb2
from tests.fuzz.amount import BATCH
from tests.fuzz.campaign import Campaign
from tests.fuzz.messages import MessageWriter
from tests.fuzz.methods import CLIENT_METHODS
from tests.fuzz.outcomes import check_answer
from tests.fuzz.target import BLOB, Target
from tests.fuzz.words import words_of

pytestmark = pytest.mark.requirement("SIM-01", "MED-07")

[UPLOAD] = [method for method in CLIENT_METHODS if method.client_streaming and not method.server_streaming]


def messages(writer: MessageWriter, random: Random) -> list[bytes]:
    """What one upload sends: an announcement and chunks, as a rule; or anything else."""
    start = writer.payload(UPLOAD.input_type)
    if random.random() < 0.3:
        return [writer.payload(UPLOAD.input_type) for _ in range(random.randrange(5))]
    cut = random.randrange(len(BLOB) + 1)
    chunks = [media_pb2.UploadRequest(chunk=chunk).SerializeToString() for chunk in (BLOB[:cut], BLOB[cut:]) if chunk]
    if random.random() < 0.3:
        chunks.insert(random.randrange(len(chunks) + 1), writer.payload(UPLOAD.input_type))
    return [start, *chunks]


async def fire(target: Target, campaign: Campaign, method: MethodDescriptor, random: Random) -> None:
    """Fires one batch of uploads, from both sides."""
    if any(line.has_ended for line in target.people.lines):
        await target.renew()
    writer = MessageWriter(random, words_of(target))
    uploads = [messages(writer, random) for _ in range(BATCH)]
    lines = (target.people.whatsapp, target.people.whatsapp, target.people.third_party, None)
    calls = [(upload, lines[number % len(lines)]) for number, upload in enumerate(uploads)]
    answers = await asyncio.gather(*(target.call(method, upload, line) for upload, line in calls))
    for upload, answer in zip(uploads, answers, strict=True):
        try:
            campaign.outcomes[check_answer(method, answer)] += 1
        except AssertionError as error:
            error.add_note(" ".join(message[:500].hex() for message in upload))
            raise
        campaign.fired.add(b"|".join(upload))


def test_an_upload_answers_as_documented(runner: asyncio.Runner, target: Target, campaign: Campaign) -> None:
    """Whatever its messages are, and in whatever order they come."""
    campaign.run(lambda random: runner.run(fire(target, campaign, UPLOAD, random)))
