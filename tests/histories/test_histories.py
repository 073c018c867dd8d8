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
from interop_server.storage.sqlite import mailbox
from tests.histories.campaign import chunks
from tests.histories.history import WrongHistory, play
from tests.histories.search import search
from tests.histories.stage import Stage
from tests.histories.story import Story, WrongStory, read, write

STORIES, SEED = 200, 1
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


BROKEN: dict[str, tuple[Break, str]] = {
    "opt-in": (_seen_otherwise(opted_in=True), "opt_out w1 A\nsend w1 a1 m1\n"),
    "block": (_seen_otherwise(recipient_blocked_sender=False), "block w1 a1\nsend a1 w1 m1\n"),
    "repetition": (_no_memory, "send w1 a1 m1\nsend w1 a1 m1\n"),
    "order": (_newest_first, "send w1 a1 m1\n"),
    "ban": (_no_bans, "ban w1 hour\nconnect w1\n"),
}
"""Rules by name: how each is broken, and the smallest story that shows it."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_found_and_the_smallest_story_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """A server that does not keep a rule is caught within 200 stories, and shrinking leaves what shows it and no more."""
    put, smallest = BROKEN[rule]
    put(monkeypatch)
    found = search(tmp_path, STORIES, SEED)
    assert [story for story, _ in found.wrong] == [smallest], found.wrong
