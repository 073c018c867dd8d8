"""Stories: what some people do, step by step, as data and as text; knows neither what should happen nor any server.

As text a story has one line for each moment. Steps at the same moment stand in one line, joined by `&`:

    send a1 w1 m1
    block w1 a1 & send a1 w1 m2
    wait week

`w1`, `w2` are WhatsApp users, `a1`, `a2` and `b1` users of the partners `A` and `B`. `~w1` is the address that w1 had
first: after a change of number, or a deletion and another enlistment, it is no longer theirs.
"""

from dataclasses import dataclass

WHATSAPP = ("w1", "w2")
THIRD_PARTY = ("a1", "b1", "a2")
PEOPLE = (*WHATSAPP, *THIRD_PARTY)
PARTNERS = ("A", "B")
_PEERS = (*PEOPLE, *(f"~{person}" for person in PEOPLE))
MESSAGES = ("m1", "m2", "m3")

VERBS: dict[str, tuple[tuple[str, ...], ...]] = {
    "send": (PEOPLE, _PEERS, MESSAGES),
    "ack": (PEOPLE, ("all", "first")),
    "drop": (PEOPLE,),
    "connect": (PEOPLE,),
    "receipt": (PEOPLE, _PEERS, MESSAGES, ("delivered", "read")),
    "type": (PEOPLE, _PEERS),
    "block": (PEOPLE, _PEERS),
    "unblock": (PEOPLE, _PEERS),
    "opt_out": (WHATSAPP, ("A", "B", "AB")),
    "opt_in": (WHATSAPP, ("A", "B", "AB")),
    "switch": (WHATSAPP, ("off", "on")),
    "accept": (WHATSAPP, THIRD_PARTY),
    "decline": (WHATSAPP, THIRD_PARTY),
    "resolve": (PEOPLE, PEOPLE),
    "ping": (THIRD_PARTY, WHATSAPP),
    "publish": (PEOPLE,),
    "take": (PEOPLE, _PEERS),
    "report": (PEOPLE, _PEERS, MESSAGES),
    "enlist": (THIRD_PARTY, ("new", "same")),
    "delete": (THIRD_PARTY,),
    "number": (WHATSAPP, ("n0", "n1", "n2", "abroad")),
    "ban": (PEOPLE, ("hour", "ever")),
    "lift": (PEOPLE,),
    "suspend": (PARTNERS,),
    "resume": (PARTNERS,),
    "wait": (("second", "hour", "day", "week", "month"),),
}
"""What can be done, and the words that follow: who does it, or whom the operator does it to, and what else it needs."""
BY_OPERATOR = frozenset({"number", "ban", "lift", "suspend", "resume", "wait"})
WAITS_MS = {"second": 1_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000, "month": 31 * 86_400_000}
_ALONE = frozenset({"suspend", "resume", "wait"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody does: a verb, and the words that `VERBS` allows after it."""

    verb: str
    words: tuple[str, ...]

    @property
    def actor(self) -> str:
        """Whose client does it; empty when the operator does."""
        return "" if self.verb in BY_OPERATOR else self.words[0]

    def __str__(self) -> str:
        return " ".join((self.verb, *self.words))


Moment = tuple[Step, ...]
"""Steps at the same time, each by somebody else."""
Story = tuple[Moment, ...]


class WrongStory(ValueError):
    """A text is no story; the message names the line and says what is wrong."""


def fits(moment: Moment) -> bool:
    """Says whether steps can be taken at the same time: nobody does two things, and time and partners stand still.

    Nobody connects while their number changes, since no story says which number they connect with.
    """
    verbs, actors = {step.verb for step in moment}, [step.actor or step.verb for step in moment]
    if len(moment) == 1:
        return True
    renumbered = {step.words[0] for step in moment if step.verb == "number"}
    connecting = {step.words[0] for step in moment if step.verb == "connect"}
    return len(set(actors)) == len(actors) and not verbs & _ALONE and not renumbered & connecting


def people_in(story: Story) -> list[str]:
    """Returns the people that a story needs, in a fixed order."""
    named = {word.lstrip("~") for moment in story for step in moment for word in step.words}
    return [person for person in PEOPLE if person in named]


def write(story: Story) -> str:
    """Returns a story as text."""
    return "".join(" & ".join(map(str, moment)) + "\n" for moment in story)


def read(text: str) -> Story:
    """Returns the story that a text tells; empty lines and lines that begin with `#` count for nothing.

    Raises:
        WrongStory: It tells none.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return tuple(_moment(number, line) for number, line in lines if line and not line.startswith("#"))


def _moment(number: int, line: str) -> Moment:
    moment = tuple(_step(number, part.split()) for part in line.split("&"))
    if not fits(moment):
        raise WrongStory(f"line {number}: these steps cannot be taken at the same time: {line}")
    return moment


def _step(number: int, words: list[str]) -> Step:
    verb, *rest = words or [""]
    allowed = VERBS.get(verb)
    if allowed is None:
        raise WrongStory(f"line {number}: nobody can {verb!r}; known are {', '.join(VERBS)}")
    if len(rest) != len(allowed) or any(word not in words for word, words in zip(rest, allowed, strict=True)):
        raise WrongStory(f"line {number}: after {verb} come {', '.join('|'.join(words) for words in allowed)}")
    return Step(verb, tuple(rest))
