"""`make chaos`: kills a server again and again and prints what it kept; `--json` for machines.

Exits with 1 when a promise was not kept, and with 130 when it was interrupted.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from partner_server import SigningKeys
from tests.chaos.campaign import KILLS_PER_DATABASE, RANDOM, Campaign, Found, Kill, plan
from tests.chaos.faults import KINDS, Fault
from tests.chaos.faults import plan as plan_faults
from tests.chaos.places import PLACES
from tests.chaos.world_campaign import FAULTS_PER_WORLD, WorldCampaign
from tests.postgres import fresh_database
from tests.progress import LongWork

INTERRUPTED = 130
_NODES_HELP = (
    "Several are one world, with PostgreSQL, NATS and an S3 server, all of which is killed, paused and cut off."
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--kills", "--faults", "kills", type=click.IntRange(1), help="How many; one for each point when it is not told."
)
@click.option("--nodes", type=click.IntRange(1, 9), default=1, show_default=True, help=_NODES_HELP)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the places, and of the load's choices.")
@click.option(
    "--skip",
    type=click.IntRange(0),
    default=0,
    help=f"Leave out the first ones, which an interrupted run has made: a multiple of {KILLS_PER_DATABASE}; "
    f"of {FAULTS_PER_WORLD} with several nodes.",
)
@click.option(
    "--at",
    metavar="POINT:N",
    help="Kill only there, again and again, as a failure has named it; with several nodes a kind, such as `kill nats`.",
)
@click.option("--postgres", is_flag=True, help="Keep the store on a PostgreSQL server, which lives on.")
@click.option(
    "--blobs",
    type=click.Choice(["s3", "file"]),
    is_flag=False,
    flag_value="s3",
    help="Keep the blobs in an S3 server, which is killed, too, or in a folder in the place of one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def main(
    kills: int | None,
    nodes: int,
    seed: int,
    skip: int,
    at: str | None,
    postgres: bool,
    blobs: str | None,
    as_json: bool,
) -> None:
    """Kill a server under mixed load at every commit point in turn, then there and at random; check all that it acked.

    Every point is hit once in the first kills. With several nodes, all else that can happen to them and to what they
    meet on is done, too. Fails at the first promise that is not kept, and keeps its database.
    """
    if nodes > 1 and (postgres or blobs):
        raise click.BadParameter("Several nodes have both a PostgreSQL server and an S3 server.", param_hint="--nodes")
    folder = Path(tempfile.mkdtemp(prefix="interopsim-chaos-"))
    campaign: Campaign | WorldCampaign
    kinds: Sequence[str]
    if nodes > 1:
        faults, kinds, each = _faults(kills or len(KINDS), seed, nodes, at), KINDS, FAULTS_PER_WORLD
        campaign = WorldCampaign(folder, SigningKeys(), faults, seed, nodes, first=skip)
        count = len(faults)
    else:
        fresh_store = {"fresh_store": fresh_database} if postgres else {}
        fresh_blobs, kinds = PLACES[blobs or ""]
        planned, each = _kills(kills or len(kinds), seed, at, kinds), KILLS_PER_DATABASE
        campaign = Campaign(folder, SigningKeys(), planned, seed, fresh_blobs=fresh_blobs, first=skip, **fresh_store)
        count = len(planned)
    if skip % each or skip >= count:
        raise click.BadParameter(
            f"{skip} is no multiple of {each} under {count}: each database has so many.", param_hint="--skip"
        )
    what = "kills" if nodes == 1 else "faults"
    interrupted = not asyncio.run(_run(campaign, count - skip, what))
    found = campaign.found
    if found.broken:
        click.echo(f"the database and its log are kept: {folder}", err=True)
    else:
        _remove(folder)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        _print(found, kinds, what)
    sys.exit(INTERRUPTED if interrupted else 1 if found.broken else 0)


def _faults(count: int, seed: int, nodes: int, at: str | None) -> list[Fault]:
    kind, _, passage = (at or "").partition(":")
    if at is not None and (kind not in KINDS or not (passage or "1").isdecimal()):
        raise click.BadParameter(f"one of {', '.join(KINDS)}; POINT:N with a point", param_hint="--at")
    faults = plan_faults(count, seed, nodes, kind)
    return [replace(fault, passage=int(passage)) if passage else fault for fault in faults]


def _kills(count: int, seed: int, at: str | None, points: Sequence[str]) -> list[Kill]:
    if at is None:
        return list(plan(count, seed, points))
    point, _, passage = at.partition(":")
    if point not in points or not passage.isdecimal():
        raise click.BadParameter(f"POINT:N, with a point of {', '.join(points)}", param_hint="--at")
    return [Kill(point, int(passage))] * count


async def _run(campaign: Campaign | WorldCampaign, count: int, what: str) -> bool:
    """Runs it; False when it was interrupted, after the server is dead and its files are closed."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    found = campaign.found
    with LongWork(what, count) as work:
        try:
            await campaign.run(lambda: work.tell(found.kills, f"{found.missed} points not passed in time"))
        except asyncio.CancelledError:
            if not task.cancelling():
                raise  # nobody has interrupted it
            return False
    return True


def _print(found: Found, points: Sequence[str], what: str) -> None:
    for point in (*points, RANDOM):
        click.echo(f"{point:22} {found.at_points[point]:6} {what}")
    click.echo(f"{found.kills} {what} in {found.seconds:.0f} s (seed {found.seed}).")
    if found.missed:
        click.echo(f"{found.missed} times a point was not passed in time, and the server was killed at random instead.")
    for sentence in found.broken:
        click.echo(f"BROKEN: {sentence}")
    if not found.broken:
        click.echo(
            "Held: what was acked came once and in order, and never after its ack; no prekey was handed out twice; no "
            "blob was broken; settings, blocks and accounts were as acked; time never went back; the database was in "
            "order."
        )


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
