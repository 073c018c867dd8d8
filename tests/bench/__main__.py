"""The command line of the benchmark; knows which figures there are and nothing of how they come about."""

import asyncio
import json
import signal
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import click
import grpc.aio
from click.core import ParameterSource
from rich.console import Console

from interop_demo.processes import ChildFailed
from tests.bench.bundles import measure_bundles
from tests.bench.cluster import NAMES as CLUSTER_NAMES
from tests.bench.cluster import measure_cluster
from tests.bench.compare import ComparisonFailed, print_changes
from tests.bench.compare import compare as compare_revisions
from tests.bench.engines import figure_name, measure_engines
from tests.bench.enlistments import measure_enlistments, measure_resolve
from tests.bench.growth import measure_growth
from tests.bench.idle import measure_idle
from tests.bench.latency import measure_latency, measure_latency_under_load
from tests.bench.media import measure_media
from tests.bench.peers import PEERS, WINDOWS, measure_peers, missing_peers
from tests.bench.ready import measure_ready
from tests.bench.report import Figure, WrongAnswer, machine_facts, table
from tests.bench.settings import Settings
from tests.bench.sweeping import measure_sweeping
from tests.bench.throughput import SHAPES, cpu_name, measure_shapes, measure_throughput

BLOB_BYTES = 256 << 20
FULL_BLOB_BYTES = 1 << 30
INTERRUPTED = 130
_TOLD = 6
"""Figures of a measurement that are named while it runs."""

_Measure = Callable[[Settings], Awaitable[list[Figure]]]
MEASUREMENTS: dict[_Measure, tuple[str, ...]] = {
    measure_ready: ("ready_seconds",),
    measure_latency: ("message_latency_ms", "message_latency_p95_ms", "message_latency_p99_ms"),
    measure_latency_under_load: ("half_load_latency_ms", "half_load_latency_p95_ms", "half_load_latency_p99_ms"),
    measure_shapes: tuple(name for shape in SHAPES for name in (shape.name, cpu_name(shape.name))),
    measure_throughput: ("routed_messages_per_second", cpu_name("routed_messages_per_second")),
    measure_bundles: ("bundles_per_second",),
    measure_enlistments: ("enlistments_per_second",),
    measure_resolve: ("resolved_identifiers_per_second",),
    measure_media: (
        "media_up_bytes_per_second",
        "media_down_bytes_per_second",
        "media_server_memory_growth_bytes",
    ),
    measure_sweeping: ("longest_write_while_sweeping_ms",),
    measure_growth: ("grown_ready_seconds", "grown_message_latency_ms", "grown_many_pairs_batched"),
    measure_idle: ("idle_connection_bytes", "login_server_cpu_ms"),
    measure_engines: tuple(figure_name(shape.name) for shape in SHAPES),
    measure_cluster: CLUSTER_NAMES,
    measure_peers: tuple(f"{peer.name}_window_{window}" for peer in PEERS for window in WINDOWS),
}
"""Each measurement with the figures that it gives."""
NAMES = [name for names in MEASUREMENTS.values() for name in names]
PEER_FIGURES = MEASUREMENTS[measure_peers]
_ON_DEMAND = (
    *(measure_throughput, measure_sweeping, measure_growth, measure_idle),
    *(measure_engines, measure_cluster, measure_peers),
)
ON_DEMAND = tuple(name for measure in _ON_DEMAND for name in MEASUREMENTS[measure])
"""Of a shape that the options say, minutes long, or of other servers; measured only when asked for."""
USUAL = [name for name in NAMES if name not in ON_DEMAND]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m tests.bench --only routed_messages_per_second --seconds 20 --json",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option(
    "--only",
    type=click.Choice(NAMES),
    multiple=True,
    metavar="NAME",
    help=f"Measure only this; repeatable. One of {', '.join(NAMES)}.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=6.0,
    show_default=True,
    help="Length of each sustained measurement.",
)
@click.option("--peers", is_flag=True, help="Also measure ejabberd and Prosody, where they are installed.")
@click.option("--cluster", is_flag=True, help="Measure one, two and three nodes on PostgreSQL, and nothing else.")
@click.option("--compare", metavar="REV", help="Measure this revision and the working tree in turn, and compare.")
@click.option("--rounds", type=click.IntRange(2, 20), default=3, show_default=True, help="With --compare: how often.")
@click.option("--full", is_flag=True, help="Blobs of 1 GiB instead of 256 MiB.")
@click.option("--pairs", type=click.IntRange(1, 64), default=24, show_default=True, help="Senders under load.")
@click.option("--batch", type=click.IntRange(1, 1024), default=128, show_default=True, help="Messages per frame.")
@click.option(
    "--window", type=click.IntRange(1, 2048), default=512, show_default=True, help="Messages under way per sender."
)
@click.pass_context
def main(
    context: click.Context,
    as_json: bool,
    only: tuple[str, ...],
    seconds: float,
    peers: bool,
    cluster: bool,
    compare: str | None,
    rounds: int,
    full: bool,
    pairs: int,
    batch: int,
    window: int,
) -> None:
    """Measure the simulator, each figure beside what bare grpc.aio does on this machine in this run.

    Fails when the server loses, repeats or reorders anything; asserts no time. --pairs, --batch and --window are the
    shape of `--only routed_messages_per_second`, which is not measured otherwise.
    """
    if batch > window:
        raise click.UsageError("--batch must not exceed --window")
    if compare is not None:
        _compare(compare, rounds, [*(["--full"] if full else []), *_options(context, only)], as_json=as_json)
        return
    machine = machine_facts()
    if peers and (missing := missing_peers()):
        click.echo(f"Not installed, so not measured: {', '.join(missing)}.", err=True)
    usual = CLUSTER_NAMES if cluster else USUAL
    wanted = (*(only or usual), *(PEER_FIGURES if peers else ()))
    with tempfile.TemporaryDirectory(prefix="interopsim-bench-") as folder:
        settings = Settings(Path(folder), seconds, pairs, batch, window, FULL_BLOB_BYTES if full else BLOB_BYTES)
        try:
            figures = asyncio.run(_run(settings, wanted))
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        except (WrongAnswer, ChildFailed, grpc.aio.AioRpcError, ExceptionGroup) as error:
            raise click.ClickException(_sentence(error)) from error
    if as_json:
        click.echo(json.dumps({"figures": [figure.as_json() for figure in figures], "machine": machine}))
    else:
        Console(highlight=False).print(table(figures, machine))


