"""Batches of stanzas that a client sends, counted before anything is made of them; knows no rule and no store."""

from typing import NamedTuple

from google.protobuf.message import DecodeError

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.rpc.wire_lists import OnlyOnce, TooMany, Unreadable, WireLists

SMALL_BYTES = 2 << 10
"""A frame up to this length cannot hold too many stanzas: the smallest has two bytes."""
STANZA_BYTES, ELEMENT_BYTES = 400, 100
"""What a stanza, and an element of a list inside it, takes up in memory beside its bytes."""
_SPARE = 32_768
"""What the lists in all stanzas of a frame may hold together: many times what right ones do, but for those of numbers,
which cost no more than their bytes. A list that is too long is refused with its stanza."""

_ONLY_ONCE = OnlyOnce(stanza_pb2.Batch.DESCRIPTOR, "stanzas")
_STANZAS = "Batch.stanzas"
_NUMBERS = {"Ack.delivery_ids": 1 << 24}


class Read(NamedTuple):
    """A batch that was read."""

    batch: stanza_pb2.Batch
    held_bytes: int
    """What its objects take up beside their bytes."""


class Batches:
    """Reads batches.

    Args:
        limits: Bound a batch.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_batch_stanzas
        batch, most = stanza_pb2.Batch.DESCRIPTOR, {_STANZAS: self._most}
        self._stanzas = WireLists.of(batch, most, _SPARE, is_deep=False)
        self._lists = WireLists.of(batch, most | _NUMBERS, _SPARE)

    def read(self, plaintext: bytes) -> Read:
        """Reads the plaintext of a sealed frame.

        Raises:
            Refusal: FRAME_MALFORMED or BATCH_TOO_LARGE.
        """
        elements = self._count(plaintext)
        try:
            batch = stanza_pb2.Batch.FromString(plaintext)
        except DecodeError as error:
            raise _malformed() from error
        if not batch.stanzas:
            raise Refusal(Reason.FRAME_MALFORMED, "the batch is empty")
        if len(batch.stanzas) > self._most:
            raise self._too_large()
        return Read(batch, len(batch.stanzas) * STANZA_BYTES + elements * ELEMENT_BYTES)

    def _count(self, plaintext: bytes) -> int:
        """Returns how many elements there are in the lists inside the stanzas; 0 when none has more than one."""
        try:
            if len(plaintext) > SMALL_BYTES:
                self._stanzas.check(plaintext)
            return 0 if _ONLY_ONCE.holds(plaintext) else self._lists.check(plaintext)
        except Unreadable as error:
            raise _malformed() from error
        except TooMany as error:
            if error.path == "stanzas":
                raise self._too_large() from error
            raise Refusal(
                Reason.FRAME_MALFORMED, f"with `{error.path or 'unknown fields'}` the batch holds too much"
            ) from error

    def _too_large(self) -> Refusal:
        return Refusal(Reason.BATCH_TOO_LARGE, f"the limit is {self._most} stanzas")


def _malformed() -> Refusal:
    return Refusal(Reason.FRAME_MALFORMED, "the frame holds no Batch")
