"""A refusal that is told, and calls that are answered, when no descriptor is left to read a file with."""

import subprocess
import sys

_SCRIPT = """
import resource
from interop_server.core.errors import Reason, Refusal
from interop_server.process import _load_what_calls_need
from interop_server.rpc.errors import status_details

_load_what_calls_need()
refusal = Refusal(Reason.RATE_LIMITED, "too fast", 5, field="jid", requirement="OPT-09")
refusal.request_id = "x"
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(len(status_details(refusal)))
"""


def test_what_a_refusal_needs_is_there_before_it_is_needed() -> None:
    """With every kind of detail that a refusal can have, in a process that has refused nothing before."""
    ended = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 100


_FIRST_CALLS = """
import resource
from interop_server.process import _load_what_calls_need

_load_what_calls_need()
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
from interop_server.fault_file import known_catalogue
from interop_server.runtime.jwt import JoserfcTokens
from joserfc import jws, jwt
print(len(known_catalogue().requirements))
"""


def test_what_first_calls_need_is_there_before_they_come() -> None:
    """Tokens are verified, and faults ordered, with code and a ledger that a plain start does without."""
    ended = subprocess.run(
        [sys.executable, "-c", _FIRST_CALLS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 100


_TOO_LATE = """
import resource
from interop_server.process import _load_what_calls_need

before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
_load_what_calls_need()
resource.setrlimit(resource.RLIMIT_NOFILE, before)
from interop_server.fault_file import known_catalogue
print(len(known_catalogue().requirements))
"""


def test_what_cannot_be_loaded_at_the_start_is_loaded_by_the_call() -> None:
    """A server whose descriptors are gone at that moment goes on; each thing is a line in its log."""
    ended = subprocess.run([sys.executable, "-c", _TOO_LATE], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 100
    assert "could not be loaded yet" in ended.stderr and "Traceback" not in ended.stderr
