"""How commands and samples find the simulator that is meant; opens no connection."""

import os
from contextlib import suppress

from interop_protocol.endpoint import Endpoint
from interop_protocol.printable import printable

VARIABLE = "INTEROPSIM"
"""Holds the ready line of the simulator that is meant."""


class NotFound(Exception):
    """It is not known which simulator is meant; the message is a sentence that says what to do."""


class NoneRuns(NotFound):
    """No simulator is named, and none of this user's runs on this machine."""


def find_endpoint() -> Endpoint:
    """Finds the simulator whose ready line is in INTEROPSIM, or else the one of this user that runs here.

    Raises:
        NoneRuns: INTEROPSIM is not set, and none runs.
        NotFound: INTEROPSIM is no ready line; or it is not set, and several run.
    """
    try:
        return Endpoint.from_ready_line(find_ready_line())
    except ValueError as error:
        raise NotFound(f"Set {VARIABLE} to the line that `interopsim up` prints, or unset it.") from error


def endpoint_at(admin: str) -> Endpoint:
    """Returns the simulator with an admin address: as INTEROPSIM or this user's running ones say, if they know it.

    Of any other nothing is known but the address.
    """
    from interop_admin.running import running_simulators

    for line in (os.environ.get(VARIABLE, ""), *(each.line for each in running_simulators())):
        with suppress(ValueError):
            if (known := Endpoint.from_ready_line(line)).admin == admin:
                return known
    return Endpoint("", b"", admin=admin)


def find_ready_line() -> str:
    """Returns what INTEROPSIM says, or else the ready line of the one simulator of this user that runs here.

    Raises:
        NoneRuns, NotFound: As `find_endpoint`.
    """
    if line := os.environ.get(VARIABLE):
        return line
    from interop_admin.running import running_simulators

    running = running_simulators()
    if not running:
        raise NoneRuns(f"No simulator runs: start one with `interopsim up`, or set {VARIABLE} to its ready line.")
    if len(running) > 1:
        names = ", ".join(f"{each.name} (admin {printable(each.admin)})" for each in running)
        raise NotFound(f"{len(running)} simulators run: {names}. Say which with --admin, or set {VARIABLE}.")
    return running[0].line
