"""A conformance kit drives the SDK, as it would your client: Bob's device is a child process on stdin and stdout."""

import asyncio
import itertools
import subprocess
import sys
from typing import Any

from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed
from stage import endpoint, expect, messenger, play, whatsapp_user

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.messaging.events import TextReceived

driver = subprocess.Popen([sys.executable, "-m", "interop_driver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ids = itertools.count(1)
events: list[pb.DeviceEvent] = []


async def response() -> pb.DriveResponse:
    """Takes the next message of the driver; in a thread, since the messenger's server runs here too."""
    message = await asyncio.to_thread(parse_length_prefixed, pb.DriveResponse, driver.stdout)
    return message or sys.exit("The driver has ended.")


async def do(**command: Any) -> pb.CommandResult:
    """Sends one command to Bob's device, and returns its result; keeps the events that come before it."""
    request = pb.DriveRequest(id=next(ids), device="bob", **command)
    serialize_length_prefixed(request, driver.stdin)
    driver.stdin.flush()
    while not (message := await response()).HasField("result"):
        events.append(message.event)
    outcome = message.result.WhichOneof("outcome")
    expect(outcome not in ("refused", "failed", "unsupported"), f"{', '.join(command)}: {outcome}")
    return message.result


async def main() -> None:
    """Lets Bob enlist, connect and write to Alice, whom the kit plays, and sees what Bob is shown of her answer."""
    async with messenger(integrator=111) as bobs_messenger, await whatsapp_user(111) as alice:
        server, issue_token = endpoint(), bobs_messenger.server.issue_token
        address = {"grpc": server.grpc, "http": server.http, "root_public_key": server.root_public_key}
        await do(start_device={**address, "user": "bob", "media_url": bobs_messenger.server.media_url})
        bob = (await do(enlist={"token": issue_token("bob")})).account.jid
        await do(connect={"token": issue_token("bob")})
        await do(publish_prekeys={"count": 10})
        await do(send_text={"to_jid": alice.jid, "text": "Hello"})
        expect((await alice.wait_for(TextReceived)).text == "Hello", "Alice reads what Bob was told to write.")
        await alice.send_text(bob, "Hello Bob")
        while not any(event.HasField("text_shown") for event in events):
            events.append((await response()).event)
        expect(events[-1].text_shown.text == "Hello Bob", f"Bob is shown an event: {events[-1].text_shown.text}")


with driver:  # closes its stdin, and waits for its end
    play(main)
expect(driver.returncode == 0, "The driver ends with its input.")
