"""One person's device as a process: reads one command per line, answers each with a line; knows no story.

`python -m interop_demo.person SETTINGS`, where SETTINGS is JSON: `folder`, `user`; for a third-party user `messenger`
and optionally `client_ip`; and optionally `id_prefix`, the beginning of message ids that must be the same each time.

A command is `{"do": NAME, …}` with the fields of the device's coroutine NAME; its answer is `{"done": …}`,
`{"refused": …}` when the server refuses, or `{"failed": …}`. Before the answer, `{"progress": [SENT, TOTAL]}` may come
any number of times. The process ends with stdin, or on SIGTERM.
"""

import asyncio
import json
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.signal.errors import SignalError
from interop_demo.device import CommandFailed, Device, DevicePlace
from interop_demo.third_party_device import ThirdPartyDevice
from interop_demo.whatsapp_device import WhatsAppDevice
from interop_protocol.certificates import CertificateError
from interop_protocol.noise import RemoteProtocolError
from interop_protocol.printable import PrintableLog

_EXPECTED = (
    CommandFailed,
    ConnectionEnded,
    SignalError,
    CertificateError,
    RemoteProtocolError,
    TimeoutError,
    OSError,
    aiohttp.ClientError,
)


def main() -> None:
    """Runs the device until stdin ends."""
    logging.basicConfig(
        stream=PrintableLog(sys.stderr), level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    with suppress(asyncio.CancelledError):
        asyncio.run(_run(json.loads(sys.argv[1])))


async def _run(settings: dict[str, str]) -> None:
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    device = _make_device(**settings)
    commands = await _open_stdin()
    _write({"event": "ready"})
    try:
        while line := await commands.readline():
            _write(await _answer(device, json.loads(line)))
    finally:
        await device.disconnect()


def _make_device(folder: str, user: str, messenger: str = "", client_ip: str = "", id_prefix: str = "") -> Device:
    place = DevicePlace(Path(folder), _report_progress, id_prefix)
    return ThirdPartyDevice(place, messenger, user, client_ip) if messenger else WhatsAppDevice(place, user)


async def _answer(device: Device, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": await getattr(device, command.pop("do"))(**command)}
    except ServerRefusal as refusal:
        names = ("reason", "requirement", "advice", "request_id", "code", "sub_code", "expires_after_seconds")
        facts = {name: getattr(refusal, name, None) for name in names}
        return {"refused": {name: value for name, value in facts.items() if value is not None}}
    except _EXPECTED as error:
        return {"failed": str(error) or type(error).__name__}


async def _open_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _report_progress(sent: int, total: int) -> None:
    _write({"progress": [sent, total]})


def _write(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
