"""Every RPC, with messages good, hostile and broken, with and without a session: only documented answers."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from tests.fuzz.campaign import Campaign
from tests.fuzz.line import Line
from tests.fuzz.messages import MessageWriter
from tests.fuzz.methods import ADMIN_METHODS, CLIENT_METHODS, message_class, path_of
from tests.fuzz.outcomes import check_answer
from tests.fuzz.target import Target
from tests.fuzz.words import words_of

pytestmark = pytest.mark.requirement("SIM-01")

CLOCK = "interop_api.admin.v1alpha1.ClockService"
RESET = "ResetWorld"
"""Takes no argument, and would take away what all others are fired at."""
STRANGERS: tuple[Sequence[str], ...] = (
    (),
    ("",),
    ("Bearer",),
    ("Bearer ",),
    ("bearer x",),
    ("Basic eDp5",),
    ("Bearer " + "A" * 4_000,),
    ("Bearer a b c", "Bearer d"),
    ("Bearer ' OR 1=1 --",),
    ("Bearer ~!@#$%^&*()",),
)
"""Values of the `authorization` header that belong to no session."""
METHODS = [
    method
    for method in (*CLIENT_METHODS, *ADMIN_METHODS)
    if not method.client_streaming and method.containing_service.full_name != CLOCK and method.name != RESET
]


def described(method: MethodDescriptor, payload: bytes) -> str:
    """What was sent, for people and for reproducing it."""
    try:
        text = text_format.MessageToString(message_class(method.input_type).FromString(payload), as_one_line=True)
    except DecodeError:
        text = "no message"
    return f"{path_of(method)} with {payload[:2_000].hex()} ({len(payload)} bytes): {text[:2_000]}"


async def fire(target: Target, campaign: Campaign, method: MethodDescriptor, random: Random) -> None:
    """Fires one batch, every message in the session of either side, some without."""
    if any(line.has_ended for line in target.people.lines):
        await target.renew()
    writer = MessageWriter(random, words_of(target))
    lines = (None,) if ".admin." in method.full_name else target.people.lines
    shots: list[tuple[bytes, Line | None, Sequence[str]]] = []
    for number, payload in enumerate(campaign.new(lambda: writer.payload(method.input_type))):
        shots += [(payload, line, ()) for line in lines]
        if lines[0] is not None and number % 8 == 0:
            shots.append((payload, None, random.choice(STRANGERS)))
    answers = await asyncio.gather(*(target.call(method, [payload], *who) for payload, *who in shots))
    if method.containing_service.name == "FaultService":
        await target.admin.clear_faults()  # or what comes next would be answered as the faults want
    for (payload, line, authorization), answer in zip(shots, answers, strict=True):
        try:
            campaign.outcomes[check_answer(method, answer)] += 1
        except AssertionError as error:
            session = line.jid if line else f"nobody, with {authorization!r}"
            error.add_note(f"{described(method, payload)}, in the session of {session}")
            raise
        campaign.fired.add(payload)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.containing_service.name}.{method.name}")
def test_a_call_answers_as_documented(
    runner: asyncio.Runner, target: Target, campaign: Campaign, method: MethodDescriptor
) -> None:
    """Whatever is sent, the answer is a response, or a documented reason with its details; the server goes on."""
    campaign.run(lambda random: runner.run(fire(target, campaign, method, random)))
