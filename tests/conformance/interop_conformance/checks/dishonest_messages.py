"""A dishonest server: messages and connections."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from interop_api.admin.v1alpha1.journal_pb2 import JournalEntry
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_client.messaging.events import TextReceived
from interop_conformance.attack import attack, attempt, has_failed, score, settle, to_bob
from interop_conformance.check import Level, Score
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.checks.deliveries import BACKLOG
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device, told
from interop_conformance.people import Person
from interop_conformance.stage import Stage

_ONCE = "A message key opens one ciphertext, once."
_AUTHENTIC = "Each ciphertext has a MAC, without which anybody between the two can write what they like."


async def _shows_once(stage: Stage, alice: Person, bob: Device, texts: Iterable[str]) -> None:
    """Waits until texts were shown, and looks that none was shown twice."""
    for text in texts:
        await bob.shows_text(text)
    for _ in range(3):  # what is asked for again comes after the first
        await settle(stage, alice, bob)
    for text in texts:
        stage.expect(bob.texts().count(text) == 1, "each text once", f"{text!r} {bob.texts().count(text)} times")


@attack(
    "MSG-04.dishonest-duplicate",
    Level.MUST,
    "A message that the server delivers over and over is shown once.",
    forced_by=_ONCE,
    milestone=3,
    after=(SHOWS,),
)
async def duplicate(stage: Stage) -> Score:
    """First of a session, and later."""
    alice, bob = await stage.pair()
    await to_bob(stage, bob, "twice", times=2, duplicate={"copies": 5})
    for text in ("first", "second"):
        await alice.send(bob.jid, text)
    await _shows_once(stage, alice, bob, ("first", "second"))
    return score(bob)


async def _replay(stage: Stage, alice: Person, bob: Device, text: str) -> Score:
    """Delivers one ciphertext under three ids, and once more after a restart."""
    message = await alice.seal(bob.jid, text)
    await alice.send_sealed(message)
    await bob.shows_text(text)
    for number in range(3):
        if number == 2:
            await bob.do(restart=pb.RestartCommand())
            await bob.connect()
        again = stanza_pb2.Message()
        again.CopyFrom(message)
        again.id = alice.client.state.take_message_id()
        await alice.send_sealed(again)
    await _shows_once(stage, alice, bob, (text,))
    return score(bob)


@attack(
    "MSG-04.dishonest-replay",
    Level.MUST,
    "A ciphertext that comes again under another message id is not shown again.",
    forced_by=_ONCE,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def replay(stage: Stage) -> Score:
    """In a session that has been used both ways."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    return await _replay(stage, alice, bob, "once only")


@attack(
    "MSG-04.dishonest-replay-of-a-first-message",
    Level.MUST,
    "The first message of a session is not shown again when it comes under another message id.",
    forced_by=_ONCE,
    milestone=3,
    after=(SHOWS,),
)
async def replay_of_a_first_message(stage: Stage) -> Score:
    """It holds all that is needed to begin the session once more."""
    alice, bob = await stage.pair()
    return await _replay(stage, alice, bob, "once only")


@attack(
    "MSG-09.dishonest-loss",
    Level.SHOULD,
    "A message that the server did not deliver is shown, once, when it comes on the next connection.",
    milestone=3,
    after=(SENDS, SHOWS, BACKLOG),
)
async def loss(stage: Stage) -> Score:
    """Later ones came in the meantime."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await to_bob(stage, bob, "lost", drop={})
    await alice.send(bob.jid, "lost at first")
    await settle(stage, alice, bob)
    await bob.connect()
    await _shows_once(stage, alice, bob, ("lost at first",))
    return score(bob)


@attack(
    "MSG-08.dishonest-order",
    Level.SHOULD,
    "Messages that come in another order are all shown.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def order(stage: Stage) -> Score:
    """Each overtakes the one before."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await to_bob(stage, bob, "order", times=2, reorder={})
    texts = [f"number {number}" for number in range(4)]
    for text in texts:
        await alice.send(bob.jid, text)
    await _shows_once(stage, alice, bob, texts)
    return score(bob)


