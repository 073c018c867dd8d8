"""Who may reach whom, and what becomes of messages and receipts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from interop_protocol.digest import phash
from interop_server.core.consent.reach import Route, decide_route
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS
from interop_server.core.messages import CiphertextType, MessageType, ReceiptType, RouteFacts, StanzaKind
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.messaging.routing import DeviceListMismatch, SendOutcome
from interop_server.core.model import Account, DeviceAddress, MessageRequestState, PartnerStatus
from interop_server.core.rules import build_rules
from interop_server.runtime import clock as clock_module
from tests.unit.core.world import BATS, NOW_MS, OWLS, ClientKeys, World, message, partner

BuildWorld = Callable[..., Awaitable[World]]

WHATSAPP = Account(1, "491511234567@s.whatsapp.net", 0, "491511234567", bytes(32))
THIRD_PARTY = Account(2, "100-10000000000001@interop", BATS, "ada", bytes(32))

UNREACHABLE, NOT_OPTED_IN = Reason.RECIPIENT_NOT_REACHABLE, Reason.SENDER_NOT_OPTED_IN
OWN_BLOCK, NO_ROUTE = Reason.RECIPIENT_BLOCKED_BY_SENDER, Reason.ROUTE_NOT_SUPPORTED
DELIVER, DROP = Route.DELIVER, Route.DROP
TABLE: dict[tuple[Account, bool, bool], tuple[Route | Reason, ...]] = {
    # sender, opted in, partner active: no block, by the recipient, by the sender, by both
    (THIRD_PARTY, True, True): (DELIVER, DROP, OWN_BLOCK, OWN_BLOCK),
    (THIRD_PARTY, True, False): (UNREACHABLE,) * 4,
    (THIRD_PARTY, False, True): (UNREACHABLE,) * 4,
    (THIRD_PARTY, False, False): (UNREACHABLE,) * 4,
    (WHATSAPP, True, True): (DELIVER, DROP, OWN_BLOCK, OWN_BLOCK),
    (WHATSAPP, True, False): (UNREACHABLE,) * 4,
    (WHATSAPP, False, True): (NOT_OPTED_IN,) * 4,
    (WHATSAPP, False, False): (NOT_OPTED_IN,) * 4,
}
BLOCKS = [(False, False), (True, False), (False, True), (True, True)]


def decided(sender: Account, recipient_is_whatsapp: bool, facts: RouteFacts | None) -> Route | Reason:
    try:
        return decide_route(sender, recipient_is_whatsapp, facts)
    except Refusal as refusal:
        assert (refusal.detail, refusal.retry_after_ms) == ("", None)
        return refusal.reason


def facts_of(recipient: Account, opted_in: bool, active: bool, blocks: tuple[bool, bool]) -> RouteFacts:
    recipient_blocked_sender, sender_blocked_recipient = blocks
    return RouteFacts(
        account_id=recipient.account_id,
        jid=recipient.jid,
        integrator=recipient.integrator,
        external_id=recipient.external_id,
        partner_active=active,
        opted_in=opted_in,
        sender_blocked_recipient=sender_blocked_recipient,
        recipient_blocked_sender=recipient_blocked_sender,
        read_receipts=True,
        mailbox_items=0,
        mailbox_bytes=0,
    )


@pytest.mark.requirement("MSG-06")
def test_the_decision_table_is_complete() -> None:
    """Every combination of what decides has its answer (OPT-01, OPT-02, OPT-06, MSG-06, ABU-02)."""
    for sender, opted_in, active in product((THIRD_PARTY, WHATSAPP), (True, False), (True, False)):
        recipient = WHATSAPP if sender is THIRD_PARTY else THIRD_PARTY
        for blocks, expected in zip(BLOCKS, TABLE[sender, opted_in, active], strict=True):
            facts = facts_of(recipient, opted_in, active, blocks)
            assert decided(sender, recipient.is_whatsapp, facts) is expected, (sender.jid, opted_in, active, blocks)


@pytest.mark.parametrize("sender", [THIRD_PARTY, WHATSAPP])
def test_a_chat_has_one_end_on_each_side(sender: Account) -> None:
    """Whatever is known of the recipient, two of a side are no chat; whoever is unknown cannot be reached (MSG-06)."""
    for opted_in, active, blocks in product((True, False), (True, False), BLOCKS):
        assert decided(sender, sender.is_whatsapp, facts_of(sender, opted_in, active, blocks)) is NO_ROUTE
    assert decided(sender, sender.is_whatsapp, None) is NO_ROUTE
    assert decided(sender, not sender.is_whatsapp, None) is UNREACHABLE


async def send(world: World, sender: Account, *messages: Any) -> list[SendOutcome]:
    return await world.router.send_messages(sender, messages)


def reasons(outcomes: list[SendOutcome]) -> list[Reason | None]:
    return [outcome.refusal and outcome.refusal.reason for outcome in outcomes]


@pytest.mark.requirement("MSG-02")
async def test_a_message_is_stored_as_it_came(world: World) -> None:
    """Type, ciphertext and id are carried; sender and time are the server's word (MSG-02, MSG-03, MSG-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    part = (CiphertextType.PREKEY_MESSAGE, 0, b"\x33sealed")
    assert await send(world, ada, message(user, "id.1", enc=[part])) == [SendOutcome("id.1", NOW_MS)]
    [item] = await world.waiting(user)
    assert (item.sender_id, item.sender_jid, item.kind) == (ada.account_id, ada.jid, StanzaKind.MESSAGE)
    assert (item.subtype, item.message_type) == (CiphertextType.PREKEY_MESSAGE, MessageType.TEXT)
    assert (item.stanza_id, item.timestamp_ms, item.content) == ("id.1", NOW_MS, b"\x33sealed")


