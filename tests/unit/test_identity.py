"""The server's own keys: the same after a restart, and certified for whoever checks by whichever clock."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.certificates import CertificateChain, CertificateError, verify_chain
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.shared_store import SecretStore
from interop_server.identity import Certified, load_identity
from interop_server.runtime.rng import SeededRng
from tests.stores import open_store

pytestmark = pytest.mark.requirement("CHN-04")

NOW_MS = 1_700_000_000_000
YEARS_LATER_MS = NOW_MS + 5 * 365 * DAY_MS
DAYS = 365


@pytest.fixture
async def secrets(tmp_path: Path) -> AsyncIterator[SecretStore]:
    store = await open_store(tmp_path)
    yield store.secrets
    await store.close()


def static_of(certified: Certified) -> bytes:
    private_key = X25519PrivateKey.from_private_bytes(certified.identity.static_private_key)
    return private_key.public_key().public_bytes_raw()


def check(certified: Certified, at_ms: int) -> None:
    """Does what a client does that has this clock and the right root.

    Raises:
        CertificateError: The chain does not certify the server's key then.
    """
    chain = CertificateChain.decode(certified.identity.certificate_chain)
    static = static_of(certified)
    verify_chain(chain, certified.root_public_key, static, at_ms // SECOND_MS)


async def test_a_restart_changes_nothing(secrets: SecretStore) -> None:
    """Clients know the server again, also when it is started months later."""
    first = await load_identity(secrets, [NOW_MS], SeededRng(1), DAYS)
    assert await load_identity(secrets, [NOW_MS + SECOND_MS], SeededRng(2), DAYS) == first
    later = await load_identity(secrets, [NOW_MS + 200 * DAY_MS], SeededRng(3), DAYS)
    assert (later.root_public_key, static_of(later)) == (first.root_public_key, static_of(first))
    check(later, NOW_MS + 400 * DAY_MS)


@pytest.mark.parametrize("server_ms", [NOW_MS, YEARS_LATER_MS, NOW_MS - 20 * 365 * DAY_MS])
async def test_both_clocks_find_the_certificates_valid(secrets: SecretStore, server_ms: int) -> None:
    """The server's clock may be years away from its clients', in either direction."""
    for rng in (SeededRng(1), SeededRng(2)):  # issued, then read
        certified = await load_identity(secrets, [server_ms, NOW_MS], rng, DAYS)
        for at_ms in (server_ms, NOW_MS, NOW_MS + (DAYS - 1) * DAY_MS):
            check(certified, at_ms)


async def test_what_has_expired_is_renewed(secrets: SecretStore) -> None:
    """When the server starts; a client with a clock that is a year ahead refuses what it got before."""
    old = await load_identity(secrets, [NOW_MS], SeededRng(1), DAYS)
    with pytest.raises(CertificateError, match="EXPIRED"):
        check(old, YEARS_LATER_MS)
    check(await load_identity(secrets, [YEARS_LATER_MS], SeededRng(2), DAYS), YEARS_LATER_MS)


async def test_expired_certificates_can_be_had(secrets: SecretStore) -> None:
    """To see whether a client notices; and good ones again afterwards, under the same root."""
    for rng in (SeededRng(1), SeededRng(2)):
        expired = await load_identity(secrets, [NOW_MS], rng, 0)
        with pytest.raises(CertificateError, match="EXPIRED"):
            check(expired, NOW_MS)
    good = await load_identity(secrets, [NOW_MS], SeededRng(3), DAYS)
    assert good.root_public_key == expired.root_public_key
    check(good, NOW_MS)
