"""What all tests share: the record of what they prove."""

pytest_plugins = ["tests.evidence"]
