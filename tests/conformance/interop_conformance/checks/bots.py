"""Clients that nobody drives: what can be judged of one that answers every text with the same text."""

import asyncio
from copy import deepcopy

from interop_api.v1 import stanza_pb2
from interop_client.messaging.events import ReceiptReceived, RetryRequested, TextReceived
from interop_conformance.bot import BotStage
from interop_conformance.check import Level, Subject, check

LOGS_IN = "CHN-01.bot-logs-in"
ECHOES = "MSG-12.bot-answers-text"
_FORMAT = "A session that does not do this cannot be read by a peer that does."


@check(LOGS_IN, Level.MUST, "The client enlists and logs in by itself.", subject=Subject.BOT, milestone=2)
async def logs_in(stage: BotStage) -> None:
    """The server has its login and its prekeys."""
    stage.expect(stage.bot, "a client that enlists, logs in and publishes prekeys", "none came in time")
    await stage.sends(stage.bot, "login")


@check(
    "KEY-01.bot-publishes-usable-keys",
    Level.MUST,
    "The client's published prekeys verify under its identity.",
    subject=Subject.BOT,
    milestone=2,
    after=(LOGS_IN,),
)
async def publishes_usable_keys(stage: BotStage) -> None:
    """A WhatsApp user takes a bundle, and checks its signature."""
    alice = await stage.alice()
    bundle = await alice.does("take prekeys", alice.client.take_prekey_bundle(stage.bot))
    try:
        bundle.verify()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the bundle
        stage.expect(False, "a bundle whose signature verifies", f"{type(error).__name__}: {error}")


@check(
    ECHOES,
    Level.MUST,
    "The client answers a text with the same text.",
    subject=Subject.BOT,
    milestone=3,
    after=("KEY-01.bot-publishes-usable-keys",),
)
async def answers_text(stage: BotStage) -> None:
    """It decrypts, and encrypts, in a session of its own."""
    alice = await stage.alice()
    for text in ("Hello", "Grüße, مرحبا, 👩‍👩‍👧", "x" * 20_000):
        await stage.echoes(alice, text)


@check(
    "MSG-03.bot-settles-into-a-session",
    Level.MUST,
    "Once the peer has answered, the client's messages are no prekey messages any more.",
    subject=Subject.BOT,
    milestone=3,
    after=(ECHOES,),
    forced_by=_FORMAT,
)
async def settles_into_a_session(stage: BotStage) -> None:
    """Its answer to the second text is a plain message of the session."""
    alice = await stage.alice()
    await stage.echoes(alice, "one")
    await stage.echoes(alice, "two")
    kinds = [enc.type for message in alice.messages[-1:] for enc in message.enc]
    stage.expect(kinds == [stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET], "one message of the session", kinds)


@check(
    "MSG-03.bot-reads-out-of-order",
    Level.MUST,
    "Messages that come in another order are all read.",
    subject=Subject.BOT,
    milestone=3,
    after=(ECHOES,),
    forced_by=_FORMAT,
)
async def reads_out_of_order(stage: BotStage) -> None:
    """Three, the newest first."""
    alice = await stage.alice()
    await stage.echoes(alice, "first")
    sealed = [await alice.seal(stage.bot, f"number {number}") for number in range(3)]
    await alice.send_sealed(*reversed(sealed))
    for number in range(3):
        await alice.reads(f"number {number}")


@check(
    "RCP-01.bot-says-delivered",
    Level.MUST,
    "The client says that a message was delivered.",
    subject=Subject.BOT,
    milestone=3,
    after=(ECHOES,),
)
async def says_delivered(stage: BotStage) -> None:
    """A delivery receipt with its id."""
    alice = await stage.alice()
    sent = await alice.send(stage.bot, "received?")
    await alice.receives(ReceiptReceived, lambda each: sent.id in each.message_ids, "a delivery receipt")


@check(
    "MSG-09.bot-acks",
    Level.SHOULD,
    "The client acks what was delivered to it.",
    subject=Subject.BOT,
    after=(ECHOES,),
)
async def acks(stage: BotStage) -> None:
    """Everything so far."""
    alice = await stage.alice()
    await stage.echoes(alice, "acked?")
    await stage.acked_all(stage.bot)


@check(
    "RCP-03.bot-asks-again",
    Level.MUST,
    "What the client cannot decrypt it asks for again, and answers it once it can.",
    subject=Subject.BOT,
    milestone=3,
    after=(ECHOES,),
)
async def asks_again(stage: BotStage) -> None:
    """A message whose MAC is wrong."""
    alice = await stage.alice()
    await stage.echoes(alice, "before")
    sent = await alice.seal(stage.bot, "damaged")
    spoilt = deepcopy(sent)
    spoilt.enc[0].ciphertext = sent.enc[0].ciphertext[:-1] + bytes((sent.enc[0].ciphertext[-1] ^ 1,))
    await alice.send_sealed(spoilt)
    await alice.receives(RetryRequested, lambda each: each.message_id == sent.id, "a request to send it again")
    await stage.echoes(alice, "after")


@check(
    "MSG-07.bot-comes-back",
    Level.SHOULD,
    "A client whose connection breaks connects again, and gets what it missed.",
    subject=Subject.BOT,
    after=(ECHOES,),
)
async def comes_back(stage: BotStage) -> None:
    """The server breaks the connection at the next delivery."""
    alice = await stage.alice()
    await stage.echoes(alice, "before")
    await stage.add_fault("break", {"stanza": "message", "direction": 2, "actor": stage.bot}, times=1, close={})
    await stage.echoes(alice, "missed")


@check(
    "KEY-05.bot-forgets-used-prekeys",
    Level.MUST,
    "A one-time prekey opens one session, and no second one.",
    subject=Subject.BOT,
    milestone=2,
    after=(ECHOES,),
)
async def forgets_used_prekeys(stage: BotStage) -> None:
    """Two people use the same one; the second gets no answer."""
    alice, carol = await asyncio.gather(stage.alice(), stage.alice())
    bundle = await alice.does("take prekeys", alice.client.take_prekey_bundle(stage.bot))
    for person in (alice, carol):
        person.client.state.signal.process_bundle(stage.bot, bundle)
    stage.expect(bundle.one_time_prekey is not None, "a one-time prekey in the bundle", "none")
    await stage.echoes(alice, "the first")
    sealed = await carol.seal(stage.bot, "the second")
    await carol.send_sealed(sealed)
    await stage.echoes(alice, "marker")
    answered = await carol.has_got(TextReceived, lambda each: each.text == "the second" and each.retry_count == 0)
    stage.expect(not answered or sealed.id in _asked(stage), "no answer to the second", "it was answered at once")


def _asked(stage: BotStage) -> set[str]:
    """Returns the ids of the messages that the client has asked for again."""
    return {str(each.fields.get("message_id", "")) for each in stage.sent(stage.bot, "retry_receipt")}
