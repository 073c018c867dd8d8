"""Looks for stories that go wrong, and for the smallest of them; knows no server and no rule."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tests.histories.history import WrongHistory, play
from tests.histories.shrink import shrink
from tests.histories.stage import Stage
from tests.histories.story import PEOPLE, THIRD_PARTY, VERBS, WHATSAPP, Moment, Step, Story, fits, write

_OFTEN = {"send": 8, "ack": 3, "connect": 3, "drop": 2, "wait": 2, "receipt": 2, "block": 2}
"""What people do more often than other things."""
_WRITERS = ("send", "receipt", "type", "take", "report")
"""What is mostly done to somebody on the other side."""


@dataclass
class Found:
    """What a search has found. Adds up."""

    stories: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    """Steps that were taken, by verb and answer."""
    wrong: list[tuple[str, str]] = field(default_factory=list)
    """The smallest stories that went wrong, as text, and what was wrong."""
    seconds: float = 0.0
    """Of processor time."""
    was_interrupted: bool = False

    def add(self, other: "Found") -> None:
        """Adds what another search has found."""
        self.stories += other.stories
        self.steps += other.steps
        self.wrong += other.wrong
        self.seconds += other.seconds


_CASTS = (("w1", "a1"), ("w1", "a1", "b1"), ("w1", "w2", "a1"), ("w1", "w2", "a1", "b1"), ("w1", "a1", "a2"), PEOPLE)
"""Who a story is about: few people meet more often."""


@st.composite
def _steps(draw: st.DrawFn, cast: tuple[str, ...], verbs: tuple[str, ...]) -> Step:
    verb = draw(st.sampled_from(_weighted(verbs)))
    words = [draw(st.sampled_from(_among(cast, allowed))) for allowed in VERBS[verb]]
    if verb in _WRITERS and draw(st.integers(0, 9)) < 9:
        words[1] = draw(st.sampled_from(_among(cast, THIRD_PARTY if words[0] in WHATSAPP else WHATSAPP)))
    return Step(verb, tuple(words))


@cache
def _weighted(verbs: tuple[str, ...]) -> list[str]:
    return [verb for verb in verbs for _ in range(_OFTEN.get(verb, 1))]


@cache
def _among(cast: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    """Returns the words that are people of the cast, or no people."""
    return [word for word in words if word.lstrip("~") not in PEOPLE or word.lstrip("~") in cast]


@cache
def _stories_of(cast: tuple[str, ...], verbs: tuple[str, ...]) -> st.SearchStrategy[Story]:
    one = _steps(cast, verbs)
    alone = one.map(lambda step: (step,))
    at_once = st.one_of(st.tuples(one, one), st.tuples(one, one, one))
    moments: st.SearchStrategy[Moment] = st.one_of(alone, alone, alone, at_once).map(
        lambda moment: moment if fits(moment) else moment[:1]
    )
    # Lists of lists: long stories are common, and any part of one can be left out.
    return st.lists(st.lists(moments, min_size=1, max_size=6), min_size=1, max_size=6).map(
        lambda parts: tuple(moment for part in parts for moment in part)
    )


def search(folder: Path, count: int, number: int, verbs: tuple[str, ...] = tuple(VERBS), *, nodes: int = 1) -> Found:
    """Plays that many stories on a server of their own, and shrinks the first that goes wrong.

    Args:
        folder: Empty; for the server's files.
        count: How many stories.
        number: The seed: the same number, the same stories.
        verbs: What people do in them.
        nodes: How many servers are one world; more than one have a database on a server.
    """
    found, began = Found(), time.process_time()
    stories = st.sampled_from(_CASTS).flatmap(lambda cast: _stories_of(cast, verbs))
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        stage = runner.run(Stage.open(stack, folder, nodes))
        try:
            _search(stories, lambda story: runner.run(play(stage, story)), seed(number), count, found)
        finally:
            runner.run(stack.aclose())
    found.seconds = time.process_time() - began
    return found


def _search(
    stories: st.SearchStrategy[Story],
    act: Callable[[Story], Counter[str]],
    seeded: Callable[[Any], Any],
    count: int,
    found: Found,
) -> None:
    options = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )

    last: list[WrongHistory] = []

    def tell(story: Story) -> None:
        found.stories += 1
        try:
            found.steps += act(story)
        except WrongHistory as wrong:
            last[:] = [wrong]
            raise

    def goes_wrong(story: Story) -> bool:
        try:
            act(story)
        except WrongHistory as wrong:
            last[:] = [wrong]
            return True
        return False

    try:
        seeded(options(given(stories)(tell)))()
    except (WrongHistory, Flaky):  # it goes wrong now and then only: still it went wrong
        if not last:  # what broke once, and did not again, was the stage
            raise
        first = last[0]
        rare = "" if goes_wrong(first.story) else " (not when it was played again)"
        found.wrong.append((write(shrink(first.story, goes_wrong)), f"{last[0]}{rare}"))
