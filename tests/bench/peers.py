"""Well-known XMPP servers beside the simulator, in the same run: what others make of the same machine.

Neither is a model of WhatsApp, and neither checks what the simulator checks. They are here so that a figure is not only
held against bare gRPC. They run where they are installed (Debian: `apt-get install ejabberd prosody lua-dbi-sqlite3`).
"""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.xmpp_load import DOMAIN, messages_per_second

WINDOWS = (1, 50, 500)
"""Messages of one pair that are under way at once; 1 shows the latency."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0
EJABBERD_BEAMS = ("usr/lib/*/ejabberd*/ebin/ejabberd.beam", "usr/lib/ejabberd*/ebin/ejabberd.beam")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server in one configuration."""

    name: str
    what: str
    command: Callable[[Path, int], Sequence[str] | None]
    """Writes the configuration into a folder, for a port; None where the server is not installed."""


async def measure_peers(settings: Settings) -> list[Figure]:
    """Measures those that are installed; without any, there are no figures."""
    figures: list[Figure] = []
    for peer in PEERS:
        folder = settings.folder / peer.name
        folder.mkdir()
        port = _free_port()
        if (command := peer.command(folder, port)) is not None:
            async with _running(peer, command, folder, port):
                for window in WINDOWS:
                    rate = await messages_per_second(port, window, settings.seconds)
                    note = f"{peer.what}; one pair, 300 bytes, window {window}; counted where they arrive"
                    figures.append(Figure(f"{peer.name}_window_{window}", rate, "messages/s", None, note))
    return figures


def missing_peers() -> list[str]:
    """The names of those that are not installed."""
    with tempfile.TemporaryDirectory() as folder:
        return [peer.name for peer in PEERS if peer.command(Path(folder), 1) is None]


@asynccontextmanager
async def _running(peer: Peer, command: Sequence[str], folder: Path, port: int) -> AsyncIterator[None]:
    with (folder / "out.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env=_environment(folder, os.environ),
            start_new_session=True,
        )
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                await _listening(port, process)
        except TimeoutError:
            said = (folder / "out.log").read_text(errors="replace")[-500:]
            raise WrongAnswer(f"{peer.name} did not start: {said}") from None
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.1)
    raise TimeoutError


def _environment(folder: Path, own: Mapping[str, str]) -> dict[str, str]:
    return {**own, "HOME": str(folder)}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _ejabberd(modules: Mapping[str, object], **options: object) -> Callable[[Path, int], Sequence[str] | None]:
    def command(folder: Path, port: int) -> Sequence[str] | None:
        beams = [found for pattern in EJABBERD_BEAMS for found in Path("/").glob(pattern)]
        if shutil.which("erl") is None or not beams:
            return None
        listener = {
            "port": port, "ip": "127.0.0.1", "module": "ejabberd_c2s", "starttls_required": False, "shaper": "none",
            "access": "all",
        }  # fmt: skip
        config = {
            "hosts": [DOMAIN],
            "loglevel": "error",
            "listen": [listener],
            "auth_method": "internal",
            "registration_timeout": "infinity",
            "modules": {"mod_register": {}, "mod_roster": {}, "mod_disco": {}, "mod_offline": {}, **modules},
            **{name: str(value).format(folder=folder) for name, value in options.items()},
        }
        (folder / "ejabberd.yml").write_text(json.dumps(config))  # JSON is YAML
        return [
            "erl", "-noinput", "-mnesia", "dir", f'"{folder}/mnesia"', "-ejabberd", "config",
            f'"{folder}/ejabberd.yml"', "-ejabberd", "log_path", f'"{folder}/ejabberd.log"', "-pa",
            str(beams[0].parent), "-s", "ejabberd",
        ]  # fmt: skip

    return command


def _prosody(modules: Sequence[str], storage: str) -> Callable[[Path, int], Sequence[str] | None]:
    def command(folder: Path, port: int) -> Sequence[str] | None:
        if (prosody := shutil.which("prosody")) is None:
            return None
        enabled = "; ".join(f'"{name}"' for name in ("roster", "saslauth", "disco", "ping", "register_ibr", *modules))
        (folder / "data").mkdir(exist_ok=True)
        (folder / "prosody.cfg.lua").write_text(
            f"""
            run_as_root = true
            pidfile = "{folder}/pid"
            data_path = "{folder}/data"
            modules_enabled = {{ {enabled} }}
            modules_disabled = {{ "s2s"; "tls"; "admin_shell"; "limits" }}
            c2s_require_encryption = false
            allow_unencrypted_plain_auth = true
            allow_registration = true
            authentication = "internal_plain"
            interfaces = {{ "127.0.0.1" }}
            c2s_ports = {{ {port} }}
            s2s_ports = {{}}
            default_archive_policy = true
            {storage.format(folder=folder)}
            log = {{ error = "{folder}/error.log" }}
            VirtualHost "{DOMAIN}"
            """
        )
        return [prosody, "--config", str(folder / "prosody.cfg.lua"), "-F"]

    return command


_ARCHIVE = "every message stored in an archive on the disk"
PEERS = (
    Peer("ejabberd_volatile", "ejabberd, nothing stored", _ejabberd({})),
    Peer(
        "ejabberd_archive",
        f"ejabberd, {_ARCHIVE} (SQLite)",
        _ejabberd(
            {"mod_mam": {"default": "always", "db_type": "sql"}}, sql_type="sqlite", sql_database="{folder}/archive.db"
        ),
    ),
    Peer("prosody_volatile", "Prosody, nothing stored", _prosody((), 'storage = "internal"')),
    Peer(
        "prosody_archive",
        f"Prosody, {_ARCHIVE} (SQLite)",
        _prosody(
            ("mam", "offline", "smacks"),
            'storage = {{ archive = "sql" }}\nsql = {{ driver = "SQLite3", database = "{folder}/data/p.sqlite" }}',
        ),
    ),
)
