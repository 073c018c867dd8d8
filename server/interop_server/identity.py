"""The server's own keys: made once per database and kept in it: clients know the server again after a restart."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.certificates import CertificateChain, CertificateError, Validity, issue_chain, verify_chain
from interop_protocol.sizes import PRIVATE_KEY_BYTES
from interop_protocol.xeddsa_keys import NONCE_BYTES
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.ports import Clock, Rng, SecretStore
from interop_server.rpc.handshake import ServerIdentity

VALID_DAYS = 365


@dataclass(frozen=True, slots=True)
class Certified:
    """The server's identity and the root that stands behind it (CHN-04)."""

    identity: ServerIdentity
    root_public_key: bytes
    """32 bytes."""


async def load_identity(secrets: SecretStore, clock: Clock, rng: Rng) -> Certified:
    """Returns the identity that the store keeps, making what is missing and renewing what has expired (CHN-04)."""
    root, intermediate, static = [
        await secrets.get_or_put_secret(f"noise_{name}_private_key", rng.token_bytes(PRIVATE_KEY_BYTES))
        for name in ("root", "intermediate", "static")
    ]
    root_public, static_public = _public(root), _public(static)
    now = clock.now_ms() // SECOND_MS
    day = DAY_MS // SECOND_MS
    # One chain per quarter of its life: signing costs an import that most starts on a kept database can do without.
    name = f"noise_certificate_chain_{now // (VALID_DAYS * day // 4)}"
    encoded = await secrets.get_secret(name)
    if encoded is None or not _is_valid(encoded, root_public, static_public, now):
        nonces = (rng.token_bytes(NONCE_BYTES), rng.token_bytes(NONCE_BYTES))
        chain = issue_chain(root, intermediate, static_public, Validity(now - day, now + VALID_DAYS * day), nonces)
        encoded = await secrets.get_or_put_secret(name, chain.encode())
    return Certified(ServerIdentity(static, encoded), root_public)


def _public(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def _is_valid(encoded: bytes, root_public: bytes, static_public: bytes, now: int) -> bool:
    try:
        verify_chain(CertificateChain.decode(encoded), root_public, static_public, now)
    except CertificateError:
        return False
    return True
