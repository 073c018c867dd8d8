"""A client that answers each text with the same text: what `interopsim conformance client --bot` judges.

Run it with the line of JSON that the kit prints, in INTEROP_BOT.
"""

import asyncio
import json
import os
import sys

import aiohttp

from interop_client.errors import ServerRefusal
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import ServerAddress


async def main() -> None:
    """Enlists, publishes prekeys, and answers; connects again when the connection breaks."""
    line = json.loads(os.environ["INTEROP_BOT"])
    server = ServerAddress(line["grpc"], bytes.fromhex(line["root_public_key"]), line["http"])

    async def get_token() -> str:
        async with aiohttp.ClientSession() as http, http.post(line["tokens"], json={"user": line["user"]}) as response:
            return str((await response.json())["token"])

    bot = ThirdPartyClient.direct(server, ClientState.generate(), get_token)
    await bot.enlist_over_http(line["http"], line["token"])
    await bot.connect()
    await bot.publish_prekeys(50)
    try:
        async for event in bot.events():
            if isinstance(event, TextReceived):
                await bot.send_text(event.sender, event.text)
            elif isinstance(event, ConnectionLost):
                await bot.connect()
    except (ServerRefusal, OSError):
        print("The kit has ended.")
    finally:
        await bot.close()


if "INTEROP_BOT" not in os.environ:
    sys.exit("Set INTEROP_BOT to the line of JSON that `interopsim conformance client --bot` prints.")
asyncio.run(main())
