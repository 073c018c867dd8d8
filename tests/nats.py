"""A real NATS server for tests: one for each test that asks, on a free port, and gone with the process that asked.

The binary comes with a package. It writes the ports that it has got into a folder.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from interop_demo.processes import ChildFailed
from tests.bound import bound

_BINARY = Path(sys.executable).with_name("nats-server")


class Server:
    """One server on loopback. It can be killed, stopped for a while, and started again at the same port.

    Args:
        folder: Where it leaves word.
        options: More options of its command line, such as `--user`.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = -1
        """The port; -1 lets the system choose, at the first start."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of its process, which runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, and waits until it takes connections.

        Raises:
            ChildFailed: It does not start.
        """
        log = (self._folder / "nats.log").open("ab")
        where = ("--addr", "127.0.0.1", "--port", str(self.port), "--ports_file_dir", str(self._folder))
        # A session of its own: what is typed at a terminal ends whoever has started it, who ends this.
        self._process = subprocess.Popen(
            bound((str(_BINARY), *where, *self._options)), stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        note = self._folder / f"nats-server_{self._process.pid}.ports"
        while not (note.exists() and note.read_text().endswith("}")):
            if self._process.poll() is not None:
                raise ChildFailed((self._folder / "nats.log").read_text())
        [url] = json.loads(note.read_text())["nats"]
        self.port = int(url.rpartition(":")[2])

    def signal(self, number: int) -> None:
        """Sends it a signal: SIGSTOP, SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def nats_server(options: Sequence[str] = ()) -> Iterator[Server]:
    """Has a server that no other test uses."""
    with tempfile.TemporaryDirectory(prefix="interopsim-nats-") as folder:
        server = Server(Path(folder), options)
        server.start()
        try:
            yield server
        finally:
            server.kill()
