"""What all tests share: the record of what they prove, and what they could not try."""

pytest_plugins = ["tests.evidence", "tests.stubs.summary"]
