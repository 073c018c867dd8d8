"""Reading ahead: frames in order, joined when they wait, bounded, and nothing lost at the end."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_server.rpc import read_ahead
from interop_server.rpc.read_ahead import ReadAhead


async def put_all(ahead: ReadAhead, frames: list[bytes], error: Exception | None = None) -> None:
    for frame in frames:
        await ahead.put(frame)
    ahead.finish(error)


async def test_frames_that_wait_are_taken_together() -> None:
    """As many as fit into one batch, in order; the next batch begins with the one that did not fit (CHN-09)."""
    ahead = ReadAhead(max_bytes=10)
    for frame in (b"aaaa", b"bbbb", b"cc"):
        await ahead.put(frame)
    assert await ahead.take() == [b"aaaa", b"bbbb", b"cc"]
    for frame in (b"aaaa", b"bbbbbbb"):
        await ahead.put(frame)
    assert await ahead.take() == [b"aaaa"]
    assert await ahead.take() == [b"bbbbbbb"]


async def test_a_frame_of_any_size_is_taken() -> None:
    """The bound is for what waits: the reader has already held every frame to its own limit."""
    ahead = ReadAhead(max_bytes=3)
    await ahead.put(b"larger than that")
    assert await ahead.take() == [b"larger than that"]


@pytest.mark.parametrize("by", ["bytes", "frames"])
async def test_the_reader_waits_while_too_much_waits(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is too much, bytes or frames: so a client that sends faster than is worked on waits, too."""
    monkeypatch.setattr(read_ahead, "MAX_FRAMES", 3)
    ahead = ReadAhead(max_bytes=30 if by == "bytes" else 1_000)
    frame = bytes(10)
    for _ in range(3):
        await ahead.put(frame)
    waiting = asyncio.create_task(ahead.put(frame))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await ahead.take() == [frame] * 3
    await waiting
    assert await ahead.take() == [frame]


async def test_the_end_comes_after_what_was_read() -> None:
    """Whether the stream just ended or broke: frames that were read before are as good as ever."""
    for error in (None, OSError("the stream broke")):
        ahead = ReadAhead(max_bytes=10)
        await put_all(ahead, [b"a", b"b"], error)
        assert await ahead.take() == [b"a", b"b"]
        if error is None:
            assert await ahead.take() == []
        else:
            with pytest.raises(OSError, match="broke"):
                await ahead.take()


async def test_the_worker_waits_for_frames() -> None:
    """And goes on as soon as one comes, or the end."""
    ahead = ReadAhead(max_bytes=10)
    for frame, expected in ((b"a", [b"a"]), (None, [])):
        taking = asyncio.create_task(ahead.take())
        await asyncio.sleep(0)
        assert not taking.done()
        if frame is None:
            ahead.finish()
        else:
            await ahead.put(frame)
        assert await taking == expected


@given(st.lists(st.binary(max_size=12), max_size=60), st.integers(1, 40))
def test_every_frame_is_taken_once_and_in_order(frames: list[bytes], max_bytes: int) -> None:
    """Whatever their sizes, and however reader and worker take turns; and no batch is larger than allowed."""

    async def run() -> list[list[bytes]]:
        ahead, batches = ReadAhead(max_bytes), []
        reading = asyncio.create_task(put_all(ahead, frames))
        while batch := await ahead.take():
            batches.append(batch)
        await reading
        return batches

    batches = asyncio.run(run())
    assert [frame for batch in batches for frame in batch] == frames
    assert all(len(batch) == 1 or sum(map(len, batch)) <= max_bytes for batch in batches)
