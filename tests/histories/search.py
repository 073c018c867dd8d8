"""Looks for stories that go wrong, and for the smallest of them; knows no server and no rule."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

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
def _steps(draw: st.DrawFn, cast: tuple[str, ...]) -> Step:
    verb = draw(st.sampled_from(_WEIGHTED))
    words = [draw(st.sampled_from(_among(cast, allowed))) for allowed in VERBS[verb]]
    if verb in _WRITERS and draw(st.integers(0, 9)) < 9:  # noqa: PLR2004 - nine of ten
        words[1] = draw(st.sampled_from(_among(cast, THIRD_PARTY if words[0] in WHATSAPP else WHATSAPP)))
    return Step(verb, tuple(words))


_WEIGHTED = [verb for verb in VERBS for _ in range(_OFTEN.get(verb, 1))]


@cache
def _among(cast: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    """Returns the words that are people of the cast, or no people."""
    return [word for word in words if word.lstrip("~") not in PEOPLE or word.lstrip("~") in cast]


@cache
def _stories_of(cast: tuple[str, ...]) -> st.SearchStrategy[Story]:
    one = _steps(cast)
    alone = one.map(lambda step: (step,))
    at_once = st.one_of(st.tuples(one, one), st.tuples(one, one, one))
    moments: st.SearchStrategy[Moment] = st.one_of(alone, alone, alone, at_once).map(
        lambda moment: moment if fits(moment) else moment[:1]
    )
    # Lists of lists: long stories are common, and any part of one can be left out.
    return st.lists(st.lists(moments, min_size=1, max_size=6), min_size=1, max_size=6).map(
        lambda parts: tuple(moment for part in parts for moment in part)
    )


stories: st.SearchStrategy[Story] = st.sampled_from(_CASTS).flatmap(_stories_of)


def search(folder: Path, count: int, number: int, tell: Callable[[], None] = lambda: None) -> Found:
    """Plays that many stories on a server of their own, and shrinks the first that goes wrong.

    Args:
        folder: Empty; for the server's files.
        count: How many stories.
        number: The seed: the same number, the same stories.
        tell: Called after each story.
    """
    found, began = Found(), time.process_time()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        stage = runner.run(Stage.open(stack, folder))
        try:
            _search(lambda story: runner.run(play(stage, story)), count, number, found, tell)
        finally:
            runner.run(stack.aclose())
    found.seconds = time.process_time() - began
    return found


def _search(
    act: Callable[[Story], Counter[str]], count: int, number: int, found: Found, tell: Callable[[], None]
) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(stories)
    def tell_stories(story: Story) -> None:
        found.stories += 1
        tell()
        found.steps += act(story)

    def goes_wrong(story: Story) -> bool:
        try:
            act(story)
        except WrongHistory as wrong:
            last[:] = [wrong]
            return True
        return False

    last: list[WrongHistory] = []
    try:
        tell_stories()
    except WrongHistory as first:
        last[:] = [first]
        smallest = write(shrink(first.story, goes_wrong))
        found.wrong.append((smallest, last[0].difference))