BAD_ADDRESSES: list[tuple[str, Reason]] = [
    ("ada@bats.example", Reason.USER_VISIBLE_IDENTIFIER),
    ("ada", Reason.USER_VISIBLE_IDENTIFIER),
    ("+491511234567", Reason.USER_VISIBLE_IDENTIFIER),
    ("", Reason.ADDRESS_MALFORMED),
    ("0-1@interop", Reason.ADDRESS_MALFORMED),
    ("1000-1@interop", Reason.ADDRESS_MALFORMED),
    ("100-18446744073709551616@interop", Reason.ADDRESS_MALFORMED),
    ("1@lid", Reason.ADDRESS_MALFORMED),
    ("4" * 129, Reason.ADDRESS_MALFORMED),
    ("120363000000000000@g.us", Reason.GROUPS_NOT_SUPPORTED),
    ("x@call", Reason.CALLS_NOT_SUPPORTED),
    ("sms:+491511234567", Reason.NUMBER_BASED_NOT_SUPPORTED),
    ("tel:+491511234567", Reason.NUMBER_BASED_NOT_SUPPORTED),
    ("491511234567:3@s.whatsapp.net", Reason.ADDRESS_NAMES_DEVICE),
]


@pytest.mark.parametrize(("to", "reason"), BAD_ADDRESSES)
async def test_people_are_addressed_by_internal_identifiers_only(world: World, to: str, reason: Reason) -> None:
    """Each kind of wrong address has its reason, for messages and receipts alike (MSG-01, MSG-12, LIF-06)."""
    ada = await world.enlisted()
    assert reasons(await send(world, ada, message(to))) == [reason]
    [refusal] = await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, to, ["m1"])], True)
    assert refusal is not None and refusal.reason is reason


SENDER_KEY = (CiphertextType.SENDER_KEY, 0, b"x")
RATCHET = (CiphertextType.DOUBLE_RATCHET, 0, b"x")


