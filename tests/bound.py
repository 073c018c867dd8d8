"""Starts a program that ends with whoever has started it, even when that is killed; knows nothing of the program.

Only Linux can see to that. Elsewhere the program goes on. It is a program of its own, and no function between fork and
exec: those who start one have threads.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def bound(command: Sequence[str], user: str = "", ending: signal.Signals = signal.SIGKILL) -> list[str]:
    """Returns the command that runs a command so, as a child of this process and under the same number.

    Args:
        command: The program, with its path, and its arguments.
        user: Who runs it; empty for the same as here.
        ending: What it gets when the thread has ended that has started it.
    """
    return [sys.executable, "-IS", __file__, str(os.getpid()), user, str(int(ending)), *command]


def _become(user: str) -> None:
    known = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(known.pw_gid)
    os.setuid(known.pw_uid)


def _main(parent: str, user: str, ending: str, program: str, *arguments: str) -> None:
    if user:
        _become(user)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(ending), 0, 0, 0)
        if os.getppid() != int(parent):
            return  # it has just been killed
    os.execv(program, (program, *arguments))


if __name__ == "__main__":
    _main(*sys.argv[1:])
