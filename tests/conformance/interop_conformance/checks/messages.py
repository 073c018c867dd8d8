"""MSG: messages, from one user's client to the other's."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from interop_conformance.check import Level, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.people import Person
from interop_conformance.stage import Device, Stage, told

from interop_api.admin.v1alpha1 import faults_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import errors_pb2, stanza_pb2
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import TextReceived
from interop_client.signal.content import MAX_PADDING_BYTES, pad, serialize_message

SENDS = "MSG-12.sends-text"
SHOWS = "MSG-12.shows-text"
IDS = "MSG-04.each-message-an-id"
"""Without it nothing can be sent after a restart."""
CANARY = "canary: nobody but the two may read this 0123456789"
UNKNOWN_FIELD = b"\xba\x3e\x03new"
"""Field 999 of a content, which nobody has defined."""


def is_refused(result: pb.CommandResult) -> bool:
    """Whether a client said that it could not do a command."""
    return result.WhichOneof("outcome") in ("refused", "failed")


@check(SENDS, Level.MUST, "A text reaches the WhatsApp user as it was written.", milestone=3, after=(CONNECTS,))
async def sends_text(stage: Stage) -> None:
    """The WhatsApp side decrypts it with its own session."""
    alice, bob = await stage.pair()
    for text in ("Hello", "Grüße, مرحبا, 👩‍👩‍👧 ok", "x" * 20_000):
        await bob.send(alice.jid, text)
        await alice.reads(text)


@check(SHOWS, Level.MUST, "A text of a WhatsApp user is shown as it was written, once.", milestone=3, after=(CONNECTS,))
async def shows_text(stage: Stage) -> None:
    """Sender, id and text are right."""
    alice, bob = await stage.pair()
    for text in ("Hello", "Grüße, مرحبا, 👩‍👩‍👧 ok", "x" * 20_000):
        sent = await alice.send(bob.jid, text)
        shown = await bob.shows_text(text)
        stage.expect(
            (shown.sender_jid, shown.message_id) == (alice.jid, sent.id), f"{alice.jid} {sent.id}", str(shown)[:200]
        )
    await stage.marker(alice, bob)
    stage.expect(len(bob.texts()) == 4, "each text once", f"{len(bob.texts()) - 1} texts for 3")


@check(
    "MSG-02.plaintext-stays-with-the-two",
    Level.MUST,
    "What goes to the server as ciphertext holds nothing of the text.",
    milestone=3,
    after=(CONNECTS,),
)
async def plaintext_stays_with_the_two(stage: Stage) -> None:
    """The ciphertext as the WhatsApp side got it does not contain the text."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, CANARY)
    wire = b"".join(enc.ciphertext for message in await alice.gets_messages() for enc in message.enc)
    stage.expect(CANARY.encode() not in wire, "a ciphertext without the text in it", "the text is in it")


