"""RCP: asking for a message again, and answering those who do."""

from typing import Any

from interop_api.admin.v1alpha1 import faults_pb2, journal_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.signal.content import decode_message
from interop_client.signal.errors import SignalError
from interop_client.signal.store import CiphertextType
from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.deliveries import BACKLOG
from interop_conformance.checks.messages import IDS, SENDS, SHOWS
from interop_conformance.checks.receipts import DELIVERED, names
from interop_conformance.ciphertexts import ask_again, copy_of, send_broken
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

ASKS = "RCP-03.asks-again"
ANSWERS = "RCP-03.answers-a-request"
BOTH = (SENDS, SHOWS)
MOST_REQUESTS = 5


def asks_for(message_id: str) -> Any:
    """Returns what holds of a request for a message, as the record has it."""
    return lambda fields: fields.get("message_id") == message_id


async def damage(stage: Stage, to: str, times: int | None) -> str:
    """Has messages to somebody cut off, so that they cannot be read, let alone opened; returns the fault's name."""
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": to}
    return await stage.add_fault(f"damage-{to.partition('@')[0]}", match, times, truncate={"keep_bytes": 60})


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
    broken = await send_broken(alice, bob.jid)
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
    after=(BACKLOG, ASKS),
)
async def asks_after_being_away(stage: Stage) -> None:
    """It comes with the backlog, between two texts that are shown."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await bob.disconnect()
    await alice.send(bob.jid, "before")
    broken = await send_broken(alice, bob.jid)
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
    broken = await send_broken(alice, bob.jid)
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
    "A first text that no published prekey opens is shown in the end: the second request gives keys of its own.",
    milestone=3,
    after=("RCP-03.resend-is-shown",),
)
async def lost_prekeys(stage: Stage) -> None:
    """Another one-time prekey than the client's is in each of its bundles."""
    alice, bob = await stage.pair()
    part, other = faults_pb2.FAULT_KEY_PART_ONE_TIME_PREKEY, alice.client.state.signal.identity.public_key
    match = {"call": "PreKeyService.TakePreKeyBundles", "peer": bob.jid}
    replacement = faults_pb2.FaultReplacement(part=part, value=other)
    fault = await stage.add_fault("other-prekeys", match, replace_keys={"replacements": [replacement]})
    await alice.send(bob.jid, "I begin")
    await bob.shows_text("I begin")
    await stage.clear_fault(fault)
    await stage.talk(alice, bob)


@check(
    "RCP-04.at-most-five-requests",
    Level.SHOULD,
    "A message that never comes whole is asked for at most five times, each time with the next count.",
    milestone=3,
    after=("MSG-09.acks", ASKS),
    seconds=60.0,
)
async def at_most_five_requests(stage: Stage) -> None:
    """Whatever is asked for, what comes is broken. A client that gives up earlier is right, too."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    broken = await send_broken(alice, bob.jid)
    letter = stanza_pb2.Message(id=broken, to_jid=bob.jid, type=stanza_pb2.MESSAGE_TYPE_TEXT)
    for count in range(1, MOST_REQUESTS + 1):
        await stage.marker(alice, bob)
        await stage.acked_all(bob.jid)
        letter.retry_count = count
        del letter.enc[:]
        letter.enc.add(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"\x33" + bytes(99 + count))
        await alice.send_sealed(letter)
    await stage.marker(alice, bob)
    await stage.acked_all(bob.jid)  # and what is acked is asked for by then
    counts = [each.fields.get("retry_count") for each in stage.sent(bob.jid, "retry_receipt", asks_for(broken))]
    stage.expect(len(counts) <= MOST_REQUESTS, "at most five requests", counts)
    stage.expect(counts == list(range(1, len(counts) + 1)), "counts that rise by one", counts)


@check(
    "RCP-03.no-request-for-a-repetition",
    Level.SHOULD,
    "A message that comes again after it was shown is not asked for again.",
    milestone=3,
    after=(ASKS,),
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
    "RCP-03.answers-after-being-away",
    Level.SHOULD,
    "A request that waited for the client is answered when it is back.",
    milestone=3,
    after=(BACKLOG, ANSWERS),
)
async def answers_after_being_away(stage: Stage) -> None:
    """It asks for the first of several."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    ids = [await bob.send(alice.jid, f"text {number}") for number in range(3)]
    await alice.reads("text 2")
    await bob.disconnect()
    await ask_again(alice, bob.jid, ids[0])
    await stage.decides(alice.jid, "stanza.retry_receipt")
    await bob.connect()
    content = opened(alice, bob, await copy_of(alice, ids[0], 2))
    stage.expect(said(content) == "text 0", "the text that was asked for", said(content))


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
    after=(ASKS, ANSWERS),
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
