"""How much may be under way at once, of each kind and for each caller; knows no service and no stream."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits, about


class Claim(NamedTuple):
    """A seat that a call needs."""

    limit: str
    """Name of the limit that says how many there are."""
    holder: Hashable
    """Whose they are: an account, an address, or all."""


class Seats:
    """Counts what is under way, and refuses one too many: nothing ever waits for a seat.

    Args:
        limits: Say how many seats there are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: Counter[Claim] = Counter()

    @contextmanager
    def taken(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Takes a seat of each kind for the time of the block.

        Raises:
            Refusal: RATE_LIMITED when one of them is not free; none is taken then.
        """
        for claim in claims:
            if self._taken[claim] >= getattr(self._limits, claim.limit):
                raise self._refusal(claim.limit)
        self._taken.update(claims)
        try:
            yield
        finally:
            self._taken.subtract(claims)
            for claim in claims:
                if not self._taken[claim]:
                    del self._taken[claim]

    def _refusal(self, limit: str) -> Refusal:
        known = about(limit)
        detail = f"no more than {getattr(self._limits, limit):,} {known.purpose}"
        return Refusal(Reason.RATE_LIMITED, detail, SECOND_MS, requirement=known.requirements[0])


def transfer_from(address: str) -> tuple[Claim, ...]:
    """Returns the seats of a download or upload, apart from those of an account.

    Args:
        address: Where it comes from, as rate limits count addresses (PRX-07).
    """
    return (Claim("address_transfers", address), Claim("transfers", None))
