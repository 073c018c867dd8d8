"""RCP: receipts, and asking for a message again."""

from collections.abc import Mapping
from typing import Any

from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.messages import IDS, SENDS, SHOWS
from interop_conformance.ciphertexts import ask_again, copy_of, with_ciphertext
from interop_conformance.people import Person
from interop_conformance.stage import Device, Stage

from interop_api.admin.v1alpha1 import journal_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.messaging.events import ReceiptReceived
from interop_client.options import ClientOptions
from interop_client.signal.content import decode_message
from interop_client.signal.errors import SignalError
from interop_client.signal.store import CiphertextType

DELIVERED = "RCP-01.delivered"
ASKS = "RCP-03.asks-again"
ANSWERS = "RCP-03.answers-a-request"
BOTH = (SENDS, SHOWS)
MOST_REQUESTS = 5

Fields = Mapping[str, Any]


def names(message_id: str, type: str = "") -> Any:
    """Returns what holds of a receipt for a message, as the record has it."""
    return lambda fields: message_id in fields.get("message_ids", ()) and type in fields.get("type", "")


def asks_for(message_id: str) -> Any:
    """Returns what holds of a request for a message, as the record has it."""
    return lambda fields: fields.get("message_id") == message_id


async def send_broken(alice: Person, bob: Device, text: str = "broken") -> str:
    """Sends Bob a message that nobody can open and that Alice never sends again; returns its id."""
    letter = await alice.seal(bob.jid, text)
    body = letter.enc[0].ciphertext
    broken = with_ciphertext(alice, letter, body[:-1] + bytes((body[-1] ^ 1,)))
    await alice.send_sealed(broken)
    message_id: str = broken.id
    return message_id


async def damage(stage: Stage, to: str, times: int | None) -> str:
    """Has messages to somebody cut off, so that they cannot be read, let alone opened; returns the fault's name."""
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": to}
    return await stage.add_fault(f"damage-{to.partition('@')[0]}", match, times, truncate={"keep_bytes": 60})


async def shows_receipt(bob: Device, message_id: str, *, is_read: bool) -> None:
    """Waits until Bob was shown that a message was delivered, or read."""
    kind = "read" if is_read else "delivered"
    await bob.shows(
        "receipt_shown",
        lambda each: message_id in each.message_ids and each.is_read is is_read,
        f"that {message_id} was {kind}",
    )


@check(DELIVERED, Level.MUST, "A text that was shown is receipted as delivered.", milestone=3, after=(SHOWS,))
async def delivered(stage: Stage) -> None:
    """The receipt names the message, and reaches its sender."""
    alice, bob = await stage.pair()
    sent = await alice.send(bob.jid, "Hello")
    await stage.sends(bob.jid, "receipt", names(sent.id, "DELIVERED"), "a delivered receipt for the text")
    await alice.receives(
        ReceiptReceived, lambda each: sent.id in each.message_ids and not each.is_read, "the receipt for the text"
    )


@check(
    "RCP-01.delivered-after-being-away",
    Level.MUST,
    "Texts that came while the client was away are receipted as delivered when it is back.",
    milestone=3,
    after=(DELIVERED,),
)
async def delivered_after_being_away(stage: Stage) -> None:
    """Three texts."""
    alice, bob = await stage.pair()
    await bob.disconnect()
    ids = [(await alice.send(bob.jid, f"text {number}")).id for number in range(3)]
    await bob.connect()
    for message_id in ids:
        await stage.sends(bob.jid, "receipt", names(message_id, "DELIVERED"), "a delivered receipt for each text")


