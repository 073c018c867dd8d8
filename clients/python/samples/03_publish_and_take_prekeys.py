"""Bob publishes prekeys, and Alice takes bundles of them: the server gives out each one-time prekey once."""

from stage import expect, messenger, play, whatsapp_user

from interop_client.options import ClientOptions


async def main() -> None:
    """Takes bundles until there is no one-time prekey left."""
    async with messenger(integrator=103) as bobs_messenger:
        bob = bobs_messenger.user("bob", ClientOptions(refill_count=0))
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user(103)
        async with bob, alice:
            await bob.publish_prekeys(count=2)
            expect(await bob.count_prekeys() == 2, "Bob has published two one-time prekeys.")

            first = await alice.take_prekey_bundle(bob.jid)
            second = await alice.take_prekey_bundle(bob.jid)
            first.verify()
            expect(first.identity_key == second.identity_key, "Two bundles hold the same identity key,")
            expect(first.one_time_prekey_id != second.one_time_prekey_id, "and each its own one-time prekey.")

            third = await alice.take_prekey_bundle(bob.jid)
            expect(third.one_time_prekey is None, "With none left, a bundle comes without one: that is not an error.")

            await bob.rotate_signed_prekey()
            fourth = await alice.take_prekey_bundle(bob.jid)
            expect(fourth.signed_prekey_id != third.signed_prekey_id, "A rotated signed prekey is in the next bundle.")
            expect(await bob.has_intact_prekeys(), "Bob's digest of his keys is the server's.")


play(main)
