"""A new user of Pigeon writes to Echo on WhatsApp, and reads what she answers: from nothing to an answer."""

# interopsim up --people
# interopsim token bob | python 00_write_to_echo.py

import json
import sys

from stage import endpoint, expect, play

from interop_admin.endpoint import find_ready_line
from interop_client.messaging.events import TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient


async def main() -> None:
    """Enlists with the token of standard input, logs in with it, publishes keys, and writes."""
    server = endpoint()
    people = {person["name"]: person["jid"] for person in json.loads(find_ready_line()).get("people", [])}
    if "Echo" not in people:
        sys.exit("Echo is not there: start the simulator with `interopsim up --people`.")
    token = sys.stdin.readline().strip()
    if not token:
        sys.exit("There is no token: `interopsim token bob | python 00_write_to_echo.py`.")

    async def get_token() -> str:
        return token  # a real client asks its own server for a new one at each login

    bob = ThirdPartyClient.direct(server, ClientState.generate(), get_token)
    await bob.enlist(token)
    async with bob:
        await bob.publish_prekeys()
        await bob.send_text(people["Echo"], "Is anybody there?")
        answer = await bob.wait_for(TextReceived)
        expect(answer.text == "Is anybody there?", f"Echo answers {bob.jid}, end to end encrypted: {answer.text}")


play(main)
