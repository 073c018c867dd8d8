"""What the operator reads of a running server's decisions, and how a refusal is explained."""

import asyncio
from dataclasses import replace

import pytest

from interop_api.admin.v1alpha1 import journal_pb2
from interop_api.v1 import interop_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused as outcome_of
from tests.e2e.raw import QUIET, refused

ACCEPTED, REFUSED = journal_pb2.JOURNAL_OUTCOME_ACCEPTED, journal_pb2.JOURNAL_OUTCOME_REFUSED


async def entries(world: World, **wanted: object) -> list[journal_pb2.JournalEntry]:
    return [response.entry async for response in world.admin.read_journal(**wanted)]


async def refusal_of(client: InteropClient, to: str) -> ServerRefusal:
    """What a client is told when it writes to somebody it cannot reach."""
    with pytest.raises(ServerRefusal) as raised:
        await client.take_prekey_bundle(to)
    return raised.value


@pytest.mark.requirement("SIM-07")
async def test_what_people_do_stands_in_the_journal_in_order(world: World) -> None:
    """Who, what, about whom, by which rule (SIM-07)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    sent = await bob.send_text(alice.jid, "hello")
    own = await entries(world, actor=bob.jid)
    assert [entry.number for entry in own] == sorted(entry.number for entry in own)
    actions = [entry.action for entry in own]
    assert actions.index("chat.login") < actions.index("PreKeyService.SetPreKeys") < actions.index("stanza.message")
    [message] = [entry for entry in own if entry.action == "stanza.message"]
    assert (message.subject, message.outcome, message.requirement) == (sent.id, ACCEPTED, "MSG-06")
    assert {entry.action for entry in await entries(world, actor=bob.jid, action="PreKey")} <= {
        "PreKeyService.SetPreKeys", "PreKeyService.TakePreKeyBundles",
    }  # fmt: skip
    assert await entries(world, actor=bob.jid, outcome=REFUSED) == []
    assert await entries(world, actor=bob.jid, resume_token=own[-1].resume_token) == []
    assert {entry.node for entry in own} == {"node-1"}


@pytest.mark.requirement("MSG-01", "ABU-08")
async def test_of_whom_keys_are_asked_for_stands_there_by_jid_only(world: World) -> None:
    """In its one form; an address of another kind is what a person wrote, and may be anybody's."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await outcome_of(alice.opt_out([world.integrator]))
    with_device = bob.jid.replace("@", ":0@")
    for to in ("eve@example.org", "+4915112345678", with_device):
        await refusal_of(alice, to)
    told = await entries(world, actor=alice.jid, action="PreKeyService.Take", outcome=REFUSED)
    assert [each.subject for each in told] == ["", "", bob.jid]


async def test_a_follower_is_told_as_it_happens(world: World) -> None:
    """Nothing twice, nothing left out, until it stops."""
    bob = await world.third_party("bob", QUIET)
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def follow() -> None:
        async for response in world.admin.read_journal(actor=bob.jid, action="InteropService", follow=True):
            seen.put_nowait(response.entry.action)

    following = asyncio.create_task(follow())
    for _ in range(3):
        with refused("RECIPIENT_NOT_REACHABLE"):
            await bob.resolve("+4915100000000")
    async with asyncio.timeout(10):
        assert [await seen.get() for _ in range(6)] == ["InteropService.Resolve"] * 6  # each item, then the call
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


@pytest.mark.requirement("OPT-09", "SIM-07")
async def test_only_the_journal_tells_causes_apart(world: World) -> None:
    """Unknown, not opted in: the same answer in every field but the request id; two causes in the journal (OPT-09)."""
    alice = await world.whatsapp(opted_in=False, options=QUIET)
    bob = await world.third_party("bob", QUIET)
    answers = [await refusal_of(bob, jid) for jid in (alice.jid, "4915100000000@s.whatsapp.net")]
    [one, other] = [vars(answer) | {"request_id": ""} for answer in answers]
    assert one == other
    explained = [await world.admin.explain_refusal(answer.request_id) for answer in answers]
    assert explained[0].advice == explained[1].advice == answers[0].advice
    assert explained[0].entry.cause != explained[1].entry.cause
    assert all(answer.entry.cause for answer in explained)