@pytest.mark.requirement("MSG-03", "MSG-11")
@pytest.mark.parametrize(
    ("enc", "reason"),
    [
        ([], Reason.DEVICE_LIST_MISMATCH),
        ([RATCHET, RATCHET], Reason.DEVICE_LIST_MISMATCH),
        ([(CiphertextType.DOUBLE_RATCHET, 1, b"x")], Reason.DEVICE_LIST_MISMATCH),
        ([SENDER_KEY], Reason.GROUPS_NOT_SUPPORTED),
        ([RATCHET, SENDER_KEY], Reason.GROUPS_NOT_SUPPORTED),
        ([(CiphertextType.DOUBLE_RATCHET, 0, bytes(96 * 1024 + 1))], Reason.MESSAGE_TOO_LARGE),
        ([(CiphertextType.DOUBLE_RATCHET, 0, bytes(96 * 1024))], None),
    ],
)
async def test_a_message_holds_one_ciphertext_of_bounded_size(
    world: World, enc: list[Any], reason: Reason | None
) -> None:
    """For device 0, since partners' users have one device and WhatsApp users are addressed whole (MSG-03, MSG-11)."""
    ada, user = await world.enlisted(), await world.opted_in()
    assert reasons(await send(world, ada, message(user, enc=enc))) == [reason]


@pytest.mark.requirement("MSG-05")
@pytest.mark.parametrize(
    ("enc", "missing", "extra"),
    [
        ([], [0], []),
        ([RATCHET, RATCHET], [], []),
        ([(CiphertextType.DOUBLE_RATCHET, 1, b"x")], [0], [1]),
        ([(CiphertextType.DOUBLE_RATCHET, device, b"x") for device in (7, 0, 3, 7)], [], [3, 7]),
        ([(CiphertextType.DOUBLE_RATCHET, device, b"x") for device in range(1, 999)], [0], list(range(1, 101))),
    ],
)
async def test_a_wrong_device_list_is_answered_with_the_right_one(
    world: World, enc: list[Any], missing: list[int], extra: list[int]
) -> None:
    """Hash, missing and superfluous devices, whether or not the recipient can be reached (MSG-05, OPT-09)."""
    ada, user = await world.enlisted(), await world.opted_in()
    for jid in (user.jid, "4915100000000@s.whatsapp.net"):
        [outcome] = await send(world, ada, message(jid, enc=enc))
        mismatch = outcome.refusal
        assert isinstance(mismatch, DeviceListMismatch)
        assert mismatch.phash == phash([jid])
        assert mismatch.missing == [DeviceAddress(jid, device) for device in missing]
        assert mismatch.extra == [DeviceAddress(jid, device) for device in extra]
        assert mismatch.stale == []


@pytest.mark.requirement("MSG-05")
async def test_a_session_with_a_replaced_device_is_stale(world: World) -> None:
    """Where the sender says with which one it is; who may not write learns nothing of it (MSG-05, OPT-09)."""
    ada, user, shy = await world.enlisted(), await world.opted_in(), await world.whatsapp_user("+33612345678")
    right = ClientKeys().published.registration_id

    def to(jid: str, registration_id: int | None) -> Any:
        return message(jid, enc=[(CiphertextType.DOUBLE_RATCHET, 0, b"x", registration_id)])

    assert reasons(await send(world, user, to(ada.jid, right))) == [None]
    assert reasons(await send(world, user, to(ada.jid, None)._replace(stanza_id="m2"))) == [None]
    before = await world.store.count_rows()
    [outcome] = await send(world, user, to(ada.jid, right + 1)._replace(stanza_id="m3"))
    assert isinstance(outcome.refusal, DeviceListMismatch)
    assert (outcome.refusal.stale, outcome.refusal.phash) == ([DeviceAddress(ada.jid, 0)], phash([ada.jid]))
    assert (outcome.refusal.missing, outcome.refusal.extra) == ([], [])
    assert await world.store.count_rows() == before
    for sender, recipient, reason in ((shy, ada.jid, NOT_OPTED_IN), (ada, shy.jid, UNREACHABLE)):
        assert reasons(await send(world, sender, to(recipient, right + 1))) == [reason]
    # The message was refused, so its id is free.
    assert reasons(await send(world, user, to(ada.jid, right)._replace(stanza_id="m3"))) == [None]
    waiting = [item.stanza_id for item in await world.waiting(ada) if item.kind is StanzaKind.MESSAGE]
    assert waiting == ["m1", "m2", "m3"]


