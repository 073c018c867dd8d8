"""A refusal that is told when no descriptor is left to read a module with."""

import subprocess
import sys

_SCRIPT = """
import resource
from interop_server.core.errors import Reason, Refusal
from interop_server.process import _load_what_refusals_need
from interop_server.rpc.errors import status_details

_load_what_refusals_need()
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
