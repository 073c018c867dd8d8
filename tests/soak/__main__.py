"""`make soak`: a steady load for long, and whether the server's memory grows; `--json` for machines.

Exits with 1 when memory is not flat or a promise was not kept, and with 130 when it was interrupted. A run of
ten minutes or less has no verdict on memory.
"""

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from tests.chaos.people import Broken
from tests.progress import LongWork
from tests.soak.load import Soak, run
from tests.soak.memory import FLAT_BYTES_PER_MESSAGE, Sample, growth

INTERRUPTED = 130
SETTLED_MINUTES = 10.0
"""From when on memory must be flat; of a run of less than twice as long, from half of it on.

A run that is no longer than this gets no verdict: caches and the journal still fill.
"""
FEWEST_SAMPLES = 10
_VERDICTS = {
    True: f"Flat (under {FLAT_BYTES_PER_MESSAGE} bytes a message is flat).",
    False: f"NOT FLAT (under {FLAT_BYTES_PER_MESSAGE} bytes a message is flat).",
    None: f"No verdict: memory fills in the first {SETTLED_MINUTES:.0f} minutes; use --minutes 20 or more.",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(min=0.25), default=60.0, show_default=True, help="How long.")
@click.option("--rate", type=click.IntRange(100, 5_000), default=500, show_default=True, help="Messages a second.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all samples.")
def main(minutes: float, rate: int, as_json: bool) -> None:
    """Load a server steadily: messages, receipts, reconnects, prekeys, blobs, settings, accounts, and days that pass.

    Prints the slope of its resident memory from the tenth minute on, whether it is flat, and which kind of memory
    grew. Ten minutes or less are too short for that verdict: they show that the load runs.
    """
    folder = Path(tempfile.mkdtemp(prefix="interopsim-soak-"))
    samples: list[Sample] = []
    try:
        is_complete = asyncio.run(_run(Soak(folder, minutes, rate), samples))
    except Broken as error:
        _interrupted(samples, as_json=as_json)
        raise click.ClickException(f"{error} (the database and its log are kept: {folder})") from error
    except Exception:
        _interrupted(samples, as_json=as_json)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(_report(samples, as_json=as_json) if is_complete else _interrupted(samples, as_json=as_json))


async def _run(soak: Soak, samples: list[Sample]) -> bool:
    """Runs it; False when it was interrupted, after the server is dead and its files are closed."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with LongWork("minutes", soak.minutes) as work:

        def show(sample: Sample) -> None:
            samples.append(sample)
            text = f"{sample.resident_bytes / (1 << 20):.1f} MiB, {sample.messages:,} messages"
            work.tell(sample.seconds / 60, text)

        try:
            await run(soak, show)
        except asyncio.CancelledError:
            return False
    return True


def _report(samples: list[Sample], *, as_json: bool) -> int:
    seconds = samples[-1].seconds
    found = growth(samples, min(SETTLED_MINUTES * 60, seconds / 2))
    rate = samples[-1].messages / seconds
    is_flat = found.is_flat if seconds > SETTLED_MINUTES * 60 else None
    if as_json:
        facts = {**asdict(found), "is_flat": is_flat, "messages_per_second": rate, "seconds": seconds}
        click.echo(json.dumps({**facts, "samples": [asdict(sample) for sample in samples]}))
        return 1 if is_flat is False else 0
    for sample in samples[:: max(1, len(samples) // 20)]:
        click.echo(f"{sample.seconds / 60:6.1f} min {sample.resident_bytes / (1 << 20):8.1f} MiB {sample.messages:12,}")
    click.echo(
        f"{samples[-1].messages:,} messages in {seconds / 60:.1f} min, {rate:.0f} a second. From minute "
        f"{found.first.seconds / 60:.1f} on memory went from {found.first.resident_bytes / (1 << 20):.1f} to "
        f"{found.last.resident_bytes / (1 << 20):.1f} MiB: {found.kib_per_minute:+.1f} KiB/min, "
        f"{found.bytes_per_message:+.3f} bytes a message. {_VERDICTS[is_flat]}"
    )
    for kind, size in found.first.by_kind.items():
        click.echo(f"  {kind:26} {size / (1 << 20):6.1f} to {found.last.by_kind[kind] / (1 << 20):6.1f} MiB")
    return 1 if is_flat is False else 0


def _interrupted(samples: list[Sample], *, as_json: bool) -> int:
    click.echo("interrupted; so far:", err=True)
    if len(samples) >= FEWEST_SAMPLES:
        _report(samples, as_json=as_json)
    return INTERRUPTED


if __name__ == "__main__":
    main()