async def leave_untouched(world: World, sender: Account, to: Account | str, reason: Reason) -> None:
    before = await world.store.count_rows()
    with world.quiet():
        assert reasons(await send(world, sender, message(to))) == [reason]
    assert await world.store.count_rows() == before


async def test_a_refused_message_leaves_no_trace(world: World) -> None:
    """Refused before anything is stored, and nobody is woken or pushed to (MSG-06)."""
    ada, bea, owl = await world.enlisted("ada"), await world.enlisted("bea"), await world.enlisted("owl", OWLS)
    user, other, shy = (
        await world.opted_in(),
        await world.opted_in("+33612345678"),
        await world.whatsapp_user("+39312345678"),
    )
    await leave_untouched(world, ada, shy, UNREACHABLE)
    await leave_untouched(world, ada, "4915100000000@s.whatsapp.net", UNREACHABLE)
    await leave_untouched(world, owl, user, UNREACHABLE)
    await leave_untouched(world, user, owl, NOT_OPTED_IN)
    await leave_untouched(world, shy, ada, NOT_OPTED_IN)
    await leave_untouched(world, ada, bea, NO_ROUTE)
    await leave_untouched(world, user, other, NO_ROUTE)
    await leave_untouched(world, ada, ada, NO_ROUTE)
    await world.blocklist.block(user, ada.jid)
    await leave_untouched(world, user, ada, OWN_BLOCK)


async def test_a_suspended_partner_is_cut_off_with_the_next_stanza(world: World) -> None:
    """In both directions, and back again (ENL-01, OPT-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.register(partner(BATS, status=PartnerStatus.SUSPENDED))
    await leave_untouched(world, ada, user, UNREACHABLE)
    await leave_untouched(world, user, ada, UNREACHABLE)
    await world.register(partner(BATS))
    assert reasons(await send(world, ada, message(user))) == [None]


@pytest.mark.requirement("ABU-02")
async def test_a_blocked_sender_gets_an_ordinary_ack_and_nothing_is_delivered(world: World) -> None:
    """The block must not show (ABU-02, OPT-09)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await world.blocklist.block(user, ada.jid)
    with world.quiet():
        to_blocked = await send(world, ada, message(user))
    assert await world.waiting(user) == []
    assert await world.optin.list_chats(user, 0, "") == ([], "")
    assert to_blocked == await send(world, bea, message(user))
    world.clock.advance(1)
    assert await send(world, ada, message(user)) == to_blocked == await send(world, bea, message(user))
    await world.blocklist.unblock(user, ada.jid)
    await send(world, ada, message(user, "m2"))
    assert [item.sender_jid for item in await world.waiting(user)] == [bea.jid, ada.jid]


