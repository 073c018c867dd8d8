"""Faults as data: what an operator orders, and which orders make sense; knows nobody who carries them out.

Source: SIM-01. The words are those of faults.proto.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from interop_server.core.errors import Reason
from interop_server.core.messages import ReceiptType
from interop_server.core.model import ConnectionMode

ANY_STANZA = "any"
MAX_COPIES = 100
"""Of one stanza or call; policy."""
MAX_BITS = 1_024
"""That are turned over at once; policy."""
MAX_DELAY_MS = 30 * 86_400_000
"""Policy."""
MAX_NUMBER = (1 << 32) - 1
"""Of occurrences, and of bytes."""
MAX_VALUE_BYTES = 2_048
"""Longest key that replaces another; policy."""


class Direction(IntEnum):
    """Which way something goes. Of a call: its request, or its answer, when all it does is done."""

    TO_SERVER = 1
    TO_CLIENT = 2


class Place(Enum):
    """The kind of edge that something passes."""

    CALL = "a call"
    TAKING_KEYS = "a call that takes bundles"
    DOWNLOAD = "a download over gRPC"
    LOGIN = "a login"
    HTTP = "an HTTP request"
    HTTP_DOWNLOAD = "a download over HTTP"
    PARTNER = "a request to a partner's server"
    FROM_CLIENT = "a stanza of a client"
    TO_CLIENT = "a stanza to a client"


class Part(IntEnum):
    """What of a stanza is damaged."""

    CIPHERTEXT = 1
    """The ciphertexts of a message."""
    STANZA = 2
    """All of it, as it is serialised."""


class Ending(IntEnum):
    """How a stream ends."""

    CLEAN = 1
    """With the status OK and no word of why."""
    RESET = 2
    """As when the network breaks."""


class KeyPart(IntEnum):
    """A part of a prekey bundle."""

    IDENTITY_KEY = 1
    SIGNED_PREKEY = 2
    SIGNED_PREKEY_SIGNATURE = 3
    ONE_TIME_PREKEY = 4
    KEM_PREKEY = 5


class Chain(IntEnum):
    """A certificate chain that is not to be trusted."""

    WRONG_ROOT = 1
    WRONG_LEAF = 2
    EXPIRED = 3
    REPLAYED = 4


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuses, for any reason."""

    reason: Reason
    retry_after_ms: int | None = None
    requirement: str = ""
    """Where the reason has none of its own."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Lets it go on later, by the server's clock."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Lets it go on when the operator says so."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Loses it without a word."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Lets it come several times."""

    copies: int = 1
    """Beside the one there is."""


@dataclass(frozen=True, slots=True)
class Reorder:
    """Lets the next stanza overtake it."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Cuts off the end."""

    keep_bytes: int
    part: Part = Part.CIPHERTEXT


@dataclass(frozen=True, slots=True)
class FlipBits:
    """Turns bits over, at places that follow from the seed of the rule."""

    bits: int = 1
    part: Part = Part.CIPHERTEXT


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the stream, or breaks off the call."""

    ending: Ending = Ending.RESET


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Has it done, and loses the answer."""


class Replacement(NamedTuple):
    """What comes in the place of a part of a bundle."""

    part: KeyPart
    value: bytes | None = None
    """None: the part is left out where a bundle can do without it, and has a bit turned over where not."""


@dataclass(frozen=True, slots=True)
class ReplaceKeys:
    """Gives out bundles with other parts."""

    replacements: tuple[Replacement, ...]


@dataclass(frozen=True, slots=True)
class PresentCertificates:
    """Shows a chain that is not to be trusted."""

    chain: Chain


@dataclass(frozen=True, slots=True)
class Forge:
    """Writes something else into a delivery. None leaves it as it is."""

    from_jid: str | None = None
    timestamp_ms: int | None = None
    delivery_id: int | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class ForgeReceipt:
    """Tells the sender of a message of a receipt that its recipient has not sent."""

    type: ReceiptType


@dataclass(frozen=True, slots=True)
class SpoilMedia:
    """Sends other bytes than there are, or sends them slowly. None leaves it as it is."""

    flip_bits: int = 0
    keep_bytes: int | None = None
    extra_bytes: int = 0
    http_status: int | None = None
    chunk_delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A partner's server cannot be reached."""


Action = (
    Refuse
    | Delay
    | Hold
    | Drop
    | Duplicate
    | Reorder
    | Truncate
    | FlipBits
    | Close
    | LoseAnswer
    | ReplaceKeys
    | PresentCertificates
    | Forge
    | ForgeReceipt
    | SpoilMedia
    | Unreachable
)

_SLOW = (Delay, Hold)
_CALLS = (Refuse, *_SLOW, Drop, Duplicate, Close, LoseAnswer)
_HTTP = (Refuse, *_SLOW, Drop, Close, LoseAnswer)
_STANZAS = (*_SLOW, Drop, Duplicate, Reorder, Truncate, FlipBits, Close)
FITTING: Mapping[Place, tuple[type, ...]] = {
    Place.CALL: _CALLS,
    Place.TAKING_KEYS: (*_CALLS, ReplaceKeys),
    Place.DOWNLOAD: (Refuse, *_SLOW, Drop, Close, SpoilMedia),
    Place.LOGIN: (Refuse, *_SLOW, Close, PresentCertificates),
    Place.HTTP: _HTTP,
    Place.HTTP_DOWNLOAD: (Refuse, *_SLOW, Drop, Close, SpoilMedia),
    Place.PARTNER: (*_SLOW, Unreachable),
    Place.FROM_CLIENT: (Refuse, *_STANZAS, LoseAnswer, ForgeReceipt),
    Place.TO_CLIENT: (*_STANZAS, Forge),
}
"""What can be done where."""
ON_ANSWERS = (Refuse, *_SLOW, Drop, Close, LoseAnswer)
"""What can be done to the answer of a call, when all that it does is done."""
ANSWERED = (Place.CALL, Place.TAKING_KEYS, Place.HTTP)


@dataclass(frozen=True, slots=True)
class FaultMatch:
    """What a rule is about: everything that is said must fit."""

    call: str = ""
    stanza: str = ""
    direction: Direction | None = None
    actor: str = ""
    peer: str = ""
    integrator: int = 0
    mode: ConnectionMode | None = None
    requirement: str = ""
    nth: int = 1
    """The first match that counts, from 1."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault."""

    name: str
    match: FaultMatch
    action: Action
    times: int | None = None
    """How often it is done; None for every time."""
    chance_percent: int = 100
    seed: int | None = None

    @property
    def direction(self) -> Direction:
        """Which way what it is about goes."""
        assert self.match.direction is not None, "a checked rule says it"
        return self.match.direction

    def drawn(self, purpose: str, number: int, below: int) -> int:
        """Returns a number from 0 up to a bound that follows from the seed alone."""
        text = f"{self.seed or 0}\0{self.name}\0{purpose}\0{number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()) % below


class Catalogue(NamedTuple):
    """What there is on the edges of this server."""

    calls: Mapping[str, Place]
    stanzas: Mapping[str, frozenset[Direction]]
    """The ways that stanzas of a kind go."""
    requirements: frozenset[str]


def word_of(action: Action) -> str:
    """Returns the name of an action, as faults.proto has it: `lose_answer`."""
    return word_of_kind(type(action))


def word_of_kind(kind: type) -> str:
    """Returns the name of a kind of action."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).removeprefix("_")
