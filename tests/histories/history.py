"""Plays a story on the stage and holds what everybody saw against the model; knows no way of finding stories."""

import copy
import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.histories.model import Event, Model, seen_by
from tests.histories.stage import ENDED, Stage
from tests.histories.story import PARTNERS, WHATSAPP, Moment, Step, Story, people_in, write

Part = tuple[str, str]
"""Whose, and which: `kept` or `typing`."""
_MOST_MODELS = 64
"""Of what may have happened, when that does not show: more than this is a story that tells nothing."""


class WrongHistory(AssertionError):
    """Somebody saw what they must not see, did not see what they must, or got another answer.

    Args:
        story: The story.
        moment: The moment at which it showed.
        difference: What was expected and what came.
    """

    def __init__(self, story: Story, moment: Moment, difference: str) -> None:
        super().__init__(f"{write((moment,)).strip()}: {difference}")
        self.story = story
        self.moment = moment
        self.difference = difference

    def __reduce__(self) -> tuple[type["WrongHistory"], tuple[Story, Moment, str]]:
        return type(self), (self.story, self.moment, self.difference)  # so that one process can tell another


@dataclass(frozen=True, slots=True)
class Seen:
    """All that came of a moment."""

    answers: Sequence[Event]
    log: dict[str, list[Event]]


async def play(stage: Stage, story: Story) -> Counter[str]:
    """Plays a story, then has everybody connect, and checks that nothing is lost, repeated or left over.

    Returns:
        How many steps of each kind were taken, by verb and answer.

    Raises:
        WrongHistory: What came is not what the model allows.
    """
    people = people_in(story)
    await stage.set(people)
    models, taken = [Model(people, stage.now_ms)], Counter[str]()
    for moment in story:
        models = await _live(stage, story, moment, models, taken)
    while finale := _finale(models[0], people):
        models = await _live(stage, story, (finale,), models, Counter())
    await _check_rest(stage, story, models)
    return taken


async def _live(stage: Stage, story: Story, moment: Moment, models: list[Model], taken: Counter[str]) -> list[Model]:
    """Takes the steps of a moment; returns what may have happened, as models."""
    bound = tuple(models[0].bind(step) for step in moment)
    answers = await stage.perform(bound)
    taken.update(f"{step.verb}: {answer[0]}" for step, answer in zip(moment, answers, strict=True))
    tried = list(_try(models, bound, answers))
    logs = [model.log for model, _ in tried]
    leaving = frozenset.intersection(*(_left(model) for model, _ in tried))
    certain = {person: len(events) for person, events in logs[0].items()} if len(tried) == 1 else None
    await stage.settle(certain, leaving)
    seen = Seen(answers, stage.take())
    ends = Counter(event for model, _ in tried for log in model.log.values() for event in log if event[0] == "ended")
    kind = {"is_one": len(moment) == 1, "has_nodes": stage.has_nodes}
    allowed = [model for model, expected in tried if _agrees(model, expected, seen, ends, **kind)]
    if not allowed:
        raise WrongHistory(story, moment, _difference(Seen(tried[0][1], logs[0]), seen, stage))
    for model in allowed:
        model.log = {}
    return _distinct(allowed)


def _try(models: list[Model], moment: Moment, answers: Sequence[Event]) -> Iterator[tuple[Model, list[Event]]]:
    """Yields what could have happened, with the answers: each order of the steps is one that the server may choose."""
    for model in models:
        model.begin()
        if len(moment) == 1:
            yield model, [_act(model, model.parts(moment[0]), answers[0])]
            continue
        for order in _orders([len(model.parts(step)) for step in moment]):
            trial, expected = copy.deepcopy(model), [()] * len(moment)
            parts = [iter(model.parts(step)) for step in moment]
            for index in order:
                part = next(parts[index])
                answer = trial.act(part, answers[index])
                expected[index] = expected[index] or answer
            yield trial, expected


def _act(model: Model, parts: Iterable[Step], answer: Event) -> Event:
    answers = [model.act(part, answer) for part in parts]
    return answers[0]


def _orders(counts: Sequence[int]) -> set[tuple[int, ...]]:
    """Returns the orders of steps of so many parts each."""
    return set(itertools.permutations([index for index, count in enumerate(counts) for _ in range(count)]))


def _agrees(
    model: Model, expected: Sequence[Event], seen: Seen, ends: Container[Event], *, is_one: bool, has_nodes: bool
) -> bool:
    due, came = seen_by_name(model.log), seen_by_name(seen.log)
    if is_one:
        return list(expected) == list(seen.answers) and due == came

    def is_here(who: Part) -> bool:
        return model.is_online(who[0]) and not (has_nodes and _may_miss(who, due))

    return all(_may_be(one, other) for one, other in zip(expected, seen.answers, strict=True)) and all(
        saw(due.get(who, ()), came.get(who, ()), ends, is_here=is_here(who)) for who in {*due, *came}
    )