@pytest.mark.requirement("MSG-04", "ABU-02")
async def test_a_blocked_sender_who_repeats_an_id_gets_the_first_timestamp(world: World) -> None:
    """Like anybody, whatever became of the first copy, and whether or not the block still stands (MSG-04, ABU-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user, "before"))
    await world.blocklist.block(user, ada.jid)
    await send(world, ada, message(user, "during"))
    world.clock.advance(5_000)
    again = [message(user, stanza_id) for stanza_id in ("before", "during")]
    first = [SendOutcome("before", NOW_MS), SendOutcome("during", NOW_MS)]
    assert await send(world, ada, *again) == first
    await world.blocklist.unblock(user, ada.jid)
    assert await send(world, ada, *again) == first
    assert [item.stanza_id for item in await world.waiting(user)] == ["before"]


@pytest.mark.requirement("MSG-04", "OPT-14")
async def test_a_repetition_answers_no_message_request_again(build_world: BuildWorld) -> None:
    """What the WhatsApp user decided since stands, and a mark of trust is not renewed by it."""
    world = await build_world(trusted_bucket_days=1)
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    for peer in (ada, bea):
        await send(world, peer, message(user))
        await send(world, user, message(peer, f"to {peer.jid}"))
    await world.requests.answer(user, ada.jid, accepted=False)
    before = await world.store.routes.get_facts(user, [ada.jid, bea.jid])
    world.clock.advance(2 * DAY_MS)
    again = [message(peer, f"to {peer.jid}") for peer in (ada, bea)]
    assert await send(world, user, *again) == [SendOutcome(each.stanza_id, NOW_MS) for each in again]
    after = await world.store.routes.get_facts(user, [ada.jid, bea.jid])
    assert [after[peer.jid].request_state for peer in (ada, bea)] == [
        MessageRequestState.DECLINED,
        MessageRequestState.ACCEPTED,
    ]
    assert [each.trusted_until_ms for each in after.values()] == [each.trusted_until_ms for each in before.values()]


@pytest.mark.requirement("OPT-14")
async def test_a_message_and_what_it_answers_are_stored_as_one(build_world: BuildWorld) -> None:
    """Also when the sender's connection is ended at any moment on the way, as a ban does."""
    found = set()
    for turns in range(40):
        world = await build_world()
        ada, user = await world.enlisted(), await world.opted_in()
        await send(world, ada, message(user))
        sending = asyncio.create_task(send(world, user, message(ada, "hello")))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        # Behind what is stored already, and so when it is settled.
        await world.store.chats.put_answers([])
        facts = (await world.store.routes.get_facts(user, [ada.jid]))[ada.jid]
        kinds = [item.kind for item in await world.waiting(ada)]
        assert (facts.request_state, kinds) in (
            (MessageRequestState.REQUESTED, []),
            (MessageRequestState.ACCEPTED, [StanzaKind.MESSAGE, StanzaKind.NOTIFICATION]),
        )
        found.add(facts.request_state)
    assert len(found) == 2


async def test_a_blocked_sender_meets_the_same_limits(build_world: BuildWorld) -> None:
    """Otherwise sending too fast, or into a full mailbox, would tell who has blocked whom (ABU-02, OPT-09)."""
    world = await build_world(send_burst=5, max_mailbox_items=3)
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await world.blocklist.block(user, ada.jid)
    batch = [message(user, f"m{number}") for number in range(7)]
    to_blocked = reasons(await send(world, ada, *batch))
    assert to_blocked == [None] * 3 + [Reason.MAILBOX_FULL] * 2 + [Reason.RATE_LIMITED] * 2
    assert reasons(await send(world, bea, *batch)) == to_blocked
    assert {item.sender_jid for item in await world.waiting(user)} == {bea.jid}


async def test_the_same_id_again_is_acked_and_not_delivered_twice(world: World) -> None:
    """With the first time's timestamp; also in one batch, and long after the ack (MSG-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user), message(user))
    world.clock.advance(5_000)
    assert await send(world, ada, message(user), message(user, "m2")) == [
        SendOutcome("m1", NOW_MS),
        SendOutcome("m2", NOW_MS + 5_000),
    ]
    waiting = await world.mailbox.deliveries(user, 0, 100)
    assert [delivery.item.stanza_id for delivery in waiting] == ["m1", "m2"]
    await world.mailbox.forget(user, [delivery.delivery_id for delivery in waiting])
    assert await send(world, ada, message(user)) == [SendOutcome("m1", NOW_MS)]
    assert await world.waiting(user) == []


@pytest.mark.requirement("MSG-04")
async def test_one_id_to_two_recipients_is_refused_not_lost(world: World) -> None:
    """Also within one batch; the second recipient gets nothing, and the first message stays what it was (MSG-04)."""
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678")
    reused = Reason.MESSAGE_ID_REUSED
    assert reasons(await send(world, ada, message(user, "a"), message(other, "a"))) == [None, reused]
    assert reasons(await send(world, ada, message(other, "a"), message(other, "b"))) == [reused, None]
    assert [item.stanza_id for item in await world.waiting(user)] == ["a"]
    assert [item.stanza_id for item in await world.waiting(other)] == ["b"]
    await world.blocklist.block(ada, other.jid)
    assert reasons(await send(world, ada, message(other, "a"), message(other, "new"))) == [
        reused,
        Reason.RECIPIENT_BLOCKED_BY_SENDER,
    ]


@pytest.mark.requirement("MSG-04")
async def test_a_message_with_a_used_id_accepts_no_request(world: World) -> None:
    """It is not stored, so it is no answer to the peer that it names (MSG-04, OPT-14)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await send(world, bea, message(user, "hello"))
    await send(world, user, message(ada, "same"))
    assert reasons(await send(world, user, message(bea, "same"))) == [Reason.MESSAGE_ID_REUSED]
    facts = await world.store.routes.get_facts(user, [bea.jid])
    assert facts[bea.jid].request_state is MessageRequestState.REQUESTED