@pytest.mark.requirement("ABU-02", "SIM-07")
async def test_what_became_of_a_message_is_explained_by_its_id(world: World) -> None:
    """Accepted, dropped though its sender was told that it is accepted, or refused; each with its rule."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    accepted = await bob.send_text(alice.jid, "Hello")
    await alice.block(bob.jid)
    dropped = await bob.send_text(alice.jid, "unheard")
    assert await outcome_of(alice.send_text(bob.jid, "?")) == "RECIPIENT_BLOCKED_BY_SENDER"
    [refused_id] = [entry.subject for entry in await entries(world, actor=alice.jid, outcome=REFUSED)]
    for message_id, sender, outcome, requirement, reason in (
        (accepted.id, bob, ACCEPTED, "MSG-06", ""),
        (dropped.id, bob, journal_pb2.JOURNAL_OUTCOME_DROPPED, "ABU-02", ""),
        (refused_id, alice, REFUSED, "MSG-06", "RECIPIENT_BLOCKED_BY_SENDER"),
    ):
        explained = await world.admin.explain_refusal(message_id)
        entry = explained.entry
        assert (entry.subject, entry.actor, entry.action) == (message_id, sender.jid, "stanza.message")
        assert (entry.outcome, entry.requirement, entry.reason) == (outcome, requirement, reason)
        assert explained.statement and explained.evidence
        assert bool(explained.advice) == bool(reason)


@pytest.mark.requirement("SIM-01", "SIM-07")
async def test_a_refusal_is_explained(world: World) -> None:
    """What was refused, by which requirement with its evidence, and what would have made it succeed (SIM-07)."""
    alice = await world.whatsapp(opted_in=False, options=QUIET)
    with pytest.raises(ServerRefusal) as raised:
        await alice.record_terms(interop_pb2.TERMS_RESULT_ACCEPTED)
    explained = await world.admin.explain_refusal(raised.value.request_id)
    assert (explained.entry.actor, explained.entry.action) == (alice.jid, "InteropService.RecordTerms")
    assert (explained.entry.reason, explained.entry.requirement) == ("TERMS_NOT_ACCEPTED", "OPT-03")
    assert explained.advice == raised.value.advice
    assert explained.statement and explained.evidence
    with refused("NOT_REGISTERED"):
        await world.admin.explain_refusal("0" * 16)
    for wrong in ("", "0" * 65, "x y", "é" * 16):
        with refused("REQUEST_MALFORMED", wrong):
            await world.admin.explain_refusal(wrong)
    with refused("REQUEST_MALFORMED"):
        await entries(world, outcome=9)
    for wrong in ("42x", "node-1.", "x" * 129):
        with refused("REQUEST_MALFORMED", wrong):
            await entries(world, resume_token=wrong)


async def test_a_refused_login_and_a_refused_stanza_have_request_ids(world: World) -> None:
    """Also what travels inside the chat channel, and what ends it."""
    bob = world.device("bob", replace(QUIET))
    await bob.enlist(world.partner.issue_token("bob"))
    await world.register(status=interop_pb2.PARTNER_STATUS_SUSPENDED)
    with pytest.raises(ServerRefusal) as raised:
        await bob.connect()
    explained = await world.admin.explain_refusal(raised.value.request_id)
    assert (explained.entry.action, explained.entry.reason) == ("chat.login", "PARTNER_NOT_ACTIVE")
    assert explained.entry.subject == f"account {bob.jid.partition('-')[2].removesuffix('@interop')}"


async def test_an_enlistment_is_recorded_once_whatever_becomes_of_it(world: World) -> None:
    """Its outcome is in the response: the call itself always succeeds (ENL-11)."""
    bob = world.device("bob")
    before = [entry.resume_token for entry in await entries(world)][-1]
    with refused("TOKEN_MALFORMED"):
        await bob.enlist("no token")
    jid = await bob.enlist(world.partner.issue_token("bob"))
    own = [
        entry
        for entry in await entries(world, resume_token=before)
        if "nlist" in entry.action or "interop_reg" in entry.action
    ]
    assert [(entry.outcome, entry.actor) for entry in own] == [(REFUSED, "anonymous"), (ACCEPTED, jid)]


async def test_what_the_server_does_by_itself_stands_there_too(world: World) -> None:
    """A push to who is away, and the end of a connection (LIF-01)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.send_text(alice.jid, "hello")
    await alice.wait_for(TextReceived)
    await bob.close()
    async with asyncio.timeout(10):
        async for response in world.admin.read_journal(actor=bob.jid, action="chat.closed", follow=True):
            assert response.entry.outcome == journal_pb2.JOURNAL_OUTCOME_DONE
            break
    await alice.send_text(bob.jid, "are you there?")
    [push] = [entry for entry in await entries(world, action="push") if entry.subject == bob.jid]
    assert (push.actor, push.requirement) == ("server", "LIF-01")
