"""Many stories, over all cores: each worker is a process with servers of its own; knows no story and no rule."""

import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.histories.search import Found, search

CHUNK = 50
"""Stories on one server: its database and its clock start anew afterwards."""


def campaign(count: int, number: int, workers: int, tell: Callable[[Found], None], nodes: int = 1) -> Found:
    """Plays that many stories, the same for the same seed whatever the number of workers.

    Args:
        count: How many stories.
        number: The seed.
        workers: How many processes.
        nodes: How many servers are one world, in each process.
        tell: Called with what was found so far, whenever there is more.

    Returns:
        What was found; when the caller is interrupted, what was found until then.
    """
    found = Found()
    folder = Path(tempfile.mkdtemp(prefix="histories-"))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=signal.signal, initargs=_UNINTERRUPTED)
    try:
        parts = [pool.submit(_part, folder, *each, nodes) for each in chunks(count, number)]
        _collect(parts, found, tell)
    except KeyboardInterrupt:
        found.was_interrupted = True
    finally:
        workers_left = list((getattr(pool, "_processes", None) or {}).values()) if found.was_interrupted else []
        for process in workers_left:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(folder, ignore_errors=True)
    return found


_UNINTERRUPTED = (signal.SIGINT, signal.SIG_IGN)
"""A terminal interrupts all its processes: the workers leave it to the one that started them."""


def chunks(count: int, number: int) -> list[tuple[int, int]]:
    """Returns how many stories each server plays, and with which seed."""
    return [(min(CHUNK, count - first), number * 1_000_003 + first) for first in range(0, count, CHUNK)]


def _collect(parts: list[Future[Found]], found: Found, tell: Callable[[Found], None]) -> None:
    for part in as_completed(parts):
        try:
            found.add(part.result())
        except Exception as error:  # noqa: BLE001 - what breaks one stage is told, and does not hide what others found
            found.wrong.append(("", f"a stage broke: {type(error).__name__}: {error}{error.__cause__ or ''}"))
        tell(found)


def _part(folder: Path, count: int, number: int, nodes: int) -> Found:
    own = folder / f"{os.getpid()}-{number}"
    own.mkdir()
    try:
        return search(own, count, number, nodes=nodes)
    finally:
        shutil.rmtree(own, ignore_errors=True)