@pytest.mark.requirement("MSG-04")
@pytest.mark.parametrize("rule", ["rate", "opted out", "blocked", "devices", "size", "new chats"])
async def test_a_repetition_is_recognised_before_every_rule(build_world: BuildWorld, rule: str) -> None:
    """A lost ack is answered with the first one, whatever has changed since; what is new meets the rule (MSG-04)."""
    world = await build_world(send_burst=3, send_per_second=0.001, max_ciphertext_bytes=100, new_chats=1)
    ada, user = await world.enlisted(), await world.opted_in()
    assert reasons(await send(world, ada, message(user, "first"))) == [None]
    repeated, new = message(user, "first"), message(user, "second")
    if rule == "rate":
        await send(world, ada, message(user, "x"), message(user, "y"))
    elif rule == "opted out":
        await world.optin.opt_out(user, [BATS])
    elif rule == "blocked":
        await world.blocklist.block(ada, user.jid)
    elif rule == "devices":
        repeated, new = (message(user, each, enc=()) for each in ("first", "second"))
    elif rule == "size":
        repeated, new = (message(user, each, bytes(101)) for each in ("first", "second"))
    else:
        new = message(await world.opted_in("+33612345678"), "second")
    world.clock.advance(5_000)
    again, refused_one = await send(world, ada, repeated, new)
    assert again == SendOutcome("first", NOW_MS)
    assert refused_one.refusal is not None


async def test_two_senders_may_use_the_same_id(world: World) -> None:
    """An id belongs to its sender (MSG-04)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    for sender in (ada, bea):
        await send(world, sender, message(user, "same"))
    assert [item.sender_jid for item in await world.waiting(user)] == [ada.jid, bea.jid]


async def test_a_batch_has_one_outcome_per_message_in_order(world: World) -> None:
    """A bad message among good ones is refused alone (MSG-04, MSG-06)."""
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678")
    outcomes = await send(
        world, ada, message(user, "a"), message("ada", "b"), message(other, "c"), message("x", "d"), message(user, "e")
    )
    assert [outcome.stanza_id for outcome in outcomes] == ["a", "b", "c", "d", "e"]
    assert reasons(outcomes) == [None, Reason.USER_VISIBLE_IDENTIFIER, None, Reason.USER_VISIBLE_IDENTIFIER, None]
    assert [item.stanza_id for item in await world.waiting(user)] == ["a", "e"]
    assert [item.stanza_id for item in await world.waiting(other)] == ["c"]
    assert world.connections.woken == [user.account_id, other.account_id] or world.connections.woken == [
        other.account_id,
        user.account_id,
    ]


async def test_a_partners_user_who_is_away_gets_a_push(world: World) -> None:
    """Only who is not connected, only at a partner; a WhatsApp user is never pushed to (LIF-01, MSG-07)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user))
    assert world.pushes.queued == []
    await send(world, user, message(ada, "a"), message(ada, "b"))
    assert world.pushes.queued == [(BATS, "ada")]
    world.connections.online.add(ada.account_id)
    await send(world, user, message(ada, "c"))
    assert world.pushes.queued == [(BATS, "ada")]


