"""What the rules need from outside but the store, as small interfaces by noun; knows no implementation."""

from collections.abc import AsyncIterator, Mapping, Set
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator
from interop_server.core.model import ConnectionFacts, ConnectionMode, Partner, PreKeyCounts, PreKeyKind


class Clock(Protocol):
    """The only source of time."""

    def now_ms(self) -> int:
        """Milliseconds since the UNIX epoch; never less than before."""
        ...

    async def sleep(self, seconds: float, slack_seconds: float = 0.0) -> None:
        """Returns when this clock has advanced by that much.

        Args:
            seconds: How long.
            slack_seconds: How much later a leap of this clock may end the sleep, so that one waking serves for many;
                may be infinite. Time that runs by itself ends it when it is due.
        """
        ...


class MovableClock(Clock, Protocol):
    """A clock that an operator moves. What fires is returned as how often, by name, in the order of the first time."""

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still until it is advanced."""
        ...

    async def freeze(self, at_ms: int | None = None) -> dict[str, int]:
        """Lets time stand still, and first advances it to a given time.

        Raises:
            ValueError: That time has passed, or lies after the last one.
        """
        ...

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward; returns when everything that fell due has fired and done its work.

        Raises:
            ValueError: It leads backwards, or past the last time.
        """
        ...

    async def resume(self) -> None:
        """Lets time run on from where it stands."""
        ...


class Rng(Protocol):
    """The only source of randomness."""

    def token_bytes(self, length: int) -> bytes:
        """That many random bytes."""
        ...

    def number(self, low: int, high: int) -> int:
        """A random number from low to high, both included."""
        ...


class TokenHeader(NamedTuple):
    """What a token says of itself before anything of it is verified."""

    algorithm: str
    key_id: str
    """Empty when absent."""
    issuer: str
    """Empty when absent or not a string."""


class TokenReader(Protocol):
    """Reads partner tokens."""

    def peek(self, token: str) -> TokenHeader:
        """Reads without verifying.

        Raises:
            Refusal: TOKEN_MALFORMED.
        """
        ...

    def key_ids(self, jwks: str) -> list[str]:
        """Ids of the usable keys in a key set: RSA of at least 2,048 bits, RS256, `use` sig (ENL-04, ENL-05).

        Raises:
            Refusal: JWKS_UNAVAILABLE when the text is no key set.
        """
        ...

    def verify(self, token: str, jwks: str) -> Mapping[str, object]:
        """Verifies the RS256 signature under the key that `kid` names and returns the claims.

        Raises:
            Refusal: TOKEN_ALGORITHM_REFUSED, TOKEN_KEY_UNKNOWN, TOKEN_SIGNATURE_INVALID or TOKEN_MALFORMED.
        """
        ...


class JwksSource(Protocol):
    """Fetches partners' key sets."""

    async def fetch(self, partner: Partner) -> str:
        """The key set as JSON text.

        Raises:
            Refusal: JWKS_UNAVAILABLE with what went wrong.
        """
        ...


class ConnectionSignals(Protocol):
    """What is known of the connections of this node beside what is said on them (PRX-05)."""

    def facts_of(self, account_id: int) -> ConnectionFacts | None:
        """Of an account's connection; None when it has none."""
        ...

    def facts(self) -> list[ConnectionFacts]:
        """Of all connections, by JID."""
        ...


class Connections(ConnectionSignals, Protocol):
    """The connections of this node."""

    def wake(self, account_id: int) -> bool:
        """Tells a connection that its mailbox has something; False when the account is not connected."""
        ...

    def connected(self) -> Set[int]:
        """Ids of the accounts that are connected now."""
        ...

    def end(self, account_id: int, reason: Reason) -> None:
        """Ends the account's connection, if any, with a stream error."""
        ...

    def end_partner(self, integrator: int, reason: Reason, mode: ConnectionMode | None = None) -> None:
        """Ends the connections of a partner's users, or those of one mode, as `end` does."""
        ...

    def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        """Notes since when the end client behind the account's connection, if any, is closed; None: it is open."""
        ...

    def show(self, account_id: int, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        """Shows what the sender is doing; False when the account is not connected, or reads too slowly (MSG-13)."""
        ...

    def notify_prekeys_low(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Tells the account, if connected, that few prekeys of these kinds are left (KEY-09).

        Not when it was told of all these kinds since their last refill.
        """
        ...

    def prekeys_refilled(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        """Allows the next notice of these kinds."""
        ...


class PushGateway(Protocol):
    """Tells a partner's server that one of its users should connect."""

    def notify(self, integrator: int, external_id: str) -> None:
        """Queues a push; never waits, coalesces per user (LIF-02)."""
        ...


class BlobWriter(Protocol):
    """An upload in progress."""

    @property
    def committed_bytes(self) -> int:
        """How many bytes are written."""
        ...

    async def write(self, chunk: bytes | memoryview) -> None:
        """Appends."""
        ...

    async def sha256(self) -> bytes:
        """Hash of all that was written, also before a resumption: 32 bytes."""
        ...

    async def commit(self) -> None:
        """Makes the blob durable under its name and closes."""
        ...

    async def suspend(self) -> None:
        """Closes, keeping what was written for a resumption."""
        ...

    async def discard(self) -> None:
        """Closes and forgets what was written."""
        ...


class BlobReader(Protocol):
    """A stored blob."""

    @property
    def length(self) -> int:
        """In bytes."""
        ...

    def chunks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """The bytes from offset on, that many, in chunks of at most 1 MiB."""
        ...


class BlobStore(Protocol):
    """Where ciphertext blobs lie, by name (the hex SHA-256 that they must have)."""

    async def open_writer(self, name: str) -> BlobWriter:
        """Opens a new upload, or the suspended one of that name, at its end.

        Raises:
            BlockingIOError: Somebody else is writing it.
        """
        ...

    async def committed_bytes(self, name: str) -> int:
        """How much of an unfinished upload is kept."""
        ...

    async def open_reader(self, name: str) -> BlobReader | None: ...  # noqa: D102

    async def delete(self, name: str) -> None: ...  # noqa: D102

    async def oldest_upload_ms(self) -> int | None:
        """When the unfinished upload that was left alone longest was last touched; None when there is none."""
        ...

    async def delete_stale_uploads(self, before_ms: int, most: int) -> int:
        """Deletes at most that many unfinished uploads untouched since then, and returns how many."""
        ...


class PartnerMedia(NamedTuple):
    """A blob as it streams from a partner's server."""

    total_bytes: int | None
    """Length of the whole blob; None when the server does not say."""
    offset: int
    chunks: AsyncIterator[bytes]
    """Raises Refusal PARTNER_MEDIA_UNAVAILABLE or BLOB_TOO_LARGE when the server fails on the way."""


class PartnerMediaSource(Protocol):
    """Fetches blobs from partners' media servers (MED-02, MED-03)."""

    def fetch(
        self, media_url: str, storage_reference: str, offset: int, length: int | None
    ) -> AbstractAsyncContextManager[PartnerMedia]:
        """GETs `{media_url}/{storage_reference}`; asks only that host and follows no redirect.

        Raises:
            Refusal: BLOB_NOT_FOUND, PARTNER_MEDIA_UNAVAILABLE, RANGE_INVALID or BLOB_TOO_LARGE.
        """
        ...
