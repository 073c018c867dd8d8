"""Bob opens the chat channel: the server proves itself, Bob proves key and token, and a ping is answered."""

import dataclasses
import time

from stage import endpoint, expect, messenger, play

from interop_client.third_party import ThirdPartyClient
from interop_protocol.certificates import CertificateError


async def main() -> None:
    """Connects to the right server, and not to one that another root certifies."""
    async with messenger(integrator=102) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        async with bob:
            started = time.perf_counter()
            await bob.ping()
            milliseconds = (time.perf_counter() - started) * 1000
            expect(True, f"{bob.jid} is connected; a ping took {milliseconds:.1f} ms.")

        async def get_token() -> str:
            return bobs_messenger.server.issue_token("bob")

        impostor = dataclasses.replace(endpoint(), root_public_key=bytes(31) + b"\x09")
        deceived = ThirdPartyClient.direct(impostor, bob.state, get_token)
        try:
            await deceived.connect()
        except CertificateError as error:
            expect(error.reason == "WRONG_ROOT", "A server under another root gets no login, and so no token.")
        else:
            expect(False, "A server under another root gets no login.")
        finally:
            await deceived.close()


play(main)