@check(
    "MSG-01.addresses-are-jids",
    Level.MUST,
    "Messages and receipts are addressed to JIDs, also when the user has chosen somebody by phone number.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def addresses_are_jids(stage: Stage) -> None:
    """Bob looks Alice up by her number, and writes to her."""
    alice, bob = await stage.pair()
    found = await bob.do(resolve=pb.ResolveCommand(external_id=alice.number))
    stage.expect(found.jid == alice.jid, alice.jid, found.jid)
    await stage.talk(alice, bob)
    await stage.settle(alice, bob)
    sent = [each for kind in ("message", "receipt", "typing") for each in stage.sent(bob.jid, kind)]
    addresses = {str(each.fields.get("to_jid")).replace(":0@", "@") for each in sent}  # device 0 may be named
    stage.expect(addresses == {alice.jid}, alice.jid, addresses)


@check(
    "MSG-06.refusal-is-told",
    Level.MUST,
    "When the server lets nobody write to a WhatsApp user, the client says that the text was not sent.",
    milestone=3,
    after=(CONNECTS,),
)
async def refusal_is_told(stage: Stage) -> None:
    """Alice has not opted in."""
    alice, bob = await asyncio.gather(stage.alice(opted_in=False), stage.bob())
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Hello?"))
    stage.expect(is_refused(result), "a refusal, or a failure", told(result))
    stage.expect(not alice.messages, "nothing that comes for the WhatsApp user", "a message")


@check(
    "MSG-06.refused-message-is-told",
    Level.MUST,
    "When the server refuses a message in a chat that there is, the client says that it was not sent.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def refused_message_is_told(stage: Stage) -> None:
    """Alice opts out after they have talked."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.client.opt_out([stage.integrator])
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Still there?"))
    stage.expect(is_refused(result), "a refusal, or a failure", told(result))


@check(
    IDS,
    Level.SHOULD,
    "No two messages have the same id, also after a restart.",
    milestone=3,
    after=(SENDS,),
)
async def each_message_an_id(stage: Stage) -> None:
    """Two times three texts; what the server saw, and what the client says."""
    alice, bob = await stage.pair()
    said = [await bob.send(alice.jid, f"text {number}") for number in range(3)]
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    said += [await bob.send(alice.jid, f"text {number}") for number in range(3, 6)]
    await alice.reads("text 5")
    ids = [message.id for message in await alice.gets_messages(6)]
    stage.expect(len(set(ids)) == 6, "six ids", ids)
    stage.expect(said == ids, "the client says the ids that it has sent", said)


@check(
    "MSG-04.no-id-for-two-people",
    Level.SHOULD,
    "Messages to different people have different ids.",
    milestone=3,
    after=(SENDS,),
)
async def no_id_for_two_people(stage: Stage) -> None:
    """The first, and the second, to each of two."""
    alice, carol, bob = await asyncio.gather(stage.alice(), stage.alice(), stage.bob())
    for text in ("first", "second"):
        for person in (alice, carol):
            await bob.send(person.jid, text)
            await person.reads(text)
    ids = [message.id for message in (*alice.messages, *carol.messages)]
    stage.expect(len(set(ids)) == 4, "four ids", ids)


@check(
    "MSG-04.lost-answer",
    Level.SHOULD,
    "A text whose ack was lost is not sent again under another id.",
    milestone=3,
    after=(SENDS,),
)
async def lost_answer(stage: Stage) -> None:
    """The server stores it, loses the ack, and the connection breaks: whatever the client does then, it comes once."""
    alice, bob = await stage.pair()
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
    await stage.add_fault("lost", match, 1, lose_answer={})
    command = pb.SendTextCommand(to_jid=alice.jid, text="did it come?")
    sending = asyncio.create_task(bob.ask(send_text=command))
    await alice.reads("did it come?")
    await bob.disconnect(abruptly=True)
    await bob.connect()
    await bob.send(alice.jid, "after that")
    await alice.reads("after that")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)  # how it ended, or whether, is another matter
    again = await alice.has_got(TextReceived, lambda each: each.text == "did it come?")
    stage.expect(not again, "the text once", "it came twice, under different ids")


@check(
    "MSG-05.replaced-device",
    Level.SHOULD,
    "A text for a device that its user has replaced reaches the new one, or the client says that it was not sent.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def replaced_device(stage: Stage) -> None:
    """Alice's device has another registration id, and the same keys."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    alice.client.state.signal.registration_id += 1
    await alice.client.publish_prekeys(5)
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="to the new one"))
    if not is_refused(result):
        await alice.reads("to the new one")


@check(
    "MSG-09.acks",
    Level.SHOULD,
    "The client acks what was delivered to it.",
    milestone=3,
    after=(SHOWS,),
)
async def acks(stage: Stage) -> None:
    """Five texts."""
    alice, bob = await stage.pair()
    for number in range(5):
        await alice.send(bob.jid, f"text {number}")
    await bob.shows_text("text 4")
    await stage.acked_all(bob.jid)


