"""What an operator may choose, as one object; knows nothing of flags and of what the choices lead to."""

from dataclasses import dataclass, field
from pathlib import Path

from interop_server.core.enlistment.location import Anywhere, LocationPolicy
from interop_server.core.journal import DEFAULT_NODE
from interop_server.core.limits import Limits


@dataclass(frozen=True, slots=True)
class Config:
    """One server's configuration. The defaults start it on loopback with a store that is gone at exit."""

    grpc_address: str = "127.0.0.1:4460"
    """Where clients connect: `host:port`; port 0 lets the system choose."""
    admin_address: str = "127.0.0.1:4461"
    """Where the operator's calls go; anyone who reaches it controls the simulator."""
    http_address: str = "127.0.0.1:4462"
    """Where the documented HTTP surface is served."""
    db: Path | None = None
    """The database file to keep; None for a fresh one in a temporary folder. Blobs lie beside it, in `{db}.blobs`."""
    journal: Path | None = None
    """A file that every decision is appended to; None keeps the newest in memory only."""
    freeze_at_ms: int | None = None
    """Where the clock stands still from the start: milliseconds since the UNIX epoch; None lets it run."""
    seed: int | None = None
    """Makes every id and key that the server gives out follow from it: reproducible, hence no secret. None: random."""
    location: LocationPolicy = field(default_factory=Anywhere)
    """Where third-party users may be (ENL-16)."""
    limits: Limits = field(default_factory=Limits)
    grace_seconds: float = 2.0
    """How long a stopping server lets calls finish."""
    node: str = DEFAULT_NODE
    """What this process is called in its journal: 1 to 32 letters, digits and hyphens."""
