"""Bob's messenger vouches for Bob with a token, and Bob becomes an account: over gRPC, and by the documented form."""

from stage import endpoint, expect, messenger, play

from interop_client.errors import ServerRefusal


async def main() -> None:
    """Enlists Bob twice, and tries once more with an expired token."""
    async with messenger(integrator=101) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        try:
            jid = await bob.enlist(bobs_messenger.server.issue_token("bob"))
            expect(jid.startswith("101-") and jid.endswith("@interop"), f"Bob is enlisted as {jid}.")

            token = bobs_messenger.server.issue_token("bob")
            again = await bob.enlist_over_http(endpoint().http, token)
            expect(again == jid, "The form post of POST /3p/interop_reg finds the same account.")

            expired = bobs_messenger.server.issue_token("bob", ttl=-3600)
            try:
                await bob.enlist(expired)
            except ServerRefusal as refusal:
                expect(refusal.reason == "TOKEN_EXPIRED", f"An old token is refused: {refusal}")
            else:
                expect(False, "An old token is refused.")
        finally:
            await bob.close()


play(main)
