"""How much memory a server has at most during an attack; Linux only."""

from pathlib import Path

from interop_demo.processes import Child


class PeakMemory:
    """The peak of a running server's resident memory, from when this is made."""

    def __init__(self, server: Child) -> None:
        self._process = Path(f"/proc/{server.ready['pid']}")
        (self._process / "clear_refs").write_text("5")  # begins the peak anew

    def megabytes(self) -> float:
        """Returns the peak until now."""
        [line] = [line for line in (self._process / "status").read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
