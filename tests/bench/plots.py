"""`make plots`: measures how throughput depends on batches and pairs, and latency on load, and draws both as SVG."""

import asyncio
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tests.bench.latency import message_times_ms, percentile
from tests.bench.lean_client import LeanClient
from tests.bench.report import machine_facts
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed
from tests.bench.throughput import MANY_PAIRS, UNLIMITED, load, open_pair, under_way

BATCHES = (1, 4, 16, 64, 128)
PAIRS = (1, 4, 24)
LOADS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
WINDOW = 512
MESSAGES = 300
PARTS = (50, 95, 99)


@click.command()
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default="docs/plots", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=4.0, show_default=True, help="Of each point.")
@click.option("--redraw", is_flag=True, help="Draw what was measured before.")
def main(into: Path, seconds: float, redraw: bool) -> None:
    """Measure and draw throughput over batch size and pairs, and latency over load."""
    into.mkdir(parents=True, exist_ok=True)
    data = into / "measured.json"
    if not redraw:
        with tempfile.TemporaryDirectory(prefix="interopsim-plots-") as folder:
            settings = Settings(Path(folder), seconds, 1, 1, WINDOW, 1 << 20)
            found = {"machine": machine_facts(), **asyncio.run(_measure(settings))}
        data.write_text(json.dumps(found, indent=1) + "\n")
    _draw(json.loads(data.read_text()), into)


async def _measure(settings: Settings) -> dict[str, object]:
    rates = {str(pairs): [await _rate(settings, pairs, batch) for batch in BATCHES] for pairs in PAIRS}
    most = rates[str(MANY_PAIRS.pairs)][BATCHES.index(MANY_PAIRS.batch)]
    return {
        "batches": BATCHES,
        "messages_per_second": rates,
        "loads": LOADS,
        "most_messages_per_second": most,
        "latency_ms": [await _latency(settings, most * part) for part in LOADS],
    }


async def _rate(settings: Settings, pairs: int, batch: int) -> float:
    click.echo(f"{pairs} pairs, {batch} in a frame", err=True)
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        shape = replace(settings.within(Path(folder)), pairs=pairs, batch=batch)
        async with Testbed(shape.folder, UNLIMITED) as testbed:
            each = [await open_pair(testbed, number, shape) for number in range(pairs)]
            return statistics.median(await load(each, shape))


async def _latency(settings: Settings, others_per_second: float) -> list[float]:
    click.echo(f"latency beside {others_per_second:,.0f} others a second", err=True)
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        shape = MANY_PAIRS.of(settings.within(Path(folder)))
        async with Testbed(shape.folder, UNLIMITED) as testbed:
            sender, _ = await testbed.third_party_user()
            recipient = await testbed.whatsapp_user()
            if not others_per_second:
                return await _percentiles(sender, recipient)
            pairs = [await open_pair(testbed, number, shape) for number in range(shape.pairs)]
            async with under_way(pairs, others_per_second / len(pairs)):
                return await _percentiles(sender, recipient)


async def _percentiles(sender: LeanClient, recipient: LeanClient) -> list[float]:
    times = await message_times_ms(sender, recipient, MESSAGES)
    return [percentile(times, part) for part in PARTS]


def _draw(found: dict[str, Any], into: Path) -> None:
    # Drawing is all that it is for, so `make plots` installs it and nothing else needs it.
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "interopsim", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot

    for name, draw in (("throughput", _throughput), ("latency", _latencies)):
        figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
        draw(axes, found)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
        axes.set_ylim(bottom=0)
        figure.savefig(into / f"{name}.svg", metadata={"Date": None}, facecolor="white")
        pyplot.close(figure)


def _throughput(axes: Any, found: dict[str, Any]) -> None:
    for pairs, rates in found["messages_per_second"].items():
        axes.plot(found["batches"], rates, marker="o", label=f"{pairs} pair{'s' * (pairs != '1')}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(found["batches"], labels=[str(batch) for batch in found["batches"]])
    axes.set_xlabel("messages in a frame")
    axes.set_ylabel("messages a second, durable, delivered")


def _latencies(axes: Any, found: dict[str, Any]) -> None:
    for index, part in enumerate(PARTS):
        times = [each[index] for each in found["latency_ms"]]
        axes.plot([100 * part for part in found["loads"]], times, marker="o", label=f"{part} % of messages within")
    axes.set_xlabel(f"load, % of {found['most_messages_per_second']:,.0f} messages a second (24 pairs, unbatched)")
    axes.set_ylabel("ms from sender to recipient")


if __name__ == "__main__":
    main()
