"""Steps: two people on two messengers talk and send files; knows no refusal."""

import asyncio
import hashlib
import mimetypes
from pathlib import Path

from interop_demo.people import Person
from interop_demo.search import file_secret
from interop_demo.stage import ALICE_NUMBER, INTEGRATOR, Stage, expect
from interop_demo.timeline import quote


async def exchange_texts(stage: Stage) -> str:
    """Lets Bob write to Alice and Alice answer, with receipts for both."""
    alice, bob = stage.alice, stage.bob
    text = stage.keep_secret("Bob's text", stage.inputs.text)
    reply = stage.keep_secret("Alice's reply", "Hello Bob, WhatsApp here. Your message made it across.")
    resolved = (await bob.ask("resolve", external_id=ALICE_NUMBER))["jid"]
    expect(resolved == alice.jid, f"Bob found {resolved} instead of Alice")
    taken = await bob.ask("take_bundle", jid=alice.jid)
    expect(taken["has_one_time_prekey"], "Alice's bundle has no one-time prekey")
    stage.timeline.tell(bob, f"finds Alice by her number now, and takes her prekey bundle: {alice.jid}")
    first_id = await _ask_and_accept(stage, text)
    chats = (await alice.ask("list_chats"))["chats"]
    listed = {"peer": bob.jid, "name": bob.user, "read_only": False}
    expect(chats == [listed], "Alice's list of third-party chats does not show Bob's chat")
    stage.timeline.tell(alice, f"sees the chat with {bob.user} in her third-party inbox")
    await _send_and_read(stage, alice, bob, reply, reply_to=first_id)
    return "message request accepted; both texts arrived as they were sent, with delivered and read receipts"


async def _ask_and_accept(stage: Stage, text: str) -> str:
    alice, bob = stage.alice, stage.bob
    first_id = await _send_and_read(stage, bob, alice, text, request_state="REQUESTED")
    stage.timeline.decide("marks it as a message request: Bob has not heard from Alice yet")
    await alice.ask("accept_request", jid=bob.jid)
    trusted = await bob.ask("wait_for_trust")
    expect(trusted["jid"] == alice.jid, f"{trusted['jid']} trusts Bob, not Alice")
    stage.timeline.tell(alice, "accepts the request; Bob is told that she counts him as known")
    return first_id


async def exchange_files(stage: Stage) -> str:
    """Lets Bob send the image, which his messenger hosts, and Alice the document, which the simulator hosts."""
    inputs, alice, bob = stage.inputs, stage.alice, stage.bob
    with stage.timeline.progress("Bob's image") as progress:
        sent = await bob.ask(
            "send_image", progress, to=alice.jid, file=str(inputs.image), mimetype=inputs.image_mimetype
        )
    size = inputs.image.stat().st_size
    stage.timeline.tell(
        bob, f"encrypts an image of {size:,} bytes, Pigeon's server hosts it, and sends its key to Alice"
    )
    path = await _receive(stage, alice, sent["id"], inputs.image, f"/interop/whatsapp/download/{INTEGRATOR}/", http="")
    stage.timeline.tell(alice, f"downloads {path}: WhatsApp fetches it from Pigeon's server; SHA-256 equal")
    mimetype = mimetypes.guess_type(inputs.document.name)[0] or "application/octet-stream"
    with stage.timeline.progress("Alice's document") as progress:
        sent = await alice.ask("send_document", progress, to=bob.jid, file=str(inputs.document), mimetype=mimetype)
    size = inputs.document.stat().st_size
    stage.timeline.tell(alice, f"encrypts a document of {size:,} bytes, uploads it to WhatsApp, sends its key to Bob")
    path = await _receive(stage, bob, sent["id"], inputs.document, "/v/t", http=stage.place_of(bob)["http"])
    stage.timeline.tell(bob, f"downloads it with GET {path}; SHA-256 equal")
    stage.secrets += [file_secret("Bob's image", inputs.image), file_secret("Alice's document", inputs.document)]
    return "image through the media proxy path, document through /v/t…; SHA-256 equal on both sides"


async def _send_and_read(
    stage: Stage, sender: Person, recipient: Person, text: str, reply_to: str = "", request_state: str = ""
) -> str:
    sent = await sender.ask("send_text", to=recipient.jid, text=text, reply_to=reply_to)
    stage.timeline.tell(sender, f"{'answers' if reply_to else 'writes'} {quote(text)}")
    received = await recipient.ask("wait_for_text")
    expect((received["sender"], received["id"]) == (sender.jid, sent["id"]), "another message came")
    expect(received["text"] == text, f"{recipient.name} did not get what {sender.name} wrote")
    expect(received["request_state"] == request_state, f"the message request is {received['request_state']}")
    expect((received["reply_to"] or "") == reply_to, "the reply does not name what it answers")
    stage.timeline.tell(recipient, "receives and decrypts it")
    await sender.ask("wait_for_receipts", ids=[sent["id"]], is_read=False)
    await recipient.ask("mark_read", message_id=sent["id"])
    await sender.ask("wait_for_receipts", ids=[sent["id"]], is_read=True)
    stage.timeline.tell(sender, "gets the delivered receipt, then the read receipt")
    return str(sent["id"])


async def _receive(
    stage: Stage, recipient: Person, message_id: str, original: Path, path_prefix: str, http: str
) -> str:
    received = await recipient.ask("wait_for_media")
    await stage.settle()
    path = str(received["path"])
    expect(received["id"] == message_id, "another file came")
    expect(path.startswith(path_prefix), f"the file is at {path}, expected {path_prefix}…")
    downloaded = await recipient.ask("download", message_id=message_id, http=http)
    ours, theirs = await asyncio.gather(*(asyncio.to_thread(_sha256, f) for f in (original, Path(downloaded["file"]))))
    expect(ours == theirs, f"what {recipient.name} downloaded is not what was sent")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
