"""A call that is repeated after a lost answer is answered as before, and not done twice."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_api.v1 import errors_pb2, integrity_pb2, prekeys_pb2, stanza_pb2
from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES, MAX_BUNDLE_USERS, MAX_JID_CHARACTERS, MAX_PREKEY_ID
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import LONGEST_REPEATABLE_BYTES, Limits, about
from interop_server.rpc.calls import Call
from interop_server.rpc.repeats import Repeats
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

from .contexts import METHODS, FromGrpc

ANSWER = 1_024 + 18
"""What one answer takes up, in bytes."""
LIMITS = Limits(repeat_answers=3, repeat_bytes=5 * ANSWER, repeat_total_bytes=8 * ANSWER, repeat_seconds=10)
REQUEST = b"the bytes of a request"


class Big:
    """Stands for a request of many bytes."""


class Scene:
    """Callers, what they ask for, and how often it was done."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = ManualClock(1_000)
        self.journal = Journal(self.clock, SeededRng(1))
        self.repeats = Repeats(self.clock, limits)
        self.done: list[str] = []

    async def ask(
        self,
        request_id: str,
        request: bytes = REQUEST,
        *,
        actor: str = "100-1@interop",
        method: str = "IntegrityService.Report",
        perform: Callable[[], Awaitable[Any]] | None = None,
    ) -> str:
        """Makes a call; returns the report id that it is answered with."""
        context: Any = FromGrpc()
        call = Call(context, METHODS[method], self.journal)
        call.actor = actor

        async def report() -> integrity_pb2.ReportResponse:
            self.done.append(request_id)
            return integrity_pb2.ReportResponse(report_id=f"{len(self.done):016}")

        response = await self.repeats.answer(call, request_id, request, perform or report)
        return str(response.report_id)

    def outcomes(self) -> list[tuple[str, str]]:
        return [(entry.outcome, entry.detail) for entry in self.journal.after(0, 100)[0]]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def refuse(reason: Reason, times: list[str]) -> Callable[[], Awaitable[Any]]:
    async def perform() -> Any:
        times.append(reason.name)
        raise Refusal(reason, "the detail", field="jid", requirement="SIM-01")

    return perform


async def test_a_repetition_gets_the_first_answer_and_nothing_is_done(scene: Scene) -> None:
    """Each call stands in the journal, and the second says what it was."""
    first = await scene.ask("a")
    assert await scene.ask("a") == first
    assert scene.done == ["a"]
    assert scene.outcomes() == [("accepted", ""), ("accepted", "answered as before")]


async def test_another_id_another_method_and_another_caller_are_other_calls(scene: Scene) -> None:
    answers = [
        await scene.ask("a"),
        await scene.ask("b"),
        await scene.ask("a", method="IntegrityService.RequestChallenge"),
        await scene.ask("a", actor="100-2@interop"),
    ]
    assert len(set(answers)) == 4


async def test_an_id_means_one_request(scene: Scene) -> None:
    """Other bytes under it are a mistake that is told, whether the first is done or under way; nothing is done."""
    gate = asyncio.Event()

    async def slow() -> integrity_pb2.ReportResponse:
        await gate.wait()
        return integrity_pb2.ReportResponse(report_id="slow")

    first = asyncio.create_task(scene.ask("a", perform=slow))
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await scene.ask("a", b"other bytes")
        assert caught.value.reason is Reason.REQUEST_MALFORMED
        assert [violation.field for violation in caught.value.violations] == ["request_id"]
        gate.set()
        assert await first == "slow"
    assert scene.done == []


@pytest.mark.parametrize("request_id", ["x" * 65, "a b", "é", "a\n"])
async def test_an_id_has_a_form(scene: Scene, request_id: str) -> None:
    with pytest.raises(Refusal) as caught:
        await scene.ask(request_id)
    assert [violation.field for violation in caught.value.violations] == ["request_id"]
    assert scene.done == []


