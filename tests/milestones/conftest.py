"""The same running simulator and worlds as for the other end-to-end tests."""

from tests.e2e.conftest import endpoint, signing_keys, simulator_process, world

__all__ = ["endpoint", "signing_keys", "simulator_process", "world"]
