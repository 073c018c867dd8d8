"""The comparison of transcripts finds what differs, and nothing but that: checked on made-up runs and on a real one."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.errors import LoginRefused, ServerRefusal
from interop_client.messaging.events import ReceiptReceived
from partner_server import SigningKeys
from tests.e2e.connection.test_direct_against_proxy import Stage, seen_in
from tests.e2e.connection.transcripts import Seen, Transcript, differences

START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Run:
    """What differs between two runs of a made-up conversation."""

    jids: tuple[str, str] = ("17-1@interop", "491@s.whatsapp.net")
    ids: tuple[str, str] = ("a-1", "a-2")
    start_ms: int = START_MS
    took_ms: int = 7
    request_id: str = "00"
    advice: str = "Slow down"
    texts: tuple[str, ...] = ("Hello", "World")
    ciphertext: bytes = b"sealed"
    is_read: bool = True
    who: str = "Alice"
    step: str = "hello"

    def seen(self) -> Seen:
        transcript = Transcript(self.start_ms)
        bob, alice = self.jids
        with transcript.step(self.step):
            for message_id, text in zip(self.ids, self.texts, strict=False):
                at_ms = self.start_ms + self.took_ms
                enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=self.ciphertext)
                message = stanza_pb2.Message(id=message_id, to_jid=alice, timestamp_ms=at_ms, enc=[enc])
                transcript.add(self.who, "message", message)
                event = {"sender": bob, "id": message_id, "timestamp_ms": at_ms, "text": text, "reply_to": self.ids[0]}
                transcript.add(self.who, "TextReceived", event)
            receipt = ReceiptReceived(alice, self.is_read, self.ids, self.start_ms)
            transcript.add("Bob", "ReceiptReceived", receipt)
        with transcript.step("and then"):
            refusal = ServerRefusal("RATE_LIMITED", "MSG-11", f"{self.advice}, {bob}", 500, self.request_id, code=503)
            transcript.add("Bob", "text", {"type": "LoginRefused", **vars(LoginRefused(refusal))})
        return transcript.normalised()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Run(), id="nothing"),
        pytest.param(Run(jids=("18-999@interop", "33600000001@s.whatsapp.net")), id="JIDs"),
        pytest.param(Run(ids=("zz-7", "b-100")), id="message ids"),
        pytest.param(Run(start_ms=START_MS + 86_400_000), id="the day"),
        pytest.param(Run(request_id="ffff"), id="request id"),
        pytest.param(Run(ciphertext=b"other bytes, other length"), id="ciphertext"),
    ],
)
def test_what_means_nothing_makes_no_difference(other: Run) -> None:
    """Which ids were drawn, when it was, and what only the ends can open."""
    assert differences(Run().seen(), other.seen()) == []


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (Run(texts=("Hello", "Word")), "hello / Alice / TextReceived [1] / text"),
        (Run(texts=("World", "Hello")), "hello / Alice / TextReceived [0] / text"),
        (Run(texts=("Hello",)), "hello / Alice / TextReceived"),
        (Run(texts=()), "hello / Alice"),
        (Run(took_ms=8), "hello / Alice / TextReceived [0] / timestamp_ms"),
        (Run(ids=("a-1", "a-1")), "hello / Alice / TextReceived [1] / id"),
        (Run(jids=("17-1@interop", "17-1@interop")), "hello / Alice / message [0] / to_jid"),
        (Run(is_read=False), "hello / Bob / ReceiptReceived [0] / is_read"),
        (Run(advice="Hurry up"), "and then / Bob / text [0] / advice"),
        (Run(who="Carol"), "hello / Alice"),
        (Run(step="goodbye"), "hello"),
        (Run(ciphertext=b""), "hello / Alice / message [0] / enc [0] / ciphertext"),
    ],
    ids=lambda value: "" if isinstance(value, Run) else value,
)
def test_what_means_something_does(other: Run, where: str) -> None:
    """And the difference is told by step, by who saw it, and by what."""
    found = differences(Run().seen(), other.seen())
    assert any(line.startswith(f"{where}:") for line in found), found
    assert differences(other.seen(), Run().seen()) != []


async def a_short_talk(stage: Stage) -> None:
    """Meets, writes once each way, is refused once."""
    await stage.meet()
    with stage.transcript.step("talk"):
        await stage.alice.mark_read(await stage.say(stage.bob, "Hello"))
        await stage.say(stage.alice, "Hello Bob")
        await stage.bob_tries("text", stage.bob.send_text("17-5@interop", "?"))
        await stage.settle()


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields where each value lies that holds no others, empty lists and such included: its container and its place."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, item in items:
        if isinstance(item, dict | list) and item:
            yield from leaves(item)
        else:
            yield value, place


@pytest.mark.requirement("PRX-01")
async def test_every_single_change_of_a_real_transcript_is_found(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Whatever value of it becomes another one, or goes."""
    seen = await seen_in(a_short_talk, tmp_path, signing_keys, by_proxy=True)
    count = sum(1 for _ in leaves(seen))
    assert count > 100
    for at in range(count):
        for change in (_replaced, _removed):
            changed = deepcopy(seen)
            container, place = list(leaves(changed))[at]
            change(container, place)
            assert differences(seen, changed) != [], (place, container)


def _replaced(container: Any, place: Any) -> None:
    container[place] = f"not {container[place]}"


def _removed(container: Any, place: Any) -> None:
    del container[place]


@pytest.mark.requirement("PRX-01")
async def test_runs_that_differ_for_somebody_are_told_apart(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """A proxy that changed anything that people see would be found: the same talk, but for one thing each."""

    async def another_text(stage: Stage) -> None:
        say = stage.say
        stage.say = lambda sender, text: say(sender, text.upper())  # type: ignore[method-assign]
        await a_short_talk(stage)

    async def no_read_receipt(stage: Stage) -> None:
        async def keep_quiet(*_: object) -> None: ...

        stage.alice.mark_read = keep_quiet  # type: ignore[method-assign]
        await a_short_talk(stage)

    async def one_ack_too_few(stage: Stage) -> None:
        stage.transcript.add = _without(stage.transcript.add, "ack")  # type: ignore[method-assign]
        await a_short_talk(stage)

    usual = await seen_in(a_short_talk, tmp_path, signing_keys, by_proxy=False)
    for scenario, where in (
        (another_text, "talk / Alice / TextReceived [0] / text"),
        (no_read_receipt, "talk / Bob / ReceiptReceived"),
        (one_ack_too_few, "talk / Alice / ack"),
    ):
        folder = tmp_path / scenario.__name__
        folder.mkdir()
        found = differences(usual, await seen_in(scenario, folder, signing_keys, by_proxy=True))
        assert any(line.startswith(where) for line in found), (scenario.__name__, found)


def _without(add: Callable[[str, str, object], None], what: str) -> Callable[[str, str, object], None]:
    left_out: list[object] = []

    def add_most(who: str, kind: str, value: object) -> None:
        if kind == what and who == "Alice" and not left_out:
            left_out.append(value)
        else:
            add(who, kind, value)

    return add_most
