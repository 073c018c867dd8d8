"""A running server whose files and descriptors fail, and accounts that go in the middle of a call."""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Iterator
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop_admin.client import AdminClient, WorldNotBegun
from interop_api.v1 import prekeys_pb2
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ServerRefusal
from interop_client.third_party import ThirdPartyClient
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.places import FileUnusable
from tests.e2e.conftest import World
from tests.e2e.operator.test_journal_troubles import NOT_SERVING, SERVING, health
from tests.e2e.program import ANY_PORTS, run, running
from tests.e2e.raw import QUIET

UP = ("up", *ANY_PORTS)
PEER = "4915100000000@s.whatsapp.net"


async def outcome(write: Awaitable[object]) -> str:
    """Why a write was refused, or that it was done."""
    try:
        await write
    except ServerRefusal as refusal:
        return refusal.reason
    return "done"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--db", ""), "name a file"),
        (("--journal", ""), "name a file"),
        (("--db", "pipe"), "is not a file"),
        (("--journal", "pipe"), "cannot be written"),
        (("--db", "x.db", "--journal", "x.db"), "is a file of the database"),
        (("--db", "x.db", "--journal", "x.db-wal"), "is a file of the database"),
        (("--db", "x.db", "--journal", "link"), "is a file of the database"),
        (("--db", "x" * 300), "File name too long"),
        (("--blobs", "pipe"), "pipe is no folder"),
        (("--blobs", "x" * 300), "File name too long"),
        (("--db", "y.db"), "y.db.blobs is no folder"),
        (("--db", "z.db"), "z.db.blobs is no folder"),
        (("--blobs", "dangling"), "dangling is no folder"),
        (("--tls", "pipe", "pipe"), "no regular file"),
        (("--tls", ".", "."), ". cannot be read: Is a directory"),
        (("--tls", "/dev/zero", "/dev/zero"), "no regular file"),
        (("--db", "no\x1b[31m/x.db"), r"no\x1b[31m/x.db cannot be opened"),
    ],
    ids=[
        *("no_db", "no_journal", "db_pipe", "journal_pipe", "same", "log_of_db", "link_to_db", "long_db"),
        *(
            "blobs_pipe",
            "long_blobs",
            "link_to_nothing",
            "link_to_itself",
            "blobs_link",
            "tls_pipe",
            "tls_folder",
            "tls_without_end",
            "escapes",
        ),
    ],
)
async def test_files_that_cannot_serve_are_told_at_once(tmp_path: Path, arguments: tuple[str, ...], part: str) -> None:
    """A sentence, no hang, no traceback."""
    os.mkfifo(tmp_path / "pipe")
    for link, to in (
        ("link", "x.db"),
        ("y.db.blobs", "nowhere"),
        ("z.db.blobs", "z.db.blobs"),
        ("dangling", "nowhere"),
    ):
        (tmp_path / link).symlink_to(to)
    ended = await run(tmp_path, *UP, *arguments)
    assert ended.code != 0 and ended.stdout == ""
    assert part in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("choice", ["plain", "tls"])
async def test_a_machine_without_a_temporary_folder_is_told_of_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    """As in a container that may write to nothing: HTTP over TLS would be silent for ever, and all else seem well."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    port, has_tls = "127.0.0.1:0", choice == "tls"
    config = Config(port, port, port, tmp_path / "x.db" if has_tls else None, tls=has_tls, grace_seconds=0.1)
    simulator = Simulator(config)
    with pytest.raises(FileUnusable, match=r"no temporary file|no temporary folder") as refused:
        await simulator.start()
    assert "No such file or directory" in str(refused.value) or "usable temporary directory" in str(refused.value)
    assert "set TMPDIR" in str(refused.value)


@pytest.mark.requirement("SIM-03")
async def test_a_database_that_is_deleted_is_seen_in_health(tmp_path: Path) -> None:
    """Nothing is served and nothing acknowledged that would be lost; then it ends, non-zero, with a sentence."""
    async with running(tmp_path, *UP, "--db", "x.db") as program:
        ready = await program.ready_line()
        (tmp_path / "x.db").unlink()
        async with asyncio.timeout(20), grpc.aio.insecure_channel(ready["grpc"]) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            while (await watch.read()).status != NOT_SERVING:
                pass
            watch.cancel()
        assert await health(ready["admin"], "storage", "journal") == [NOT_SERVING, SERVING]
        async with AdminClient(ready["admin"]) as admin:
            with pytest.raises(ServerRefusal, match="STORAGE_UNAVAILABLE"):
                await admin.put_whatsapp_user("+49151100000000", bytes(range(32)))
            assert "deleted or replaced" in (await admin.get_statistics()).troubles["storage"]
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 1
    assert ended.stderr.count("deleted or replaced") == 1 and "Traceback" not in ended.stderr


@pytest.mark.requirement("SIM-03")
async def test_a_world_that_cannot_begin_anew_is_told(tmp_path: Path) -> None:
    """Whoever asked for it hears that it has not begun; the simulator ends and says why."""
    async with running(tmp_path, *UP, "--db", "x.db", "--blobs", "blobs") as program:
        ready = await program.ready_line()
        for folder in ("", "interopsim.blobs"):
            shutil.rmtree(tmp_path / "blobs" / folder, ignore_errors=True)
        (tmp_path / "blobs").write_text("no folder")
        async with AdminClient(ready["admin"]) as admin:
            with pytest.raises(WorldNotBegun, match="its log says why"):
                await admin.reset(0.5)
        ended = await program.end()
    assert ended.code != 0
    assert "blobs" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.requirement("LIF-03")
async def test_writes_that_race_with_the_end_of_their_account(world: World) -> None:
    """Each is done, or SESSION_DEAD as every later call; none is a fault."""
    outcomes: set[str] = set()
    for turn in range(4):
        bob = await world.third_party(f"bob{turn}", QUIET)
        numbers = itertools.count(900)

        def add(bob: ThirdPartyClient = bob, numbers: Iterator[int] = numbers) -> Awaitable[object]:
            key = prekeys_pb2.OneTimePreKey(key_id=next(numbers), public_key=os.urandom(32))
            request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=[key])
            assert isinstance(bob.transport, DirectTransport)
            return bob.transport.call(
                "/interop_api.v1.PreKeyService/AddOneTimePreKeys", request, prekeys_pb2.AddOneTimePreKeysResponse
            )

        writes = [add(), bob.delete_account(), *(write for _ in range(5) for write in (bob.block(PEER), add()))]
        outcomes |= set(await asyncio.gather(*map(outcome, writes)))
    assert outcomes <= {"done", "SESSION_DEAD"} and "SESSION_DEAD" in outcomes, outcomes
