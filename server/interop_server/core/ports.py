"""What the rules need from outside, except the store: small interfaces by noun; knows no implementation."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator, Stored
from interop_server.core.model import ConnectionFacts, ConnectionMode, Partner, PreKeyCounts, PreKeyKind


class Clock(Protocol):
    """The only source of time."""

    def now_ms(self) -> int:
        """Milliseconds since the UNIX epoch; never less than before."""
        ...

    async def sleep(self, seconds: float, slack_seconds: float = 0.0) -> None:
        """Returns when this clock has advanced by a duration.

        Args:
            seconds: The duration.
            slack_seconds: How much later a leap of this clock may end the sleep, so that one wake-up serves many
                sleepers; may be infinite. Time that runs by itself ends the sleep on time.
        """
        ...


class ClockMove(NamedTuple):
    """A move of the clock that is under way."""

    from_ms: int
    to_ms: int
    work: str = ""
    """What was done last on the way: the name of a timer. Empty before anything is."""
    done: int = 0
    """How many items that timer has dealt with in a row."""


class MovableClock(Clock, Protocol):
    """A clock that an operator moves. Calls return how often each timer fired, by name, in order of first firing."""

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still until an operator advances it."""
        ...

    @property
    def ahead_ms(self) -> int:
        """How far the clock runs ahead of the machine's; 0 while it stands still."""
        ...

    @property
    def move(self) -> ClockMove | None:
        """The move that is under way; None when the clock is not being moved."""
        ...

    async def freeze(self, at_ms: int | None = None) -> dict[str, int]:
        """Stops the clock, after it is advanced to a given time.

        Raises:
            ValueError: That time has passed, or lies after the last possible time.
        """
        ...

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward; returns when all timers that fell due have fired and finished their work.

        Raises:
            ValueError: It leads backwards, or past the last possible time.
        """
        ...

    async def resume(self) -> None:
        """Lets the clock run on from its present time."""
        ...


class Rng(Protocol):
    """The only source of randomness."""

    def token_bytes(self, length: int) -> bytes:
        """Returns that many random bytes."""
        ...

    def number(self, low: int, high: int) -> int:
        """Returns a random number from low to high, both included."""
        ...


class TokenHeader(NamedTuple):
    """What a token claims before it is verified."""

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
            Refusal: JWKS_UNAVAILABLE when the text is not a key set.
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
        """Returns the key set as JSON text.

        Raises:
            Refusal: JWKS_UNAVAILABLE with the failure.
        """
        ...


class ConnectionSignals(Protocol):
    """Facts about the connections of this node, apart from what clients send on them (PRX-05)."""

    def facts_of(self, account_id: int) -> ConnectionFacts | None:
        """Returns facts about an account's connection; None without a connection."""
        ...

    def facts(self) -> list[ConnectionFacts]:
        """Returns facts about all connections, by JID."""
        ...


