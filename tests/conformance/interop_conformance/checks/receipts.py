"""RCP: receipts."""

from typing import Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_client.messaging.events import ReceiptReceived
from interop_client.options import ClientOptions
from interop_conformance.check import Level, check
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.ciphertexts import send_broken
from interop_conformance.device import Device
from interop_conformance.stage import Stage

DELIVERED = "RCP-01.delivered"


def names(message_id: str, type: str = "") -> Any:
    """Returns what holds of a receipt for a message, as the record has it."""
    return lambda fields: message_id in fields.get("message_ids", ()) and type in fields.get("type", "")


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
    broken = await send_broken(alice, bob.jid)
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
