"""The chat-channel auth keys that the proxy holds for its users; knows nothing of connections.

An auth key proves to WhatsApp which user connects; it decrypts no message. Message keys stay on the users' devices
(PRX-06).
"""

import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

MAX_AUTH_KEYS = 10_000


class TooManyAuthKeys(Exception):
    """The folder is full, so that a new user gets no key."""


class AuthKeys:
    """One X25519 key per user, made at the first request and kept in a folder.

    Reads and writes files: inside an event loop, call it in a thread. A real partner would keep the keys in an HSM or
    encrypted at rest; here they are files that only their owner can read.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def get_or_create(self, user: str) -> X25519PrivateKey:
        """Returns the user's private key; makes one at the first call.

        Raises:
            TooManyAuthKeys: The user has no key, and the folder is full.
        """
        return self.get(user) or self._create(user)

    def get(self, user: str) -> X25519PrivateKey | None:
        """Returns the user's private key; None before the first `get_or_create`."""
        try:
            return X25519PrivateKey.from_private_bytes(self._path_of(user).read_bytes())
        except FileNotFoundError:
            return None

    def _create(self, user: str) -> X25519PrivateKey:
        if sum(1 for _ in self._folder.iterdir()) >= MAX_AUTH_KEYS:
            raise TooManyAuthKeys
        key = X25519PrivateKey.generate()
        partial = self._folder / f"partial-{os.urandom(8).hex()}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes_raw())
        try:
            # A link fails when the name exists: two concurrent first requests both get the key of the faster one.
            os.link(partial, self._path_of(user))
        except FileExistsError:
            return X25519PrivateKey.from_private_bytes(self._path_of(user).read_bytes())
        finally:
            partial.unlink()
        return key

    def _path_of(self, user: str) -> Path:
        return self._folder / hashlib.sha256(user.encode()).hexdigest()
