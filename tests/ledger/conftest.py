"""The evidence of the run just made, or a clear word that there is none."""

import pytest

from tests.evidence import Evidence, EvidenceMissing, read_evidence


@pytest.fixture(scope="session")
def evidence(pytestconfig: pytest.Config) -> Evidence:
    """What the last run of the whole suite proved."""
    try:
        return read_evidence(pytestconfig.rootpath)
    except EvidenceMissing as error:
        pytest.exit(f"The ledger cannot be checked: {error}.", returncode=1)
