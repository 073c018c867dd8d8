"""Reports through the running server: what counts leads to sanctions by itself; what does not is answered alike."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from interop_api.admin.v1alpha1 import journal_pb2, standing_pb2
from interop_api.v1 import integrity_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions
from interop_client.errors import LoginRefused
from interop_client.messaging.events import ConnectionLost, Evidence, Incoming, TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_server.core.limits import about
from interopsim import Simulator
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.raw import refused as refusal_of

pytestmark = pytest.mark.requirement("ABU-03", "ABU-04")

NOBODY = "999-12345678901234@interop"
LOCKED, TEMPORARILY, FOR_GOOD = (
    standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED,
    standing_pb2.SANCTION_KIND_TEMPORARY_BAN,
    standing_pb2.SANCTION_KIND_BAN,
)


async def message_from(sender: InteropClient, recipient: InteropClient, text: str = "Buy now") -> TextReceived:
    """What arrives of a text."""
    await sender.send_text(recipient.jid, text)
    return await recipient.wait_for(TextReceived)


async def reports_against(world: World, client: InteropClient) -> int:
    """How many people's reports count."""
    return (await world.admin.get_standing(client.jid)).points["reports"] // 10


async def decisions(world: World, reporter: InteropClient) -> list[journal_pb2.JournalEntry]:
    """What became of somebody's reports."""
    return [answer.entry async for answer in world.admin.read_journal(actor=reporter.jid, action="report")]


@asynccontextmanager
async def nothing_counted(world: World) -> AsyncIterator[None]:
    """Asserts that nothing is kept of what the block reports; acks of earlier messages may still be under way."""
    before = await world.stored()
    yield
    after = await world.stored()
    for table in ("counted_report", "sanction", "account", "sent_message", "blocked"):
        assert after[table] == before[table], table


def with_words(message: Incoming, plaintext: bytes) -> Incoming:
    """The message as a liar would report it."""
    assert message.evidence is not None
    return replace(message, evidence=Evidence(plaintext, message.evidence.message_secret))


@pytest.mark.parametrize("reveal", [False, True])
async def test_both_sides_report(world: World, reveal: bool) -> None:
    """With and without showing what was written; the answer is an id."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    to_alice, to_bob = await message_from(bob, alice), await message_from(alice, bob)
    ids = [
        await alice.report(bob.jid, [to_alice], reveal=reveal),
        await bob.report(alice.jid, [to_bob], reveal=reveal, spam_flow=integrity_pb2.SPAM_FLOW_CONTACT_INFO),
    ]
    assert all(len(report_id) == 16 and int(report_id, 16) >= 0 for report_id in ids) and ids[0] != ids[1]
    assert [await reports_against(world, client) for client in (alice, bob)] == [1, 1]
    [decision] = await decisions(world, alice)
    assert (decision.outcome, decision.subject, decision.cause) == (journal_pb2.JOURNAL_OUTCOME_ACCEPTED, bob.jid, "")


async def test_what_does_not_count_is_answered_alike(world: World) -> None:
    """An id, and nothing kept: a stranger's report, an accusation made up, a second one, one of nobody (T18, OPT-09).

    Only the journal says why.
    """
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    carol = await world.whatsapp()
    message = await message_from(bob, alice)
    assert message.evidence is not None
    made_up = with_words(message, message.evidence.plaintext.replace(b"Buy", b"Die"))
    async with nothing_counted(world):
        for reporter, jid, messages in (
            (carol, bob.jid, [message]),
            (bob, alice.jid, [message]),
            (alice, NOBODY, [message]),
            (alice, bob.jid, [made_up]),
        ):
            assert len(await reporter.report(jid, messages, reveal=True)) == 16
    assert await reports_against(world, bob) == 0
    assert [entry.cause for entry in await decisions(world, alice)] == [
        "there is no such account",
        "what it reveals is not what was sent",
    ]

    await alice.report(bob.jid, [message], reveal=True)
    async with nothing_counted(world):
        await alice.report(bob.jid, [message], reveal=True)
    assert await reports_against(world, bob) == 1
    assert [(entry.outcome, entry.cause) for entry in await decisions(world, alice)][-2:] == [
        (journal_pb2.JOURNAL_OUTCOME_ACCEPTED, ""),
        (journal_pb2.JOURNAL_OUTCOME_DROPPED, "the reporter has reported them before"),
    ]


@pytest.mark.requirement("ABU-08")
async def test_what_was_revealed_stands_nowhere(world: World) -> None:
    """Not in the journal; the store holds one row more, without words (see the audit)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    secret_words = "zebra-crossing-" + world.partner.issuer
    message = await message_from(bob, alice, secret_words)
    rows = await world.stored()
    await alice.report(bob.jid, [message], reveal=True)
    after = await world.stored()
    assert after["counted_report"] == rows["counted_report"] + 1
    entries = str([answer.entry async for answer in world.admin.read_journal()])
    assert "zebra-crossing" not in entries


