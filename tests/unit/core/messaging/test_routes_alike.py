"""What a sender must not learn from how messages are refused, and what the messages of one batch share."""

import pytest

from interop_protocol.jid import parse_jid
from interop_server.core.consent.reach import view_routes
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS
from interop_server.core.messages import StanzaKind
from interop_server.core.messaging.routing import SendOutcome
from interop_server.core.model import Account
from tests.stores import note_calls
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, OWLS, World, message

NOBODY = "100-99999999999999@interop"


def reason(outcome: SendOutcome) -> Reason | None:
    return outcome.refusal and outcome.refusal.reason


async def send(world: World, sender: Account, *to: Account | str) -> list[Reason | None]:
    """The outcomes of one batch with a message to each."""
    world.clock.advance(1)
    batch = [message(recipient, f"m{world.clock.now_ms()}-{number}") for number, recipient in enumerate(to)]
    return [reason(outcome) for outcome in await world.router.send_messages(sender, batch)]


@pytest.mark.requirement("OPT-09")
async def test_who_has_not_opted_in_learns_of_no_jid(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of the partner, an ended one and nobody get one answer, word for word, and cause the same work."""
    user, ada, gone = await world.whatsapp_user(), await world.enlisted(), await world.enlisted("gone")
    await world.deletion.delete(gone)
    await world.blocklist.block(user, NOBODY)
    calls = note_calls(world.store, monkeypatch)
    answers, work = [], []
    for jid in (ada.jid, gone.jid, NOBODY):
        calls.clear()
        [outcome] = await world.router.send_messages(user, [message(jid)])
        refusal = outcome.refusal
        assert refusal is not None
        answers.append((refusal.reason, refusal.detail, refusal.cause, refusal.retry_after_ms, refusal.advice))
        work.append(list(calls))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] is Reason.SENDER_NOT_OPTED_IN
    assert work[0] == work[1] == work[2]


@pytest.mark.requirement("OPT-09")
async def test_who_has_opted_in_for_another_partner_learns_no_more(world: World) -> None:
    """The choice for one partner opens no JID of another; after opting in, nobody is not reachable."""
    user, ada = await world.opted_in("+491511234567", OWLS), await world.enlisted()
    for jid in (ada.jid, NOBODY):
        assert await send(world, user, jid) == [Reason.SENDER_NOT_OPTED_IN]
    assert await send(world, user, "200-99999999999999@interop") == [Reason.RECIPIENT_NOT_REACHABLE]
    await world.optin.opt_in(user, [BATS])
    assert await send(world, user, ada, NOBODY) == [None, Reason.RECIPIENT_NOT_REACHABLE]


@pytest.mark.requirement("OPT-09")
async def test_a_third_party_sender_learns_nothing_of_whatsapp_users(world: World) -> None:
    """Off, opted in for another, nobody, and each of them blocked by the sender: one answer."""
    ada, off, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678", OWLS)
    await world.optin.set_enabled(off, False)
    for blocked in (False, True):
        for jid in (off.jid, other.jid, "4915100000000@s.whatsapp.net"):
            if blocked:
                await world.blocklist.block(ada, jid)
            [outcome] = await world.router.send_messages(ada, [message(jid)])
            refusal = outcome.refusal
            assert refusal is not None
            said = (refusal.reason, refusal.detail, refusal.retry_after_ms)
            assert said == (Reason.RECIPIENT_NOT_REACHABLE, "", None)


@pytest.mark.requirement("OPT-09", "LIF-05")
async def test_only_the_journal_is_told_how_an_account_ended(world: World) -> None:
    """Deleted and never there look alike to the sender; the cause is the operator's."""
    user, gone = await world.opted_in(), await world.enlisted("gone")
    await world.deletion.delete(gone)
    causes = {}
    for jid in map(parse_jid, (gone.jid, NOBODY)):
        view = await view_routes(world.store, user, [jid])
        with pytest.raises(Refusal) as caught:
            view.decide(jid)
        assert (caught.value.reason, caught.value.detail) == (Reason.RECIPIENT_NOT_REACHABLE, "")
        causes[jid.text] = caught.value.cause
    assert causes == {gone.jid: "the account was deleted by its user", NOBODY: "no such account"}


@pytest.mark.requirement("MSG-11")
async def test_messages_to_one_recipient_in_a_batch_count_together(build_world: BuildWorld) -> None:
    """Room in the mailbox is used up by the ones before; a refused one uses none; others are not concerned."""
    world = await build_world(max_mailbox_items=2, max_mailbox_bytes=100)
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678")
    batch = [
        message(user, "m1", bytes(60)),
        message(user, "m2", bytes(41)),
        message(user, "m3", bytes(40)),
        message(user, "m4", b"x"),
        message(other, "m5", bytes(100)),
        message(other, "m6", b"x"),
    ]
    outcomes = await world.router.send_messages(ada, batch)
    full = Reason.MAILBOX_FULL
    assert [reason(outcome) for outcome in outcomes] == [None, full, None, full, None, full]
    assert [item.stanza_id for item in await world.waiting(user)] == ["m1", "m3"]
    assert [item.stanza_id for item in await world.waiting(other)] == ["m5"]


@pytest.mark.requirement("MSG-11")
async def test_every_message_of_a_batch_counts_against_the_rate(build_world: BuildWorld) -> None:
    """Per sender and recipient; the route is decided once, the limits are checked each time."""
    world = await build_world(send_burst=2, send_per_second=1.0)
    ada, bea, user = await world.enlisted(), await world.enlisted("bea"), await world.opted_in()
    other = await world.opted_in("+33612345678")
    limited = Reason.RATE_LIMITED
    assert await send(world, ada, user, user, user, other, other, other) == [None, None, limited] * 2
    assert await send(world, bea, user, user, user) == [None, None, limited]
    world.clock.advance(SECOND_MS)
    assert await send(world, ada, user, user) == [None, limited]


@pytest.mark.requirement("MSG-03", "MSG-05", "MSG-11")
async def test_the_second_message_to_a_recipient_is_checked_like_the_first(world: World) -> None:
    """Devices, size and registration id, though the route is known by then."""
    user, ada = await world.opted_in(), await world.enlisted()
    good = message(ada, "m0")
    [part] = good.enc
    wrong = [
        good._replace(stanza_id="m1", enc=(part._replace(device_id=1),)),
        good._replace(stanza_id="m2", enc=(part._replace(ciphertext=bytes(96 * 1_024 + 1)),)),
        good._replace(stanza_id="m3", enc=(part._replace(registration_id=1),)),
    ]
    outcomes = await world.router.send_messages(user, [good, *wrong, good._replace(stanza_id="m4")])
    mismatch = Reason.DEVICE_LIST_MISMATCH
    assert [reason(outcome) for outcome in outcomes] == [None, mismatch, Reason.MESSAGE_TOO_LARGE, mismatch, None]
    waiting = [item.stanza_id for item in await world.waiting(ada) if item.kind is StanzaKind.MESSAGE]
    assert waiting == ["m0", "m4"]


@pytest.mark.requirement("ABU-05")
async def test_a_new_chat_of_a_batch_is_counted_once(build_world: BuildWorld) -> None:
    """Two messages to one stranger are one chat; the second stranger is beyond the cap, both times."""
    world = await build_world(new_chats=1)
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678")
    capped = Reason.NEW_CHATS_CAPPED
    assert await send(world, ada, user, other, user, other) == [None, capped, None, capped]
    assert await send(world, ada, user) == [None]
