"""The Noise handshake of the chat channel and the frames after it, sans-IO; knows nothing of streams or protobuf.

`Noise_XX_25519_AESGCM_SHA256` over three messages:

    -> e                 client_hello         read_client_hello
    <- e, ee, s, es      read_server_hello    server_hello
    -> s, se             client_finish        read_client_finish

It differs from Noise in one step: a standard peer mixes the empty payload of the first message into the handshake hash,
and WhatsApp's clients do not. So a Noise library works only if it leaves that step out.

Source: CHN-02, CHN-05; The Noise Protocol Framework, revision 34, sections 5 and 7.5.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from interop_protocol.curve_keys import WeakKey, check_public_key
from interop_protocol.sizes import PUBLIC_KEY_BYTES, TAG_BYTES

PROLOGUE = bytes.fromhex("57410603")
"""The connection header: "WA", magic 6, dictionary version 3 (CHN-02)."""

_PROTOCOL_NAME = b"Noise_XX_25519_AESGCM_SHA256".ljust(32, b"\0")
_NONCE = struct.Struct(">8xI")
_MAX_COUNTER = (1 << 32) - 1


class LocalProtocolError(Exception):
    """This end broke the protocol: a bug of the caller."""


class RemoteProtocolError(Exception):
    """The peer broke the protocol, or an attacker changed what it sent. The connection must end."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """HANDSHAKE_MALFORMED, HANDSHAKE_AUTHENTICATION_FAILED or FRAME_AUTHENTICATION_FAILED."""


class ServerHello(NamedTuple):
    """The second message of the handshake."""

    ephemeral: bytes
    """The responder's ephemeral public key, 32 bytes."""
    static_ciphertext: bytes
    """The responder's static public key, sealed: 48 bytes."""
    payload_ciphertext: bytes
    """The responder's certificate chain, sealed."""


class ClientFinish(NamedTuple):
    """The third message of the handshake."""

    static_ciphertext: bytes
    """The initiator's static public key, sealed: 48 bytes."""
    payload_ciphertext: bytes
    """The initiator's login, sealed."""


class _CipherState:
    """An AES-256-GCM key and the counter of its nonces (CHN-05)."""

    __slots__ = ("_aead", "_counter")

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes, associated_data: bytes | None) -> bytes:
        nonce = self._nonce()
        self._counter += 1  # before use, so that no failure makes a nonce serve twice
        return self._aead.encrypt(nonce, plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes | None) -> bytes:
        plaintext = self._aead.decrypt(self._nonce(), ciphertext, associated_data)
        self._counter += 1
        return plaintext

    def _nonce(self) -> bytes:
        if self._counter == _MAX_COUNTER:
            raise LocalProtocolError("counter exhausted: the connection should have ended")
        return _NONCE.pack(self._counter)


class _SymmetricState:
    """The handshake hash `h`, the chaining key `ck` and the current cipher."""

    __slots__ = ("_chaining_key", "_cipher", "_handshake_hash")

    def __init__(self) -> None:
        self._handshake_hash = _PROTOCOL_NAME
        self._chaining_key = _PROTOCOL_NAME
        # Noise has no key before the first DH result, and the pattern seals nothing until then.
        self._cipher = _CipherState(_PROTOCOL_NAME)
        self.mix_hash(PROLOGUE)

    def mix_hash(self, data: bytes) -> None:
        self._handshake_hash = hashlib.sha256(self._handshake_hash + data).digest()

    def mix_key(self, shared_secret: bytes) -> None:
        self._chaining_key, key = _derive_two(self._chaining_key, shared_secret)
        self._cipher = _CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self._handshake_hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = self._cipher.decrypt(ciphertext, self._handshake_hash)
        except InvalidTag as error:
            raise RemoteProtocolError("HANDSHAKE_AUTHENTICATION_FAILED") from error
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[_CipherState, _CipherState]:
        """Returns the ciphers of initiator to responder and of responder to initiator."""
        from_initiator, from_responder = _derive_two(self._chaining_key, b"")
        return _CipherState(from_initiator), _CipherState(from_responder)


