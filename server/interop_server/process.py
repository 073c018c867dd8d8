"""One simulator as a process: says when it is ready, hears signals, and ends in time; knows no part of the server."""

import asyncio
import gc
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from interop_protocol.endpoint import Endpoint
from interop_server import __version__
from interop_server.app import STOP_SECONDS, Simulator
from interop_server.config import Config
from interop_server.runtime.files import SayOnce
from interop_server.runtime.memory import give_back_memory
from interop_server.runtime.shutdown import StopIncomplete
from interop_server.state_file import StateFile

if TYPE_CHECKING:
    from interop_server.workbench import Workbench

_SPARE_SECONDS = 1.5
"""How long the process may live after the time for its stop, before it is cut off."""
_NEW_OBJECTS = 20_000
"""How many new objects start a collection. With Python's 700, each batch of messages pays for many, which find nothing:
what a message makes goes with its last reference."""


_READ_BYTES = 4096
_log = logging.getLogger(__name__)
_NEEDED_BY_CALLS = (
    *("google.protobuf.any_pb2", "google.rpc.error_details_pb2", "google.rpc.status_pb2"),  # by every refusal, first
    *("joserfc.jwk", "joserfc.jws", "joserfc.jwt"),
    "interop_server.fault_file",
)


class NeverFired(Exception):
    """Faults were ordered that never did anything; the message is a sentence that names them."""


class NotHeard(Exception):
    """Nobody can hear that the simulator is ready; the message is a sentence that says why."""


class PeopleMissing(Exception):
    """The people did not come; the message is a sentence. What they had to say of it stands on standard error."""

    def __init__(self, status: int | None) -> None:
        super().__init__("The people are not there: see the line before, or start without --people and --ui.")
        self.is_wrong_use = status == 2
        """Whether the choice of people was wrong."""


def hold_standard_streams() -> None:
    """Makes sure that no file or socket of the server gets the number of a standard stream that is closed.

    Raises:
        NotHeard: Standard output is closed.
    """
    is_heard = sys.stdout is not None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, hence this one
    if not is_heard:
        raise NotHeard("Standard output is closed, so nobody would hear that the simulator is ready: leave it open.")


async def serve(config: Config) -> None:
    """Runs a simulator until a signal ends it, or stdin where that was wanted. It ends in time, whatever hangs.

    Raises:
        AddressUnusable, BlobsUnusable, BusUnusable, ClockBehind, FileUnusable, PeopleElsewhere, WrongDatabase: As
            `Simulator.start`.
        NameTaken: Another simulator that runs has the name; the simulator has stopped.
        NeverFired: As the configuration wants, and the simulator has stopped.
        NotHeard: The ready line could not be written; the simulator has stopped.
        PeopleMissing: The people who should be there did not come; the simulator has stopped.
    """
    told = asyncio.Event()
    cut_off = _CutOff(config.grace_seconds + STOP_SECONDS + _SPARE_SECONDS)
    _hear_signals(told, cut_off)
    if config.until_stdin_ends:
        _hear_the_end_of_stdin(told, cut_off)
    asyncio.get_running_loop().set_exception_handler(SayOnce())
    simulator = Simulator(config)
    addresses = await simulator.start()
    word: StateFile | None = None
    workbench: Workbench | None = None
    incomplete = ""
    try:
        _collect_seldom()
        ready = _ready(config, addresses)
        if config.workbench is not None:
            workbench = await _start_workbench(config, ready, told)
            if workbench is None:
                return
            ready |= workbench.facts
        line = json.dumps(ready)
        word = StateFile.write(config.name, line)  # first: whoever reads the line can be found
        simulator.people_are_there()
        if workbench is not None:
            workbench.watch(simulator.people_have_gone)
        _say(line)
        _tell_a_person(ready)
        await _load_in_time()
        incomplete = await _one_world_after_another(simulator, addresses, told)
    finally:
        if word is not None:
            word.remove()
        cut_off.begin()
        if workbench is not None:
            await workbench.stop()
        await _stop(simulator, incomplete)
    if config.require_fired and (names := simulator.never_fired()):
        raise NeverFired(f"These faults never fired: {', '.join(names)}.")


def _collect_seldom() -> None:
    gc.freeze()  # so that later full collections skip these objects
    gc.set_threshold(_NEW_OBJECTS)
    gc.enable()


async def _one_world_after_another(simulator: Simulator, addresses: Endpoint, told: asyncio.Event) -> str:
    """Begins anew at each reset until the end is told, or a world cannot be stopped: then returns that sentence."""
    giving_back = asyncio.create_task(give_back_memory(), name="memory")
    try:
        while await _is_reset_before(told, simulator.wants_reset):
            await _begin_anew(simulator, addresses)
    except StopIncomplete as error:
        return str(error)
    finally:
        giving_back.cancel()
    return ""