@pytest.mark.requirement("ABU-05", "CHN-10")
async def test_reports_escalate_to_a_ban_for_good(world: World) -> None:
    """Eleven people report Bob: lock, three temporary bans each twice as long, and a ban; nobody else is concerned.

    1. Each gets a message from Bob before any reports.
    2. With the third he is locked, with the fifth, seventh and ninth banned for a time, with the eleventh for good.
    3. All reports and sanctions are forgotten when they are lifted.
    """
    bob, innocent = await world.third_party("bob"), await world.third_party("carol")
    people = [await world.whatsapp(options=QUIET) for _ in range(11)]
    messages = [await message_from(bob, person) for person in people]
    logins: list[tuple[int, int | None, int | None]] = []
    for person, message in zip(people, messages, strict=True):
        await person.report(bob.jid, [message])
        logins.append(await login(bob))
    hours = [None if expires is None else round(expires / 3_600) for _, _, expires in logins]
    assert [code for code, _, _ in logins] == [200] * 4 + [402] * 6 + [406]
    assert {sub_code for code, sub_code, _ in logins if code == 402} == {102}
    assert hours == [None] * 4 + [24, 24, 48, 48, 96, 96, None]
    kinds = {sanction.kind for sanction in (await world.admin.get_standing(bob.jid)).sanctions}
    assert kinds == {LOCKED, TEMPORARILY, FOR_GOOD}
    await innocent.ping()

    await world.admin.lift_sanctions(bob.jid)
    await bob.connect()
    standing = await world.admin.get_standing(bob.jid)
    assert (standing.points["reports"], list(standing.sanctions)) == (0, [])


async def login(client: ThirdPartyClient) -> tuple[int, int | None, int | None]:
    """How a login ends: code, 200 for success; sub-code; seconds until it can succeed."""
    try:
        await client.connect()
    except LoginRefused as error:
        return error.code, error.sub_code, error.expires_after_seconds
    return 200, None, None


