"""Where a user's running simulators leave word of themselves, and under what names; reads and writes no file.

Each has one file in the state folder: its ready line. The process holds an exclusive `flock` on it as long as it lives.
A file that can be locked is that of a process that has gone, whatever process has its number now.
"""

import re
from collections.abc import Mapping
from pathlib import Path

STATE_VARIABLE = "INTEROPSIM_STATE"
"""Names another folder than the usual one."""
READY_SUFFIX, LOG_SUFFIX, UNFINISHED_SUFFIX = ".json", ".log", ".new"
NAME_RULE = "1 to 32 letters, digits and hyphens"


def state_folder(environment: Mapping[str, str], home: Path) -> Path:
    """Returns the state folder.

    Args:
        environment: The variables of the process.
        home: The user's own folder.
    """
    if chosen := environment.get(STATE_VARIABLE):
        return Path(chosen).absolute()
    base = environment.get("XDG_STATE_HOME", "")
    # The specification of these folders has a path ignored that is not absolute.
    return (Path(base) if base.startswith("/") else home / ".local" / "state") / "interopsim"


def is_name(text: str) -> bool:
    """Says whether a simulator can be called so: then the name is that of a file, too."""
    return re.fullmatch("[A-Za-z0-9-]{1,32}", text) is not None