@check(
    "RCP-01.no-receipt-for-what-cannot-be-opened",
    Level.MUST,
    "A message that cannot be decrypted is not receipted as delivered.",
    milestone=3,
    after=(SENDS, DELIVERED),
)
async def no_receipt_for_what_cannot_be_opened(stage: Stage) -> None:
    """The text after it is."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    broken = await send_broken(alice, bob)
    whole = await alice.send(bob.jid, "whole")
    await stage.sends(bob.jid, "receipt", names(whole.id, "DELIVERED"), "a delivered receipt for the next text")
    await stage.settle(alice, bob)
    stage.expect(not stage.sent(bob.jid, "receipt", names(broken)), "no receipt for what is broken", "one")


@check(
    "RCP-01.receipt-again",
    Level.SHOULD,
    "A text that comes again because its ack was lost is receipted again: the receipt can be lost, too.",
    milestone=3,
    after=(DELIVERED, "MSG-09.lost-ack"),
)
async def receipt_again(stage: Stage) -> None:
    """Ack and receipt do not reach the server until the connection has broken."""
    alice, bob = await stage.pair()
    for kind in ("ack", "receipt"):
        match = {"stanza": kind, "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
        await stage.add_fault(f"no-{kind}", match, drop={})
    sent = await alice.send(bob.jid, "Hello")
    await stage.sends(bob.jid, "receipt", names(sent.id, "DELIVERED"))
    await stage.acked(bob.jid, sent.id)
    await bob.disconnect(abruptly=True)
    for kind in ("ack", "receipt"):
        await stage.clear_fault(f"no-{kind}-{stage.integrator}")
    await bob.connect()
    await alice.receives(ReceiptReceived, lambda each: sent.id in each.message_ids, "the receipt for the text")


@check(
    "RCP-01.read",
    Level.MUST,
    "When the user reads texts, their sender is told, of each of them.",
    milestone=3,
    features=("read_receipts",),
    after=(DELIVERED,),
)
async def read(stage: Stage) -> None:
    """One, and then two at once."""
    alice, bob = await stage.pair()
    ids = []
    for number in range(3):
        ids.append((await alice.send(bob.jid, f"text {number}")).id)
        await bob.shows_text(f"text {number}")
    for some in (ids[:1], ids[1:]):
        await bob.do(mark_read=pb.MarkReadCommand(sender_jid=alice.jid, message_ids=some))
        for message_id in some:
            await stage.sends(bob.jid, "receipt", names(message_id, "READ"), "a read receipt for each text")
    await alice.receives(ReceiptReceived, lambda each: ids[2] in each.message_ids and each.is_read, "that it was read")


@check(
    "RCP-01.nothing-is-read-by-itself",
    Level.MUST,
    "A text that the user has not read is not receipted as read.",
    milestone=3,
    after=(SENDS, DELIVERED),
)
async def nothing_is_read_by_itself(stage: Stage) -> None:
    """It is shown, and then the user writes an answer."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await stage.settle(alice, bob)
    read = stage.sent(bob.jid, "receipt", lambda fields: "READ" in fields.get("type", ""))
    stage.expect(not read, "no read receipt", f"{len(read)}")


@check(
    "RCP-01.setting-at-login",
    Level.MUST,
    "The login says whether the user has read receipts on.",
    milestone=3,
    features=("read_receipts",),
    after=(DELIVERED,),
)
async def setting_at_login(stage: Stage) -> None:
    """One user has, one has not."""
    for is_on in (True, False):
        bob = await stage.bob(f"bob-{is_on}", read_receipts=is_on)
        login = await stage.sends(bob.jid, "login")
        said = login.fields.get("interop_data", {}).get("enable_read_receipts", False)
        stage.expect(said is is_on, f"enable_read_receipts {is_on}", said)


@check(
    "RCP-01.setting-is-kept",
    Level.MUST,
    "Nobody is told what a user reads who has read receipts off.",
    milestone=3,
    features=("read_receipts",),
    after=(SENDS, "RCP-01.read"),
)
async def setting_is_kept(stage: Stage) -> None:
    """The user reads, and writes: what the client may have sent has been dropped by then."""
    alice, bob = await stage.alice(), await stage.bob(read_receipts=False)
    sent = await alice.send(bob.jid, "Hello")
    await bob.shows_text("Hello")
    await bob.ask(mark_read=pb.MarkReadCommand(sender_jid=alice.jid, message_ids=[sent.id]))
    await bob.send(alice.jid, "I have read it")
    await alice.reads("I have read it")
    told = await alice.has_got(ReceiptReceived, lambda each: each.is_read)
    stage.expect(not told, "no read receipt", "one")


