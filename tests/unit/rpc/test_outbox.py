"""What waits for a client leaves completely, in order, in frames that fit; who adds too much waits."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import stanza_pb2
from interop_protocol.sizes import MAX_FRAME_BYTES, TAG_BYTES
from interop_server.core.limits import Limits
from interop_server.rpc.outbox import Outbox

Stanza = stanza_pb2.Stanza


def stanza(number: int, size: int = 0) -> Stanza:
    """A stanza with that number and about that many bytes."""
    refused = stanza_pb2.StanzaRefused(id=str(number).ljust(size, "."))
    return Stanza(delivery_id=number, stanza_refused=refused)


def read(batch: bytes) -> list[Stanza]:
    return list(stanza_pb2.Batch.FromString(batch).stanzas)


async def next_batch(outbox: Outbox) -> bytes:
    batch = await outbox.next_batch()
    assert batch is not None
    return batch


def drained(outbox: Outbox) -> list[bytes]:
    return list(iter(outbox.take_batch, None))


@given(
    groups=st.lists(st.lists(st.integers(0, 300), max_size=5), max_size=12),
    max_stanzas=st.integers(1, 8),
    max_bytes=st.integers(64, 600),
)
def test_nothing_is_lost_and_every_frame_fits(groups: list[list[int]], max_stanzas: int, max_bytes: int) -> None:
    """All that was added comes out in order, as few frames as fit; only a stanza too large stands alone (CHN-09)."""

    async def story() -> None:
        outbox = Outbox(Limits(max_batch_stanzas=max_stanzas, max_frame_bytes=max_bytes))
        added: list[Stanza] = []
        batches: list[bytes] = []
        for sizes in groups:
            group = [stanza(len(added) + index, size) for index, size in enumerate(sizes)]
            added += group
            adding = asyncio.ensure_future(outbox.add(group))
            await asyncio.sleep(0)
            while not adding.done():
                batches.append(await next_batch(outbox))
                await asyncio.sleep(0)
            await adding
        batches += drained(outbox)
        out = [read(batch) for batch in batches]
        assert [each for batch in out for each in batch] == added
        for batch, plaintext in zip(out, batches, strict=True):
            assert 1 <= len(batch) <= max_stanzas
            assert len(plaintext) + TAG_BYTES <= max_bytes or len(batch) == 1

    asyncio.run(story())


@pytest.mark.requirement("CHN-09")
@pytest.mark.parametrize(
    ("configured", "client_takes", "longest"),
    [(1_000, None, 1_000), (1_000, 600, 600), (600, 1_000, 600), (MAX_FRAME_BYTES, None, (4 << 20) - 64)],
)
def test_a_frame_is_no_longer_than_either_end_takes(configured: int, client_takes: int | None, longest: int) -> None:
    """The least counts: what is configured, what the client has named, and 4 MiB with what gRPC adds."""
    outbox = Outbox(Limits(max_frame_bytes=configured), client_takes)
    assert outbox.max_bytes == longest - TAG_BYTES


async def test_what_waits_shares_a_frame() -> None:
    """Small stanzas do not travel one by one: a frame costs more than a stanza (CHN-09)."""
    outbox = Outbox(Limits(max_batch_stanzas=100))
    for number in range(250):
        await outbox.add([stanza(number)])
    assert [len(read(batch)) for batch in drained(outbox)] == [100, 100, 50]
    assert outbox.take_batch() is None


async def test_the_writer_waits_for_content() -> None:
    """And gets it as soon as it is there; nothing added is no content (CHN-09)."""
    outbox = Outbox(Limits())
    await outbox.add([])
    writer = asyncio.ensure_future(outbox.next_batch())
    await asyncio.sleep(0)
    assert not writer.done()
    await outbox.add([stanza(1)])
    batch = await writer
    assert batch is not None and read(batch) == [stanza(1)]
    again = asyncio.ensure_future(outbox.next_batch())
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again


async def test_whoever_adds_too_much_waits_for_the_client() -> None:
    """Memory is bounded by four full batches and what is being added; then adding waits for reading (MSG-11)."""
    outbox = Outbox(Limits(max_batch_stanzas=2))
    await outbox.add([stanza(number) for number in range(7)])
    await outbox.add([stanza(7)])
    adding = asyncio.ensure_future(outbox.add([stanza(8)]))
    await asyncio.sleep(0)
    assert not adding.done()
    first = outbox.take_batch()
    assert first is not None
    await adding
    assert [each.delivery_id for batch in drained(outbox) for each in read(batch)] == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.requirement("MSG-13")
async def test_much_that_waits_is_bounded_in_bytes_too() -> None:
    """Few stanzas can be long ones."""
    outbox = Outbox(Limits(max_batch_stanzas=1_000, max_frame_bytes=1_000))
    await outbox.add([stanza(number, 900) for number in range(6)])
    adding = asyncio.create_task(outbox.add([stanza(6)]))
    for _ in range(2):
        await asyncio.sleep(0)
        assert not adding.done()
        assert not outbox.offer(stanza(9))
        await next_batch(outbox)
    await asyncio.wait_for(adding, 10)
    assert [each.delivery_id for batch in drained(outbox) for each in read(batch)] == [2, 3, 4, 5, 6]


async def test_what_cannot_wait_is_taken_only_while_there_is_room() -> None:
    """It goes behind what waits, without waiting itself; never past the bound, never behind the last one (MSG-13)."""
    outbox = Outbox(Limits(max_batch_stanzas=1))
    writer = asyncio.ensure_future(outbox.next_batch())
    await asyncio.sleep(0)
    assert outbox.offer(stanza(0))
    assert read(await writer or b"") == [stanza(0)]
    await outbox.add([stanza(number) for number in range(1, 4)])
    assert outbox.offer(stanza(4))
    assert not outbox.offer(stanza(5))
    outbox.take_batch()
    assert outbox.offer(stanza(6))
    outbox.take_batch()
    outbox.finish(stanza(99))
    assert not outbox.offer(stanza(7))
    assert [each.delivery_id for batch in drained(outbox) for each in read(batch)] == [3, 4, 6, 99]


async def test_the_last_stanza_is_the_last() -> None:
    """It needs no room, what waits goes before it, and what is added behind it is not sent."""
    outbox = Outbox(Limits(max_batch_stanzas=1))
    await outbox.add([stanza(number) for number in range(4)])
    outbox.finish(stanza(99))
    batches = [await next_batch(outbox) for _ in range(4)]
    await outbox.add([stanza(5)])
    batches.append(await next_batch(outbox))
    assert [each.delivery_id for batch in batches for each in read(batch)] == [0, 1, 2, 3, 99]
    assert await outbox.next_batch() is None
