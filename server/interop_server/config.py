"""The operator's choices, as one object; knows neither the flags that set them nor the code that uses them."""

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interop_server.core.enlistment.location import Anywhere, LocationPolicy
from interop_server.core.fault_rules import FaultRule
from interop_server.core.limits import Limits
from interop_server.core.newest import DEFAULT_NODE

if TYPE_CHECKING:
    from interop_server.nodes.address import BusAddress
    from interop_server.storage import StoreAddress
    from interop_server.workbench import WorkbenchChoice


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files for TLS, as PEM. Without files, certificates are made at each start."""

    certificate: Path
    """The server's certificate, with those that lead to one that clients trust, which comes last."""
    key: Path


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
    _: KW_ONLY
    store: "StoreAddress | None" = None
    """The database on a server that is used in place of a file."""
    bus: "BusAddress | None" = None
    """Where this process meets others that have the same store, as nodes of one world; None for one that is alone."""
    blobs: Path | str | None = None
    """Where blobs are kept: a folder, or a URL in an object store. None: with the file, or in a temporary folder."""
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
    until_stdin_ends: bool = False
    """Whether the end of standard input stops the process, as a signal does."""
    limits: Limits = field(default_factory=Limits)
    grace_seconds: float = 2.0
    """How long a stopping server lets calls finish."""
    node: str = DEFAULT_NODE
    """The name of this process in its journal: 1 to 32 letters, digits and hyphens."""
    tls: bool | TlsFiles = False
    """Whether all surfaces speak TLS: with these files, or with certificates that are made at the start."""
    allow_remote: bool = False
    """Whether addresses that other machines reach are meant; then admin calls need a token."""
    name: str | None = None
    """What other commands of the same user call this process; None for its number."""
    trace: bool = False
    """Whether what goes over chat channels is recorded although nobody follows it."""
    workbench: "WorkbenchChoice | None" = None
    """Who and what is wanted beside the server: people to talk to, a page to look at."""
    otlp_url: str | None = None
    """The address of an OpenTelemetry collector that gets spans, by OTLP over HTTP; None makes none."""
    metrics_address: str | None = None
    """Address at which what is counted is served in the form of Prometheus; None serves it nowhere."""