def _may_miss(who: Part, due: Mapping[Part, Sequence[Event]]) -> bool:
    """Whether somebody may miss a part of what they were to see: typing, between connections at two nodes.

    It is never stored, and there is a moment in which the one node has them no more, and the other not yet.
    """
    person, part = who
    return part == "typing" and any(event[0] == "ended" for event in due.get((person, "kept"), ()))


def _may_be(expected: Event, answer: Event) -> bool:
    """Whether an answer may be this one, when another step at the same time may have ended the connection."""
    return answer == expected or answer in (ENDED, ("SESSION_DEAD",))


def saw(expected: Sequence[Event], seen: Sequence[Event], ends: Container[Event], *, is_here: bool) -> bool:
    """Whether somebody saw what they must; a connection that ended meanwhile may have seen only the beginning of it.

    What the steps of a moment have changed comes in the order in which they did. Which of them then ends the connection
    is open: its end is any of `ends`.
    """
    due, came = _connections(expected, ends), _connections(seen, ends)
    if len(due) != len(came):
        return False
    last, shown = due.pop(), came.pop()
    is_right = shown == last if is_here else shown == last[: len(shown)]
    return is_right and all(
        one[-1] == other[-1] and one[: len(other) - 1] == other[:-1] for one, other in zip(due, came, strict=True)
    )


def _connections(events: Sequence[Event], ends: Container[Event]) -> list[list[Event]]:
    """Returns what each connection has seen, the end of all but the last included, all of `ends` as one."""
    parts: list[list[Event]] = [[]]
    for event in events:
        parts[-1].append(("ended",) if event in ends else _loosely(event))
        if event[0] == "ended":
            parts.append([])
    return parts


def _loosely(event: Event) -> Event:
    """Without the state of the chat, which may change between sending and delivery."""
    return event[:4]


def seen_by_name(log: dict[str, list[Event]]) -> dict[Part, list[Event]]:
    """Returns what each person saw, what is kept in order apart from typing."""
    parts = {}
    for person, kept, typing in seen_by(log):
        parts[person, "kept"], parts[person, "typing"] = kept, typing
    return {key: events for key, events in parts.items() if events}


def _left(model: Model) -> frozenset[str]:
    """Returns whose connection the server has ended just now, and who has no other."""
    ended = (person for person, events in model.log.items() if any(event[0] == "ended" for event in events))
    return frozenset(person for person in ended if not model.is_online(person))


def _distinct(models: list[Model]) -> list[Model]:
    known: list[Model] = []
    for model in models:
        if not any(vars(model) == vars(other) for other in known):
            known.append(model)
    assert len(known) <= _MOST_MODELS, "too much may have happened"
    return known


def _finale(model: Model, people: Sequence[str]) -> Step | None:
    """Returns what is left to do until everybody who can be is connected, and sees what waits for them."""
    for partner in PARTNERS:
        if partner in model.suspended:
            return Step("resume", (partner,))
    for person in people:
        account = model.accounts.get(person)
        if account is None or account.online:
            continue
        is_banned = any(model.sanctions.get((person, kind), 0) > model.now_ms for kind in ("temporary", "ever"))
        return Step("lift" if is_banned else "connect", (person,))
    return None


async def _check_rest(stage: Stage, story: Story, models: list[Model]) -> None:
    await stage.settle(None)
    nothing = (Step("wait", ("second",)),)
    if rest := stage.take():
        raise WrongHistory(story, story[-1] if story else nothing, f"at the end came what nobody may see: {rest}")
    for person in people_in(story):
        if person not in WHATSAPP:
            continue
        chats = await stage.chat_list(person)
        expected = [model.chat_list(model.accounts[person]) for model in models]
        if chats not in expected:
            raise WrongHistory(story, story[-1], f"{person} has the chats {chats} instead of {expected[0]}")


def _difference(expected: Seen, seen: Seen, stage: Stage) -> str:
    """Says what differs from the first thing that might have happened."""
    parts = [
        f"answered {_text(answer, stage)} instead of {_text(due, stage)}"
        for due, answer in zip(expected.answers, seen.answers, strict=True)
        if due != answer
    ]
    due, came = seen_by_name(expected.log), seen_by_name(seen.log)
    parts += [
        f"{who[0]} saw {[_text(event, stage) for event in came.get(who, ())]} "
        f"instead of {[_text(event, stage) for event in due.get(who, ())]}"
        for who in sorted({*due, *came})
        if due.get(who) != came.get(who)
    ]
    return "; ".join(parts)


def _text(event: Event, stage: Stage) -> str:
    words = (f"now{word - stage.now_ms:+}" if isinstance(word, int) and word > 10**12 else str(word) for word in event)
    return " ".join(words).strip()
