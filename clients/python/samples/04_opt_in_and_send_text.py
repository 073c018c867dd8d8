"""Alice turns on third-party chats, and she and Bob talk: texts, an answer, a reaction, receipts."""

from stage import expect, messenger, play, whatsapp_user

from interop_client.errors import ServerRefusal
from interop_client.messaging.events import ReactionReceived, ReceiptReceived, TextReceived


async def main() -> None:
    """Lets Bob fail to reach Alice before she opts in, and then talk with her."""
    async with messenger(integrator=104) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user()
        async with bob, alice:
            await bob.publish_prekeys()
            try:
                await bob.send_text(alice.jid, "Hello?")
            except ServerRefusal as refusal:
                expect(refusal.reason == "RECIPIENT_NOT_REACHABLE", f"Before the opt-in: {refusal}")
            else:
                expect(False, "Before the opt-in Alice cannot be reached.")

            await alice.accept_terms()
            await alice.opt_in([104])
            peer = await alice.resolve("bob", integrator=104)
            expect(peer == bob.jid, f"Alice has opted in, and finds bob as {peer}.")

            sent = await alice.send_text(peer, "Hello from WhatsApp")
            received = await bob.wait_for(TextReceived)
            expect(received.text == "Hello from WhatsApp", f"Bob reads: {received.text}")
            delivered = await alice.wait_for(ReceiptReceived)
            expect(delivered.message_ids == (sent.id,) and not delivered.is_read, "Alice sees that it was delivered,")
            await bob.mark_read(received)
            expect((await alice.wait_for(ReceiptReceived)).is_read, "and that it was read.")

            await bob.send_text(alice.jid, "Hello from elsewhere", reply_to=received)
            answer = await alice.wait_for(TextReceived)
            expect(answer.reply_to == sent.id, f"Alice reads an answer to it: {answer.text}")
            await alice.send_reaction(bob.jid, answer.id, "👍")
            reaction = await bob.wait_for(ReactionReceived)
            expect(reaction.target_id == answer.id, f"Bob sees her reaction: {reaction.emoji}")


play(main)
