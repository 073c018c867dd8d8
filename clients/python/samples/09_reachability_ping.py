"""Alice has not opted in: Bob lets her know that he would like to write, she opts in, and answers his first message."""

from stage import expect, messenger, play, whatsapp_user

from interop_client.messaging.events import ReachabilityPing, TextReceived, TrustedContact


async def main() -> None:
    """Pings, opts in, and makes contact."""
    async with messenger(integrator=109) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user()  # has opted in for no partner
        number = f"+{alice.jid.partition('@')[0]}"
        async with bob, alice:
            await bob.publish_prekeys()
            await bob.send_reachability_ping(number, "Bob B.")
            await bob.send_reachability_ping("+4915100000000", "Bob B.")
            expect(True, "Bob pings Alice, and an unused number: he cannot tell the difference.")

            ping = await alice.wait_for(ReachabilityPing)
            expect(ping.display_name == "Bob B.", f"Alice learns that {ping.display_name} is on {ping.partner_name}.")
            await alice.accept_terms()
            await alice.opt_in([ping.integrator])
            expect(await bob.resolve(number) == alice.jid, "She opts in, and Bob finds her.")

            await bob.send_text(alice.jid, "Hello Alice, this is Bob.")
            request = await alice.wait_for(TextReceived)
            expect(request.request_state == "REQUESTED", "His first message is a request.")
            await alice.accept_message_request(request.sender)
            mark = await bob.wait_for(TrustedContact)
            expect(mark.jid == alice.jid, "Alice accepts, and Bob is told that she trusts him for now.")

            await alice.set_reachability(True, [ping.integrator])
            muted = list((await alice.get_reachability()).muted_integrators)
            expect(muted == [ping.integrator], "She mutes pings from his messenger; the server tells no sender.")


play(main)