async def _stop(simulator: Simulator, incomplete: str) -> None:
    """Stops it, and ends the process at once where it, or a world before, could not be stopped whole."""
    try:
        await simulator.stop()
    except StopIncomplete as error:
        incomplete = incomplete or str(error)
    if not incomplete and not _is_thread_to_have():
        incomplete = "The simulator has ended, but no thread can be started: see how many the system allows."
    if incomplete:
        _end_at_once(incomplete)


def _is_thread_to_have() -> bool:
    """Says whether a thread can be started, as asyncio and Python themselves do when they end."""
    try:
        threading.Thread(target=lambda: None, daemon=True).start()
    except RuntimeError:
        return False
    return True


async def _begin_anew(simulator: Simulator, addresses: Endpoint) -> None:
    await simulator.reset(addresses)
    gc.unfreeze()
    gc.collect()  # the old world, before the objects of the new one are set apart
    gc.freeze()


async def _is_reset_before(told: asyncio.Event, wants_reset: asyncio.Event) -> bool:
    """Waits for the end or for a reset; says whether it is the reset."""
    waits = [asyncio.create_task(event.wait()) for event in (told, wants_reset)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    return not told.is_set()


async def _load_in_time() -> None:
    try:
        await asyncio.to_thread(_load_what_calls_need)
    except RuntimeError as error:  # the system gives no thread
        _log.warning("what calls need could not be loaded yet: %s", error)


def _load_what_calls_need() -> None:
    """Loads it once the start is over: when it is needed, there may be no descriptor left to read a file with.

    What cannot be loaded now is tried again by the call that needs it.
    """
    loads: list[Callable[[], object]] = [partial(importlib.import_module, name) for name in _NEEDED_BY_CALLS]
    for load in (*loads, _load_ledger):
        try:
            load()
        except (OSError, ImportError) as error:
            _log.warning("what calls need could not be loaded yet: %s", error)


def _load_ledger() -> None:
    importlib.import_module("interop_server.ledger").load_ledger()


def _hear_signals(told: asyncio.Event, cut_off: "_CutOff") -> None:
    loop = asyncio.get_running_loop()

    def hear(*_: object) -> None:
        cut_off.begin()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under `nohup` the end of the terminal is ignored from the start, and stays so.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, told.set)
            signal.signal(number, hear)  # beside the loop, which may be what hangs


def _hear_the_end_of_stdin(told: asyncio.Event, cut_off: "_CutOff") -> None:
    """Reads stdin to its end, in a thread: not every kind of file can be waited for by the loop."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with suppress(OSError):
            while os.read(0, _READ_BYTES):
                pass
        cut_off.begin()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(told.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


class _CutOff:
    """Ends the process in time, whatever hangs. Its thread is there from the start: at the end there may be none left.

    Args:
        seconds: How long the end may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = SimpleQueue[None]()  # a handler of signals may put something in, whatever it has interrupted
        threading.Thread(target=self._wait, name="cut-off", daemon=True).start()

    def begin(self) -> None:
        """Says that the end has begun; the first time counts."""
        self._begun.put(None)

    def _wait(self) -> None:
        self._begun.get()
        threading.Event().wait(self._seconds)
        _end_at_once(f"The simulator did not stop within {self._seconds:g} seconds and was cut off: something hangs.")


def _end_at_once(sentence: str) -> None:
    """Ends the process with status 1: a thread that hangs, or a connection that cannot be closed, would keep it."""
    with suppress(OSError):
        os.set_blocking(2, False)  # whoever does not read may not hold up the end
        os.write(2, f"Error: {sentence}\n".encode())
    os._exit(1)


async def _start_workbench(config: Config, ready: dict[str, Any], told: asyncio.Event) -> "Workbench | None":
    """Starts it; None when the end is told first: it has broken off its start by then."""
    from interop_server.workbench import Workbench  # imported here: a plain start needs no process beside it

    assert config.workbench is not None
    starting = asyncio.create_task(Workbench.start(config.workbench, ready, config.seed))
    ending = asyncio.create_task(told.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if told.is_set():
        starting.cancel()
        with suppress(asyncio.CancelledError, PeopleMissing):
            return await starting
        return None
    return await starting


def _ready(config: Config, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "event": "ready",
        **endpoint.facts(),
        "db": str(config.db.absolute()) if config.db else config.store and config.store.shown,
        **({} if config.blobs is None else {"blobs": str(config.blobs)}),
        "pid": os.getpid(),
        "version": __version__,
    }


def _tell_a_person(ready: dict[str, Any]) -> None:
    """Says on a terminal what is easily missed in a long line; programs read the line."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    hints = {"ui": "The page is {}", "first_token": "For a first token, in another shell: {}"}
    with suppress(OSError):
        for field, hint in hints.items():
            if field in ready:
                sys.stderr.write(f"{hint.format(ready[field])}\n")


def _say(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise NotHeard(
            f"Nobody hears that the simulator is ready: standard output cannot be written ({error.strerror})."
        ) from error
