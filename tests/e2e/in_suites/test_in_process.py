"""The simulator in a test's own process: in its event loop, in a thread of its own; nothing is left of it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import interopsim
from interop_client.messaging.events import TextReceived
from interop_workbench.person import NotPossible
from interopsim import ClientState, Endpoint, ServerRefusal, Simulator, WhatsAppClient, running
from interopsim.people import Messenger
from partner_server import SigningKeys


async def test_a_simulator_runs_in_ones_own_event_loop() -> None:
    """With an endpoint for clients, and an operator's calls."""
    async with Simulator(seed=7, freeze_at="2026-01-01T00:00:00Z") as sim:
        assert isinstance(sim.endpoint, Endpoint)
        assert (await sim.admin.get_clock()).now_ms == 1_767_225_600_000
        state = ClientState.generate()
        state.jid = await sim.admin.put_whatsapp_user("+31600000001", state.auth_public_key)
        async with WhatsAppClient.direct(sim.endpoint, state) as ada:
            await ada.ping()
    with pytest.raises(RuntimeError, match="async with"):
        sim.endpoint  # noqa: B018
    with pytest.raises(RuntimeError, match="async with"):
        sim.admin  # noqa: B018


async def test_several_simulators_run_beside_each_other() -> None:
    """Each has its own ports, root and people; each can begin anew."""
    async with Simulator() as one, Simulator(limits={"kem_prekeys": True, "max_unacked_deliveries": 7}) as other:
        assert one.endpoint != other.endpoint and one.endpoint.root_public_key != other.endpoint.root_public_key
        await one.admin.put_whatsapp_user("+31600000001", ClientState.generate().auth_public_key)
        assert [jid async for jid in _accounts(one)] == ["31600000001@s.whatsapp.net"]
        assert [jid async for jid in _accounts(other)] == []


async def _accounts(sim: Simulator) -> AsyncIterator[str]:
    """The JIDs of the one person whom tests register, where they are registered."""
    try:
        await sim.admin.get_standing("31600000001@s.whatsapp.net")
        yield "31600000001@s.whatsapp.net"
    except ServerRefusal as refusal:
        assert refusal.reason == "NOT_REGISTERED"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limits": {"max_unaked": 7}}, "did you mean"),
        ({"limits": {"max_unacked_deliveries": -1}}, "lies between"),
        ({"freeze_at": "yesterday"}, "2026-01-01T00:00:00Z"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_a_sentence(options: dict[str, object], said: str) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match=said):
        Simulator(**options)  # type: ignore[arg-type]


def test_without_asyncio_a_thread_runs_it(tmp_path: Path) -> None:
    """Both sides talk by calls that return when the thing is done; the thread is gone at the end."""
    with running() as sim, Messenger(sim, 5, tmp_path, SigningKeys()) as owl:
        bob, alice, stranger = owl.user("bob"), owl.person(), owl.person(opted_in=False)
        sent = bob.send(alice, "Hello")
        received = alice.receive()
        assert (received.text, received.id) == ("Hello", sent.id)
        alice.read(received)
        alice.send(bob, "And you?", reply_to=received)
        assert bob.receive().reply_to == sent.id
        assert alice.find("bob") == bob.jid
        with pytest.raises(ServerRefusal) as refused:
            bob.send(stranger, "Hello?")
        assert refused.value.reason == "RECIPIENT_NOT_REACHABLE"
        with pytest.raises(ValueError, match="did you mean `echo`"):
            owl.play("Echo", "ecco")
        with pytest.raises(ValueError, match="did you mean `expired`"):
            owl.token("bob", defect="expird")
        echo = owl.play("Echo")
        bob.send(echo.phone.jid, "Anybody?")
        assert bob.receive().text == "Anybody?"
        with pytest.raises(TimeoutError):
            bob.receive(seconds=0.01)
    assert "interopsim" not in [thread.name for thread in threading.enumerate()]


def test_somebody_waits_as_long_as_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also longer than other calls may take, or for ever; what did not come is named."""
    with running() as sim, Messenger(sim, 5, tmp_path, SigningKeys()) as owl:
        bob, alice = owl.user("bob"), owl.person()
        with pytest.raises(TimeoutError, match=r"No TextReceived came to .*@s.whatsapp.net within 0\.01 seconds"):
            alice.receive(seconds=0.01)
        with pytest.raises(TimeoutError, match="No event that was wanted"):
            alice.wait_until(lambda _: False, seconds=0.01)
        given: list[float | None] = []
        call = sim.call

        def noted(work: Any, seconds: float | None = 0.0) -> Any:
            given.append(seconds)
            return call(work)

        for _ in range(3):
            bob.send(alice, "Hello")
        monkeypatch.setattr(sim, "call", noted)
        assert alice.receive(70).text == alice.receive(None).text == "Hello"
        assert isinstance(alice.wait_until(lambda event: isinstance(event, TextReceived), 70), TextReceived)
        monkeypatch.undo()
    at_least, for_ever, also = given
    assert at_least is not None and at_least > 70 and for_ever is None and also == at_least


def test_a_person_finds_by_name_whom_they_have_blocked(tmp_path: Path) -> None:
    """To unblock them: the server shows them no more, and there is no chat with their name."""
    with running() as sim, Messenger(sim, 5, tmp_path, SigningKeys()) as owl:
        kim, slow = owl.user("kim"), owl.play("Slow", "late")
        assert sim.call(slow.find("kim")) == kim.jid
        sim.call(slow.block(kim.jid))
        assert sim.call(slow.find("kim")) == kim.jid
        sim.call(slow.unblock(kim.jid))
        with pytest.raises(NotPossible, match="does not find 'ken'"):
            sim.call(slow.find("ken"))


async def test_with_asyncio_the_thread_is_waited_for() -> None:
    """The test's own event loop goes on meanwhile."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with running() as sim:
        turning = asyncio.ensure_future(turn())
        await sim.wait(sim.admin.freeze_clock())
        assert (await sim.wait(sim.admin.get_clock())).is_frozen and turns > 1
        turning.cancel()


def test_the_public_face_has_what_it_names() -> None:
    """And nothing else; importing it imports no server."""
    for name in interopsim.__all__:
        assert getattr(interopsim, name).__name__ == name
    assert dir(interopsim) == interopsim.__all__ == sorted(interopsim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        interopsim.nothing  # noqa: B018
