"""A stop: every step runs, in reverse order, each bounded in time."""

import asyncio

import pytest

from interop_server.runtime.shutdown import Shutdown, StopIncomplete


async def test_steps_run_in_reverse_order_and_once() -> None:
    """A second stop has nothing to do."""
    ran: list[str] = []
    shutdown = Shutdown(5.0, 5.0)
    for name in ("first", "second"):

        async def stop(name: str = name) -> None:
            ran.append(name)

        shutdown.add(name, stop)
    await shutdown.run()
    await shutdown.run()
    assert ran == ["second", "first"]


async def test_a_step_that_fails_or_hangs_keeps_no_other_from_running() -> None:
    """And the sentence names both, with what went wrong; a step may also fail before it waits for anything."""
    ran: list[str] = []
    shutdown = Shutdown(0.05, 5.0)

    async def fine() -> None:
        ran.append("fine")

    async def broken() -> None:
        raise OSError("the disk is full")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def hanging() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ran.append("told to end")
                if ran.count("told to end") > 1:
                    raise

    def unready() -> asyncio.Future[None]:
        raise ValueError("the store is closed")

    for name, stop in {"a": fine, "b": broken, "c": hanging, "d": unready, "e": cancelled, "f": fine}.items():
        shutdown.add(name, stop)
    with pytest.raises(StopIncomplete) as raised:
        await shutdown.run()
    assert ran[0] == ran[-1] == "fine"
    sentence = str(raised.value)
    assert sentence.endswith(
        ": e (it was cancelled), d (the store is closed), c (it did not end in time), b (the disk is full)."
    )


async def test_the_whole_stop_is_bounded_too() -> None:
    """Ten steps that hang take no ten times as long: those past the end get a moment each."""
    shutdown = Shutdown(60.0, 0.05)
    for number in range(10):
        shutdown.add(str(number), asyncio.Event().wait)
    async with asyncio.timeout(30):
        with pytest.raises(StopIncomplete, match=r"9 .*, 0 "):
            await shutdown.run()
