"""`make mutants`: changes the code in one place at a time, and says which changes no test notices.

Exits with 1 when fewer than 98 % are noticed of the changes that change anything, with 2 when tests fail without any.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console

from tests.mutants import session
from tests.mutants.hunt import Hunt
from tests.mutants.judged import read_judged
from tests.mutants.measuring import TestsFail, measure
from tests.mutants.mutants import Mutant, read_mutants
from tests.mutants.report import Report, named
from tests.mutants.rooms import ROOT, Room, rooms
from tests.progress import LongWork

MIN_WIDTH = 120
"""Columns of the output, also where it is no terminal."""


def choose(chosen: Iterable[Room], count: int, seed: int, keys: Sequence[str]) -> list[Mutant]:
    """Returns mutants of some rooms: those named, or else so many at random.

    A seed draws each by its key alone, so that its sample stays when code elsewhere changes, and a survivor that got a
    test is tried again.
    """
    mutants = [mutant for room in chosen for file in room.files for mutant in read_mutants(ROOT, room.name, file)]
    if keys:
        return [mutant for mutant in mutants if mutant.key in keys]
    drawn = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    return drawn[: count or None]


@click.command()
@click.option("--sample", default=300, show_default=True, help="How many mutants; 0 for all.")
@click.option("--seed", default=1, show_default=True, help="Of the sample.")
@click.option("--room", "names", multiple=True, help="A room, such as core/keys; may be given more than once.")
@click.option("--only", "keys", multiple=True, help="A mutant by its key, in place of a sample.")
@click.option("--jobs", type=click.IntRange(min=1), help="Mutants tried at a time; as many as there are cores.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def main(
    sample: int, seed: int, names: tuple[str, ...], keys: tuple[str, ...], jobs: int | None, as_json: bool
) -> None:
    """Tries mutants of the core, the protocol, the Signal sessions and the storage."""
    known = {room.name: room for room in rooms()}
    if unknown := set(names) - set(known):
        raise click.BadParameter(f"no room {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in names or known]
    console, stderr = Console(width=max(MIN_WIDTH, Console().width)), Console(stderr=True)
    session.warm_up()
    stderr.print("Measuring which tests run which lines, unless that is known: some minutes …")
    try:
        reach = measure(ROOT)
    except TestsFail as failing:
        stderr.print(str(failing))
        sys.exit(2)
    hunt = Hunt(reach, known, **({} if jobs is None else {"jobs": jobs}))
    mutants = choose(chosen, sample, seed, keys)
    if failing := hunt.check_unmutated(known[name] for name in sorted({mutant.room for mutant in mutants})):
        stderr.print(f"Without a mutant the tests fail on their own, or in another order: {', '.join(failing)}")
        sys.exit(2)
    report = Report(read_judged())
    _try(hunt, mutants, report, stderr)
    if as_json:
        print(report.as_json())
    else:
        report.print(console)
    sys.exit(0 if report.is_good else 1)


def _try(hunt: Hunt, mutants: Sequence[Mutant], report: Report, stderr: Console) -> None:
    """Tries mutants and names survivors as they are found; after Ctrl-C, what was found so far stands."""
    with LongWork("mutants", len(mutants), stderr, forks=True) as work:
        try:
            for number, trial in enumerate(hunt.trials(mutants), start=1):
                if report.add(trial):
                    work.say(named(trial))
                work.tell(number, f"{len(report.rows[-1].survivors)} survived")
        except KeyboardInterrupt:
            stderr.print("Stopped: this is what was found so far.")


if __name__ == "__main__":
    main()
