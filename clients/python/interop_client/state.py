"""The state that a client must not lose, and where it is saved; knows no network.

A client must not lose its state: a message key used before a crash and again after it breaks the encryption, and an
acked message whose keys were not saved is lost. So the rule is: save first, then send.

Source: Signal, "The Double Ratchet Algorithm", section 2; MSG-09.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_client.cancellation import to_its_end
from interop_client.memory import DeliveryMemory
from interop_client.signal.errors import InvalidSnapshot
from interop_client.signal.store import SignalState
from interop_protocol.json_text import plain_text, read_json, whole_number
from interop_protocol.sizes import PRIVATE_KEY_BYTES

_FORMAT = 3
_READABLE = (2, 3)
_ID_PREFIX_BYTES = 6
_HEADER_END = b"\n"
_UNFINISHED_BYTES = 4
"""Length of the random part in the name of an unfinished file."""


@dataclass(slots=True)
class ClientState:
    """One account on one device. Changes in memory only; `DurableState` saves it."""

    jid: str
    """The account's JID; empty until it is enlisted."""
    auth_private_key: bytes = field(repr=False)
    """The key that every Noise handshake proves, 32 bytes (CHN-07)."""
    signal: SignalState = field(repr=False)
    """Keys and sessions for message encryption."""
    deliveries: DeliveryMemory = field(default_factory=DeliveryMemory)
    """The client's memory of deliveries."""
    next_number: int = 1
    """The number at the end of the next message id."""
    id_prefix: str = field(default_factory=lambda: os.urandom(_ID_PREFIX_BYTES).hex(), compare=False)
    """The beginning of every message id. Not saved, so that a state restored from an old backup repeats no id."""

    @classmethod
    def generate(cls, jid: str = "") -> Self:
        """Makes the state of a new device."""
        return cls(jid, os.urandom(PRIVATE_KEY_BYTES), SignalState.generate())

    @property
    def auth_public_key(self) -> bytes:
        """The public auth key, 32 bytes, as enlisted."""
        return X25519PrivateKey.from_private_bytes(self.auth_private_key).public_key().public_bytes_raw()

    def take_message_id(self) -> str:
        """Returns an id that no message of this account has had."""
        number, self.next_number = self.next_number, self.next_number + 1
        return f"{self.id_prefix}-{number}"

    def to_bytes(self) -> bytes:
        """Returns the whole state, private keys included: a line of JSON, then the encoded `SignalState`."""
        header = {
            "format": _FORMAT,
            "jid": self.jid,
            "auth_private_key": self.auth_private_key.hex(),
            "next_number": self.next_number,
            "deliveries": self.deliveries.to_json(),
        }
        return json.dumps(header).encode() + _HEADER_END + self.signal.to_bytes()

    @classmethod
    def from_bytes(cls, saved: bytes) -> Self:
        """Restores a state from the bytes of `to_bytes`.

        Raises:
            InvalidSnapshot: The bytes are not a saved state that this release can read.
        """
        line, _, signal = saved.partition(_HEADER_END)
        try:
            header = read_json(line)
            if header.pop("format") not in _READABLE:
                raise InvalidSnapshot("another release saved this state")
            auth_private_key = bytes.fromhex(header.pop("auth_private_key"))
            if len(auth_private_key) != PRIVATE_KEY_BYTES:
                raise InvalidSnapshot("the auth key is cut off")
            deliveries = DeliveryMemory.from_json(header.pop("deliveries"))
            jid, next_number = plain_text(header.pop("jid")), whole_number(header.pop("next_number"))
            if header:
                raise InvalidSnapshot("it has what no release saves")
            return cls(jid, auth_private_key, SignalState.from_bytes(signal), deliveries, next_number)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidSnapshot("this is not a saved client state") from error


class StateStore(Protocol):
    """Keeps a saved state."""

    def save(self, snapshot: bytes) -> None:
        """Replaces the saved state. The new one is durable on return; after a failure, the old one is still there.

        Called on a thread of its own, never twice at the same time.

        Raises:
            OSError: The state could not be saved.
        """
        ...


class MemoryStore:
    """Keeps the last snapshot in memory: for tests that stop a client and go on from what it saved."""

    def __init__(self) -> None:
        self.snapshot = b""
        """The snapshot saved last; empty before the first."""

    def save(self, snapshot: bytes) -> None:
        """Replaces the saved state. See StateStore."""
        self.snapshot = snapshot


class StateFile:
    """Keeps a state in a file that only its owner can read.

    When several processes save it, each first writes a file of its own: the last one counts, and none is seen in part.

    Args:
        path: The file. Its folder must exist and allow new files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_tidied = False

    def load(self) -> ClientState | None:
        """Returns the saved state; None when the file does not exist.

        Raises:
            InvalidSnapshot: The file does not hold a state that this release can read.
            OSError: The file cannot be read.
        """
        try:
            return ClientState.from_bytes(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except InvalidSnapshot as error:
            advice = "restore it from a copy, or begin with a new state and enlist again"
            raise InvalidSnapshot(f"{self._path}: {error}; {advice}") from error

    def save(self, snapshot: bytes) -> None:
        """Replaces the file as a whole: a crash leaves the old one or the new one. See StateStore."""
        path = Path(os.path.realpath(self._path))  # of a link, the file that it leads to is replaced
        if not self._has_tidied:
            _remove_leftovers(path)
            self._has_tidied = True
        new, descriptor = _unfinished(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(snapshot)
                file.flush()
                os.fsync(file.fileno())
                new.replace(path)  # before the file is closed, and so no longer held
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


class DurableState:
    """A state and its store. Callers that commit at the same time share one save.

    Args:
        state: The state; its owner changes it in memory between two commits.
        store: Keeps the state; None saves nothing, for an account that does not outlive its process.
    """

    def __init__(self, state: ClientState, store: StateStore | None) -> None:
        self._state = state
        self._store = store
        self._lock = asyncio.Lock()
        self._asked = 0
        self._saved = 0

    async def commit(self) -> None:
        """Returns when the state as it is now is durable.

        Raises:
            OSError: The state could not be saved: the caller must not send what depends on it.
        """
        if self._store is None:
            return
        self._asked += 1
        own_turn = self._asked
        async with self._lock:
            if self._saved >= own_turn:
                return
            covered = self._asked
            # Without waiting for a save that was cancelled, the next one could overtake it.
            await to_its_end(self._store.save, self._state.to_bytes())
            self._saved = covered


def _unfinished(path: Path) -> tuple[Path, int]:
    """Makes a file for one save beside a path, which its writer holds; returns its name and descriptor."""
    while True:
        new = path.with_name(f".{path.name}.{os.urandom(_UNFINISHED_BYTES).hex()}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(OSError):  # without locks in this file system, nobody removes what is left there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return new, descriptor
        os.close(descriptor)  # taken for a leftover before it was held


def _remove_leftovers(path: Path) -> None:
    """Removes what killed writers have left beside a path, not what others are at work on."""
    name = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]{{{2 * _UNFINISHED_BYTES}}})?\.new")
    with contextlib.suppress(OSError):  # a folder that may be written and not read keeps them
        for left in [left for left in path.parent.iterdir() if name.fullmatch(left.name)]:
            with contextlib.suppress(OSError):
                _remove_unheld(left)


def _remove_unheld(left: Path) -> None:
    if left.is_symlink():  # whoever put it there, it is not opened
        left.unlink()
        return
    descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left.unlink()
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written and not read, and so not be synced: the new state is there all the same
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
