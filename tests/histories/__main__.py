"""`make histories`: many more stories than `make test` plays, with other seeds; prints the smallest that went wrong.

`--count N` says how many, `--seed S` which ones, `--replay FILE` plays one that was printed once more, from standard
input with `-`. Exits with 1 when a story went wrong, and with 130 when it was interrupted.
"""

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

import click

from tests.histories.campaign import campaign
from tests.histories.history import WrongHistory, play
from tests.histories.search import Found
from tests.histories.stage import Stage
from tests.histories.story import WrongStory, read, write
from tests.progress import LongWork

INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", type=click.IntRange(min=1), default=1_000, show_default=True, help="How many stories.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=None, help="Which stories; another one each time by default."
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True, help="Processes."
)
@click.option("--nodes", type=click.IntRange(1, 9), default=1, show_default=True, help="Several are one world.")
@click.option("--replay", type=click.File(), metavar="FILE", help="Play this story instead; `-` reads it from input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(count: int, seed: int | None, workers: int, nodes: int, replay: TextIO | None, as_json: bool) -> None:
    """Plays stories of a few people on real servers, and holds what everybody saw against a plain model."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if replay is not None:
        found = _replay(replay.read(), nodes)
        seed = None
    else:
        seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
        found = _run(count, seed, workers, nodes)
    print(json.dumps(_as_json(found, seed)) if as_json else _as_text(found, seed))
    sys.exit(INTERRUPTED if found.was_interrupted else int(bool(found.wrong)))


def _run(count: int, seed: int, workers: int, nodes: int) -> Found:
    with LongWork("stories", count) as work:

        def tell(found: Found) -> None:
            work.tell(found.stories, f"{len(found.wrong)} wrong, seed {seed}")

        return campaign(count, seed, workers, tell, nodes)


def _replay(text: str, nodes: int) -> Found:
    try:
        story = read(text)
    except WrongStory as error:
        raise click.ClickException(str(error)) from error

    async def once(folder: Path) -> Found:
        async with AsyncExitStack() as stack:
            try:
                return Found(1, await play(await Stage.open(stack, folder, nodes), story))
            except WrongHistory as wrong:
                return Found(1, wrong=[(write(wrong.story), str(wrong))])

    with tempfile.TemporaryDirectory(prefix="histories-") as folder:
        return asyncio.run(once(Path(folder)))


def _as_json(found: Found, seed: int | None) -> dict[str, object]:
    return {
        "seed": seed,
        "stories": found.stories,
        "steps": found.steps.total(),
        "answers": dict(sorted(found.steps.items())),
        "cpu_seconds": round(found.seconds, 1),
        "interrupted": found.was_interrupted,
        "wrong": [{"story": story, "difference": difference} for story, difference in found.wrong],
    }


def _as_text(found: Found, seed: int | None) -> str:
    lines = [f"\n{story}\n{difference}" for story, difference in found.wrong]
    if lines:
        lines.append("\nPlay one again: python -m tests.histories --replay FILE, or - with the story as input.\n")
    which = "" if seed is None else f", seed {seed}"
    stopped = " until it was interrupted" if found.was_interrupted else ""
    counts = f"{found.stories:,} stories, {found.steps.total():,} steps{which}{stopped}"
    return "\n".join([*lines, f"{counts}: {len(found.wrong)} went wrong"])


if __name__ == "__main__":
    main()
