"""One simulator as a process: says when it is ready, hears signals, and ends in time; knows no part of the server."""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.metadata import version

from interop_server.addresses import Addresses
from interop_server.app import STOP_SECONDS, Simulator
from interop_server.config import Config
from interop_server.runtime.files import SayOnce
from interop_server.runtime.shutdown import StopIncomplete

_SPARE_SECONDS = 1.5
"""How long the process may live after the time for its stop, before it is cut off."""


_NEEDED_BY_REFUSALS = ("google.protobuf.any_pb2", "google.rpc.error_details_pb2", "google.rpc.status_pb2")


class NeverFired(Exception):
    """Faults were ordered that never did anything; the message is a sentence that names them."""


class NotHeard(Exception):
    """Nobody can hear that the simulator is ready; the message is a sentence that says why."""


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
    """Runs a simulator until a signal ends it. The process ends in time after the signal, whatever hangs.

    Raises:
        AddressUnusable, ClockBehind, FileUnusable, WrongDatabase: As `Simulator.start`.
        NeverFired: As the configuration wants, and the simulator has stopped.
        NotHeard: The ready line could not be written; the simulator has stopped.
    """
    told = asyncio.Event()
    seconds = config.grace_seconds + STOP_SECONDS + _SPARE_SECONDS
    _hear_signals(told, seconds)
    asyncio.get_running_loop().set_exception_handler(SayOnce())
    simulator = Simulator(config)
    addresses = await simulator.start()
    try:
        gc.freeze()  # so that later full collections skip these objects
        gc.enable()
        _say(_ready_line(config, addresses))
        await asyncio.to_thread(_load_what_refusals_need)
        await told.wait()
    finally:
        _cut_off_after(seconds)
        try:
            await simulator.stop()
        except StopIncomplete as error:
            _end_at_once(str(error))
    if config.require_fired and (names := simulator.never_fired()):
        raise NeverFired(f"These faults never fired: {', '.join(names)}.")


def _load_what_refusals_need() -> None:
    """Loads it once the start is over: when it is needed, there may be no descriptor left to read a module with."""
    for name in _NEEDED_BY_REFUSALS:
        importlib.import_module(name)


def _hear_signals(told: asyncio.Event, seconds: float) -> None:
    loop = asyncio.get_running_loop()

    def hear(*_: object) -> None:
        _cut_off_after(seconds)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under `nohup` the end of the terminal is ignored from the start, and stays so.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, told.set)
            signal.signal(number, hear)  # beside the loop, which may be what hangs


def _cut_off_after(seconds: float) -> None:
    words = f"The simulator did not stop within {seconds:g} seconds and was cut off: something hangs."
    watch = threading.Timer(seconds, _end_at_once, (words,))
    watch.daemon = True
    watch.start()


def _end_at_once(sentence: str) -> None:
    """Ends the process with status 1: a thread that hangs, or a connection that cannot be closed, would keep it."""
    with suppress(OSError):
        os.set_blocking(2, False)  # whoever does not read may not hold up the end
        os.write(2, f"Error: {sentence}\n".encode())
    os._exit(1)


def _ready_line(config: Config, addresses: Addresses) -> str:
    ready = {
        "event": "ready",
        "grpc": addresses.grpc,
        "admin": addresses.admin,
        "http": addresses.http,
        "root_public_key": addresses.root_public_key.hex(),
        "db": str(config.db.absolute()) if config.db else None,
        "pid": os.getpid(),
        "version": version("interopsim"),
    }
    return json.dumps(ready)


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