@check(
    "MSG-09.what-was-acked-is-shown",
    Level.SHOULD,
    "What the client has acked it has: it is shown, although the client crashes right after the ack.",
    milestone=3,
    after=(IDS, "MSG-09.acks"),
)
async def what_was_acked_is_shown(stage: Stage) -> None:
    """It is ended as soon as the server has the ack, and started from what it has saved."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sent = await alice.send(bob.jid, "acked")
    await stage.acked(bob.jid, sent.id)
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await stage.marker(alice, bob)
    stage.expect(bob.texts().count("acked") == 1, "the text once", f"{bob.texts().count('acked')} times")
    await stage.talk(alice, bob)


@check(
    "MSG-09.lost-ack",
    Level.SHOULD,
    "A text whose ack was lost comes again, is acked then, and is not shown a second time.",
    milestone=3,
    after=("MSG-09.acks",),
)
async def lost_ack(stage: Stage) -> None:
    """Acks do not reach the server until the connection has broken."""
    alice, bob = await stage.pair()
    sent = await _unacked(stage, alice, bob)
    await bob.disconnect(abruptly=True)
    await bob.connect()
    await stage.acked(bob.jid, sent)
    await stage.marker(alice, bob)
    stage.expect(bob.texts().count("not acked") == 1, "the text once", f"{bob.texts().count('not acked')} times")


@check(
    "MSG-09.lost-ack-and-a-crash",
    Level.SHOULD,
    "A text that comes again after a crash is not shown a second time when its ack had been sent.",
    milestone=3,
    after=("MSG-09.lost-ack",),
)
async def lost_ack_and_a_crash(stage: Stage) -> None:
    """What was shown is saved before it is acked."""
    alice, bob = await stage.pair()
    sent = await _unacked(stage, alice, bob)
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await stage.acked(bob.jid, sent)
    await stage.marker(alice, bob)
    stage.expect(bob.texts().count("not acked") == 1, "the text once", f"{bob.texts().count('not acked')} times")


async def _unacked(stage: Stage, alice: Person, bob: Device) -> str:
    """Sends Bob a text of which the server loses the ack that he sends; returns its id."""
    match = {"stanza": "ack", "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
    fault = await stage.add_fault("no-acks", match, drop={})
    sent = await alice.send(bob.jid, "not acked")
    await bob.shows_text("not acked")
    await stage.acked(bob.jid, sent.id)
    await stage.clear_fault(fault)
    return sent.id


@check(
    "MSG-09.repeated-delivery",
    Level.SHOULD,
    "A message that comes twice is shown once.",
    milestone=3,
    after=(SHOWS,),
)
async def repeated_delivery(stage: Stage) -> None:
    """Each delivery is sent three times."""
    alice, bob = await stage.pair()
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    fault = await stage.add_fault("thrice", match, duplicate={"copies": 2})
    texts = ["first", "second"]
    for text in texts:
        await alice.send(bob.jid, text)
        await bob.shows_text(text)
    await stage.clear_fault(fault)
    await stage.marker(alice, bob)
    counts = {text: bob.texts().count(text) for text in texts}
    stage.expect(set(counts.values()) == {1}, "each text once", counts)


@check(
    "MSG-07.backlog-is-shown",
    Level.MUST,
    "What was sent while the client was away is shown when it comes back, each text once.",
    milestone=3,
    after=(SHOWS,),
)
async def backlog_is_shown(stage: Stage) -> None:
    """Twenty texts, the first of which begins the session."""
    alice, bob = await stage.pair()
    texts = await _backlog(alice, bob)
    shown = Counter(bob.texts())
    stage.expect(all(shown[text] == 1 for text in texts), "each of twenty texts once", shown)


@check(
    "MSG-07.broken-connection",
    Level.MUST,
    "A text on which the connection broke is shown when the client is back.",
    milestone=3,
    after=(SHOWS,),
)
async def broken_connection(stage: Stage) -> None:
    """The stream breaks in place of the delivery."""
    alice, bob = await stage.pair()
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    await stage.add_fault("broken", match, 1, close={"ending": faults_pb2.FAULT_ENDING_RESET})
    await alice.send(bob.jid, "on its way")
    await stage.decides(bob.jid, "fault.close")
    await bob.connect()
    await bob.shows_text("on its way")


@check(
    "MSG-08.backlog-in-order",
    Level.SHOULD,
    "What was sent while the client was away is shown in the order in which it was sent, and before what is new.",
    milestone=3,
    after=("MSG-07.backlog-is-shown",),
)
async def backlog_in_order(stage: Stage) -> None:
    """Twenty texts, and one more when the client is back."""
    alice, bob = await stage.pair()
    texts = await _backlog(alice, bob)
    stage.expect(bob.texts()[:-1] == texts, "the texts in the order of sending", bob.texts())


async def _backlog(alice: Person, bob: Device) -> list[str]:
    """Has Alice write while Bob is away, and once more when he is back and is shown that; returns the texts before."""
    await bob.disconnect()
    texts = [f"while you were away {number}" for number in range(20)]
    for text in texts:
        await alice.send(bob.jid, text)
    await bob.connect()
    await alice.send(bob.jid, "you are back")
    for text in (*texts, "you are back"):
        await bob.shows_text(text)
    return texts


@check(
    "MSG-08.asks-for-all-of-a-backlog",
    Level.SHOULD,
    "A client asks for its backlog until it has all, however long it is.",
    milestone=3,
    after=(SENDS, "MSG-07.backlog-is-shown"),
)
async def asks_for_all_of_a_backlog(stage: Stage) -> None:
    """A text waits behind 250 receipts; the server sends at most 200 deliveries for each time it is asked."""
    alice, bob = await stage.pair()
    sent = await bob.send(alice.jid, "Hello")
    await alice.reads("Hello")
    await bob.disconnect()
    receipt = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_DELIVERED, to_jid=bob.jid, message_ids=[sent])
    await alice.client.transport.send(*[stanza_pb2.Stanza(receipt=receipt)] * 250)
    await alice.send(bob.jid, "at the end of all that")
    await bob.connect()
    await bob.shows_text("at the end of all that")


@check(
    "MSG-12.order",
    Level.MUST,
    "Texts that are sent one after the other arrive, and are shown, in that order.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def order(stage: Stage) -> None:
    """Twenty texts each way, at the same time."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    said, heard = [f"Bob says {number}" for number in range(20)], [f"Alice says {number}" for number in range(20)]

    async def talk(send: Callable[[str, str], Awaitable[object]], to: str, texts: list[str]) -> None:
        for text in texts:
            await send(to, text)

    await asyncio.gather(talk(bob.send, alice.jid, said), talk(alice.send, bob.jid, heard))
    came = [(await alice.receives(TextReceived)).text for _ in said]
    stage.expect(came == said, "Bob's texts in the order of sending", came)
    await bob.shows_text(heard[-1])
    stage.expect(bob.texts()[1:] == heard, "Alice's texts in the order of sending", bob.texts()[1:])