@check(
    "RCP-01.shows-delivered",
    Level.MUST,
    "The user is shown that a text was delivered.",
    milestone=3,
    after=(SENDS,),
)
async def shows_delivered(stage: Stage) -> None:
    """The WhatsApp side sends a delivered receipt."""
    alice, bob = await stage.pair()
    await shows_receipt(bob, await bob.send(alice.jid, "Hello"), is_read=False)


@check(
    "RCP-01.shows-read",
    Level.MUST,
    "The user is shown that a text was read.",
    milestone=3,
    features=("read_receipts",),
    after=("RCP-01.shows-delivered",),
)
async def shows_read(stage: Stage) -> None:
    """The WhatsApp side sends a read receipt."""
    alice, bob = await stage.pair()
    message_id = await bob.send(alice.jid, "Hello")
    await alice.client.mark_read(await alice.reads("Hello"))
    await shows_receipt(bob, message_id, is_read=True)


@check(
    "RCP-02.one-receipt-for-many",
    Level.MUST,
    "A receipt for several texts is shown for each of them.",
    milestone=3,
    after=("RCP-01.shows-delivered",),
)
async def one_receipt_for_many(stage: Stage) -> None:
    """Three texts, one delivered receipt."""
    alice, bob = await stage.alice(options=ClientOptions(sends_delivered_receipts=False)), await stage.bob()
    ids = [await bob.send(alice.jid, f"text {number}") for number in range(3)]
    await alice.reads("text 2")
    receipt = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_DELIVERED, to_jid=bob.jid, message_ids=ids)
    await alice.client.transport.send(stanza_pb2.Stanza(receipt=receipt))
    for message_id in ids:
        await shows_receipt(bob, message_id, is_read=False)


@check(
    ASKS,
    Level.MUST,
    "A message that cannot be decrypted is asked for again, with its id, a count of 1 and a reason.",
    milestone=3,
    after=BOTH,
)
async def asks_again(stage: Stage) -> None:
    """The server takes the request, and passes it on to the sender."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    broken = await send_broken(alice, bob)
    request = (await stage.sends(bob.jid, "retry_receipt", asks_for(broken), "a retry receipt for it")).fields
    stage.expect(request.get("to_jid") == alice.jid, f"to_jid {alice.jid}", request.get("to_jid"))
    stage.expect(request.get("retry_count") == 1, "retry_count 1", request.get("retry_count"))
    await stage.decides(
        bob.jid,
        "stanza.retry_receipt",
        lambda entry: entry.subject == broken and entry.outcome == journal_pb2.JOURNAL_OUTCOME_ACCEPTED,
        "a retry receipt that the server passes on",
    )


@check(
    "RCP-03.asks-after-being-away",
    Level.SHOULD,
    "A message that waited for the client and cannot be decrypted is asked for, too.",
    milestone=3,
    after=(ASKS,),
)
async def asks_after_being_away(stage: Stage) -> None:
    """It comes with the backlog, between two texts that are shown."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await bob.disconnect()
    await alice.send(bob.jid, "before")
    broken = await send_broken(alice, bob)
    await alice.send(bob.jid, "after")
    await bob.connect()
    await bob.shows_text("before")
    await bob.shows_text("after")
    await stage.sends(bob.jid, "retry_receipt", asks_for(broken), "a retry receipt for what is broken")


