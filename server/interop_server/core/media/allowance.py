"""What one account may store in a time: each upload takes all that it may need, and gives back what it did not store.

Else one account could fill the disk that everybody's messages are on: nothing else bounds the sum of its blobs
(MED-07).
"""

from dataclasses import dataclass, field

from interop_server.core.limits import LEAST_UPLOAD_BYTES
from interop_server.core.ratelimit import SharedRate


@dataclass(slots=True)
class Allowance:
    """What one upload has taken of its owner's rate."""

    rate: SharedRate
    owner_id: int
    _taken: int = field(init=False, default=0)

    async def take(self, most: int) -> None:
        """Takes what the upload may store at most, in bytes.

        Raises:
            Refusal: RATE_LIMITED with the delay after which it will be there, or STORAGE_UNAVAILABLE.
        """
        amount = max(most, LEAST_UPLOAD_BYTES)
        await self.rate.require(self.owner_id, amount)
        self._taken = amount

    async def settle(self, stored: int | None) -> None:
        """Gives back what was not needed; only the first call does.

        Args:
            stored: How many bytes the upload has stored. None where it leaves nothing behind.

        Raises:
            Refusal: STORAGE_UNAVAILABLE.
        """
        needed = 0 if stored is None else max(stored, LEAST_UPLOAD_BYTES)
        unused, self._taken = self._taken - needed, 0
        if unused > 0:
            await self.rate.give_back(self.owner_id, unused)
