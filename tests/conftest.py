"""What all tests share: the record of what they prove, and what they could not try; and that children hear signals."""

import signal

pytest_plugins = ["tests.evidence", "tests.stubs.summary"]


def pytest_configure() -> None:
    """Makes tests the same under `nohup` and in the background, where signals are ignored, by all children too.

    A signal that has a handler here is heard by a child in the usual way.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
