"""What stands in the journal, in which order, for how long, and who is told."""

import re

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import (
    ANONYMOUS,
    MAX_FIELD_CHARACTERS,
    Decision,
    Journal,
    JournalEntry,
    is_request_id,
    open_journal,
)
from interop_server.core.newest import Origin
from interop_server.runtime.rng import SeededRng

from .world import NOW_MS, World, message, refused

STARTS = ((1, "east-1"), (1, "west-1"), (2, "west-1"))
"""Seeds and nodes."""


def journal_of(world: World, capacity: int = 100) -> Journal:
    return Journal(world.clock, SeededRng(1), capacity)


async def test_decisions_stand_in_order_with_the_time_of_the_clock(world: World) -> None:
    """Numbers rise by one, and the time is the server's."""
    journal = journal_of(world)
    journal.record("1-2@interop", "stanza.message", "accepted", "m1", requirement="MSG-06", detail="49@s.whatsapp.net")
    world.clock.advance(5)
    journal.record("operator", "AdminService.PutPartner", "accepted")
    entries, missed = journal.after(0, 10)
    assert missed == 0
    assert entries == [
        JournalEntry(
            1, NOW_MS, "1-2@interop", "stanza.message", "m1", "accepted", "MSG-06", "", "", "49@s.whatsapp.net", "", ""
        ),
        JournalEntry(2, NOW_MS + 5, "operator", "AdminService.PutPartner", "", "accepted", "", "", "", "", "", ""),
    ]
    assert journal.after(1, 10)[0] == entries[1:]
    assert journal.after(0, 1)[0] == entries[:1]
    assert journal.after(2, 10) == ([], 0)
    assert journal.after(2**64 - 1, 10) == ([], 0)


async def test_a_refusal_is_recorded_once_and_gets_one_request_id(world: World) -> None:
    """However many edges it passes on its way out."""
    journal = journal_of(world)
    refusal = Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="no such account")
    assert journal.refuse(refusal, ANONYMOUS, "chat.login") is refusal
    journal.refuse(refusal, "1-2@interop", "stanza.message")
    [entry], _ = journal.after(0, 10)
    assert re.fullmatch(r"[0-9a-f]{16}", refusal.request_id)
    assert journal.find(refusal.request_id) == entry
    assert (entry.actor, entry.reason, entry.requirement, entry.cause, entry.outcome) == (
        ANONYMOUS, "RECIPIENT_NOT_REACHABLE", "OPT-09", "no such account", "refused",
    )  # fmt: skip
    assert journal.find("0" * 16) is None


async def test_a_refused_call_is_found_by_what_its_client_called_it(world: World) -> None:
    """The newest, when one id was used for several; what was accepted under it is no refusal."""
    journal = journal_of(world)
    for action in ("first", "second"):
        refusal = journal.refuse(
            Refusal(Reason.NOT_REGISTERED, requirement="ENL-01"), ANONYMOUS, action, request_id="my-call.1"
        )
        assert refusal.request_id == "my-call.1"
    journal.record(ANONYMOUS, "third", "accepted", request_id="my-call.1")
    found = journal.find("my-call.1")
    assert found is not None and found.action == "second"
    assert [entry.request_id for entry in journal.after(0, 10)[0]] == ["my-call.1"] * 3


async def test_what_was_decided_about_a_message_is_found_by_its_id(world: World) -> None:
    """The newest, whatever it was, and nothing else that is called so; a refusal of that id goes first."""
    journal = journal_of(world)
    journal.record("1-1@interop", "stanza.message", "accepted", "m1", requirement="MSG-06")
    journal.record("1-2@interop", "stanza.message", "dropped", "m1", requirement="ABU-02", cause="blocked")
    journal.record("1-2@interop", "stanza.retry_receipt", "accepted", "m1", requirement="RCP-03")
    journal.record("1-2@interop", "stanza.message", "accepted", "m2", requirement="MSG-06")
    found = journal.find("m1")
    assert found is not None and (found.actor, found.outcome) == ("1-2@interop", "dropped")
    assert journal.find("m3") is None
    refusal = Refusal(Reason.NOT_REGISTERED, requirement="ENL-01")
    journal.refuse(refusal, ANONYMOUS, "first", request_id="m1")
    journal.record("1-1@interop", "stanza.message", "accepted", "m1", requirement="MSG-04")
    found = journal.find("m1")
    assert found is not None and found.action == "first"


