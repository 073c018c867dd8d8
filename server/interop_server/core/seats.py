"""How much may be under way at once, of each kind and for each caller; knows no service and no stream."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import NamedTuple, Self

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

    def taken(self, claims: Sequence[Claim]) -> "Taken":
        """Takes a seat of each kind.

        Raises:
            Refusal: RATE_LIMITED when one of them is not free; none is taken then.
        """
        for claim in claims:
            if self._taken[claim] >= getattr(self._limits, claim.limit):
                raise self._refusal(claim.limit)
        self._taken.update(claims)
        return Taken(self, claims)

    def _free(self, claims: Sequence[Claim]) -> None:
        self._taken.subtract(claims)
        for claim in claims:
            if not self._taken[claim]:
                del self._taken[claim]

    def _refusal(self, limit: str) -> Refusal:
        known = about(limit)
        detail = f"no more than {getattr(self._limits, limit):,} {known.purpose}"
        return Refusal(Reason.RATE_LIMITED, detail, SECOND_MS, requirement=known.requirements[0])


class Taken:
    """Seats that are taken. A context manager: at its end they are free, unless somebody keeps them."""

    __slots__ = ("_claims", "_seats")

    def __init__(self, seats: Seats, claims: Sequence[Claim]) -> None:
        self._seats = seats
        self._claims = claims

    def keep(self) -> Callable[[], None]:
        """Leaves them taken at the end of the block; call what is returned when they are to be free."""
        claims, self._claims = self._claims, ()
        return partial(self._seats._free, claims)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._seats._free(self._claims)


def transfer_from(address: str) -> tuple[Claim, ...]:
    """Returns the seats of a download or upload, apart from those of an account.

    Args:
        address: Where it comes from, as rate limits count addresses (PRX-07).
    """
    return (Claim("address_transfers", address), Claim("transfers", None))


def proxied_from(address: str) -> tuple[Claim, ...]:
    """Returns the seat of a download that a partner's media server sends, beside those of every download.

    Without it one address, with fewer transfers than it may have, would take all that may be asked of those servers.
    """
    return (Claim("address_partner_media", address),)
