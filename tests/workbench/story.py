"""A conversation between bob, a user of the ready-made messenger, and people of the workbench."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from interop_client.messaging.events import MediaReceived, ReactionReceived, TextReceived
from interop_client.third_party import ThirdPartyClient
from tests.workbench.people import Running


@dataclass(frozen=True)
class Told:
    """Ids of what was written."""

    hello: str
    """By bob, to Ada."""
    answer: str
    """By Ada, in answer to it."""
    edited: str
    deleted: str
    picture: str


def picture(path: Path, width: int = 320, height: int = 200) -> Path:
    """Paints a sunrise, as a PNG."""
    rows = b"".join(b"\0" + b"".join(_colour(x / width, y / height) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    return path


async def tell(running: Running, folder: Path) -> tuple[ThirdPartyClient, Told]:
    """Has bob talk with Ada, who answers along her script, and with Echo; everything has come when it returns."""
    bob, ada = await running.user("bob"), running.jid("Ada")
    hello = await bob.send_text(ada, "Hello Ada, this is Bob. I write from Pigeon.")
    answer = await bob.wait_for(TextReceived)
    await bob.mark_read(answer)
    await bob.send_reaction(ada, answer.id, "👍")
    edited = await bob.send_text(ada, "Can you see the sunrse from where you are?", reply_to=answer)
    await bob.mark_read(await bob.wait_for(TextReceived))
    await bob.send_edit(ada, edited.id, "Can you see the sunrise from where you are?")
    deleted = await bob.send_text(ada, "Wrong chat, sorry.")
    await bob.mark_read(await bob.wait_for(TextReceived))
    await bob.send_deletion(ada, deleted.id)
    shown = await running.send_picture(bob, ada, picture(folder / "sunrise.png"), "From my window")
    echo = running.jid("Echo")
    text = await bob.send_text(echo, "Is anybody there?")
    await bob.wait_for(lambda event: isinstance(event, TextReceived) and event.sender == echo)
    await bob.send_reaction(echo, text.id, "❤️", is_own_message=True)
    await bob.wait_for(ReactionReceived)
    await running.send_picture(bob, echo, folder / "sunrise.png", "sunrise.png")
    await bob.wait_for(MediaReceived)
    return bob, Told(hello.id, answer.id, edited.id, deleted.id, shown)


def _colour(x: float, y: float) -> bytes:
    if (x - 0.5) ** 2 * 2.56 + (y - 0.62) ** 2 < 0.02 and y < 0.68:
        return bytes((255, 214, 110))
    if y >= 0.68:
        return bytes((int(30 + 60 * (1 - y)), int(60 + 60 * (1 - y)), int(110 + 60 * (1 - y))))
    return bytes((int(90 + 160 * y), int(110 + 60 * y), int(170 - 60 * y)))