@attack(
    "MSG-07.dishonest-delay",
    Level.SHOULD,
    "Messages that the server withheld are shown when they come, after later ones.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def delay(stage: Stage) -> Score:
    """The second one that was withheld comes before the first."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    held = [await to_bob(stage, bob, f"held{number}", hold={}) for number in range(2)]
    texts = [f"number {number}" for number in range(3)]
    for text in texts:
        await alice.send(bob.jid, text)
    await bob.shows_text(texts[2])
    for number in (1, 0):
        await stage.admin.release_fault(held[number])
        await bob.shows_text(texts[number])
    await _shows_once(stage, alice, bob, texts)
    return score(bob)


@attack(
    "MSG-09.dishonest-hang-ups",
    Level.SHOULD,
    "A message is shown, once, though the server hangs up several times when it should deliver it.",
    milestone=3,
    after=(SENDS, SHOWS, BACKLOG),
)
async def hang_ups(stage: Stage) -> Score:
    """The connection breaks instead of bringing it."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    fault = await to_bob(stage, bob, "hang-up", times=3, close={"ending": "FAULT_ENDING_RESET"})
    await alice.send(bob.jid, "at last")
    for _ in range(3):
        await attempt(bob, connect=pb.ConnectCommand(token=bob.token()))
    await stage.clear_fault(fault)
    await bob.connect()
    await _shows_once(stage, alice, bob, ("at last",))
    return score(bob)


@attack(
    "MSG-08.dishonest-backlog",
    Level.SHOULD,
    "A backlog far longer than the server had announced ends nothing, and each message of it is shown once.",
    milestone=3,
    after=(SHOWS, BACKLOG),
)
async def backlog(stage: Stage) -> Score:
    """Six hundred deliveries, where six messages waited."""
    alice, bob = await stage.pair()
    await bob.disconnect()
    await to_bob(stage, bob, "backlog", times=6, duplicate={"copies": 99})
    texts = [f"number {number}" for number in range(6)]
    for text in texts:
        await alice.send(bob.jid, text)
    await bob.connect()
    await _shows_once(stage, alice, bob, texts)
    return score(bob)


@attack(
    "MSG-02.dishonest-mac",
    Level.MUST,
    "A ciphertext that was changed on its way is not shown.",
    forced_by=_AUTHENTIC,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def mac(stage: Stage) -> Score:
    """One bit is another one: in the MAC, in the encrypted text."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    sealed = await alice.seal(bob.jid, "For you alone, and as long as some blocks of the cipher: " + "x" * 200)
    for at in (-1, -4, -8, -9, -60, -150):
        changed = stanza_pb2.Message()
        changed.CopyFrom(sealed)
        changed.id = alice.client.state.take_message_id()
        body = bytearray(sealed.enc[0].ciphertext)
        body[at] ^= 1
        changed.enc[0].ciphertext = bytes(body)
        await alice.send_sealed(changed)
    await settle(stage, alice, bob)
    stage.expect(len(bob.texts()) == 2, "nothing of it is shown", bob.texts())
    return score(bob)


@attack(
    "MSG-03.dishonest-ciphertext",
    Level.SHOULD,
    "A ciphertext that cannot be read harms no message after it.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def ciphertext(stage: Stage) -> Score:
    """It is cut off, or has other bits, or is of another type than it says."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    for number, keep in enumerate((0, 1, 2, 40)):
        await to_bob(stage, bob, f"cut{number}", truncate={"keep_bytes": keep})
    for number, bits in enumerate((1, 300)):
        await to_bob(stage, bob, f"flipped{number}", flip_bits={"bits": bits}, seed=number)
    for number in range(6):
        await alice.send(bob.jid, f"number {number}")
    for kind in (stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE, stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET):
        sealed = await alice.seal(bob.jid, "of another type")
        sealed.enc[0].type = kind
        await alice.send_sealed(sealed)
    await settle(stage, alice, bob)
    return score(bob)


@attack(
    "MSG-10.dishonest-garbage",
    Level.SHOULD,
    "Garbage where a stanza should be does no harm that outlasts the connection.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def garbage(stage: Stage) -> Score:
    """Stanzas are cut off, or have other bits. The client may hang up, and connects again."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    whole = {"part": "FAULT_PART_STANZA"}
    actions: list[dict[str, Any]] = [{"truncate": {"keep_bytes": keep, **whole}} for keep in (1, 30)]
    actions += [{"flip_bits": {"bits": bits, **whole}, "seed": bits} for bits in (2, 200)]
    for number, action in enumerate(actions):
        fault = await to_bob(stage, bob, f"garbage{number}", **action)
        await alice.send(bob.jid, f"garbage {number}")
        await stage.decides(bob.jid, "fault.", partial(_is_of, fault), "the fault is met")
        await bob.connect()
        await settle(stage, alice, bob)
    return score(bob)


@attack(
    "MSG-04.dishonest-id",
    Level.SHOULD,
    "Message ids that are not those of the sender end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def changed_id(stage: Stage) -> Score:
    """They are none at all, far too long, strange, or that of an earlier message."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    earlier = bob.shown("text_shown")[0].message_id
    ids = ("", "x" * 320, "../../state", "\u202e\x00", earlier, earlier)
    for number, message_id in enumerate(ids):
        await to_bob(stage, bob, f"forged{number}", forge={"message_id": message_id})
    for number in range(len(ids)):
        await alice.send(bob.jid, f"number {number}")
    await settle(stage, alice, bob)
    repeated = [text for text in bob.texts() if bob.texts().count(text) > 1]
    stage.expect(not repeated, "no text twice", repeated)
    return score(bob)


@attack(
    "MSG-14.dishonest-times",
    Level.SHOULD,
    "Times long before or after today end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def times(stage: Stage) -> Score:
    """1970, 2106, and the last millisecond that there is; then the right ones again."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    moments = (0, 1, 4_294_967_296_000, 253_402_300_800_000, (1 << 63) - 1)
    for number, moment in enumerate(moments):
        await to_bob(stage, bob, f"forged{number}", forge={"timestamp_ms": moment})
        await alice.send(bob.jid, f"at {moment}")
    await settle(stage, alice, bob)
    return score(bob)


@attack(
    "MSG-09.dishonest-delivery-ids",
    Level.SHOULD,
    "Whatever the server calls its deliveries, each message is shown once in the end.",
    milestone=3,
    after=(SHOWS,),
)
async def delivery_ids(stage: Stage) -> Score:
    """Names come twice, go backwards, are zero, or enormous. What was not acked comes again with its right name."""
    alice, bob = await stage.pair()
    await alice.send(bob.jid, "right")
    await bob.shows_text("right")
    await settle(stage, alice, bob)
    right = int(next(each.delivery_id for each in stage.got(bob.jid, "message")))
    for number, name in enumerate((right, right, 0, 0, 1, (1 << 53) + 1, (1 << 63) - 1)):
        await to_bob(stage, bob, f"forged{number}", forge={"delivery_id": name})
    texts = [f"number {number}" for number in range(7)]
    for text in texts:
        await alice.send(bob.jid, text)
    await settle(stage, alice, bob)
    await bob.connect()
    await _shows_once(stage, alice, bob, ("right", *texts))
    return score(bob)


@attack(
    "MSG-04.dishonest-lost-ack",
    Level.SHOULD,
    "A message whose ack the server lost does not come twice under two ids.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def lost_ack(stage: Stage) -> Score:
    """The message is stored, and the connection breaks in place of the ack."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await to_bob(stage, bob, "lost", "send_acks", close={"ending": "FAULT_ENDING_RESET"})
    result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="once"))
    await alice.reads("once")
    await bob.connect()
    await bob.send(alice.jid, "then")
    await alice.reads("then")
    await settle(stage, alice, bob)
    is_twice = await alice.has_got(TextReceived, lambda event: event.text == "once")
    stage.expect(not is_twice, "the text once", "it came twice")
    return Score.NOTICED if has_failed(result) else Score.SURVIVED


@attack(
    "MSG-04.dishonest-refusal",
    Level.SHOULD,
    "A refusal that makes no sense stops one message and no more.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def refusal(stage: Stage) -> Score:
    """A text is refused because there is no such blob."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
    refuse = {"reason": "ERROR_REASON_BLOB_NOT_FOUND", "requirement": "MED-04"}
    await stage.add_fault("nonsense", match, 1, refuse=refuse)
    result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="refused"))
    await bob.send(alice.jid, "taken")
    await alice.reads("taken")
    await settle(stage, alice, bob)
    return Score.NOTICED if has_failed(result) else Score.SURVIVED


@attack(
    "CHN-10.dishonest-login-refusal",
    Level.SHOULD,
    "A login that is refused for no good reason costs the client nothing that it has.",
    milestone=2,
    after=(CONNECTS, SENDS, SHOWS),
)
async def login_refusal(stage: Stage) -> Score:
    """Afterwards it logs in as before, and its sessions go on."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    refuse = {"reason": "ERROR_REASON_BLOB_NOT_FOUND", "requirement": "MED-04"}
    fault = await stage.add_fault("nonsense", {"call": "ChatService.Connect", "actor": bob.jid}, refuse=refuse)
    result = await attempt(bob, connect=pb.ConnectCommand(token=bob.token()))
    stage.expect(has_failed(result), "`connect` fails", told(result))
    await stage.clear_fault(fault)
    await bob.connect()
    await settle(stage, alice, bob)
    await bob.send(alice.jid, "here again")
    await alice.reads("here again")
    return Score.NOTICED


def _is_of(fault: str, entry: JournalEntry) -> bool:
    return entry.fault == fault
