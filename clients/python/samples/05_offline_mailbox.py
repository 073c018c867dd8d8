"""Alice writes while Bob is offline: the server pushes to his messenger, and the mailbox keeps her texts in order."""

import json

from stage import expect, messenger, play, whatsapp_user

from interop_client.messaging.events import OfflineEnd, OfflinePreview, TextReceived

MESSAGES = 450


async def main() -> None:
    """Sends more messages than one request for the backlog may ask for."""
    async with messenger(integrator=105) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user(105)
        async with bob:
            await bob.publish_prekeys()
            nothing = await bob.wait_for(OfflinePreview)
            await bob.wait_for(OfflineEnd)
            expect(nothing.messages == 0, "Nothing waits for Bob yet.")
        async with alice:
            for number in range(MESSAGES):
                await alice.send_text(bob.jid, f"Message {number}")
            push = await bobs_messenger.server.wait_for_push("bob", timeout=10)
            expect(json.loads(push.body) == {"to": "bob"}, f"The push to Bob's messenger says only this: {push.body}")

            async with bob:
                preview = await bob.wait_for(OfflinePreview)
                expect(preview.messages == MESSAGES, f"{preview.messages} messages waited for Bob.")
                end = await bob.wait_for(OfflineEnd)
                texts = [await bob.wait_for(TextReceived) for _ in range(MESSAGES)]
                in_order = [f"Message {number}" for number in range(MESSAGES)]
                expect([text.text for text in texts] == in_order, f"All {end.count} came, once and in order.")
                expect(all(text.offline for text in texts), "They are marked as having waited.")

                await alice.send_text(bob.jid, "Welcome back")
                live = await bob.wait_for(TextReceived)
                expect(not live.offline, f"What follows is live: {live.text}")


play(main)
