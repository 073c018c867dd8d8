"""Spam: Alice reports Bob and reveals his text, and the server verifies that he sent it; then he is banned."""

from stage import endpoint, expect, messenger, play, whatsapp_user

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import standing_pb2
from interop_client.errors import LoginRefused
from interop_client.messaging.events import ConnectionLost, TextReceived

HOUR = 3_600


async def main() -> None:
    """Lets Alice report Bob, bans him, and lifts the ban."""
    async with messenger(integrator=110) as bobs_messenger, AdminClient(endpoint()) as admin:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user(110)
        async with bob, alice:
            await bob.publish_prekeys()
            await bob.send_text(alice.jid, "Buy now, it is cheap!")
            message = await alice.wait_for(TextReceived)
            expect(message.evidence is not None, "Bob's message came with proof of what he wrote.")
            report_id = await alice.report(bob.jid, [message], reveal=True)
            points = dict((await admin.get_standing(bob.jid)).points)
            expect(points["reports"] == 10, f"Alice's report {report_id} counts: {points}.")

            await alice.report(bob.jid, [message], reveal=True)
            same = dict((await admin.get_standing(bob.jid)).points) == points
            expect(same, "Her second one is answered alike, and does not count.")

            # Without the operator, five people would have to report him.
            await admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_TEMPORARY_BAN, HOUR, sub_code=102)
            expect((await bob.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED", "Bob is banned for an hour.")
            try:
                await bob.connect()
            except LoginRefused as refusal:
                expect(
                    (refusal.code, refusal.sub_code) == (402, 102),
                    f"{refusal} ({refusal.expires_after_seconds} seconds)",
                )
            await admin.lift_sanctions(bob.jid)
            await bob.connect()
            expect(not (await admin.get_standing(bob.jid)).sanctions, "The operator lifts the ban, and Bob is back.")


play(main)
