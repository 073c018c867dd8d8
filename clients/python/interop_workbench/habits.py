"""What people do by themselves when a message comes; knows neither cast nor page."""

import asyncio
from collections.abc import Callable

from interop_client.messaging.events import EditReceived, MediaReceived, Message, ReactionReceived, TextReceived
from interop_workbench.cast import Role, or_else
from interop_workbench.person import NotPossible, OnMessage, Person


async def _nothing(_person: Person, _message: Message) -> None:
    """Leaves everything to whoever has the person in hand."""


async def _echo(person: Person, message: Message) -> None:
    """Answers with what came: a text in a reply, an edit, a file, a reaction."""
    peer = message.sender
    if isinstance(message, TextReceived):
        await person.read(peer, message)
        await person.type(peer)
        await person.send(peer, message.text, message)
    elif isinstance(message, EditReceived):
        await person.send(peer, message.text)
    elif isinstance(message, ReactionReceived):
        await person.react(peer, message.target_id, message.emoji, is_own_message=_is_own(person, message))
    elif isinstance(message, MediaReceived):
        await person.read(peer, message)
        shown = person.phone.chat(peer).find(message.id, is_own=False)
        if shown is None or shown.file is None or shown.file.state != "ready":
            await person.send(peer, "The file did not come through.", message)
            return
        name = message.media.name or "picture"
        await person.send_file(peer, person.file_of(peer, message.id), name, message.media.mimetype)


async def _late(person: Person, message: Message) -> None:
    """Reads after a while, and says nothing."""

    async def read() -> None:
        await asyncio.sleep(person.role.seconds)
        await person.read(message.sender, message)

    person.later(read())


async def _block(person: Person, message: Message) -> None:
    """Reads, and never wants to hear of them again."""
    await person.read(message.sender, message)
    await person.block(message.sender)


def _script(role: Role) -> OnMessage:
    """Accepts who asks, and says the next line of a script to each text; a script begins anew for each peer."""
    said: dict[str, int] = {}

    async def talk(person: Person, message: Message) -> None:
        peer = message.sender
        if message.request_state == "REQUESTED":
            await person.accept(peer)
        await person.read(peer, message)
        if isinstance(message, TextReceived) and said.get(peer, 0) < len(role.lines):
            said[peer] = said.get(peer, 0) + 1
            await person.send(peer, role.lines[said[peer] - 1], message)

    return talk


def _chatter(role: Role) -> OnMessage:
    """Writes line after line to whoever has written, until that is refused."""
    busy: set[str] = set()

    async def listen(person: Person, message: Message) -> None:
        peer = message.sender
        await person.read(peer, message)
        if peer in busy:
            return
        busy.add(peer)

        async def chat() -> None:
            try:
                for turn in range(10**9):
                    if person.phone.is_online:
                        await person.send(peer, role.lines[turn % len(role.lines)])
                    await asyncio.sleep(role.seconds)
            except NotPossible:
                busy.discard(peer)  # what they write next begins it anew

        person.later(chat())

    return listen


def _rotate(role: Role) -> OnMessage:
    """Answers each text with its number, and changes keys after every few."""
    count = 0

    async def answer(person: Person, message: Message) -> None:
        nonlocal count
        if not isinstance(message, TextReceived):
            return
        count += 1
        await person.read(message.sender, message)
        await person.send(message.sender, f"That was message {count}.", message)
        if count % role.every == 0:
            await person.change_keys()

    return answer


def _is_own(person: Person, reaction: ReactionReceived) -> bool:
    return person.phone.chat(reaction.sender).find(reaction.target_id, is_own=True) is not None


_HABITS: dict[str, Callable[[Role], OnMessage]] = {
    "none": lambda _: _nothing,
    "echo": lambda _: _echo,
    "late": lambda _: _late,
    "block": lambda _: _block,
    "script": _script,
    "chatter": _chatter,
    "rotate": _rotate,
}


def habit_of(role: Role) -> OnMessage:
    """Returns what a person does when a message comes.

    Raises:
        ValueError: There is no such habit; the message names the nearest.
    """
    if role.habit not in _HABITS:
        raise ValueError(f"there is no habit {role.habit!r}{or_else(role.habit, _HABITS)}")
    return _HABITS[role.habit](role)