async def test_a_sender_who_is_too_fast_is_slowed_per_recipient(build_world: BuildWorld) -> None:
    """The refusal says when to try again, and then it works; other recipients are not concerned (MSG-11)."""
    world = await build_world(send_burst=2, send_per_second=1.0)
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+33612345678")
    outcomes = await send(world, ada, *(message(user, f"m{number}") for number in range(3)), message(other, "m9"))
    assert reasons(outcomes) == [None, None, Reason.RATE_LIMITED, None]
    refusal = outcomes[2].refusal
    assert refusal is not None and refusal.retry_after_ms is not None
    world.clock.advance(refusal.retry_after_ms)
    assert reasons(await send(world, ada, message(user, "m2"), message(user, "m3"))) == [None, Reason.RATE_LIMITED]
    assert [item.stanza_id for item in await world.waiting(user)] == ["m0", "m1", "m2"]


@pytest.mark.parametrize("limit", [{"max_mailbox_items": 3}, {"max_mailbox_bytes": 30}], ids=["items", "bytes"])
async def test_a_mailbox_is_bounded(build_world: BuildWorld, limit: dict[str, int]) -> None:
    """What waits and what the batch adds count together; acks make room (MSG-11)."""
    world = await build_world(**limit)
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user, "a", bytes(10)))
    outcomes = await send(world, ada, *(message(user, stanza_id, bytes(10)) for stanza_id in "bcd"))
    assert reasons(outcomes) == [None, None, Reason.MAILBOX_FULL]
    refusal = outcomes[2].refusal
    assert refusal is not None and refusal.retry_after_ms == world.limits.mailbox_full_retry_ms
    first = (await world.mailbox.deliveries(user, 0, 1))[0]
    await world.mailbox.forget(user, [first.delivery_id])
    assert reasons(await send(world, ada, message(user, "d", bytes(10)))) == [None]


@pytest.mark.requirement("MSG-11", "MSG-04")
async def test_a_repetition_into_a_full_mailbox_is_acked(build_world: BuildWorld) -> None:
    """It needs no room: it was taken before, whether in this batch or long ago; what was not is refused (MSG-11)."""
    world = await build_world(max_mailbox_items=2)
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user, "a"))
    world.clock.advance(5_000)
    outcomes = await send(world, ada, *(message(user, stanza_id) for stanza_id in "bcabc"))
    assert outcomes[2] == SendOutcome("a", NOW_MS)
    assert outcomes[3] == SendOutcome("b", NOW_MS + 5_000)
    full = Reason.MAILBOX_FULL
    assert reasons(outcomes) == [None, full, None, None, full]
    assert [item.stanza_id for item in await world.waiting(user)] == ["a", "b"]


@pytest.mark.requirement("MSG-14")
async def test_timestamps_never_decrease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine's clock is set back, they stand still: for messages and receipts alike (MSG-14)."""
    ada, user = await world.enlisted(), await world.opted_in()
    machine = [NOW_MS]
    monkeypatch.setattr(clock_module, "machine_ms", lambda: machine[-1])
    clock = clock_module.AdjustableClock()
    rules = build_rules(replace(world.ports, clock=clock))
    await rules.router.send_messages(user, [message(ada, "r")])
    for number, offset in enumerate((0, 0, -60_000, -60_000, 10, 5)):
        machine.append(NOW_MS + offset)
        await rules.router.send_messages(ada, [message(user, f"m{number}")])
        await rules.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["r"])], True)
    timestamps = [item.timestamp_ms - NOW_MS for item in await world.waiting(user)]
    assert timestamps == [0] * 8 + [10] * 4


@pytest.mark.requirement("LIF-01")
async def test_a_push_names_the_user_as_the_partner_does(world: World) -> None:
    """What the partner hears is what it said at the last enlistment, not the normal form of it (LIF-01, OPT-08)."""
    user = await world.opted_in()
    for stated in ("Adele\u0301", "ADEL\u00c9", "adel\u00e9"):
        ada = await world.enlisted(stated)
        assert ada.external_id == "adel\u00e9"
        await world.router.send_messages(user, [message(ada, stated)])
        assert world.pushes.queued[-1] == (BATS, stated)
