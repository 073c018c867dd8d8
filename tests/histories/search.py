"""Looks for stories that go wrong, and for the smallest of them; knows no server and no rule."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure

from tests.histories.history import WrongHistory, play
from tests.histories.stage import Stage
from tests.histories.story import THIRD_PARTY, VERBS, WHATSAPP, Moment, Step, Story, fits, write

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

    def add(self, other: "Found") -> None:
        """Adds what another search has found."""
        self.stories += other.stories
        self.steps += other.steps
        self.wrong += other.wrong
        self.seconds += other.seconds


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    verb = draw(st.sampled_from([verb for verb in VERBS for _ in range(_OFTEN.get(verb, 1))]))
    words = [draw(st.sampled_from(allowed)) for allowed in VERBS[verb]]
    if verb in _WRITERS and draw(st.integers(0, 9)) < 9:  # noqa: PLR2004 - nine of ten
        words[1] = draw(st.sampled_from(THIRD_PARTY if words[0] in WHATSAPP else WHATSAPP))
    return Step(verb, tuple(words))


_moments: st.SearchStrategy[Moment] = st.one_of(
    _steps().map(lambda step: (step,)),
    _steps().map(lambda step: (step,)),
    _steps().map(lambda step: (step,)),
    st.tuples(_steps(), _steps()).filter(fits),
    st.tuples(_steps(), _steps(), _steps()).filter(fits),
)
# Lists of lists: long stories are common, and any part of one can be left out.
stories: st.SearchStrategy[Story] = st.lists(st.lists(_moments, min_size=1, max_size=6), min_size=1, max_size=6).map(
    lambda parts: tuple(moment for part in parts for moment in part)
)


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
    smallest: list[WrongHistory] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(stories)
    def tell_stories(story: Story) -> None:
        if not smallest:
            found.stories += 1
            tell()
        try:
            found.steps += act(story)
        except WrongHistory as wrong:
            if not smallest or len(write(story)) <= len(write(smallest[0].story)):
                smallest[:] = [wrong]
            raise

    try:
        tell_stories()
    except (WrongHistory, FlakyFailure):
        found.wrong.append((write(smallest[0].story), smallest[0].difference))
