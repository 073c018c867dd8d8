"""Two ways to refuse messages: Alice blocks Bob, and he is not told; then she opts out of his messenger."""

from collections.abc import Awaitable

from stage import expect, messenger, play, whatsapp_user

from interop_client.errors import ServerRefusal
from interop_client.messaging.events import TextReceived


async def refused(attempt: Awaitable[object]) -> str:
    """Returns the reason for which the server refuses an attempt; empty when it does not."""
    try:
        await attempt
    except ServerRefusal as refusal:
        return refusal.reason
    return ""


async def main() -> None:
    """Blocks, unblocks and opts out."""
    async with messenger(integrator=107) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user(107)
        async with bob, alice:
            await bob.publish_prekeys()
            await bob.send_text(alice.jid, "Before")
            expect((await alice.wait_for(TextReceived)).text == "Before", "Bob can write to Alice.")

            await alice.block(bob.jid)
            expect(await alice.get_blocklist() == [bob.jid], "Alice blocks Bob.")
            expect((await bob.send_text(alice.jid, "Blocked")).timestamp_ms > 0, "Bob's message is acked as always,")
            reason = await refused(alice.send_text(bob.jid, "?"))
            expect(reason == "RECIPIENT_BLOCKED_BY_SENDER", f"Alice herself may not write to him: {reason}")
            await alice.unblock(bob.jid)
            await bob.send_text(alice.jid, "After")
            expect((await alice.wait_for(TextReceived)).text == "After", "but only the one after the unblocking comes.")

            await alice.opt_out([107])
            reason = await refused(bob.send_text(alice.jid, "Anyone?"))
            expect(reason == "RECIPIENT_NOT_REACHABLE", f"Alice opts out; for Bob she is now {reason}.")
            chats = [chat async for chat in alice.list_chats()]
            expect([(chat.external_id, chat.read_only) for chat in chats] == [("bob", True)], "The chat is read-only.")


play(main)
