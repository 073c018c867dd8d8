"""How a driver ends: with its input, with a signal, at what it cannot read; and what it leaves behind: nothing."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest

from interop_api.conformance.v1 import driver_pb2 as pb
from tests.e2e.conftest import World
from tests.e2e.driver.kit import WAIT_SECONDS, Kit, delimited, driver_process, messages_on, over_grpc
from tests.e2e.driver.test_driver import DEVICE, connected
from tests.e2e.program import left_behind

pytestmark = pytest.mark.timeout(240)  # on a busy machine a start alone takes seconds

DESCRIBE = delimited(pb.DriveRequest(id=7, describe={}))


async def end_of(process: asyncio.subprocess.Process, given: bytes | None) -> tuple[int | None, bytes, str]:
    """Gives a driver its whole input, and waits for its end."""
    async with asyncio.timeout(WAIT_SECONDS):
        stdout, stderr = await process.communicate(given)
    return process.returncode, stdout, stderr.decode()


async def answers(stdout: bytes) -> list[pb.DriveResponse]:
    """What a driver has sent."""
    stream = asyncio.StreamReader()
    stream.feed_data(stdout)
    stream.feed_eof()
    return [message async for message in messages_on(stream)]


async def test_what_was_asked_before_the_input_ends_is_answered(tmp_path: Path) -> None:
    """A script of commands can be piped into it."""
    async with driver_process(tmp_path) as process:
        code, stdout, _ = await end_of(process, DESCRIBE + DESCRIBE)
    assert code == 0
    assert [answer.result.id for answer in await answers(stdout)] == [7, 7]
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"\x02\xff\xff", "no DriveRequest"),
        (b"\xff\xff\xff\x7f", "the limit is"),
        (b"\x7fshort", "ended within a message"),
    ],
)
async def test_what_cannot_be_read_ends_it_with_a_sentence(tmp_path: Path, given: bytes, said: str) -> None:
    """After the answers to what came before; on stderr, with status 2, and without a stack trace."""
    async with driver_process(tmp_path) as process:
        code, stdout, stderr = await end_of(process, DESCRIBE + given)
    assert (code, len(await answers(stdout))) == (2, 1)
    assert said in stderr and "Traceback" not in stderr
    assert left_behind(tmp_path) == []


async def test_without_pipes_it_says_what_to_do(tmp_path: Path) -> None:
    """Output into a file would be lost."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "out").open("wb") as file:
        async with driver_process(tmp_path / "run", stdout=file) as process:
            code, _, stderr = await end_of(process, DESCRIBE)
    assert code == 2
    assert "must be pipes" in stderr and "--listen" in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("arguments", [(), ("--listen", "127.0.0.1:0")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_nothing_is_left(
    world: World, tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    """With a device connected or not: no folder, and no connection at the server."""
    folder = tmp_path / "driver"
    folder.mkdir()
    async with driver_process(folder, *arguments) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        if arguments:
            assert await process.stdout.readline()
        else:
            stdin = process.stdin

            async def send(request: pb.DriveRequest) -> None:
                stdin.write(delimited(request))

            kit = Kit(send, messages_on(process.stdout))
            bob = await connected(kit, world)
            assert bob in {each.jid for each in await world.admin.list_connections()}
        process.send_signal(number)
        async with asyncio.timeout(WAIT_SECONDS):
            logged = (await process.stderr.read()).decode()
            assert await process.wait() == 0, logged
            while any(each.jid.startswith(f"{world.integrator}-") for each in await world.admin.list_connections()):
                await world.admin.get_clock()
    assert "Traceback" not in logged
    assert left_behind(folder) == []


async def test_a_kit_that_goes_away_takes_its_devices_with_it(world: World, tmp_path: Path) -> None:
    """A stream that breaks ends its run, and no other."""
    async with over_grpc(tmp_path) as kit:
        bob = await connected(kit, world)
        async with grpc.aio.insecure_channel(kit.address) as channel:
            other = drive_on(channel)
            await other.write(DESCRIBE[1:])
            assert (await other.read()).result.id == 7
            await other.write(pb.DriveRequest(device=DEVICE, start_device={}).SerializeToString())
            assert (await other.read()).result.failed.kind == pb.FAILURE_KIND_WRONG_COMMAND
            other.cancel()
        assert bob in {each.jid for each in await world.admin.list_connections()}
        assert (await kit.do(DEVICE, list_blocked={})).jids == []


def drive_on(channel: grpc.aio.Channel) -> "grpc.aio.StreamStreamCall[bytes, pb.DriveResponse]":
    """A stream whose requests are bytes."""
    return channel.stream_stream("/interop_api.conformance.v1.ClientDriver/Drive", None, pb.DriveResponse.FromString)()


async def test_a_stream_is_refused_what_is_no_message_or_too_long(tmp_path: Path) -> None:
    """By the status that driver.proto names."""
    async with over_grpc(tmp_path) as kit, grpc.aio.insecure_channel(kit.address) as channel:
        for request, code in (
            (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
            (bytes((2 << 20) + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            call = drive_on(channel)
            await call.write(request)
            async with asyncio.timeout(WAIT_SECONDS):
                assert await call.code() is code
        assert (await kit.do(describe={})).name


async def test_an_address_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Without a stack trace."""
    async with driver_process(tmp_path, "--listen", "192.0.2.1:1") as process:
        code, stdout, stderr = await end_of(process, b"")
    assert (code, stdout) == (1, b"")
    assert "192.0.2.1:1" in stderr and "Traceback" not in stderr


async def test_a_kit_that_dies_ends_it_without_a_stack_trace(tmp_path: Path) -> None:
    """Both pipes break, and nobody is there to read what it says."""
    reading, writing = os.pipe()
    async with driver_process(tmp_path, stdout=writing) as process:
        os.close(writing)
        os.close(reading)
        code, _, stderr = await end_of(process, DESCRIBE)
    assert (code, "Traceback" in stderr) == (0, False), stderr
    assert left_behind(tmp_path) == []


async def test_a_kit_that_does_not_read_holds_up_nobody_but_itself(tmp_path: Path) -> None:
    """The driver reads no further than its bound, and still ends at a signal."""
    async with driver_process(tmp_path) as process:
        assert process.stdin is not None and process.stdout is not None
        for _ in range(20_000):
            process.stdin.write(DESCRIBE)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await process.stdout.read(1)
            process.terminate()
            assert await process.wait() == 0
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("address", ["nowhere", "", "127.0.0.1:65536", "127.0.0.1:x"])
async def test_an_address_that_is_none_is_wrong_use(tmp_path: Path, address: str) -> None:
    """Nothing is served on another port."""
    async with driver_process(tmp_path, "--listen", address) as process:
        code, stdout, stderr = await end_of(process, b"")
    assert (code, stdout) == (2, b"")
    assert "must be HOST:PORT" in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("redirection", ["</dev/null", "<&-", ">/dev/null", ">&-"])
async def test_what_cannot_be_waited_on_is_no_pipe(tmp_path: Path, redirection: str) -> None:
    """A closed stdin or stdout, or one that is nothing: a sentence, and no run that never ends."""
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$0" -m interop_driver {redirection}', sys.executable),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        code, stdout, stderr = await end_of(process, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert (code, stdout) == (2, b"")
    assert "must be pipes" in stderr and "Traceback" not in stderr


async def test_a_kit_that_closes_its_end_ends_it(tmp_path: Path) -> None:
    """Without a word: there is nobody to read the answer."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        async with driver_process(tmp_path, stdout=writing) as process:
            code, _, stderr = await end_of(process, DESCRIBE)
    finally:
        os.close(writing)
    assert (code, stderr) == (0, "")