class Transport:
    """Seals and opens frames after the handshake: one counter per direction, no associated data (CHN-05)."""

    __slots__ = ("_receiving", "_sending")

    def __init__(self, sending: _CipherState, receiving: _CipherState) -> None:
        self._sending = sending
        self._receiving = receiving

    def encrypt(self, plaintext: bytes) -> bytes:
        """Seals the next frame: the ciphertext is 16 bytes longer.

        Raises:
            LocalProtocolError: 2^32 - 1 frames have been sealed; no counter may be used twice.
        """
        return self._sending.encrypt(plaintext, None)

    def decrypt(self, sealed: bytes) -> bytes:
        """Opens the next frame.

        Raises:
            RemoteProtocolError: FRAME_AUTHENTICATION_FAILED: the frame was changed, is repeated or out of order, or
                belongs to another connection.
            LocalProtocolError: 2^32 - 1 frames have been opened.
        """
        try:
            return self._receiving.decrypt(sealed, None)
        except InvalidTag as error:
            raise RemoteProtocolError("FRAME_AUTHENTICATION_FAILED") from error


class _Handshake:
    """The part that both roles share: their keys, and the step that is due."""

    _STEPS: ClassVar[tuple[str, ...]]
    """The public methods, in the only order in which they may be called."""

    def __init__(self, static_private_key: bytes, ephemeral_private_key: bytes) -> None:
        self._static = X25519PrivateKey.from_private_bytes(static_private_key)
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_private_key)
        self._ephemeral_public = self._ephemeral.public_key().public_bytes_raw()
        self._symmetric = _SymmetricState()
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._steps = iter(self._STEPS)
        self._due = next(self._steps)

    @property
    def remote_static(self) -> bytes:
        """The static public key that the peer has proved, 32 bytes.

        Raises:
            LocalProtocolError: The peer has not proved it yet.
        """
        if not self._remote_static:
            raise LocalProtocolError("the peer has not proved its static key yet")
        return self._remote_static

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        if name != self._due:
            raise LocalProtocolError(f"{name} was called, but {self._due or 'nothing'} is due")
        self._due = ""  # a step that fails ends the handshake
        yield
        self._due = next(self._steps, "")


class InitiatorHandshake(_Handshake):
    """The client's side: `client_hello`, `read_server_hello`, `client_finish`, `split`, in this order.

    A step out of order raises LocalProtocolError, and so does every step after one that failed.

    Args:
        static_private_key: The client's auth key, 32 bytes.
        ephemeral_private_key: 32 fresh random bytes; never used for a second handshake.

    Raises:
        ValueError: A key has a wrong length.
    """

    _STEPS = ("client_hello", "read_server_hello", "client_finish", "split")

    def client_hello(self) -> bytes:
        """Returns the first message: the ephemeral public key, 32 bytes."""
        with self._step("client_hello"):
            self._symmetric.mix_hash(self._ephemeral_public)
            return self._ephemeral_public

    def read_server_hello(self, ephemeral: bytes, static_ciphertext: bytes, payload_ciphertext: bytes) -> bytes:
        """Reads the second message and returns its payload.

        The caller then verifies that the payload, a certificate chain, certifies `remote_static`.

        Raises:
            RemoteProtocolError: HANDSHAKE_MALFORMED or HANDSHAKE_AUTHENTICATION_FAILED.
        """
        with self._step("read_server_hello"):
            _check_length("ephemeral key", ephemeral, PUBLIC_KEY_BYTES)
            _check_length("sealed static key", static_ciphertext, PUBLIC_KEY_BYTES + TAG_BYTES)
            self._remote_ephemeral = ephemeral
            self._symmetric.mix_hash(ephemeral)
            self._symmetric.mix_key(_exchange(self._ephemeral, ephemeral))
            static = self._symmetric.decrypt_and_hash(static_ciphertext)
            self._symmetric.mix_key(_exchange(self._ephemeral, static))
            payload = self._symmetric.decrypt_and_hash(payload_ciphertext)
            self._remote_static = static
            return payload

    def client_finish(self, payload: bytes) -> ClientFinish:
        """Returns the third message, with a payload that only the owner of `remote_static` can open."""
        with self._step("client_finish"):
            static_ciphertext = self._symmetric.encrypt_and_hash(self._static.public_key().public_bytes_raw())
            self._symmetric.mix_key(_exchange(self._static, self._remote_ephemeral))
            return ClientFinish(static_ciphertext, self._symmetric.encrypt_and_hash(payload))

    def split(self) -> Transport:
        """Returns the transport; the handshake is over."""
        with self._step("split"):
            from_initiator, from_responder = self._symmetric.split()
            return Transport(sending=from_initiator, receiving=from_responder)