@check(
    "MSG-12.long-text",
    Level.SHOULD,
    "A text of 60,000 characters is shown whole; the client sends one whole, or says that it does not.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def long_text(stage: Stage) -> None:
    """Contents have room for 65,536 bytes."""
    alice, bob = await stage.pair()
    text = "".join(f"{number:06}" for number in range(10_000))
    await alice.send(bob.jid, text)
    await bob.shows_text(text)
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text=text))
    if not is_refused(result):
        await alice.reads(text)


@check(
    "MSG-12.every-padding",
    Level.MUST,
    "A text is shown as it was written however long the padding is that its sender has chosen.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def every_padding(stage: Stage) -> None:
    """All sixteen lengths."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    texts = [f"padded by {length:02}" for length in range(1, MAX_PADDING_BYTES + 1)]
    for length, text in enumerate(texts, 1):
        plaintext = serialize_message(text_content(text))
        await alice.send_sealed(await alice.seal_padded(bob.jid, pad(plaintext, length)))
    await bob.shows_text(texts[-1])
    stage.expect(bob.texts()[1:] == texts, "the texts as they were written", bob.texts()[1:])


@check(
    "MSG-12.unknown-field",
    Level.SHOULD,
    "A text with a field beside it that the client does not know is shown.",
    milestone=3,
    after=(SHOWS,),
)
async def unknown_field(stage: Stage) -> None:
    """Field 999 of the content, which nobody has defined."""
    alice, bob = await stage.pair()
    plaintext = serialize_message(text_content("with something new")) + UNKNOWN_FIELD
    await alice.send_sealed(await alice.seal_bytes(bob.jid, plaintext))
    await bob.shows_text("with something new")


@check(
    "MSG-12.unknown-kind",
    Level.SHOULD,
    "A content of a kind that the client does not know is not shown as a text, and what comes next is shown.",
    milestone=3,
    after=(SHOWS,),
)
async def unknown_kind(stage: Stage) -> None:
    """A sticker, and a kind that nobody has defined; both are acked or nacked."""
    alice, bob = await stage.pair()
    sticker = b"\xd2\x01\x07sticker"
    for plaintext in (sticker, UNKNOWN_FIELD):
        await alice.send_sealed(await alice.seal_bytes(bob.jid, plaintext))
    await stage.marker(alice, bob)
    stage.expect(len(bob.texts()) == 1, "no text but the one after it", bob.texts())
    await stage.acked_all(bob.jid)


@check(
    "MSG-10.broken-content",
    Level.SHOULD,
    "What is no content at all is acked or nacked, so that it does not come for ever, and what comes next is shown.",
    milestone=3,
    after=(SENDS, "MSG-09.acks"),
)
async def broken_content(stage: Stage) -> None:
    """Authentic messages that hold no protobuf, no text in UTF-8, no content, and no padding."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    for plaintext in (b"\xff" * 40, b"\x0a\x03\xff\xfe\xfd", b""):
        await alice.send_sealed(await alice.seal_bytes(bob.jid, plaintext))
    await alice.send_sealed(await alice.seal_padded(bob.jid, bytes(16)))
    await stage.talk(alice, bob)
    await stage.acked_all(bob.jid)


@check(
    "MSG-11.waits-as-told",
    Level.SHOULD,
    "A text that is refused because too many are sent is not sent again before it may be, and the user is told.",
    milestone=3,
    after=(SENDS,),
)
async def waits_as_told(stage: Stage) -> None:
    """One message is refused, for two seconds. A client may send it again after that, by itself."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
    refusal = {"reason": errors_pb2.ERROR_REASON_RATE_LIMITED, "retry_after_ms": 2_000, "requirement": "MSG-11"}
    await stage.add_fault("too-many", match, 1, refuse=refusal)
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="too much"))
    await stage.sends(bob.jid, "message", what="a message that is refused", count=2)
    await stage.marker(alice, bob)
    attempts = [each.entry.at_ms for each in stage.sent(bob.jid, "message")][1:]
    early = [at_ms - attempts[0] for at_ms in attempts[1:] if at_ms - attempts[0] < 1_900]
    stage.expect(not early, "no further attempt for 2,000 ms", f"one after {early} ms")
    stage.expect(is_refused(result) or len(attempts) > 1, "a refusal, or another attempt", told(result))
