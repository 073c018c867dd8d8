"""What all tests share: the record of what they prove and could not try, signals for children, how hypothesis tries."""

import os
import signal
import tempfile

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.evidence", "tests.stubs.summary"]


# The same examples in each run, and no time asserted: a busy machine is no defect.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() in ("default", "ci"):
    settings.load_profile("same")


_STATE = tempfile.TemporaryDirectory(prefix="interopsim-tests-", ignore_cleanup_errors=True)
"""Where the simulators of a session leave word of themselves, unless a test says where."""


def pytest_configure() -> None:
    """Makes tests the same under `nohup` and in the background, where signals are ignored, by all children too.

    A signal that has a handler here is heard by a child in the usual way. No test finds a simulator of the user's.
    """
    os.environ["INTEROPSIM_STATE"] = _STATE.name
    os.environ.pop("INTEROPSIM", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
