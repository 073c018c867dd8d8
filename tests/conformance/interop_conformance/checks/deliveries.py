"""MSG: deliveries, and what becomes of them when the client was away, or crashes."""

from collections import Counter

from interop_api.admin.v1alpha1 import faults_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_conformance.check import Level, check
from interop_conformance.checks.messages import IDS, SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

BACKLOG = "MSG-07.backlog-is-shown"


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
    BACKLOG,
    Level.MUST,
    "What was sent while the client was away is shown when it comes back, each text once.",
    milestone=3,
    after=(SHOWS,),
)
async def backlog_is_shown(stage: Stage) -> None:
    """Twelve texts, the first of which begins the session."""
    alice, bob = await stage.pair()
    texts = await _backlog(alice, bob)
    shown = Counter(bob.texts())
    stage.expect(all(shown[text] == 1 for text in texts), "each of twelve texts once", shown)


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
    after=(BACKLOG,),
)
async def backlog_in_order(stage: Stage) -> None:
    """Twelve texts, and one more when the client is back."""
    alice, bob = await stage.pair()
    texts = await _backlog(alice, bob)
    stage.expect(bob.texts()[:-1] == texts, "the texts in the order of sending", bob.texts())


async def _backlog(alice: Person, bob: Device) -> list[str]:
    """Has Alice write while Bob is away, and once more when he is back and is shown that; returns the texts before."""
    await bob.disconnect()
    texts = [f"while you were away {number}" for number in range(12)]
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
    after=(SENDS, BACKLOG),
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
