"""Which process holds a TCP port of this machine, as Linux tells it; on other systems nobody knows."""

from contextlib import suppress
from pathlib import Path

from interop_protocol.printable import printable

_LISTENS = "0A"
_PROC = Path("/proc")


def holder_of(port: int) -> str | None:
    """Returns words for the process that listens on a port; None when that cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return None
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has gone, or is another user's
            for descriptor in (process / "fd").iterdir():
                if _target(descriptor) in sockets:
                    name = (process / "comm").read_text(errors="replace").strip()
                    return f"process {process.name}, {printable(name)}, has it"
    return "a process of another user has it"


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _listening(port: int) -> set[str]:
    """Returns the inodes of the sockets that listen on a port."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for row in (_PROC / table).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes
