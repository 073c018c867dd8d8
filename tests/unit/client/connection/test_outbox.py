"""Batching loses nothing, keeps the order and the limits, and holds back whoever sends faster than the wire."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import stanza_pb2
from interop_client.connection.outbox import Outbox
from interop_client.errors import ConnectionEnded
from interop_protocol.sizes import TAG_BYTES


def message(number: int, size: int = 0) -> stanza_pb2.Stanza:
    return stanza_pb2.Stanza(message=stanza_pb2.Message(id=str(number), enc=[stanza_pb2.Enc(ciphertext=bytes(size))]))


def ids(batch: bytes) -> list[int]:
    return [int(stanza.message.id) for stanza in stanza_pb2.Batch.FromString(batch).stanzas]


@given(
    chunks=st.lists(st.lists(st.integers(0, 300), max_size=20), max_size=12),
    max_batch_stanzas=st.integers(1, 12),
    max_frame_bytes=st.integers(400, 1200),
)
def test_everything_arrives_once_in_order_and_within_the_limits(
    chunks: list[list[int]], max_batch_stanzas: int, max_frame_bytes: int
) -> None:
    limits = stanza_pb2.ChannelLimits(max_batch_stanzas=max_batch_stanzas, max_frame_bytes=max_frame_bytes)

    async def scenario() -> None:
        outbox, batches = Outbox(limits), []

        async def drain() -> None:
            while (batch := await outbox.next_batch()) is not None:
                batches.append(batch)
                await asyncio.sleep(0)

        drained = asyncio.create_task(drain())
        number = 0
        for sizes in chunks:
            await outbox.add(*(message(number + index, size) for index, size in enumerate(sizes)))
            number += len(sizes)
        outbox.end(ConnectionEnded("CLOSED"))
        await drained
        assert [stanza_id for batch in batches for stanza_id in ids(batch)] == list(range(number))
        assert all(1 <= len(ids(batch)) <= max_batch_stanzas for batch in batches)
        assert all(len(batch) + TAG_BYTES <= max_frame_bytes for batch in batches)

    asyncio.run(scenario())


async def test_all_that_waits_shares_one_frame() -> None:
    outbox = Outbox(stanza_pb2.ChannelLimits())
    await outbox.add(message(1), message(2))
    await outbox.add(message(3))
    batch = await outbox.next_batch()
    assert batch is not None and ids(batch) == [1, 2, 3]


async def test_adding_waits_while_four_batches_wait() -> None:
    outbox = Outbox(stanza_pb2.ChannelLimits(max_batch_stanzas=2))
    adding = asyncio.create_task(outbox.add(*map(message, range(9))))
    await asyncio.sleep(0)
    assert not adding.done()
    assert await outbox.next_batch() is not None
    await adding


async def test_large_stanzas_wait_as_well() -> None:
    """Not only their number is bounded: four frames' worth of bytes is as much as may wait."""
    outbox = Outbox(stanza_pb2.ChannelLimits(max_batch_stanzas=1000, max_frame_bytes=1000))
    adding = asyncio.create_task(outbox.add(*(message(number, 900) for number in range(6))))
    await asyncio.sleep(0)
    assert not adding.done()
    for _ in range(3):
        assert await outbox.next_batch() is not None
    await adding


async def test_a_stanza_that_fits_no_frame_is_refused() -> None:
    outbox = Outbox(stanza_pb2.ChannelLimits(max_frame_bytes=500))
    with pytest.raises(ValueError, match="a frame holds 484"):
        await outbox.add(message(1, 500))


async def test_the_end_frees_whoever_waits_and_leaves_what_was_added() -> None:
    outbox = Outbox(stanza_pb2.ChannelLimits(max_batch_stanzas=1))
    adding = asyncio.create_task(outbox.add(*map(message, range(6))))
    await asyncio.sleep(0)
    outbox.end(ConnectionEnded("CONNECTION_REPLACED"))
    outbox.end(ConnectionEnded("CLOSED"))
    with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
        await adding
    left = []
    while (batch := await outbox.next_batch()) is not None:
        left += ids(batch)
    assert left == [0, 1, 2, 3]
    with pytest.raises(ConnectionEnded, match="CONNECTION_REPLACED"):
        await outbox.add(message(7))
