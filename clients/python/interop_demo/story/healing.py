"""Step: a broken session mends itself; knows nothing of how it began."""

from interop_api.admin.v1alpha1.journal_pb2 import JOURNAL_OUTCOME_ACCEPTED
from interop_demo.stage import Stage, expect


async def mend_a_session(stage: Stage) -> str:
    """Lets Bob restore an old backup, so that his phone cannot decrypt Alice's text, asks for it again, and can."""
    alice, bob = stage.alice, stage.bob
    await bob.ask("back_up")
    stage.timeline.tell(bob, "makes a backup of his phone")
    for sender, recipient in ((bob, alice), (alice, bob)) * 2:
        text = f"{recipient.name}, are you still there? {sender.name}"
        stage.keep_secret(f"{sender.name}'s text after the backup", text)
        await sender.ask("send_text", to=recipient.jid, text=text)
        await recipient.ask("wait_for_text")
        await stage.settle()
    stage.timeline.tell(bob, "goes on writing with Alice: their keys move on, and the backup grows old")
    await bob.ask("restore_backup", simulator=stage.place_of(bob))
    stage.timeline.tell(bob, "loses the phone and restores the backup: its session with Alice is of the past")
    text = stage.keep_secret("Alice's text to the restored phone", "Bob, dinner at eight?")
    sent = await alice.ask("send_text", to=bob.jid, text=text)
    received = await bob.ask("wait_for_text")
    expect((received["id"], received["text"]) == (sent["id"], text), "another text came")
    await stage.settle()
    retries = await _count_retries(stage)
    expect(retries >= 1, "nothing had to be mended")
    stage.timeline.tell(alice, f"writes; Bob's phone cannot decrypt it and asks again, {retries} time(s); then it can")
    return "sent again under the same id by Alice's client, by itself, and decrypted; it arrived once"


async def _count_retries(stage: Stage) -> int:
    async with stage.admin(stage.bob) as admin:
        asked = admin.read_journal(actor=stage.bob.jid, action="stanza.retry_receipt", outcome=JOURNAL_OUTCOME_ACCEPTED)
        return len([response async for response in asked])
