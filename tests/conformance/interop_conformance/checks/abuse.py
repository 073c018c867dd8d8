"""ABU: blocking and reporting."""

import os

from interop_api.admin.v1alpha1 import journal_pb2, standing_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.e2ee.v1 import content_pb2
from interop_client.messaging.events import Evidence, TextReceived
from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.checks.consent import is_told
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device, refused, told
from interop_conformance.people import Person
from interop_conformance.stage import Stage

BLOCKS = "ABU-01.blocked-is-not-shown"
LISTS = "ABU-01.lists-who-is-blocked"
REPORTS = "ABU-03.report-counts"
PROVES = "ABU-04.reveals-with-proof"
PROVABLE = "ABU-04.messages-can-be-proved"
HOUR = 3_600
TOKEN_BYTES = 16
"""Of a reporting token that proves nothing."""
SPAM = 101
"""Sub-code of a temporary ban."""


@check(BLOCKS, Level.MUST, "What a blocked user writes is not shown.", milestone=4, after=(SENDS, SHOWS))
async def blocked_is_not_shown(stage: Stage) -> None:
    """Neither while they are blocked nor later; what they write after that is."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await alice.send(bob.jid, "You cannot block me")
    await bob.do(unblock=pb.UnblockCommand(jid=alice.jid))
    await alice.send(bob.jid, "Sorry")
    await bob.shows_text("Sorry")
    stage.expect("You cannot block me" not in bob.texts(), "the later text alone", bob.texts())


@check(
    "ABU-01.server-knows-who-is-blocked",
    Level.MUST,
    "The client tells the server whom its user blocks: the peer's messages do not even come.",
    milestone=4,
    after=(SHOWS,),
)
async def server_knows_who_is_blocked(stage: Stage) -> None:
    """By the time a message of somebody else has come."""
    alice, bob, carol = await _three(stage)
    await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await alice.send(bob.jid, "You cannot block me")
    await stage.marker(carol, bob)
    await stage.came(bob.jid, "message", lambda each: each.get("from_jid") == carol.jid)
    came = stage.got(bob.jid, "message", lambda each: each.get("from_jid") == alice.jid)
    stage.expect(not came, "no message of the blocked user", f"{len(came)}")


@check(
    "ABU-01.block-is-for-one",
    Level.MUST,
    "Whoever is not blocked is shown as before.",
    milestone=4,
    after=(BLOCKS,),
)
async def block_is_for_one(stage: Stage) -> None:
    """Two have written, and one is blocked."""
    alice, bob, carol = await _three(stage)
    for person in (alice, carol):
        await stage.talk(person, bob)
    await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await carol.send(bob.jid, "It is only me")
    await bob.shows_text("It is only me")
    await bob.send(carol.jid, "Hello you")
    await carol.reads("Hello you")


@check(LISTS, Level.MUST, "The client says who is blocked, as the server has it.", milestone=4, after=(CONNECTS,))
async def lists_who_is_blocked(stage: Stage) -> None:
    """None, two, and one of them."""
    alice, bob, carol = await _three(stage)
    await _is_listed(stage, bob)
    for person in (alice, carol):
        await bob.do(block=pb.BlockCommand(jid=person.jid))
    await _is_listed(stage, bob, alice, carol)
    await bob.do(unblock=pb.UnblockCommand(jid=alice.jid))
    await _is_listed(stage, bob, carol)


@check(
    "ABU-01.list-survives-installing",
    Level.MUST,
    "Who is blocked is still so after the client was installed anew.",
    milestone=4,
    after=(LISTS,),
)
async def list_survives_installing(stage: Stage) -> None:
    """The list is the account's, not the device's."""
    alice, bob = await stage.pair()
    await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await bob.do(wipe=pb.WipeCommand())
    await bob.enlist()
    await bob.connect()
    await _is_listed(stage, bob, alice)


@check(
    "ABU-02.twice-is-as-good-as-once",
    Level.SHOULD,
    "Blocking twice is no error, nor is unblocking somebody who is not blocked.",
    milestone=4,
    after=(LISTS,),
)
async def twice_is_as_good_as_once(stage: Stage) -> None:
    """The list has each once."""
    alice, bob = await stage.pair()
    for _ in range(2):
        await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await _is_listed(stage, bob, alice)
    for _ in range(2):
        await bob.do(unblock=pb.UnblockCommand(jid=alice.jid))
    await _is_listed(stage, bob)


@check(
    "ABU-01.writing-to-the-blocked-is-refused",
    Level.SHOULD,
    "When the user writes to somebody whom they have blocked, the client says that it was not sent.",
    milestone=4,
    after=(BLOCKS, SENDS),
)
async def writing_to_the_blocked_is_refused(stage: Stage) -> None:
    """Nothing of it comes."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await bob.do(block=pb.BlockCommand(jid=alice.jid))
    await is_told(stage, bob, await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="And another thing")))


