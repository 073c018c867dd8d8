"""A load for an XMPP server: one person writes to another; knows nothing of the simulator and of no server's name."""

import asyncio
import base64
import time
from typing import Self

from tests.bench.report import WrongAnswer

DOMAIN = "localhost"
BODY = "x" * 300
ANSWER_SECONDS = 20.0
READ_BYTES = 1 << 20

_HEADER = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
_END_OF_MESSAGE = b"</message>"


class XmppClient:
    """One registered, logged-in person without TLS. Made by `log_in`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def log_in(cls, port: int, user: str) -> Self:
        """Registers a new user in band, authenticates, binds a resource and becomes available.

        Raises:
            WrongAnswer: The server refuses one of these.
        """
        self = cls(*await asyncio.open_connection("127.0.0.1", port))
        await self._ask(_HEADER, "</stream:features>")
        form = f"<username>{user}</username><password>pw</password>"
        await self._ask(f"<iq type='set' id='r'><query xmlns='jabber:iq:register'>{form}</query></iq>", "id='r'", "/")
        proof = base64.b64encode(f"\0{user}\0pw".encode()).decode()
        await self._ask(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{proof}</auth>", "<success")
        await self._ask(_HEADER, "</stream:features>")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind>"
        await self._ask(f"<iq type='set' id='b'>{bind}</iq>", "</iq>")
        await self._ask("<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "id='s'")
        await self._ask("<presence/>", "<presence")
        return self

    async def send(self, recipient: str, first: int, count: int) -> None:
        """Writes messages with ids from `first` on, as one piece."""
        to = f"{recipient}@{DOMAIN}/bench"
        stanzas = (
            f"<message to='{to}' type='chat' id='m{number}'><body>{BODY}</body></message>"
            for number in range(first, first + count)
        )
        self._writer.write("".join(stanzas).encode())
        await self._writer.drain()

    async def read(self) -> bytes:
        """Returns some of what the server writes.

        Raises:
            WrongAnswer: The server ended the stream.
        """
        if not (data := await self._reader.read(READ_BYTES)):
            raise WrongAnswer("the XMPP server ended a stream")
        return data

    async def close(self) -> None:
        """Ends the connection."""
        self._writer.close()
        await self._writer.wait_closed()

    async def _ask(self, xml: str, *answers: str) -> None:
        self._writer.write(xml.encode())
        said = ""
        async with asyncio.timeout(ANSWER_SECONDS):
            while not all(answer in said.replace('"', "'") for answer in answers):
                said += (await self.read()).decode(errors="replace")
                if "<failure" in said or "type='error'" in said.replace('"', "'"):
                    raise WrongAnswer(f"the XMPP server refuses: {said[-200:]}")


async def messages_per_second(port: int, window: int, seconds: float) -> float:
    """Sends for so long with at most `window` messages under way; all must arrive."""
    sender, recipient = await XmppClient.log_in(port, f"a{window}"), await XmppClient.log_in(port, f"b{window}")
    moved = asyncio.Event()
    sent = arrived = 0

    async def count() -> None:
        nonlocal arrived
        rest = b""
        while True:
            data = rest + await recipient.read()
            arrived += data.count(_END_OF_MESSAGE)
            rest = data[-len(_END_OF_MESSAGE) + 1 :]
            moved.set()

    async def drain() -> None:
        while True:
            await sender.read()

    others = [asyncio.create_task(count()), asyncio.create_task(drain())]
    begun = time.perf_counter()
    try:
        while (is_on := time.perf_counter() - begun < seconds) or arrived < sent:
            if is_on and (room := window - (sent - arrived)) > 0:
                await sender.send(f"b{window}", sent, room)
                sent += room
            moved.clear()
            async with asyncio.timeout(ANSWER_SECONDS):
                await moved.wait()
        return arrived / (time.perf_counter() - begun)
    except TimeoutError as error:
        raise WrongAnswer(f"{sent - arrived} messages did not arrive over XMPP") from error
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(sender.close(), recipient.close())
