"""The operator's choices, as one object; knows neither the flags that set them nor the code that uses them."""

from dataclasses import dataclass, field
from pathlib import Path

from interop_server.core.enlistment.location import Anywhere, LocationPolicy
from interop_server.core.fault_rules import FaultRule
from interop_server.core.limits import Limits
from interop_server.core.newest import DEFAULT_NODE


@dataclass(frozen=True, slots=True)
class Config:
    """One server's configuration. The defaults start it on loopback with a store that is deleted at exit."""

    grpc_address: str = "127.0.0.1:4460"
    """Address for clients: `host:port`; port 0 lets the system choose."""
    admin_address: str = "127.0.0.1:4461"
    """Address for the operator's calls; any client that reaches it controls the simulator."""
    http_address: str = "127.0.0.1:4462"
    """Address of the documented HTTP surface."""
    db: Path | None = None
    """The database file to keep; None for a fresh one in a temporary folder. Blobs lie beside it, in `{db}.blobs`."""
    journal: Path | None = None
    """The file to which every decision is appended; None keeps the newest in memory only."""
    freeze_at_ms: int | None = None
    """The time at which the clock stands still from the start: milliseconds since the UNIX epoch; None lets it run."""
    seed: int | None = None
    """Derives every id and key that the server makes: reproducible, hence not secret. None makes them random."""
    location: LocationPolicy = field(default_factory=Anywhere)
    """Where third-party users may be (ENL-16)."""
    faults: tuple[FaultRule, ...] = ()
    """What the server does wrong on purpose, from the start."""
    require_fired: bool = False
    """Whether the process fails at its end when a fault never did anything."""
    limits: Limits = field(default_factory=Limits)
    grace_seconds: float = 2.0
    """How long a stopping server lets calls finish."""
    node: str = DEFAULT_NODE
    """The name of this process in its journal: 1 to 32 letters, digits and hyphens."""
    trace: bool = False
    """Whether what goes over chat channels is recorded although nobody follows it."""
