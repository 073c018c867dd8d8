"""MSG: messages, from one user's client to the other's."""

import asyncio
from collections.abc import Awaitable, Callable

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import errors_pb2
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import TextReceived
from interop_client.signal.content import MAX_PADDING_BYTES, pad, serialize_message
from interop_conformance.check import Level, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.device import told
from interop_conformance.stage import Stage

SENDS = "MSG-12.sends-text"
SHOWS = "MSG-12.shows-text"
TELLS = "MSG-06.refusal-is-told"
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
    TELLS,
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
    "MSG-12.order",
    Level.MUST,
    "Texts that are sent one after the other arrive, and are shown, in that order.",
    milestone=3,
    after=(SENDS, SHOWS),
    seconds=60.0,
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
    for text in texts:
        await bob.shows_text(text)


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
