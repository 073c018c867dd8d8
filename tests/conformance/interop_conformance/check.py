"""What a check is, and the register of all checks; knows no stage and no subject."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ID = re.compile(r"[A-Z]{3}-[0-9]{2}\.[a-z0-9]+(?:-[a-z0-9]+)*")


class Level(StrEnum):
    """How much a check weighs."""

    MUST = "must"
    """A failure makes the subject not conformant. Only with evidence *documented* or *white paper*, or where the format
    of sessions and messages forces it."""
    SHOULD = "should"
    """A failure is a warning."""


class Subject(StrEnum):
    """What a check judges."""

    CLIENT = "client"
    BOT = "bot"
    """A client that nobody drives: it answers every text with the same text."""
    PARTNER = "partner"
    PROXY = "proxy"


MILESTONES = {
    1: "Identities",
    2: "Chat channel and keys",
    3: "Messaging",
    4: "Media, features, blocking",
    5: "Deletion",
    6: "Reachability",
}
"""What Meta's technical framework has a partner show, in its order (SIM-05)."""


class Score(StrEnum):
    """What became of an attack by a dishonest server."""

    NOTICED = "noticed"
    """The subject told its user, or refused."""
    SURVIVED = "survived"
    """It took no harm, and said nothing."""
    HARMED = "harmed"
    """It believed what was not so, lost what it had, or ended."""


class NotSo(Exception):
    """What a check expects of its subject does not hold.

    Args:
        expected: What should have been, in a few words.
        got: What was.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected: {expected}; got: {got}")
        self.expected = expected
        self.got = got


class NotApplicable(Exception):
    """The subject lacks something optional that the check is about. The text says what."""


Judge = Callable[[Any], Awaitable[Score | None]]
"""Does on a stage what the check is about, and raises NotSo. An attack returns whether it was noticed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of a subject."""

    id: str
    """`AREA-NN.short-name`; stable, never used again for something else."""
    sentence: str
    """What must hold of the subject."""
    level: Level
    judge: Judge = field(repr=False)
    subject: Subject = Subject.CLIENT
    milestone: int = 0
    """Which of the six milestones it belongs to; 0 for none."""
    features: tuple[str, ...] = ()
    """What the subject must have, as `ClientFeature` names it without its prefix, in lower case: otherwise the check is
    not applicable."""
    modes: tuple[str, ...] = ("direct", "proxy")
    """How the subject's client may be connected."""
    after: tuple[str, ...] = ()
    """Checks without which this one says nothing: when one of them fails, this one is blocked."""
    is_alone: bool = False
    """Whether nothing else may go on in its simulator: it moves the clock, or has faults that meet everybody."""
    is_attack: bool = False
    """Whether it plays a dishonest server: then it is scored."""
    forced_by: str = ""
    """Why it is a must although the requirement is only observed: what in the format of sessions forces it."""
    seconds: float = 30.0
    """How long it may take, before `--time-factor`."""

    @property
    def requirement(self) -> str:
        """The requirement's id, such as `KEY-05`."""
        return self.id.partition(".")[0]

    @property
    def area(self) -> str:
        """The requirement's area, such as `KEY`."""
        return self.id.partition("-")[0]


_REGISTER: dict[Subject, dict[str, Check]] = {subject: {} for subject in Subject}


def check(id: str, level: Level, sentence: str, **facts: Any) -> Callable[[Judge], Judge]:
    """Registers the decorated function as the judge of a check.

    Args:
        id: See `Check`; the other arguments likewise.
        level: Must or should.
        sentence: What must hold of the subject.
        **facts: Other fields of `Check`.

    Raises:
        ValueError: There is such a check already, or the id is none.
    """

    def register(judge: Judge) -> Judge:
        one = Check(id=id, sentence=sentence, level=level, judge=judge, **facts)
        if not ID.fullmatch(id) or id in _REGISTER[one.subject]:
            raise ValueError(f"{id} is no id of a check, or there is one already")
        _REGISTER[one.subject][id] = one
        return judge

    return register


def registered(subject: Subject) -> Mapping[str, Check]:
    """Returns the registered checks of a subject, by id, in the order of their modules."""
    return _REGISTER[subject]