def _options(context: click.Context, only: tuple[str, ...]) -> list[str]:
    """What was chosen for each measurement, as options: a revision may not know those that were not."""
    chosen = ("seconds", "pairs", "batch", "window")
    given = [name for name in chosen if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    return [
        *(word for name in only for word in ("--only", name)),
        *(word for name in given for word in (f"--{name}", str(context.params[name]))),
    ]


def _compare(revision: str, rounds: int, options: list[str], *, as_json: bool) -> None:
    try:
        changes = asyncio.run(compare_revisions(revision, rounds, options))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise SystemExit(INTERRUPTED) from None
    except ComparisonFailed as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"changes": [change.as_json() for change in changes], "machine": machine_facts()}))
    else:
        print_changes(changes, revision)


async def _run(settings: Settings, wanted: Collection[str]) -> list[Figure]:
    task = asyncio.current_task()
    assert task is not None
    # Cancelling, unlike dying, ends the child processes.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    due = [(measure, names) for measure, names in MEASUREMENTS.items() if not set(names).isdisjoint(wanted)]
    figures: list[Figure] = []
    for number, (measure, names) in enumerate(due, 1):
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        click.echo(f"[{number}/{len(due)}] {', '.join(names[:_TOLD])}{more}", err=True)
        with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
            figures += await measure(settings.within(Path(folder)))
    return [figure for figure in figures if figure.name in wanted]


def _sentence(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, grpc.aio.AioRpcError):
        return f"the server answered {error.code().name}: {error.details()}"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