class Connections(ConnectionSignals, Protocol):
    """The connections of this node."""

    def wake(self, account_id: int) -> bool:
        """Tells a connection that its mailbox has new items; False when the account is not connected."""
        ...

    def hand_over(self, account_id: int, arrived: Sequence[Stored]) -> bool:
        """Gives a connection what was stored in its mailbox just now, in order: then it need not look.

        What it does not take, it finds there. False when the account is not connected.
        """
        ...

    def connected(self) -> Set[int]:
        """Returns the ids of the accounts that are connected now."""
        ...

    def end(self, account_id: int, reason: Reason) -> None:
        """Ends the account's connection, if any, with a stream error."""
        ...

    def end_partner(self, integrator: int, reason: Reason, mode: ConnectionMode | None = None) -> None:
        """Ends the connections of a partner's users, or only those of one mode, as `end` does."""
        ...

    def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        """Records since when the end client behind an account's connection, if any, is closed; None means open."""
        ...

    def show(self, account_id: int, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        """Shows what the sender is doing; False when the account is not connected, or reads too slowly (MSG-13)."""
        ...

    def notify_prekeys_low(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Tells the account, if connected, that few prekeys of these kinds are left (KEY-09).

        Does nothing when the account was notified of all these kinds since their last refill.
        """
        ...

    def prekeys_refilled(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        """Allows the next notification of these kinds."""
        ...


class PushGateway(Protocol):
    """Tells a partner's server that one of its users should connect."""

    def notify(self, integrator: int, stated_id: str) -> None:
        """Queues a push; never waits, and merges pushes to the same user (LIF-02).

        Args:
            integrator: The partner.
            stated_id: Its user, as it stated the identifier itself.
        """
        ...


class BlobWriter(Protocol):
    """An upload in progress.

    Calls raise Refusal STORAGE_UNAVAILABLE where the store fails, and UPLOAD_OFFSET_MISMATCH where another node has
    gone on with the upload.
    """

    @property
    def committed_bytes(self) -> int:
        """Returns how many bytes are written."""
        ...

    async def write(self, chunk: bytes | memoryview) -> None:
        """Appends a chunk."""
        ...

    async def sha256(self) -> bytes:
        """Returns the hash of all bytes, also of those written before a resumption: 32 bytes."""
        ...

    async def commit(self) -> None:
        """Makes the blob durable under its name and closes."""
        ...

    async def suspend(self) -> None:
        """Closes, and keeps the written bytes for a resumption."""
        ...

    async def discard(self) -> None:
        """Closes, and deletes the written bytes."""
        ...


class BlobReader(Protocol):
    """A stored blob."""

    @property
    def length(self) -> int:
        """Length of the blob in bytes."""
        ...

    def chunks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yields that many bytes from an offset on, in chunks of at most 1 MiB."""
        ...


class BlobStore(Protocol):
    """Stores ciphertext blobs by name: 64 hexadecimal digits that tell nothing of owner or content."""

    @property
    def is_shared(self) -> bool:
        """Returns whether other processes store blobs there, too: what follows then holds for all of them together."""
        ...

    async def open_writer(self, name: str) -> BlobWriter:
        """Opens a new upload, or the suspended one of that name, at its end.

        Raises:
            BlockingIOError: Another caller is writing it.
        """
        ...

    async def committed_bytes(self, name: str) -> int:
        """Returns how many bytes of an unfinished upload are kept."""
        ...

    async def open_reader(self, name: str) -> BlobReader | None: ...  # noqa: D102

    def hold(self, name: str) -> AbstractAsyncContextManager[None]:
        """Waits until nobody else holds the name, and holds it: file and row then change as one.

        Raises `Refusal` STORAGE_UNAVAILABLE at the end where it was not held all the time: then nobody may be told that
        what was done is done.
        """
        ...

    async def delete(self, name: str, before_ms: int | None = None) -> bool:
        """Deletes a blob, and says whether it did; with a time, only what was stored before then."""
        ...

    async def list_stored(self) -> dict[str, int]:
        """Returns all blobs but those that are held, each with the time at which it was stored."""
        ...

    async def oldest_upload_ms(self) -> int | None:
        """Returns the time of the last change of the unfinished upload that is untouched longest; None without one."""
        ...

    async def delete_stale_uploads(self, before_ms: int, most: int) -> int:
        """Deletes at most that many unfinished uploads untouched since then, and returns how many."""
        ...


class SharedHolds(Protocol):
    """Names that one process holds at a time, of all that make up one world. Who ends, however, holds none any more.

    A process asks for a name that it does not hold: in itself it keeps order by other means. Calls raise Refusal
    STORAGE_UNAVAILABLE while what they need is out of reach.
    """

    async def take(self, kind: str, name: str, *, waits: bool = False) -> bool:
        """Takes a name, and says whether it was free.

        Args:
            kind: What it is a name of: those of different kinds have nothing to do with each other.
            name: 16 hexadecimal digits or more, of which the first are unlike those of others.
            waits: Whether to wait for it, for seconds at most, while another process holds it.
        """
        ...

    async def let_go(self, kind: str, name: str) -> bool:
        """Lets go of a name, and says whether it was held all the time."""
        ...

    async def held(self, kind: str, names: Collection[str]) -> set[str]:
        """Returns those of the names that some process holds."""
        ...


class PartnerMedia(NamedTuple):
    """A blob that streams from a partner's server."""

    total_bytes: int | None
    """Length of the whole blob; None when the server does not say."""
    offset: int
    chunks: AsyncIterator[bytes]
    """Raises Refusal PARTNER_MEDIA_UNAVAILABLE or BLOB_TOO_LARGE when the server fails during the stream."""


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
