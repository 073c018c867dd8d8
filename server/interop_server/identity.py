"""The server's own keys, made once per database and kept in it, so that clients still trust it after a restart."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.certificates import CertificateChain, CertificateError, Validity, issue_chain, verify_chain
from interop_protocol.sizes import PRIVATE_KEY_BYTES
from interop_protocol.xeddsa_keys import NONCE_BYTES
from interop_server.core.fault_rules import Chain
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.ports import Rng
from interop_server.core.shared_store import SecretStore
from interop_server.rpc.handshake import ServerIdentity

_DAY = DAY_MS // SECOND_MS


@dataclass(frozen=True, slots=True)
class Certified:
    """The server's identity and the root that certifies it (CHN-04)."""

    identity: ServerIdentity
    root_public_key: bytes
    """32 bytes."""
    root_private_key: bytes = field(repr=False)
    """32 bytes; signs the intermediate certificate."""
    intermediate_private_key: bytes = field(repr=False)
    """32 bytes; signs the leaf."""


class Identities:
    """The identity of a server, and others that no client should trust.

    Args:
        certified: The right one.
        rng: Makes keys that nobody knows.
        now_ms: The earliest time by any clock that may check certificates: what has expired has done so by all of them.
    """

    def __init__(self, certified: Certified, rng: Rng, now_ms: Callable[[], int]) -> None:
        self._certified = certified
        self._rng = rng
        self._now_ms = now_ms

    @property
    def identity(self) -> ServerIdentity:
        """The right one."""
        return self._certified.identity

    def untrusted(self, chain: Chain) -> ServerIdentity:
        """Returns an identity whose chain proves nothing."""
        genuine, stranger = self.identity, self._rng.token_bytes(PRIVATE_KEY_BYTES)
        if chain is Chain.REPLAYED:
            return ServerIdentity(stranger, genuine.certificate_chain)
        validity = CertificateChain.decode(genuine.certificate_chain).leaf.decoded.validity
        if chain is Chain.EXPIRED:
            now = self._now_ms() // SECOND_MS
            validity = Validity(now - 2 * _DAY, now - _DAY)
        encoded = issue_chain(
            stranger if chain is Chain.WRONG_ROOT else self._certified.root_private_key,
            self._certified.intermediate_private_key,
            _public(stranger if chain is Chain.WRONG_LEAF else genuine.static_private_key),
            validity,
            (self._rng.token_bytes(NONCE_BYTES), self._rng.token_bytes(NONCE_BYTES)),
        ).encode()
        return ServerIdentity(genuine.static_private_key, encoded)


async def load_identity(secrets: SecretStore, times_ms: Collection[int], rng: Rng, valid_days: int) -> Certified:
    """Returns the identity from the store; makes missing keys and renews expired certificates (CHN-04).

    Args:
        secrets: Keeps the identity.
        times_ms: The current time by each clock that may check the certificates: the server's own can differ by years
            from that of its clients.
        rng: Makes keys.
        valid_days: How many days new certificates are valid; 0 makes expired ones.
    """
    root, intermediate, static = [
        await secrets.get_or_put(f"noise_{name}_private_key", rng.token_bytes(PRIVATE_KEY_BYTES))
        for name in ("root", "intermediate", "static")
    ]
    root_public, static_public = _public(root), _public(static)
    first, last = min(times_ms) // SECOND_MS, max(times_ms) // SECOND_MS
    # A new chain for each quarter of its validity: most starts on a kept database need no signature, hence no import.
    quarter = max(valid_days * _DAY // 4, 1)
    name = f"noise_certificate_chain_{valid_days}_{first // quarter}_{last // quarter}"
    encoded = await secrets.get(name)
    if encoded is None or not all(_is_valid(encoded, root_public, static_public, now) for now in (first, last)):
        validity = Validity(first - _DAY, last + valid_days * _DAY - 1)
        nonces = (rng.token_bytes(NONCE_BYTES), rng.token_bytes(NONCE_BYTES))
        encoded = issue_chain(root, intermediate, static_public, validity, nonces).encode()
        await secrets.get_or_put(name, encoded)
    return Certified(ServerIdentity(static, encoded), root_public, root, intermediate)


def _public(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def _is_valid(encoded: bytes, root_public: bytes, static_public: bytes, now: int) -> bool:
    try:
        verify_chain(CertificateChain.decode(encoded), root_public, static_public, now)
    except CertificateError:
        return False
    return True