@check(
    "RCP-03.says-whose-keys",
    Level.SHOULD,
    "A request for a message has the registration id of the device.",
    milestone=3,
    after=(ASKS,),
)
async def says_whose_keys(stage: Stage) -> None:
    """It is the one that the device's bundles and prekey messages have."""
    alice, bob = await stage.pair()
    await alice.ensure_session(bob.jid)
    own = alice.client.state.signal.remote_registration_id(bob.jid)
    await stage.talk(alice, bob)
    broken = await send_broken(alice, bob)
    request = (await stage.sends(bob.jid, "retry_receipt", asks_for(broken), "a retry receipt for it")).fields
    stage.expect(request.get("registration_id") == own, f"registration_id {own}", request.get("registration_id"))


@check(
    "RCP-03.resend-is-shown",
    Level.MUST,
    "What is sent again is shown, once, under its id, and is receipted then.",
    milestone=3,
    after=(DELIVERED, ASKS),
)
async def resend_is_shown(stage: Stage) -> None:
    """The first copy is damaged on its way."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await damage(stage, bob.jid, 1)
    sent = await alice.send(bob.jid, "said again")
    shown = await bob.shows_text("said again")
    stage.expect(shown.message_id == sent.id, f"the id {sent.id}", shown.message_id)
    await stage.sends(bob.jid, "receipt", names(sent.id, "DELIVERED"), "a delivered receipt for it")
    await stage.talk(alice, bob)
    stage.expect(bob.texts().count("said again") == 1, "the text once", f"{bob.texts().count('said again')} times")


@check(
    "RCP-03.second-request-has-keys",
    Level.MUST,
    "The second request for a message counts on, and has a fresh bundle, with which the sender begins a session.",
    milestone=3,
    after=("RCP-03.resend-is-shown",),
)
async def second_request_has_keys(stage: Stage) -> None:
    """Two copies are damaged; the third is sealed with the keys in the request."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await damage(stage, bob.jid, 2)
    sent = await alice.send(bob.jid, "said three times")
    second = await stage.sends(
        bob.jid, "retry_receipt", lambda each: asks_for(sent.id)(each) and each.get("retry_count") == 2, "count 2"
    )
    stage.expect(second.fields.get("keys", {}).get("one_time_prekey_id"), "keys in the second request", "none")
    shown = await bob.shows_text("said three times")
    stage.expect(shown.message_id == sent.id, f"the id {sent.id}", shown.message_id)
    await stage.talk(alice, bob)


@check(
    "RCP-03.lost-prekeys",
    Level.SHOULD,
    "A first text whose one-time prekey the client has lost is shown in the end: its own requests give other keys.",
    milestone=3,
    after=("RCP-03.second-request-has-keys",),
)
async def lost_prekeys(stage: Stage) -> None:
    """The prekey message names a prekey that the client has never had."""
    alice, bob = await stage.pair()
    await alice.ensure_session(bob.jid)
    pending = alice.client.state.signal.records[bob.jid].current.pending
    assert pending is not None
    wrong = type(pending)(pending.signed_prekey_id, 16_000_000)
    alice.client.state.signal.records[bob.jid].current.pending = wrong
    await alice.send(bob.jid, "I begin")
    await bob.shows_text("I begin")
    await stage.talk(alice, bob)


