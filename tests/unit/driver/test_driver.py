"""A run without a server: what is answered in any case, and how much is taken at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_driver.commands import COMMANDS
from interop_driver.driver import MAX_COMMANDS, MAX_DEVICES, MAX_WAITING, Driver
from interop_driver.frames import MessageMalformed

START = pb.StartDeviceCommand(grpc="127.0.0.1:1", http="http://127.0.0.1:1", root_public_key=bytes(32), user="bob")


class Kit:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.results: list[pb.CommandResult] = []

    async def __call__(self, response: pb.DriveResponse) -> None:
        self.results.append(response.result)


async def script(*requests: pb.DriveRequest) -> AsyncIterator[pb.DriveRequest]:
    for request in requests:
        yield request


def test_every_command_of_the_protocol_is_known() -> None:
    """One that is added to driver.proto must be put somewhere."""
    names = {field.name for field in pb.DriveRequest.DESCRIPTOR.oneofs_by_name["command"].fields}
    assert names == {"describe", "start_device", "stop_device", *COMMANDS}


async def test_a_run_answers_each_command_once(tmp_path: Path) -> None:
    """In order where nothing is waited for; a command that is newer than the driver is not supported."""
    kit = Kit()
    newer = pb.DriveRequest.FromString(pb.DriveRequest(id=4).SerializeToString() + bytes.fromhex("a23f00"))
    await Driver(tmp_path, kit).run(
        script(
            pb.DriveRequest(id=1, describe={}),
            pb.DriveRequest(id=2, device="a", start_device=START),
            pb.DriveRequest(id=3, device="a", list_shown={}),
            newer,
            pb.DriveRequest(id=5, device="a", connect={}),
        )
    )
    outcomes = {result.id: result.WhichOneof("outcome") for result in kit.results}
    assert outcomes == {1: "description", 2: "done", 3: "shown", 4: "unsupported", 5: "failed"}
    assert len(kit.results) == 5


async def test_there_are_no_more_devices_than_the_driver_says(tmp_path: Path) -> None:
    """One that was stopped makes room, and leaves nothing."""
    kit = Kit()
    starts = [pb.DriveRequest(id=n, device=f"d{n}", start_device=START) for n in range(1, MAX_DEVICES + 2)]
    stop = pb.DriveRequest(id=1_000, device="d1", stop_device={})
    again = pb.DriveRequest(id=1_001, device="again", start_device=START)
    await Driver(tmp_path, kit).run(script(*starts, stop, again))
    failed = [result.id for result in kit.results if result.HasField("failed")]
    assert failed == [MAX_DEVICES + 1]
    assert await asyncio.to_thread(lambda: [*tmp_path.iterdir()]) == []


async def test_no_more_is_taken_than_can_be_answered(tmp_path: Path) -> None:
    """While the kit does not read: commands under way, results that wait, one being sent and one being taken."""
    most = MAX_COMMANDS + MAX_WAITING + 2
    taken, is_full = 0, asyncio.Event()

    async def requests() -> AsyncIterator[pb.DriveRequest]:
        nonlocal taken
        while True:
            taken += 1
            if taken == most:
                is_full.set()
            yield pb.DriveRequest(id=taken, describe={})

    async def send(_: pb.DriveResponse) -> None:
        await asyncio.Event().wait()

    run = asyncio.create_task(Driver(tmp_path, send).run(requests()))
    await is_full.wait()
    for _ in range(20):
        await asyncio.sleep(0)  # a round of the event loop
    assert taken == most
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_run_ends_when_the_kit_is_gone_or_says_what_is_no_message(tmp_path: Path) -> None:
    """Without waiting for more requests; what came before the bytes that are none is answered."""

    async def gone(_: pb.DriveResponse) -> None:
        raise BrokenPipeError

    async def endless() -> AsyncIterator[pb.DriveRequest]:
        yield pb.DriveRequest(id=1, describe={})
        await asyncio.Event().wait()

    await Driver(tmp_path, gone).run(endless())

    async def broken() -> AsyncIterator[pb.DriveRequest]:
        yield pb.DriveRequest(id=1, describe={})
        raise MessageMalformed("No.")

    kit = Kit()
    with pytest.raises(MessageMalformed):
        await Driver(tmp_path, kit).run(broken())
    assert [result.id for result in kit.results] == [1]


async def test_a_command_that_does_not_end_after_the_last_request_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request is answered, also one that would take for ever."""

    async def take_for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("interop_driver.driver.GRACE_SECONDS", 0)
    monkeypatch.setitem(COMMANDS, "connect", take_for_ever)  # type: ignore[misc]
    kit = Kit()
    start = pb.DriveRequest(id=1, device="a", start_device=START)
    await Driver(tmp_path, kit).run(script(start, pb.DriveRequest(id=2, device="a", connect={})))
    assert [(each.id, each.failed.kind) for each in kit.results] == [(1, 0), (2, pb.FAILURE_KIND_TIMED_OUT)]


async def test_a_command_whose_client_another_one_ends_is_answered(tmp_path: Path) -> None:
    """The run goes on, and each command has its result."""
    kit = Kit()
    resolve = [pb.DriveRequest(id=n, device="a", resolve={"external_id": "+1"}) for n in range(2, 10)]
    await Driver(tmp_path, kit).run(
        script(
            pb.DriveRequest(id=1, device="a", start_device=START),
            *resolve,
            pb.DriveRequest(id=10, device="a", restart={}),
            pb.DriveRequest(id=11, describe={}),
        )
    )
    assert sorted(result.id for result in kit.results) == list(range(1, 12))
    outcomes = {result.id: result.WhichOneof("outcome") for result in kit.results}
    assert (outcomes[10], outcomes[11]) == ("done", "description")
    assert {result.failed.kind for result in kit.results if result.HasField("failed")} == {
        pb.FAILURE_KIND_CONNECTION_ENDED
    }


@pytest.mark.parametrize(
    "command",
    [
        {"publish_prekeys": {"count": 20_001}},
        {"mark_read": {}},
        {"mark_read": {"message_ids": ["a"] * 257}},
        {"report_messages": {}},
        {"report_messages": {"message_ids": ["a"] * 17}},
        {"send_text": {"text": "a" * 65_537}},
        {"send_text": {"text": "é" * 32_768 + "a"}},
    ],
)
async def test_what_is_out_of_bounds_is_a_wrong_command(tmp_path: Path, command: dict[str, Any]) -> None:
    """As driver.proto has them; the client is not asked."""
    kit = Kit()
    start = pb.DriveRequest(id=1, device="a", start_device=START)
    await Driver(tmp_path, kit).run(script(start, pb.DriveRequest(id=2, device="a", **command)))
    [failed] = [result.failed for result in kit.results if result.id == 2]
    assert failed.kind == pb.FAILURE_KIND_WRONG_COMMAND and " are right." in failed.detail
