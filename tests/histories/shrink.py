"""Makes a story that goes wrong as small as it can be; knows no server and no rule.

Hypothesis shrinks, too, but knows nothing of steps and people: it played hundreds of stories where this plays
some twenty, and left steps over that nobody needs.
"""

from collections.abc import Callable, Iterator

from tests.histories.story import MESSAGES, PEOPLE, THIRD_PARTY, VERBS, WHATSAPP, Moment, Step, Story, fits

MOST_TRIES = 300


def shrink(story: Story, is_wrong: Callable[[Story], bool]) -> Story:
    """Returns a story that still goes wrong, although nothing can be left out of it or said more simply."""
    tries = 0
    smaller = _smaller(story)
    while (candidate := next(smaller, None)) is not None and tries < MOST_TRIES:
        tries += 1
        if is_wrong(candidate):
            story = candidate
            smaller = _smaller(story)
    return story


def _smaller(story: Story) -> Iterator[Story]:
    """Yields stories that are a little smaller, the smallest first."""
    length = len(story) // 2
    while length:
        for first in range(0, len(story), length):
            yield story[:first] + story[first + length :]
        length //= 2
    for index, moment in enumerate(story):
        for simpler in _simpler(moment):
            yield (*story[:index], simpler, *story[index + 1 :])
    yield from _with_others(story)


def _simpler(moment: Moment) -> Iterator[Moment]:
    for index, step in enumerate(moment):
        before, after = moment[:index], moment[index + 1 :]
        if before or after:
            yield (*before, *after)
        for place, (word, allowed) in enumerate(zip(step.words, VERBS[step.verb], strict=True)):
            if word in PEOPLE or word in MESSAGES or word == allowed[0]:
                continue
            plainer = word[1:] if word.startswith("~") else allowed[0]
            simpler = (*before, Step(step.verb, (*step.words[:place], plainer, *step.words[place + 1 :])), *after)
            if fits(simpler):
                yield simpler


def _with_others(story: Story) -> Iterator[Story]:
    """Yields the story with people and messages that come earlier in the list, in the place of those who come later."""
    used = {word.lstrip("~") for moment in story for step in moment for word in step.words}
    for kind in (WHATSAPP, THIRD_PARTY, MESSAGES):
        for later, name in enumerate(kind):
            for other in kind[:later]:
                if name in used and other not in used:
                    yield tuple(tuple(_renamed(step, name, other) for step in moment) for moment in story)


def _renamed(step: Step, name: str, other: str) -> Step:
    return Step(step.verb, tuple(word.replace(name, other) for word in step.words))