@check(
    "RCP-04.at-most-five-requests",
    Level.SHOULD,
    "A message that never comes whole is asked for at most five times, each time with the next count.",
    milestone=3,
    after=(ASKS,),
)
async def at_most_five_requests(stage: Stage) -> None:
    """Whatever is asked for, what comes is broken. A client that gives up earlier is right, too."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    broken = await send_broken(alice, bob)
    letter = stanza_pb2.Message(id=broken, to_jid=bob.jid, type=stanza_pb2.MESSAGE_TYPE_TEXT)
    for count in range(1, MOST_REQUESTS + 1):
        await stage.settle(alice, bob)
        letter.retry_count = count
        del letter.enc[:]
        letter.enc.add(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"\x33" + bytes(99 + count))
        await alice.send_sealed(letter)
    await stage.settle(alice, bob)
    counts = [each.fields.get("retry_count") for each in stage.sent(bob.jid, "retry_receipt", asks_for(broken))]
    stage.expect(len(counts) <= MOST_REQUESTS, "at most five requests", counts)
    stage.expect(counts == list(range(1, len(counts) + 1)), "counts that rise by one", counts)


@check(
    "RCP-03.no-request-for-a-repetition",
    Level.SHOULD,
    "A message that comes again after it was shown is not asked for again.",
    milestone=3,
    after=("MSG-09.repeated-delivery", ASKS),
)
async def no_request_for_a_repetition(stage: Stage) -> None:
    """Its keys are used up: that is no reason to ask."""
    alice, bob = await stage.pair()
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    fault = await stage.add_fault("twice", match, 2, duplicate={})
    sent = [await alice.send(bob.jid, text) for text in ("first", "second")]
    await bob.shows_text("second")
    await stage.clear_fault(fault)
    await stage.settle(alice, bob)
    asked = [each.id for each in sent if stage.sent(bob.jid, "retry_receipt", asks_for(each.id))]
    stage.expect(not asked, "no retry receipt", f"{len(asked)}")


@check(
    ANSWERS,
    Level.MUST,
    "A text that its recipient asks for again is sent again, under the same id and with the count of the request.",
    milestone=3,
    after=BOTH,
)
async def answers_a_request(stage: Stage) -> None:
    """The first copy is damaged on its way; the recipient opens the second."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await damage(stage, alice.jid, 1)
    sent = await bob.send(alice.jid, "said again")
    message = await copy_of(alice, sent, 2)
    stage.expect(message.retry_count == 1, "retry_count 1", message.retry_count)
    event = await alice.reads("said again")
    stage.expect(event.id == sent, f"the id {sent}", event.id)
    await stage.talk(alice, bob)
    ids = [each.id for each in alice.messages]
    stage.expect(ids.count(sent) == 2, "one copy for one request", f"{ids.count(sent) - 1}")


@check(
    "RCP-03.answers-with-the-keys-of-the-request",
    Level.SHOULD,
    "A text that its recipient cannot open by any published key is sent again with the keys of the second request.",
    milestone=3,
    after=(ANSWERS,),
)
async def answers_with_the_keys_of_the_request(stage: Stage) -> None:
    """The recipient has lost all one-time prekeys that the server has."""
    alice, bob = await stage.pair()
    alice.client.state.signal.one_time_prekeys.clear()
    sent = await bob.send(alice.jid, "I begin")
    event = await alice.reads("I begin")
    stage.expect(event.id == sent, f"the id {sent}", event.id)
    await stage.talk(alice, bob)


@check(
    "RCP-03.answers-what-came-long-ago",
    Level.SHOULD,
    "A text can be asked for when others have been sent since.",
    milestone=3,
    after=(ANSWERS,),
)
async def answers_what_came_long_ago(stage: Stage) -> None:
    """The first of several."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    ids = [await bob.send(alice.jid, f"text {number}") for number in range(5)]
    await alice.reads("text 4")
    await ask_again(alice, bob.jid, ids[0])
    content = opened(alice, bob, await copy_of(alice, ids[0], 2))
    stage.expect(said(content) == "text 0", "the text that was asked for", said(content))


@check(
    "RCP-03.answers-after-being-away",
    Level.SHOULD,
    "A request that waited for the client is answered when it is back.",
    milestone=3,
    after=(ANSWERS,),
)
async def answers_after_being_away(stage: Stage) -> None:
    """It asks for a text of before."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sent = await bob.send(alice.jid, "before I left")
    await alice.reads("before I left")
    await bob.disconnect()
    await ask_again(alice, bob.jid, sent)
    await stage.decides(alice.jid, "stanza.retry_receipt")
    await bob.connect()
    content = opened(alice, bob, await copy_of(alice, sent, 2))
    stage.expect(said(content) == "before I left", "the text that was asked for", said(content))