@pytest.mark.requirement("ABU-05")
async def test_a_ban_by_reports_ends_the_connection(world: World) -> None:
    """In the middle of things, with the reason."""
    bob = await world.third_party("bob")
    people = [await world.whatsapp(options=QUIET) for _ in range(5)]
    for message, person in [(await message_from(bob, person), person) for person in people]:
        await person.report(bob.jid, [message])
    assert (await bob.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED"
    assert await refused(bob.count_prekeys()) == "SESSION_DEAD"


@pytest.mark.requirement("ABU-07", "PRX-05")
async def test_a_score_says_what_it_is_made_of(world: World) -> None:
    """Reports, blocks, an unanswered chat, a direct connection's address; by proxy that is marked and gives nothing."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    message = await message_from(bob, alice)
    await alice.report(bob.jid, [message])
    await alice.block(bob.jid)
    standing = await world.admin.get_standing(bob.jid)
    points = dict(standing.points)
    assert (points["reports"], points["blocks"], points["unanswered_chats"]) == (10, 3, 1)
    assert standing.score == sum(points.values()) == standing.partner_score
    assert dict(standing.signals).keys() == {"mode", "peer_address", "fingerprint"}
    assert standing.signals["mode"] == "direct" and "127.0.0.1" in standing.signals["peer_address"]

    await bob.close()

    async def get_token() -> str:
        return world.partner.issue_token("bob")

    options = LoginOptions(client_ip="203.0.113.9")
    async with ThirdPartyClient.direct(world.endpoint, bob.state, get_token, login=options):
        standing = await world.admin.get_standing(bob.jid)
        assert dict(standing.signals) == {"mode": "proxy", "peer_address": "unavailable", "fingerprint": "unavailable"}
        assert (standing.points["shared_address"], standing.score) == (0, 14)


async def test_a_report_of_messages_as_long_as_they_may_be_is_one_request() -> None:
    """Whatever their limit is here: with the highest, four times what gRPC would let in otherwise."""
    most = int(about("max_ciphertext_bytes").most)
    async with Simulator(limits={"max_ciphertext_bytes": most, "max_frame_bytes": most + 512}) as sim:
        state = ClientState.generate()
        state.jid = await sim.admin.put_whatsapp_user("+31600000001", state.auth_public_key)
        async with WhatsAppClient.direct(sim.endpoint, state) as alice:
            revealed = integrity_pb2.ReportedMessage(message_id="long", plaintext=bytes(most), message_secret=bytes(32))
            request = integrity_pb2.ReportRequest(
                jid=NOBODY, spam_flow=integrity_pb2.SPAM_FLOW_MESSAGE_MENU, messages=[revealed] * 16
            )
            path = "/interop_api.v1.IntegrityService/Report"
            await alice.transport.call(path, request, integrity_pb2.ReportResponse)
            request.messages[0].plaintext += b"x"
            with refusal_of("REQUEST_MALFORMED", "one byte more than may be sent"):
                await alice.transport.call(path, request, integrity_pb2.ReportResponse)


async def test_a_report_must_have_a_form(world: World) -> None:
    """Lists, ids, flows, words and secrets out of bounds are refused, and nothing is counted."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    message = await message_from(bob, alice)

    async def report(
        jid: str = bob.jid,
        messages: Sequence[integrity_pb2.ReportedMessage] | None = None,
        flow: int = integrity_pb2.SPAM_FLOW_MESSAGE_MENU,
        **changes: object,
    ) -> None:
        named = integrity_pb2.ReportedMessage(message_id=message.id)
        named.MergeFrom(integrity_pb2.ReportedMessage(**changes))  # type: ignore[arg-type]
        request = integrity_pb2.ReportRequest(
            jid=jid,
            spam_flow=integrity_pb2.SpamFlow.ValueType(flow),
            messages=[named] if messages is None else messages,
        )
        await alice.transport.call("/interop_api.v1.IntegrityService/Report", request, integrity_pb2.ReportResponse)

    one = integrity_pb2.ReportedMessage(message_id=message.id)
    async with nothing_counted(world):
        for number, reason in ((0, "REQUEST_MALFORMED"), (17, "TOO_MANY_ITEMS")):
            with refusal_of(reason, number):
                await report(messages=[one] * number)
        for flow in (0, 5, 2**31 - 1):
            with refusal_of("REQUEST_MALFORMED", flow):
                await report(flow=flow)
        for message_id in ("x" * 65, "with space", "ü", "\0"):
            with refusal_of("REQUEST_MALFORMED", message_id):
                await report(message_id=message_id)
        with refusal_of("REQUEST_MALFORMED", "no id"):
            await report(messages=[integrity_pb2.ReportedMessage()])
        for revealed in (
            {"plaintext": b"words"},
            {"message_secret": bytes(32)},
            {"plaintext": b"words", "message_secret": bytes(31)},
            {"plaintext": bytes(98_305), "message_secret": bytes(32)},
        ):
            with refusal_of("REQUEST_MALFORMED", revealed.keys()):
                await report(**revealed)
        for jid, reason in (
            ("bob", "USER_VISIBLE_IDENTIFIER"),
            ("", "ADDRESS_MALFORMED"),
            ("1@g.us", "GROUPS_NOT_SUPPORTED"),
        ):
            with refusal_of(reason, jid):
                await report(jid)
    await alice.close()
    with refusal_of("SESSION_REQUIRED"):
        await report()


async def test_reports_are_limited(world: World) -> None:
    """Twenty at once, whether they count or not."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    message = await message_from(bob, alice)
    for _ in range(20):
        await alice.report(bob.jid, [message])
    with refusal_of("RATE_LIMITED"):
        await alice.report(bob.jid, [message])