async def test_a_repetition_waits_for_the_first(scene: Scene) -> None:
    """As many as come: all get its answer."""
    gate, started = asyncio.Event(), []

    async def slow() -> integrity_pb2.ReportResponse:
        started.append("slow")
        await gate.wait()
        return integrity_pb2.ReportResponse(report_id="slow")

    calls = [asyncio.create_task(scene.ask("a", perform=slow)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*calls) == ["slow"] * 3
    assert started == ["slow"]


async def test_the_work_goes_on_when_its_caller_breaks_off(scene: Scene) -> None:
    """That is why the answer was lost: it is there for the repetition, and in the journal."""
    gate = asyncio.Event()

    async def slow() -> integrity_pb2.ReportResponse:
        await gate.wait()
        return integrity_pb2.ReportResponse(report_id="slow")

    first = asyncio.create_task(scene.ask("a", perform=slow))
    second = asyncio.create_task(scene.ask("a"))
    await asyncio.sleep(0)
    for broken_off in (first, second):
        broken_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await broken_off
    gate.set()
    await scene.repeats.settle()
    assert scene.outcomes() == [("accepted", "")]
    assert await scene.ask("a") == "slow"
    assert scene.done == []


async def test_a_refusal_is_an_answer(scene: Scene) -> None:
    """Also for who waits for it; each call has an entry, and so a name, of its own."""
    times: list[str] = []
    calls = [scene.ask("a", perform=refuse(Reason.CHALLENGE_INVALID, times)) for _ in range(2)]
    refusals = [each for each in await asyncio.gather(*calls, return_exceptions=True) if isinstance(each, Refusal)]
    with pytest.raises(Refusal) as caught:
        await scene.ask("a", perform=refuse(Reason.CHALLENGE_INVALID, times))
    refusals.append(caught.value)
    assert times == ["CHALLENGE_INVALID"]
    assert {(each.reason, each.detail, each.violations) for each in refusals} == {
        (Reason.CHALLENGE_INVALID, "the detail", refusals[0].violations)
    }
    assert [each.is_recorded for each in refusals] == [True, False, False]  # the others are, where they go out


async def test_a_remembered_refusal_keeps_nothing_of_its_request(scene: Scene) -> None:
    """It holds no request alive: those can be thousands of times as large."""
    held: list[weakref.ref[Big]] = []

    async def refuse_big() -> Any:
        request = Big()
        held.append(weakref.ref(request))
        raise Refusal(Reason.CHALLENGE_INVALID)

    await asyncio.gather(scene.ask("a", perform=refuse_big), return_exceptions=True)
    await asyncio.sleep(0)  # the loop itself holds what this test has just waited for
    gc.collect()
    assert [each() for each in held] == [None]


async def test_a_remembered_refusal_takes_room() -> None:
    """Though it has no bytes of its own."""
    scene, times = Scene(Limits(repeat_bytes=2 * ANSWER)), []
    for request_id in "abca":
        with pytest.raises(Refusal):
            await scene.ask(request_id, perform=refuse(Reason.CHALLENGE_INVALID, times))
    assert len(times) == 4, "the first was forgotten: there was no room for three"


@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.SERVER_FAULT])
async def test_what_can_be_sent_again_is_tried_anew(scene: Scene, reason: Reason) -> None:
    """A client that waits as it was told, and repeats, is not told the same for ever."""
    with pytest.raises(Refusal):
        await scene.ask("a", perform=refuse(reason, []))
    assert await scene.ask("a") == f"{1:016}"