@check(
    "RCP-03.resend-says-what-is-true-now",
    Level.SHOULD,
    "A text that was edited since is sent again as it is now.",
    milestone=4,
    features=("edits",),
    after=(ANSWERS,),
)
async def resend_says_what_is_true_now(stage: Stage) -> None:
    """What was taken back does not come to light again."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sent = await bob.send(alice.jid, "what I first said")
    await bob.do(send_edit=pb.SendEditCommand(to_jid=alice.jid, message_id=sent, text="what I say now"))
    await ask_again(alice, bob.jid, sent)
    content = opened(alice, bob, await copy_of(alice, sent, 2))
    stage.expect(said(content) == "what I say now", "the text as it was edited", said(content))


@check(
    "RCP-03.deleted-is-not-sent-again",
    Level.SHOULD,
    "A text that was deleted since is not sent again.",
    milestone=4,
    features=("deletions",),
    after=(ANSWERS,),
)
async def deleted_is_not_sent_again(stage: Stage) -> None:
    """The client sends nothing for it, or the deletion."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sent = await bob.send(alice.jid, "what I take back")
    await bob.do(send_deletion=pb.SendDeletionCommand(to_jid=alice.jid, message_id=sent))
    await ask_again(alice, bob.jid, sent)
    await stage.settle(alice, bob)
    await bob.send(alice.jid, "after all that")
    await alice.reads("after all that")
    for message in [each for each in alice.messages if each.id == sent][1:]:
        text = said(opened(alice, bob, message))
        stage.expect(text != "what I take back", "no copy of the deleted text", text)


@check(
    "RCP-04.no-storm",
    Level.SHOULD,
    "When neither end can open anything, both fall silent after a few attempts.",
    milestone=3,
    after=("RCP-04.at-most-five-requests", ANSWERS),
)
async def no_storm(stage: Stage) -> None:
    """All messages of both are damaged on their way: none is asked for, or sent again, more than five times."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    faults = [await damage(stage, jid, None) for jid in (alice.jid, bob.jid)]
    await alice.send(bob.jid, "by Alice")
    await bob.send(alice.jid, "by Bob")

    def is_storm() -> bool:
        requests, messages = stage.sent(bob.jid, "retry_receipt"), stage.sent(bob.jid, "message")
        return len(requests) > MOST_REQUESTS or len(messages) > 2 + MOST_REQUESTS

    if not await stage.never(is_storm):
        raise NotSo("at most five requests and five copies", "more")
    for fault in faults:
        await stage.clear_fault(fault)
    await stage.talk(alice, bob)


@check(
    "RCP-03.request-for-what-is-forgotten",
    Level.SHOULD,
    "A request for a text that the client does not have any more does it no harm.",
    milestone=3,
    after=(IDS, ANSWERS),
)
async def request_for_what_is_forgotten(stage: Stage) -> None:
    """It was sent before a restart: the client sends it again, or goes on without."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sent = await bob.send(alice.jid, "long ago")
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await ask_again(alice, bob.jid, sent)
    await stage.talk(alice, bob, turns=2)


def opened(alice: Person, bob: Device, message: stanza_pb2.Message) -> content_pb2.Message:
    """Opens a message that Alice's client takes for a repetition, and so has not opened.

    Raises:
        NotSo: It cannot be opened.
    """
    [enc] = message.enc
    is_first = enc.type == stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE
    kind = CiphertextType.PREKEY if is_first else CiphertextType.DOUBLE_RATCHET
    try:
        return decode_message(alice.client.state.signal.decrypt(bob.jid, kind, enc.ciphertext))
    except SignalError as error:
        raise NotSo("a copy that the recipient can open", f"{type(error).__name__}: {error}") from error


def said(content: content_pb2.Message) -> str:
    """Returns the text of a content; empty when it is none."""
    text: str = content.conversation or content.extended_text_message.text
    return text
