"""Two hundred stories in every run of the tests; and rules that are broken on purpose, which stories must find."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.abuse.standing import Standing
from interop_server.core.consent import reach
from interop_server.core.messages import RouteFacts
from interop_server.storage.postgres import mailbox as postgres_mailbox
from interop_server.storage.sqlite import mailbox
from tests.histories.campaign import chunks
from tests.histories.history import WrongHistory, play, saw
from tests.histories.search import search
from tests.histories.stage import Stage
from tests.histories.story import Story, WrongStory, read, write

STORIES, SEED = 200, 1
STORIES_ON_NODES, NODES = 20, 3
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.timeout(300)
@pytest.mark.requirement("OPT-02", "OPT-06", "ABU-02", "MSG-04", "MSG-08", "MSG-09", "MSG-14", "OPT-14")
@pytest.mark.parametrize(("count", "seed"), chunks(STORIES, SEED))
def test_everybody_sees_what_the_model_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, seed: int
) -> None:
    """Whatever a few people do, in any order and at the same time, each sees what they may, once and in order."""
    found = search(tmp_path, count, seed)
    with capsys.disabled():
        print(f"\n{found.stories} stories, {found.steps.total()} steps, {found.seconds:.1f} s of processor time")
    assert not found.wrong, "\n".join(f"{story}\n{difference}" for story, difference in found.wrong)
    assert found.stories == count


@pytest.mark.timeout(600)
@pytest.mark.requirement("CHN-11", "MSG-04", "MSG-08", "MSG-09", "MSG-14", "OPT-02", "ABU-02", "SIM-04")
def test_everybody_sees_the_same_at_whatever_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each connects at any of three nodes that are one world, and makes each call at any of them."""
    found = search(tmp_path, STORIES_ON_NODES, SEED, nodes=NODES)
    with capsys.disabled():
        print(f"\n{found.stories} stories on {NODES} nodes, {found.steps.total()} steps")
    assert not found.wrong, "\n".join(f"{story}\n{difference}" for story, difference in found.wrong)
    assert found.stories == STORIES_ON_NODES


@pytest.mark.timeout(600)
@pytest.mark.requirement("CHN-11", "MSG-13")
def test_typing_may_be_missed_between_two_nodes(tmp_path: Path) -> None:
    """Nothing else may: while a connection replaces another, no node may have its user for a moment."""
    asyncio.run(_replay(tmp_path / "nodes", read("type a1 w1 & connect w1 & send w2 a2 m1\n" * 8), NODES))


@pytest.mark.timeout(600)
def test_a_rule_that_nodes_break_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with one server; here their database delivers the newest first."""
    store = postgres_mailbox.PostgresMailbox
    query = store._LIST_DELIVERIES.replace("ORDER BY delivery_id\n    ", "ORDER BY delivery_id DESC\n    ")
    assert query != store._LIST_DELIVERIES
    monkeypatch.setattr(store, "_LIST_DELIVERIES", query)
    [(story, difference)] = search(tmp_path, 100, SEED, ("send", "drop", "connect"), nodes=2).wrong
    assert story == "send w1 a1 m1\n", difference


def _seen_otherwise(**changes: object) -> Break:
    """Breaks the rule about who may reach whom: it is asked about other facts than there are."""

    def put(patch: pytest.MonkeyPatch) -> None:
        rule = reach.decide_route

        def broken(sender: Any, to_whatsapp: bool, facts: RouteFacts | None, end: Any = None) -> reach.Route:
            return rule(sender, to_whatsapp, facts and facts._replace(**changes), end)  # type: ignore[arg-type]

        patch.setattr(reach, "decide_route", broken)

    return put


def _no_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mailbox, "sent_before", lambda db, keys: {})
    patch.setattr(mailbox, "add_sent", lambda db, messages: None)


def _newest_first(patch: pytest.MonkeyPatch) -> None:
    query = mailbox.SqliteMailbox._LIST_DELIVERIES.replace("ORDER BY delivery_id", "ORDER BY delivery_id DESC")
    patch.setattr(mailbox.SqliteMailbox, "_LIST_DELIVERIES", query)


def _no_bans(patch: pytest.MonkeyPatch) -> None:
    async def allowed(self: Standing, user: object) -> None:
        """Refuses nobody."""

    patch.setattr(Standing, "check_may_connect", allowed)


BROKEN: dict[str, tuple[Break, tuple[str, ...], tuple[str, ...]]] = {
    "opt-in": (
        _seen_otherwise(opted_in=True),
        ("send", "opt_out"),
        ("opt_out w1 A\nsend w1 a1 m1\n", "opt_out w1 A\nsend a1 w1 m1\n", "opt_out w1 B\nsend b1 w1 m1\n"),
    ),
    "block": (
        _seen_otherwise(recipient_blocked_sender=False),
        ("send", "block", "unblock"),
        ("block w1 a1\nsend a1 w1 m1\n", "block a1 w1\nsend w1 a1 m1\n"),
    ),
    "repetition": (_no_memory, ("send", "drop"), ("send w1 a1 m1\nsend w1 a1 m1\n", "send a1 w1 m1\nsend a1 w1 m1\n")),
    "order": (_newest_first, ("send", "drop", "connect"), ("send w1 a1 m1\n",)),
    "ban": (_no_bans, ("send", "ban", "connect"), ("ban w1 hour\nconnect w1\n", "ban a1 hour\nconnect a1\n")),
}
"""Rules by name: how each is broken, what people do, and the smallest stories that show it, one for each side."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_found_and_the_smallest_story_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """A server that does not keep a rule is caught within 100 stories, and what is told shows it and no more."""
    put, verbs, smallest = BROKEN[rule]
    put(monkeypatch)
    [(story, difference)] = search(tmp_path, 100, SEED, verbs).wrong
    assert story in smallest, difference


async def _replay(folder: Path, story: Story, nodes: int = 1) -> None:
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    async with AsyncExitStack() as stack:
        await play(await Stage.open(stack, folder, nodes), story)


def test_a_story_that_went_wrong_can_be_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As text it goes wrong in the same place as before, and no longer once the rule is kept."""
    text = "block w1 a1\nsend a1 w1 m1 & type w1 a1\n"
    assert write(read(text)) == text
    with monkeypatch.context() as patch:
        _seen_otherwise(recipient_blocked_sender=False)(patch)
        with pytest.raises(WrongHistory) as wrong:
            asyncio.run(_replay(tmp_path / "broken", read(text)))
    assert wrong.value.story == read(text)
    asyncio.run(_replay(tmp_path / "whole", read(text)))


@pytest.mark.parametrize(
    "text", ["fly w1", "send w1 a1", "send w1 a9 m1", "send w1 a1 m1 & ack w1 all", "wait day & drop w1"]
)
def test_what_is_no_story_is_refused_with_the_line(text: str) -> None:
    """A step that nobody can take, or that cannot be taken beside another one, is named with its line."""
    with pytest.raises(WrongStory, match="line 2: "):
        read(f"send w1 a1 m1\n{text}\n")


@pytest.mark.parametrize(
    ("seen", "is_right"), [("BANNED", True), ("KEYS_REPLACED", True), ("CONNECTION_REPLACED", False)]
)
def test_of_two_ends_at_once_either_may_be_told(seen: str, is_right: bool) -> None:
    """Who is banned while they enlist with new keys has both done to them; what neither of them does is wrong."""
    before, ends = ("message", "w1", "m1", 1), [("ended", "BANNED"), ("ended", "KEYS_REPLACED")]
    assert saw([before, ends[0]], [before, ("ended", seen)], ends, is_here=False) == is_right
