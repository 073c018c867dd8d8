"""Object stores for tests: an S3 server in a child process, which can be killed, stopped and started again."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from interop_demo.processes import ChildFailed
from tests.bound import bound
from tests.proxy import Proxy, to_port

ACCESS_KEY, SECRET_KEY = "AKIAINTEROPSIMTEST", "a secret that stands nowhere else"
_buckets = itertools.count(1)


class S3Server:
    """A server on loopback, on a port that the system chose and that it keeps.

    Args:
        journal: Where it keeps what it has acknowledged; without, all is gone when it is killed.
        environment: Variables besides those of this process.
    """

    def __init__(self, journal: Path | None = None, environment: dict[str, str] | None = None) -> None:
        self._journal = journal
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port, from the first start on."""
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def journal(self) -> Path:
        assert self._journal is not None
        return self._journal

    def start(self) -> None:
        """Starts it, and returns when it answers.

        Raises:
            ChildFailed: It does not start.
        """
        journal = () if self._journal is None else ("--journal", str(self._journal))
        self._process = subprocess.Popen(
            bound((sys.executable, "-m", "tests.s3_server", "--port", str(self._port), *journal)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self._environment},
            cwd=Path(__file__).parent.parent,
            start_new_session=True,  # what is typed at a terminal ends whoever has started it, who ends this
        )
        assert self._process.stdout is not None
        if not (ready := self._process.stdout.readline()):
            raise ChildFailed("the S3 server has ended: `python -m tests.s3_server` says why")
        self._port = json.loads(ready)["port"]

    def kill(self) -> None:
        """Kills it."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process = None

    def stop(self) -> None:
        """Has it stand still, with its connections open."""
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends that."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """Kills it if it runs."""
        if self._process is not None:
            self.kill()

    def new_bucket(self) -> str:
        """Makes a bucket like no other and returns its name."""
        name = f"bucket-{next(_buckets)}"
        self.make_bucket(name)
        return name

    def make_bucket(self, name: str) -> None:
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def environment(self) -> dict[str, str]:
        """Variables by which a simulator finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sets these variables in this process."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An object store for all tests of this process, each of which makes a bucket of its own there."""
    server = S3Server()
    server.start()
    yield server
    server.close()


def sizes_of_blob(url: str, environment: Mapping[str, str], name: str) -> list[int]:
    """Returns how long the objects of a blob are, in a place that a simulator keeps blobs in."""
    options: dict[str, Any] = {} if url.startswith("file") else {"client_options": {"allow_http": True}}
    store = from_url(url, config=environment, **options) if environment else from_url(url, **options)
    return [each["size"] for batch in obstore.list(store, f"blobs/{name}") for each in batch]


class CuttingProxy(Proxy):
    """Stands before an S3 server, and breaks off answers as it is told.

    Args:
        server: The server.
    """

    def __init__(self, server: S3Server) -> None:
        super().__init__(to_port(lambda: server.port))
        self.most_bytes: int | None = None
        """How many bytes of an answer pass before its connection is cut; None for all."""
        self.cuts = 0
        """How many more connections are cut."""
        self.has_cut = 0
        """How many were."""
        self.is_forgetful = False
        """Whether the server is not told what it must not overwrite, as servers are that do not know that header."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands on what the server says, to the end of it or to where it is cut."""
        passed = 0
        while chunk := await reader.read(1 << 16):
            passed += len(chunk)
            if self.most_bytes is not None and passed > self.most_bytes and self.cuts > 0:
                self.cuts -= 1
                self.has_cut += 1
                return
            writer.write(chunk)
            await writer.drain()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands on what a client says."""
        while chunk := await reader.read(1 << 16):
            writer.write(chunk.replace(b"if-none-match", b"x-unknown-one") if self.is_forgetful else chunk)
            await writer.drain()