@pytest.mark.parametrize("text", ["a", "A-Z_0.9", "0" * 16, "x" * 64])
def test_a_client_may_call_a_request(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a\n", "é", "a/b", "\0", "\N{FULLWIDTH DIGIT ONE}"])
def test_a_client_may_not_call_a_request(text: str) -> None:
    """What it is called stands in logs, headers and command lines."""
    assert not is_request_id(text)


async def test_what_is_not_recorded_changes_no_other_id(world: World) -> None:
    """However often somebody looks, the same seed gives the same ids; and each look has one of its own (SIM-04)."""
    looked_at, left_alone = (Journal(world.clock, SeededRng(1), origin=Origin(run="00ff00ff")) for _ in range(2))
    looks = [looked_at.unrecorded_request_id() for _ in range(3)]
    assert len(set(looks)) == 3 and all(re.fullmatch(r"00ff00ff[0-9a-f]{8}", look) for look in looks)
    assert looked_at.new_request_id() == left_alone.new_request_id()


async def test_old_entries_are_forgotten_and_a_reader_is_told_how_many(world: World) -> None:
    """Memory is bounded; whoever reads late learns what it missed."""
    journal = journal_of(world, capacity=3)
    for number in range(1, 6):
        journal.record("a", f"{number}", "done")
    entries, missed = journal.after(0, 10)
    assert ([entry.action for entry in entries], missed) == (["3", "4", "5"], 2)
    assert journal.after(2, 10)[1] == 0
    assert [entry.number for entry in journal.after(4, 10)[0]] == [5]


async def test_a_reader_goes_on_where_it_was(world: World) -> None:
    """By a token of this start of this node; after one of another follows all that is here."""
    journal = Journal(world.clock, SeededRng(1), origin=Origin("east-1", "aa"))
    for number in range(3):
        journal.record("a", f"{number}", "done")
    token = journal.resume_token(2)
    assert [entry.action for entry in journal.after(journal.resume_after(token), 10)[0]] == ["2"]
    assert journal.resume_after("") == 0
    for node, run in (("east-1", "bb"), ("west-1", "aa")):
        assert Journal(world.clock, SeededRng(1), origin=Origin(node, run)).resume_after(token) == 0
    assert journal.resume_after(journal.resume_token(2**64)) > 2
    for wrong in ("x", "2x", "east-1.aa.", "east-1.aa.-1", "east-1.aa.²", "x" * 128 + ".1"):
        with refused(Reason.REQUEST_MALFORMED):
            journal.resume_after(wrong)


async def test_a_journal_is_that_of_one_start_of_one_node(world: World) -> None:
    """What it gives out says so, by the name of the node and by what is drawn for this start."""

    def origin_of(seed: int, node: str) -> Origin:
        return open_journal(world.clock, lambda _: SeededRng(seed), node).origin

    origins = [origin_of(seed, node) for seed, node in STARTS]
    assert [origin.node for origin in origins] == [node for _, node in STARTS]
    assert len({origin.run for origin in origins}) == 2
    assert all(re.fullmatch(r"[0-9a-f]{8}", origin.run) for origin in origins)


async def test_long_texts_from_outside_are_cut(world: World) -> None:
    """A journal entry has a bounded size."""
    journal = journal_of(world)
    journal.refuse(Refusal(Reason.REQUEST_MALFORMED, "x" * 5_000, requirement="SIM-01"), "a", "b", "y" * 5_000)
    [entry], _ = journal.after(0, 1)
    assert len(entry.detail) == len(entry.subject) == MAX_FIELD_CHARACTERS


async def test_readers_are_told_until_they_end_it(world: World) -> None:
    """Each entry once, in the moment of the decision."""
    journal = journal_of(world)
    seen: list[str] = []
    failures: list[Exception] = []
    unsubscribe = journal.subscribe(lambda entry: seen.append(entry.action), failures.append)
    journal.record("a", "first", "done")
    unsubscribe()
    journal.record("a", "second", "done")
    assert (seen, failures) == (["first"], [])


async def test_the_failure_of_a_reader_is_the_readers(world: World) -> None:
    """What is recorded stands, however it is recorded, and the next reader is told; the failing one learns of it."""
    journal = journal_of(world)
    seen: list[str] = []
    failures: list[str] = []

    def fail(entry: JournalEntry) -> None:
        raise OSError(entry.action)

    journal.subscribe(fail, lambda error: failures.append(str(error)))
    journal.subscribe(lambda entry: seen.append(entry.action), lambda _: None)
    journal.record("a", "one", "done")
    journal.record_all("a", "two", [("", Decision("done", "", "", ""))])
    journal.refuse(Refusal(Reason.RATE_LIMITED, requirement="OPT-09"), "a", "three")
    assert failures == seen == ["one", "two", "three"]
    assert [entry.action for entry in journal.after(0, 10)[0]] == seen


async def test_blocking_shows_in_the_journal_alone(world: World) -> None:
    """The sender's outcome is that of any message; only the operator learns that it goes nowhere (ABU-02, OPT-09)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.blocklist.block(user, ada.jid)
    [outcome] = await world.router.send_messages(ada, [message(user)])
    assert outcome.refusal is None and outcome.timestamp_ms
    entry = world.journal.after(0, 100)[0][-1]
    assert (entry.actor, entry.outcome, entry.requirement) == (ada.jid, "dropped", "ABU-02")
    assert entry.cause


async def test_causes_are_told_apart_in_the_journal_alone(world: World) -> None:
    """Unknown and not opted in: one refusal, two causes (OPT-09)."""
    ada, stranger = await world.enlisted(), await world.whatsapp_user()
    causes = []
    for jid in (stranger.jid, "4915199999999@s.whatsapp.net"):
        [outcome] = await world.prekeys.take(ada, [jid])
        assert isinstance(outcome, Refusal)
        causes.append((outcome.reason, outcome.advice, outcome.cause))
    assert causes[0][:2] == causes[1][:2]
    assert causes[0][2] != causes[1][2]
