"""What the chaos needs once."""

import pytest

from partner_server import SigningKeys


@pytest.fixture(scope="session")
def signing_keys() -> SigningKeys:
    """One RSA key for all messengers of the session: making one takes long."""
    return SigningKeys()
