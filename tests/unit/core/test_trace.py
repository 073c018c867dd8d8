"""What the trace keeps of the chat channels: when, for how long, how much, and under whose name."""

import pytest

from interop_server.core.limits import Limits
from interop_server.core.newest import Origin
from interop_server.core.trace import ENTRY_BYTES, Seen, Trace
from tests.manual_clock import ManualClock

ADA = "100-10000000000001@interop"
CLOCK = ManualClock(1_000)


def trace_of(*, is_kept: bool = True, clock: ManualClock = CLOCK, **limits: int) -> Trace:
    return Trace(clock, Limits(**limits), Origin("east-1", "aa"), is_kept=is_kept)  # type: ignore[arg-type]


def seen(kind: str, content: str = "{}") -> Seen:
    return Seen("to_server", kind, 2, 18, 1, content, is_shortened=False)


def kinds(trace: Trace) -> list[str]:
    return [entry.kind for entry in trace.after(0, 100)[0]]


def test_a_handshake_stands_under_the_name_of_the_account_with_its_own_times() -> None:
    """Whose it is, is known only when its login is over."""
    clock = ManualClock(1_000)
    trace = trace_of(clock=clock)
    channel, other = trace.open(), trace.open()
    channel.see(seen("client_hello"))
    clock.advance(5)
    other.see(seen("client_hello"))
    channel.see(seen("login"))
    assert kinds(trace) == []
    channel.belongs_to(ADA)
    clock.advance(5)
    channel.see(seen("ping"))
    channel.close()
    found, missed = trace.after(0, 100)
    assert missed == 0
    assert [(entry.number, entry.at_ms, entry.connection, entry.jid, entry.kind) for entry in found] == [
        (1, 1_000, 1, ADA, "client_hello"),
        (2, 1_005, 1, ADA, "login"),
        (3, 1_010, 1, ADA, "ping"),
    ]


def test_a_handshake_that_fails_stands_under_nobodys_name() -> None:
    """From the moment on at which its channel ends."""
    trace = trace_of()
    channel = trace.open()
    channel.see(seen("client_hello"))
    channel.close()
    channel.see(seen("malformed"))
    assert [(entry.jid, entry.kind) for entry in trace.after(0, 100)[0]] == [("", "client_hello"), ("", "malformed")]


def test_it_is_on_while_somebody_follows_and_forgets_afterwards() -> None:
    """Nobody pays for what nobody looks at, in time or in memory; what waits for a name is forgotten as well."""
    trace = trace_of(is_kept=False)
    assert not trace.is_on
    told: list[str] = []
    first, second = (trace.subscribe(lambda entry: told.append(entry.kind), lambda _: None) for _ in range(2))
    assert trace.is_on
    channel, late = trace.open(), trace.open()
    channel.belongs_to(ADA)
    channel.see(seen("ping"))
    late.see(seen("client_hello"))
    first()
    assert trace.is_on and kinds(trace) == ["ping"]
    second()
    assert not trace.is_on and kinds(trace) == []
    late.belongs_to(ADA)
    assert kinds(trace) == []
    assert told == ["ping", "ping"]
    trace.subscribe(lambda _: None, lambda _: None)
    channel.see(seen("pong"))
    found, missed = trace.after(trace.resume_after(""), 100)
    assert ([(entry.number, entry.kind) for entry in found], missed) == ([(2, "pong")], 0)
    assert trace.after(trace.resume_after(trace.resume_token(0)), 100)[1] == 0


def test_what_the_operator_keeps_does_not_go_with_a_follower() -> None:
    """It is on from the start to the end."""
    trace = trace_of()
    channel = trace.open()
    channel.belongs_to(ADA)
    channel.see(seen("ping"))
    trace.subscribe(lambda _: None, lambda _: None)()
    assert trace.is_on and kinds(trace) == ["ping"]


def test_the_oldest_go_when_there_are_too_many() -> None:
    """A reader is told how many."""
    trace = trace_of(trace_entries=3)
    channel = trace.open()
    channel.belongs_to(ADA)
    for number in range(5):
        channel.see(seen(f"{number}"))
    assert kinds(trace) == ["2", "3", "4"]
    assert trace.after(1, 100)[1] == 1


@pytest.mark.parametrize(("character", "width"), [("x", 1), ("é", 4)])
def test_the_oldest_go_when_they_take_up_too_much(character: str, width: int) -> None:
    """As many as it takes for the new one, which itself may be larger than all there is room for."""
    content = character * 1_000
    size = ENTRY_BYTES + width * len(content)
    trace = trace_of(trace_bytes=3 * size)
    channel = trace.open()
    channel.belongs_to(ADA)
    for number in range(4):
        channel.see(seen(f"{number}", content))
    assert kinds(trace) == ["1", "2", "3"]
    channel.see(seen("double", 2 * content))
    assert kinds(trace) == ["3", "double"]
    channel.see(seen("huge", 9 * content))
    assert kinds(trace) == ["huge"]
    channel.see(seen("small"))
    assert kinds(trace) == ["small"]


def test_a_token_is_good_for_the_trace_alone() -> None:
    """By the rules of the journal, whose tokens it does not take."""
    trace = trace_of()
    channel = trace.open()
    channel.belongs_to(ADA)
    for number in range(3):
        channel.see(seen(f"{number}"))
    assert [entry.kind for entry in trace.after(trace.resume_after(trace.resume_token(2)), 9)[0]] == ["2"]


def test_what_was_forgotten_takes_up_no_room() -> None:
    """Whoever follows next has all of it."""
    size = ENTRY_BYTES + len("{}")
    trace = trace_of(is_kept=False, trace_bytes=3 * size)
    channel = trace.open()
    channel.belongs_to(ADA)
    for _ in range(2):
        end = trace.subscribe(lambda _: None, lambda _: None)
        for number in range(3):
            channel.see(seen(f"{number}"))
        assert kinds(trace) == ["0", "1", "2"]
        end()