@check(
    REPORTS,
    Level.SHOULD,
    "A report reaches the server, which counts it, and the client says its id.",
    milestone=4,
    after=(SHOWS,),
)
async def report_counts(stage: Stage) -> None:
    """It names both messages."""
    alice, bob = await stage.pair()
    sent = [await alice.send(bob.jid, text) for text in ("Buy now", "Buy two")]
    await bob.shows_text("Buy two")
    command = pb.ReportMessagesCommand(jid=alice.jid, message_ids=[each.id for each in sent])
    report = await bob.do(report_messages=command)
    entry = await _report_of(stage, bob)
    _counts(entry)
    stage.expect(entry.subject == alice.jid, f"a report of {alice.jid}", entry.subject)
    number, _, rest = entry.detail.partition(": ")
    stage.expect(report.report_id == number, f"the id {number}", report.report_id)
    stage.expect(rest.startswith("2 messages"), "a report of 2 messages", rest)


@check(
    PROVES,
    Level.SHOULD,
    "What a report reveals is what was sent, to the byte: the server can prove it.",
    milestone=4,
    features=("reporting_tokens",),
    after=(SENDS, REPORTS),
)
async def reveals_with_proof(stage: Stage) -> None:
    """A text and a reply, whose proofs are in the server's hands."""
    alice, bob = await stage.pair()
    asked = await bob.send(alice.jid, "What is it?")
    question = await alice.reads("What is it?")
    stage.expect(question.id == asked, asked, question.id)
    sent = [
        await alice.send(bob.jid, "Buy now ⚡"),
        await alice.does("reply", alice.client.send_text(bob.jid, "A fine watch", question)),
    ]
    await bob.shows_text("A fine watch")
    command = pb.ReportMessagesCommand(jid=alice.jid, message_ids=[each.id for each in sent], reveals=True)
    await bob.do(report_messages=command)
    _counts(await _report_of(stage, bob))


@check(
    "ABU-04.reveals-only-what-is-proved",
    Level.SHOULD,
    "A report does not reveal a message whose proof is wrong: such a report would not count.",
    milestone=4,
    features=("reporting_tokens",),
    after=(PROVES,),
)
async def reveals_only_what_is_proved(stage: Stage) -> None:
    """Its sender has given the server a token of another message."""
    alice, bob = await stage.pair()
    content = content_pb2.Message(conversation="Buy now")
    content.message_context_info.message_secret = os.urandom(32)
    message = await alice.seal(bob.jid, content)
    message.reporting_token = os.urandom(TOKEN_BYTES)
    await alice.send_sealed(message)
    await bob.shows_text("Buy now")
    command = pb.ReportMessagesCommand(jid=alice.jid, message_ids=[message.id], reveals=True)
    await bob.do(report_messages=command)
    _counts(await _report_of(stage, bob))


