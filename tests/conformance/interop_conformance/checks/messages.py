"""MSG: messages, from one user's client to the other's."""

from interop_conformance.check import Level, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.stage import Stage

SENDS = "MSG-12.sends-text"
SHOWS = "MSG-12.shows-text"
CANARY = "canary: nobody but the two may read this 0123456789"


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