class ResponderHandshake(_Handshake):
    """The server's side: `read_client_hello`, `server_hello`, `read_client_finish`, `split`, in this order.

    A step out of order raises LocalProtocolError, and so does every step after one that failed.

    Args:
        static_private_key: The key that the certificate chain certifies, 32 bytes.
        ephemeral_private_key: 32 fresh random bytes; never used for a second handshake.

    Raises:
        ValueError: A key has a wrong length.
    """

    _STEPS = ("read_client_hello", "server_hello", "read_client_finish", "split")

    def __init__(self, static_private_key: bytes, ephemeral_private_key: bytes) -> None:
        super().__init__(static_private_key, ephemeral_private_key)
        self._ephemeral_secret = b""

    def read_client_hello(self, ephemeral: bytes) -> None:
        """Reads the first message.

        Raises:
            RemoteProtocolError: HANDSHAKE_MALFORMED.
        """
        with self._step("read_client_hello"):
            _check_length("ephemeral key", ephemeral, PUBLIC_KEY_BYTES)
            self._remote_ephemeral = ephemeral
            # `ee` belongs to the next message. Computed here, it refuses a key of low order as soon as that arrives.
            self._ephemeral_secret = _exchange(self._ephemeral, ephemeral)
            self._symmetric.mix_hash(ephemeral)

    def server_hello(self, payload: bytes) -> ServerHello:
        """Returns the second message, with the certificate chain as payload. Any client that connects can open it."""
        with self._step("server_hello"):
            self._symmetric.mix_hash(self._ephemeral_public)
            self._symmetric.mix_key(self._ephemeral_secret)
            static_ciphertext = self._symmetric.encrypt_and_hash(self._static.public_key().public_bytes_raw())
            self._symmetric.mix_key(_exchange(self._static, self._remote_ephemeral))
            return ServerHello(self._ephemeral_public, static_ciphertext, self._symmetric.encrypt_and_hash(payload))

    def read_client_finish(self, static_ciphertext: bytes, payload_ciphertext: bytes) -> bytes:
        """Reads the third message and returns its payload.

        The caller then checks that `remote_static` is the account's auth key (CHN-07).

        Raises:
            RemoteProtocolError: HANDSHAKE_MALFORMED or HANDSHAKE_AUTHENTICATION_FAILED.
        """
        with self._step("read_client_finish"):
            _check_length("sealed static key", static_ciphertext, PUBLIC_KEY_BYTES + TAG_BYTES)
            static = self._symmetric.decrypt_and_hash(static_ciphertext)
            self._symmetric.mix_key(_exchange(self._ephemeral, static))
            payload = self._symmetric.decrypt_and_hash(payload_ciphertext)
            self._remote_static = static
            return payload

    def split(self) -> Transport:
        """Returns the transport; the handshake is over."""
        with self._step("split"):
            from_initiator, from_responder = self._symmetric.split()
            return Transport(sending=from_responder, receiving=from_initiator)


def _derive_two(chaining_key: bytes, input_key_material: bytes) -> tuple[bytes, bytes]:
    """HKDF-SHA256 with two outputs of 32 bytes, as Noise section 4.3 writes it."""
    key = hmac.digest(chaining_key, input_key_material, "sha256")
    first = hmac.digest(key, b"\x01", "sha256")
    return first, hmac.digest(key, first + b"\x02", "sha256")


def _exchange(private_key: X25519PrivateKey, public_key: bytes) -> bytes:
    try:
        # With a key of low order the secret is all zero, and OpenSSL refuses that as well.
        return private_key.exchange(X25519PublicKey.from_public_bytes(check_public_key(public_key)))
    except WeakKey as error:
        raise RemoteProtocolError("HANDSHAKE_MALFORMED", f"a public key {error}") from error


def _check_length(name: str, value: bytes, expected: int) -> None:
    if len(value) != expected:
        raise RemoteProtocolError("HANDSHAKE_MALFORMED", f"the {name} has {len(value)} bytes instead of {expected}")