@check(
    PROVABLE,
    Level.SHOULD,
    "Messages carry a reporting token, with which their recipient can prove what they say.",
    milestone=4,
    features=("reporting_tokens",),
    after=(SENDS,),
)
async def messages_can_be_proved(stage: Stage) -> None:
    """The token is right for sender, recipient, id and content."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "My word on it")
    _proof_of(await alice.reads("My word on it"))


@check(
    "ABU-04.secret-of-its-own",
    Level.SHOULD,
    "Each message has a secret of its own: one that is revealed proves no other.",
    milestone=4,
    features=("reporting_tokens",),
    after=(PROVABLE,),
)
async def secret_of_its_own(stage: Stage) -> None:
    """Three messages, three secrets."""
    alice, bob = await stage.pair()
    texts = ("One", "Two", "Three")
    for text in texts:
        await bob.send(alice.jid, text)
    secrets = {_proof_of(await alice.reads(text)).message_secret for text in texts}
    stage.expect(len(secrets) == len(texts), "three secrets", len(secrets))


@check(
    "ABU-05.ban-is-told",
    Level.SHOULD,
    "When the account is banned, the client says that it is no longer connected, and why it cannot log in.",
    after=(CONNECTS,),
)
async def ban_is_told(stage: Stage) -> None:
    """For an hour."""
    bob = await stage.bob()
    kind = standing_pb2.SANCTION_KIND_TEMPORARY_BAN
    await stage.admin.impose_sanction(bob.jid, kind, HOUR, SPAM)
    await _is_banned(bob, "TEMPORARILY_BANNED", 402)


@check(
    "ABU-05.ban-for-good-is-told",
    Level.SHOULD,
    "When the account is banned for good, the client says so.",
    after=(CONNECTS,),
)
async def ban_for_good_is_told(stage: Stage) -> None:
    """It is another reason than a ban for a time."""
    bob = await stage.bob()
    await stage.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_BAN)
    await _is_banned(bob, "BANNED", 406)


@check(
    "ABU-05.no-new-chats-is-told",
    Level.SHOULD,
    "When the user may begin no new chats, the client says that it could not send; the others go on.",
    after=(SENDS, SHOWS),
)
async def no_new_chats_is_told(stage: Stage) -> None:
    """One chat is there, another is begun."""
    alice, bob, carol = await _three(stage)
    await stage.talk(alice, bob)
    await stage.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED, HOUR)
    await is_told(stage, bob, await bob.ask(send_text=pb.SendTextCommand(to_jid=carol.jid, text="Hello stranger")))
    await bob.send(alice.jid, "Hello friend")
    await alice.reads("Hello friend")


async def _three(stage: Stage) -> tuple[Person, Device, Person]:
    alice, bob = await stage.pair()
    return alice, bob, await stage.alice()


async def _is_listed(stage: Stage, bob: Device, *people: Person) -> None:
    listed = sorted((await bob.do(list_blocked=pb.ListBlockedCommand())).jids)
    wanted = sorted(person.jid for person in people)
    stage.expect(listed == wanted, f"the list {wanted}", listed)


async def _is_banned(bob: Device, reason: str, code: int) -> None:
    """Requires that the client is not connected, cannot be, and says why at one of the two moments at least."""
    ended = await bob.shows("connection_changed", lambda each: not each.is_connected, "that it is no longer connected")
    result = await bob.ask(connect=pb.ConnectCommand(token=bob.token()))
    if not refused(result) and not result.HasField("failed"):
        raise NotSo("`connect` fails", told(result))
    if reason not in (ended.reason, refused(result)) and result.refused.code != code:
        raise NotSo(f"the client says {reason}, or code {code}", f"{ended.reason or 'nothing'}, then {told(result)}")


async def _report_of(stage: Stage, bob: Device) -> journal_pb2.JournalEntry:
    return await stage.decides(bob.jid, "report", what="the client reports to the server")


def _counts(entry: journal_pb2.JournalEntry) -> None:
    if entry.outcome != journal_pb2.JOURNAL_OUTCOME_ACCEPTED:
        raise NotSo("the report counts", entry.cause)


def _proof_of(message: TextReceived) -> Evidence:
    if message.evidence is None:
        raise NotSo("a reporting token that proves what the message says", "none, or a wrong one")
    return message.evidence
