"""Which faults meet what passes an edge, how they are counted, and which cannot be ordered at all."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_checks import MAX_FAULTS
from interop_server.core.fault_rules import (
    Action,
    Chain,
    Close,
    Delay,
    Direction,
    Drop,
    Duplicate,
    Ending,
    FaultMatch,
    FaultRule,
    FlipBits,
    Forge,
    ForgeReceipt,
    Hold,
    KeyPart,
    LoseAnswer,
    Part,
    PresentCertificates,
    Refuse,
    Reorder,
    ReplaceKeys,
    Replacement,
    SpoilMedia,
    Truncate,
    Unreachable,
)
from interop_server.core.faults import Event, Faults, Fired
from interop_server.core.journal import Journal, under_fault
from interop_server.core.messages import ReceiptType
from interop_server.core.model import ConnectionMode
from interop_server.rpc.convert.faults import catalogue
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.unit.core.world import refused as refused_for

TAKE, CONNECT = "PreKeyService.TakePreKeyBundles", "ChatService.Connect"
ADA, USER = "100-12345678901234@interop", "491511234567@s.whatsapp.net"
TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT
REQUEST = Event(TAKE, TO_SERVER, actor=ADA, peers=(USER,), mode=ConnectionMode.PROXY)
DELIVERY = Event("message", TO_CLIENT, is_stanza=True, actor=USER, peers=(ADA,), mode=ConnectionMode.DIRECT)


@pytest.fixture
def journal() -> Journal:
    return Journal(ManualClock(1_000), SeededRng(1))


@pytest.fixture
def faults(journal: Journal) -> Faults:
    return Faults(journal, lambda: catalogue(("OPT-09", "KEY-14")))


def rule(name: str = "f", action: Action | None = None, *, call: str = "", stanza: str = "", **more: Any) -> FaultRule:
    """A rule; of a call unless it names a stanza, and one that drops unless it says otherwise."""
    own = {key: more.pop(key) for key in ("times", "chance_percent", "seed") if key in more}
    match = FaultMatch(call=call or ("" if stanza else TAKE), stanza=stanza, **more)
    return FaultRule(name, match, action or Drop(), **own)


@contextmanager
def refused(reason: Reason, field: str) -> Iterator[pytest.ExceptionInfo[Refusal]]:
    """Checks that the block is refused for that reason, and which field is wrong."""
    with refused_for(reason) as caught:
        yield caught
    assert [violation.field for violation in caught.value.violations] == [field]


def met(faults: Faults, *events: Event) -> list[str]:
    """The faults that events meet, in order; empty for none."""
    return [fired.name if (fired := faults.meet(event)) else "" for event in events]


def test_without_faults_there_is_nothing_to_ask(faults: Faults) -> None:
    """One attribute says so, before and after there were any."""
    assert not faults.is_on
    faults.add([rule()])
    assert faults.is_on
    faults.clear(())
    assert not faults.is_on


@pytest.mark.parametrize(
    ("match", "event"),
    [
        ({}, REQUEST),
        ({"actor": ADA}, REQUEST),
        ({"peer": USER}, REQUEST),
        ({"integrator": 100}, REQUEST),
        ({"mode": ConnectionMode.PROXY}, REQUEST),
        ({"stanza": "message", "direction": TO_CLIENT}, DELIVERY),
        ({"stanza": "any", "direction": TO_CLIENT, "actor": USER, "integrator": 100}, DELIVERY),
    ],
)
def test_what_is_said_must_fit(faults: Faults, match: dict[str, Any], event: Event) -> None:
    """And what is not said may be anything."""
    faults.add([rule(**match)])
    assert met(faults, event) == ["f"]


@pytest.mark.parametrize(
    "match",
    [
        {"call": "PreKeyService.TakeMissingPreKeyBundles"},
        {"direction": TO_CLIENT},
        {"actor": USER},
        {"peer": ADA},
        {"integrator": 200},
        {"mode": ConnectionMode.DIRECT},
        {"stanza": "message", "direction": TO_SERVER},
        {"stanza": "any", "direction": TO_SERVER},
    ],
)
def test_what_does_not_fit_is_not_counted(faults: Faults, match: dict[str, Any]) -> None:
    """One thing that differs is enough."""
    faults.add([rule(**match)])
    assert met(faults, REQUEST) == [""]
    assert [(each.matched, each.fired) for each in faults.ordered()] == [(0, 0)]


def test_only_answers_rest_on_a_requirement(faults: Faults) -> None:
    """A match that names one is about answers without saying so."""
    faults.add([rule(requirement="OPT-09")])
    answer = REQUEST._replace(direction=TO_CLIENT)
    wrong, right = answer._replace(requirement="KEY-14"), answer._replace(requirement="OPT-09")
    assert met(faults, REQUEST._replace(requirement="OPT-09"), answer, wrong, right) == ["", "", "", "f"]


def test_the_nth_match_and_so_many_after_it(faults: Faults) -> None:
    """All that fit are counted, fired or not."""
    faults.add([rule(nth=3, times=2)])
    assert met(faults, *[REQUEST] * 6) == ["", "", "f", "f", "", ""]
    assert [(each.matched, each.fired) for each in faults.ordered()] == [(6, 2)]


def test_the_first_that_is_due_has_its_way(faults: Faults) -> None:
    """In the order in which they were added; the others count what they fitted."""
    faults.add([rule("first", times=1), rule("second", nth=2)])
    assert met(faults, *[REQUEST] * 3) == ["first", "second", "second"]
    assert [(each.matched, each.fired) for each in faults.ordered()] == [(3, 1), (3, 2)]


def test_chance_follows_from_the_seed(journal: Journal) -> None:
    """The same seed, the same faults; another one, others."""

    def story(seed: int) -> list[str]:
        faults = Faults(journal, lambda: catalogue(()))
        faults.add([rule(chance_percent=40, seed=seed)])
        return met(faults, *[REQUEST] * 200)

    assert story(1) == story(1) != story(2)
    assert 50 < story(1).count("f") < 110


def test_what_a_fault_does_stands_in_the_journal(faults: Faults, journal: Journal) -> None:
    """And so does what follows from it, marked with its name."""
    faults.add([rule("lost", LoseAnswer())])
    faults.meet(REQUEST._replace(direction=TO_CLIENT))
    with under_fault("lost"):
        journal.record(ADA, "stanza.message", "accepted")
    journal.record(ADA, "stanza.message", "accepted")
    did, followed, honest = journal.after(0, 10)[0]
    assert (did.actor, did.action, did.outcome, did.subject) == (ADA, "fault.lose_answer", "done", USER)
    assert did.detail == f"call {TAKE} to client"
    assert [each.fault for each in (did, followed, honest)] == ["lost", "lost", ""]


def test_names_of_what_never_fired_are_kept(faults: Faults) -> None:
    """Also when it was cleared; one that has fired once under its name is forgiven."""
    faults.add([rule("idle"), rule("gone"), rule("busy")])
    faults.clear(["gone"])
    faults.add([rule("gone")])
    assert faults.never_fired() == ["gone", "idle", "busy"]
    faults.clear(["idle", "gone"])
    assert met(faults, REQUEST) == ["busy"]
    faults.clear(())
    assert faults.never_fired() == ["gone", "idle"]


def test_all_are_added_or_none(faults: Faults) -> None:
    """A name is taken once, by those that there are and within one request."""
    faults.add([rule("a")])
    for rules in ([rule("b"), rule("a")], [rule("b"), rule("b")]):
        with refused(Reason.ALREADY_REGISTERED, "faults[1].name"):
            faults.add(rules)
    with refused(Reason.REQUEST_MALFORMED, "faults[1].times"):
        faults.add([rule("b"), rule("c", times=0)])
    with refused(Reason.NOT_REGISTERED, "name"):
        faults.clear(["a", "b"])
    assert [each.rule.name for each in faults.ordered()] == ["a"]


def test_there_are_at_most_so_many(faults: Faults) -> None:
    """At once, however they come."""
    faults.add([rule(f"f{number}") for number in range(MAX_FAULTS)])
    with refused(Reason.TOO_MANY_ITEMS, "faults"):
        faults.add([rule("one-more")])
    with refused(Reason.REQUEST_MALFORMED, "faults"):
        faults.add([])
    faults.clear(["f0"])
    with refused(Reason.TOO_MANY_ITEMS, "faults"):
        faults.add([rule("x"), rule("y")])
    faults.add([rule("x")])


MESSAGE_TO_CLIENT = {"stanza": "message", "direction": TO_CLIENT}
REFUSED = Refuse(Reason.RATE_LIMITED, requirement="KEY-14")
WRONG: list[tuple[str, FaultRule]] = [
    ("name", rule("")),
    ("name", rule("a b")),
    ("name", rule("x" * 65)),
    ("match", rule(call=TAKE, stanza="message")),
    ("match", FaultRule("f", FaultMatch(), Drop())),
    ("match.call", rule(call="PreKeyService.TakePreKeys")),
    ("match.call", rule(call="AdminService.PutPartner")),
    ("match.call", rule(call="partner.media")),
    ("match.stanza", rule(stanza="massage")),
    ("match.stanza", rule(stanza="login_success")),
    ("match.direction", rule(stanza="message")),
    ("match.direction", rule(stanza="any")),
    ("match.direction", rule(stanza="pong", direction=TO_SERVER)),
    ("match.direction", rule(action=Duplicate(), direction=TO_CLIENT)),
    ("match.direction", rule(action=LoseAnswer(), direction=TO_SERVER)),
    ("match.direction", rule(action=REFUSED, call=CONNECT, direction=TO_CLIENT)),
    ("match.actor", rule(actor="ada")),
    ("match.actor", rule(call="http.upload", actor=ADA)),
    ("match.actor", rule(action=PresentCertificates(Chain.EXPIRED), call=CONNECT, actor=ADA)),
    ("match.peer", rule(peer="+491511234567")),
    ("match.integrator", rule(integrator=1_000)),
    ("match.mode", rule(action=Unreachable(), call="partner.push", mode=ConnectionMode.PROXY)),
    ("match.requirement", rule(requirement="MSG-06")),
    ("match.requirement", rule(requirement="OPT-09", direction=TO_SERVER)),
    ("match.nth", rule(nth=0)),
    ("times", rule(times=0)),
    ("times", rule(times=1 << 32)),
    ("chance_percent", rule(chance_percent=101, seed=1)),
    ("seed", rule(chance_percent=99)),
    ("seed", rule(action=FlipBits(), **MESSAGE_TO_CLIENT)),
    ("seed", rule(action=SpoilMedia(flip_bits=1), call="http.upload")),
    ("reorder", rule(action=Reorder())),
    ("refuse", rule(action=Refuse(Reason.NOT_ENLISTED), **MESSAGE_TO_CLIENT)),
    ("forge", rule(action=Forge(from_jid=ADA), stanza="ack")),
    ("unreachable", rule(action=Unreachable())),
    ("drop", rule(action=Drop(), call=CONNECT)),
    ("refuse.requirement", rule(action=Refuse(Reason.RATE_LIMITED))),
    ("refuse.requirement", rule(action=Refuse(Reason.RATE_LIMITED, requirement="MSG-06"))),
    ("refuse.retry_after_ms", rule(action=Refuse(Reason.NOT_ENLISTED, -1))),
    ("delay.delay_ms", rule(action=Delay(0))),
    ("duplicate.copies", rule(action=Duplicate(101))),
    ("close.ending", rule(action=Close(Ending.CLEAN))),
    ("truncate.part", rule(action=Truncate(1, Part.STANZA), stanza="message", direction=TO_SERVER)),
    ("match.stanza", rule(action=Truncate(1), stanza="receipt", direction=TO_CLIENT)),
    ("flip_bits.bits", rule(action=FlipBits(1_025), seed=1, **MESSAGE_TO_CLIENT)),
    ("replace_keys.replacements", rule(action=ReplaceKeys(()))),
    ("replace_keys.replacements", rule(action=ReplaceKeys((Replacement(KeyPart.IDENTITY_KEY),) * 2))),
    ("replace_keys.replacements[0].value", rule(action=ReplaceKeys((Replacement(KeyPart.IDENTITY_KEY, b""),)))),
    ("replace_keys", rule(action=ReplaceKeys((Replacement(KeyPart.IDENTITY_KEY),)), call="PreKeyService.SetPreKeys")),
    ("forge", rule(action=Forge(), **MESSAGE_TO_CLIENT)),
    ("forge.from_jid", rule(action=Forge(from_jid="x" * 321), **MESSAGE_TO_CLIENT)),
    ("forge.timestamp_ms", rule(action=Forge(timestamp_ms=-1), **MESSAGE_TO_CLIENT)),
    ("match.stanza", rule(action=Forge(from_jid=ADA), stanza="pong")),
    ("match.stanza", rule(action=ForgeReceipt(ReceiptType.READ), stanza="ping")),
    ("spoil_media", rule(action=SpoilMedia(), call="http.upload")),
    ("spoil_media.http_status", rule(action=SpoilMedia(http_status=500), call="MediaService.Download")),
    ("spoil_media.http_status", rule(action=SpoilMedia(http_status=99), call="http.upload")),
    ("spoil_media.extra_bytes", rule(action=SpoilMedia(extra_bytes=(1 << 20) + 1), call="http.upload")),
]  # fmt: skip
NUMBER, MONTH_MS = (1 << 32) - 1, 30 * 86_400_000
TO_CLIENT_MESSAGE = {"seed": 1, **MESSAGE_TO_CLIENT}


def replaced(value: bytes) -> FaultRule:
    return rule(action=ReplaceKeys((Replacement(KeyPart.IDENTITY_KEY, value),)))


EDGES: list[tuple[FaultRule, str]] = [
    (rule("x" * 64), ""), (rule("x" * 65), "name"),
    (rule(nth=1), ""), (rule(nth=NUMBER), ""), (rule(nth=NUMBER + 1), "match.nth"),
    (rule(integrator=1), ""), (rule(integrator=999), ""), (rule(integrator=-1), "match.integrator"),
    (rule(times=1), ""), (rule(times=NUMBER), ""), (rule(times=-1), "times"),
    (rule(chance_percent=1, seed=1), ""), (rule(chance_percent=100), ""),
    (rule(chance_percent=0, seed=1), "chance_percent"),
    (rule(action=Delay(1)), ""), (rule(action=Delay(MONTH_MS)), ""),
    (rule(action=Delay(MONTH_MS + 1)), "delay.delay_ms"),
    (rule(action=Duplicate(1)), ""), (rule(action=Duplicate(100)), ""), (rule(action=Duplicate(0)), "duplicate.copies"),
    (rule(action=FlipBits(1), **TO_CLIENT_MESSAGE), ""), (rule(action=FlipBits(1_024), **TO_CLIENT_MESSAGE), ""),
    (rule(action=FlipBits(0), **TO_CLIENT_MESSAGE), "flip_bits.bits"),
    (rule(action=Truncate(0), **MESSAGE_TO_CLIENT), ""), (rule(action=Truncate(NUMBER), **MESSAGE_TO_CLIENT), ""),
    (rule(action=Truncate(NUMBER + 1), **MESSAGE_TO_CLIENT), "truncate.keep_bytes"),
    (rule(action=Truncate(-1), **MESSAGE_TO_CLIENT), "truncate.keep_bytes"),
    (replaced(b"x"), ""), (replaced(b"x" * 2_048), ""), (replaced(b"x" * 2_049), "replace_keys.replacements[0].value"),
    (rule(action=Forge(from_jid="x" * 320), **MESSAGE_TO_CLIENT), ""),
    (rule(action=Forge(timestamp_ms=0), **MESSAGE_TO_CLIENT), ""),
    (rule(action=Forge(delivery_id=(1 << 63) - 1), **MESSAGE_TO_CLIENT), ""),
    (rule(action=Forge(delivery_id=1 << 63), **MESSAGE_TO_CLIENT), "forge.delivery_id"),
    (rule(action=SpoilMedia(http_status=200), call="http.upload"), ""),
    (rule(action=SpoilMedia(http_status=599), call="http.upload"), ""),
    (rule(action=SpoilMedia(http_status=199), call="http.upload"), "spoil_media.http_status"),
    (rule(action=SpoilMedia(http_status=600), call="http.upload"), "spoil_media.http_status"),
    (rule(action=SpoilMedia(extra_bytes=1 << 20), call="http.upload"), ""),
    (rule(action=SpoilMedia(keep_bytes=0), call="http.upload"), ""),
    (rule(action=SpoilMedia(flip_bits=1_024), call="http.upload", seed=1), ""),
]  # fmt: skip
"""Rules just within what they may say, and just beyond it, with the field that is wrong then."""
TOLD = {
    "delay_ms": "1 to 2,592,000,000", "copies": "1 to 100", "bits": "1 to 1,024", "keep_bytes": "0 to 4,294,967,295",
    "flip_bits": "0 to 1,024", "extra_bytes": "0 to 1,048,576", "http_status": "200 to 599",
    "chunk_delay_ms": "0 to 2,592,000,000", "retry_after_ms": "0 to 2,592,000,000",
    "timestamp_ms": "0 to 9,223,372,036,854,775,807", "delivery_id": "0 to 9,223,372,036,854,775,807",
}  # fmt: skip


@pytest.mark.parametrize(("ordered", "field"), EDGES)
def test_what_can_be_said_of_a_fault_ends_somewhere(faults: Faults, ordered: FaultRule, field: str) -> None:
    """Both ends of each range belong to it, and whoever goes beyond is told them."""
    if field:
        with refused(Reason.REQUEST_MALFORMED, f"faults[0].{field}") as caught:
            faults.add([ordered])
        name = field.rpartition(".")[2]
        assert name not in TOLD or f"`{name}` is {TOLD[name]}" in str(caught.value)
    faults.add([rule() if field else ordered])
    assert len(list(faults.ordered())) == 1


@pytest.mark.parametrize(("field", "wrong"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_could_never_come_true_is_refused(faults: Faults, field: str, wrong: FaultRule) -> None:
    """With the field that is wrong, and nothing is added."""
    with refused(Reason.REQUEST_MALFORMED, f"faults[0].{field}"):
        faults.add([wrong])
    assert not faults.is_on


def test_a_slip_of_the_pen_is_answered_with_the_right_word(faults: Faults) -> None:
    """As far as there is one."""
    with refused(Reason.REQUEST_MALFORMED, "faults[0].match.call") as caught:
        faults.add([rule(call="PreKeyService.TakePreKeyBundle")])
    assert f"did you mean {TAKE}" in caught.value.advice


@pytest.mark.parametrize(("field", "said"), [("stanza", "choose one of ack, "), ("call", "names are such as A")])
def test_a_word_that_is_like_none_is_answered_with_some(faults: Faults, field: str, said: str) -> None:
    """All kinds of stanzas; of the calls, which are many, a few: a refusal fits into headers, and twice."""
    with refused(Reason.REQUEST_MALFORMED, f"faults[0].match.{field}") as caught:
        faults.add([rule(**{field: "?"})])
    assert said in caught.value.advice and len(caught.value.advice) < 1_500


@pytest.mark.parametrize(
    ("ordered", "direction"),
    [
        (rule(), TO_SERVER),
        (rule(direction=TO_CLIENT), TO_CLIENT),
        (rule(action=LoseAnswer()), TO_CLIENT),
        (rule(action=LoseAnswer(), stanza="message"), TO_SERVER),
        (rule(action=Forge(from_jid=ADA), stanza="message"), TO_CLIENT),
        (rule(action=ForgeReceipt(ReceiptType.READ), stanza="message"), TO_SERVER),
        (rule(action=Hold(), stanza="pong"), TO_CLIENT),
        (rule(action=PresentCertificates(Chain.EXPIRED), call=CONNECT), TO_CLIENT),
        (rule(action=SpoilMedia(keep_bytes=0), call="http.upload"), TO_CLIENT),
    ],
)  # fmt: skip
def test_the_only_way_need_not_be_said(faults: Faults, ordered: FaultRule, direction: Direction) -> None:
    """Of a call it is the request, unless what is done is about answers."""
    faults.add([ordered])
    assert faults.ordered()[0].rule.direction is direction


def test_what_is_drawn_follows_from_the_seed_the_purpose_and_the_number() -> None:
    """The same for the same ones, and never the bound itself."""

    def drawn(seed: int, name: str, number: int, purpose: str) -> list[int]:
        return [Fired(rule(name, seed=seed), number).drawn(f"{purpose} {at}", 10) for at in range(40)]

    first = drawn(1, "f", 1, "bit")
    assert first == drawn(1, "f", 1, "bit")
    assert set(first) == set(range(10))
    for other in (drawn(2, "f", 1, "bit"), drawn(1, "g", 1, "bit"), drawn(1, "f", 2, "bit"), drawn(1, "f", 1, "byte")):
        assert other != first
    assert first[0] == int.from_bytes(hashlib.sha256(b"1\0f\0bit 0\0" + b"1").digest(), "big") % 10


def test_a_partner_takes_part_by_each_of_its_users(faults: Faults) -> None:
    """The caller, each peer, and a server that calls; what is no address is nobody's, and hides no other."""
    faults.add([rule(integrator=100)])
    nobodys = REQUEST._replace(actor="no address", peers=("", USER))
    assert met(faults, nobodys, nobodys._replace(peers=("", USER, ADA)), nobodys._replace(integrator=100)) == [
        "",
        "f",
        "f",
    ]


@pytest.mark.parametrize("name", ["actor", "peer"])
def test_what_is_no_address_is_called_by_its_name(faults: Faults, name: str) -> None:
    """As whoever has written it calls it."""
    with refused(Reason.REQUEST_MALFORMED, f"faults[0].match.{name}") as caught:
        faults.add([rule(**{name: "ada"})])
    assert caught.value.detail.startswith(f"`{name}` is a JID")


def test_a_name_is_forgiven_once_it_has_fired(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its fault is there, and when it was cleared; of names that were cleared so many are remembered."""
    monkeypatch.setattr("interop_server.core.faults.MAX_REMEMBERED", 2)
    faults.add([rule("a"), rule("b"), rule("c")])
    faults.clear(())
    assert faults.never_fired() == ["a", "b"]
    faults.add([rule("a"), rule("d")])
    assert met(faults, REQUEST) == ["a"]
    assert faults.never_fired() == ["b", "d"]
    faults.clear(())
    assert faults.never_fired() == ["b", "d"]