async def test_a_fault_is_no_answer(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It stands in the log, also when its caller has gone; the repetition is a new attempt."""

    async def fail() -> Any:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await scene.ask("a", perform=fail)
    assert "IntegrityService.Report failed" in caplog.text
    assert await scene.ask("a") == f"{1:016}"


async def test_answers_are_forgotten_after_a_time(scene: Scene) -> None:
    """Counted from the answer: also of callers that have asked for nothing since."""
    await scene.ask("old", actor="100-2@interop")
    await scene.ask("old")
    scene.clock.advance(5_000)
    await scene.ask("new")
    scene.clock.advance(4_999)
    assert await scene.ask("old") == f"{2:016}"
    scene.clock.advance(1)
    assert await scene.ask("new") == f"{3:016}"
    assert await scene.ask("old") == f"{4:016}"
    assert await scene.ask("old", actor="100-2@interop") == f"{5:016}"


async def test_a_caller_has_so_many_answers(scene: Scene) -> None:
    """The oldest goes first, and another caller's stay."""
    await scene.ask("a", actor="100-2@interop")
    for request_id in "abcd":
        await scene.ask(request_id)
    assert await scene.ask("b") == f"{3:016}"
    assert await scene.ask("a") == f"{6:016}"
    assert await scene.ask("a", actor="100-2@interop") == f"{1:016}"


async def test_answers_are_bounded_in_bytes() -> None:
    """Of one caller, and of all: then those go that were given longest ago."""
    scene = Scene(Limits(repeat_answers=100, repeat_bytes=2 * ANSWER, repeat_total_bytes=3 * ANSWER))
    assert integrity_pb2.ReportResponse(report_id="0" * 16).ByteSize() == 18
    for request_id in "abc":
        await scene.ask(request_id)
    assert await scene.ask("c") == f"{3:016}"
    await scene.ask("a", actor="100-2@interop")
    await scene.ask("b", actor="100-2@interop")
    assert await scene.ask("c") == f"{3:016}"
    assert await scene.ask("b") == f"{6:016}"


async def test_an_answer_that_is_too_long_is_given_once() -> None:
    scene = Scene(Limits(repeat_bytes=ANSWER - 1))
    assert await scene.ask("a") != await scene.ask("a")


@pytest.mark.requirement("SIM-01", "SIM-07")
async def test_the_longest_answer_is_remembered_at_the_least_that_can_be_set() -> None:
    """Bundles of as many people as a request can name, each with KEM prekeys: none is taken twice."""
    device = stanza_pb2.DeviceAddress(jid="x" * MAX_JID_CHARACTERS, device_id=99)
    signed = prekeys_pb2.SignedPreKey(key_id=MAX_PREKEY_ID, public_key=bytes(32), signature=bytes(64))
    kem = prekeys_pb2.KemPreKey(key_id=MAX_PREKEY_ID, public_key=bytes(KEM_PUBLIC_KEY_BYTES), signature=bytes(64))
    bundle = prekeys_pb2.PreKeyBundle(
        registration_id=2**32 - 1,
        device=device,
        identity_key=bytes(32),
        signed_prekey=signed,
        one_time_prekey=prekeys_pb2.OneTimePreKey(key_id=MAX_PREKEY_ID, public_key=bytes(32)),
        kem_prekey=kem,
        kem_is_last_resort=True,
    )
    refusal = errors_pb2.Refusal(reason=2**31 - 1, advice="x" * 500, request_id="x" * 64, requirement="KEY-14")
    each = prekeys_pb2.PreKeyBundleResult(jid="x" * MAX_JID_CHARACTERS, bundles=[bundle], error=refusal)
    answer = prekeys_pb2.TakePreKeyBundlesResponse(results=[each] * MAX_BUNDLE_USERS)
    assert LONGEST_REPEATABLE_BYTES == about("repeat_bytes").least == about("repeat_total_bytes").least
    scene, times = Scene(Limits(repeat_bytes=LONGEST_REPEATABLE_BYTES)), []

    async def take() -> prekeys_pb2.TakePreKeyBundlesResponse:
        times.append(1)
        return answer

    for _ in range(2):
        call = Call(FromGrpc(), METHODS["PreKeyService.TakePreKeyBundles"], scene.journal)  # type: ignore[arg-type]
        call.actor = "100-1@interop"
        assert await scene.repeats.answer(call, "a", REQUEST, take) == answer
    assert len(times) == 1
