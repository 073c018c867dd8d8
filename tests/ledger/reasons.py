"""`make gen`: writes the reasons in errors.proto from the table in core/reasons.py, between two markers.

Knows nothing of the rest of the file, and imports no generated code: it runs before there is any.
"""

import sys
import textwrap
from collections.abc import Iterator

from interop_server.core.errors import Reason
from interop_server.rpc.statuses import STATUS_CODES
from tests.ledger.places import ROOT

ERRORS_PROTO = ROOT / "protos" / "interop_api" / "v1" / "errors.proto"
BEGIN = "  // Below this line `make gen` writes what core/reasons.py says.\n"
END = "  // Above this line `make gen` writes what core/reasons.py says.\n"
_WIDTH = 120
_COMMENT = "  // "
_UNBROKEN = "\N{NO-BREAK SPACE}"


class MarkersMissing(Exception):
    """The file does not say where the reasons belong."""


def reasons_block() -> str:
    """Returns all reasons as they stand in the proto: meaning, status in brackets, name and number."""
    return "\n".join(_lines()) + "\n"


def with_reasons(text: str) -> str:
    """Returns errors.proto with everything between its markers written anew.

    Raises:
        MarkersMissing: It has no such markers, or they stand in the wrong order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MarkersMissing(f"{ERRORS_PROTO.name} has no two lines that say where the reasons belong")
    return f"{before}{begin}\n{reasons_block()}\n{end}{after}"


def bracket(reason: Reason) -> str:
    """Returns the gRPC status that a reason travels under, and what it has of its own beside those of its category."""
    parts = [STATUS_CODES[reason.category].name]
    if reason.code != reason.category.code:
        parts.append(f"code {reason.code}")
    if reason.login_code != reason.code:
        parts.append(f"login code {reason.login_code}")
    if reason.http_status != reason.category.http_status:
        parts.append(f"HTTP {reason.http_status}")
    return f"[{'; '.join(parts)}]"


def _lines() -> Iterator[str]:
    previous = 0
    for reason in sorted(Reason, key=lambda each: each.value):
        if reason.value > previous + 1:  # numbers are left free where an area ends
            yield ""
        previous = reason.value
        whole = bracket(reason).replace(" ", _UNBROKEN)
        for line in textwrap.wrap(f"{reason.meaning} {whole}", _WIDTH - len(_COMMENT)):
            yield _COMMENT + line.replace(_UNBROKEN, " ")
        yield f"  ERROR_REASON_{reason.name} = {reason.value};"


def main() -> int:
    """Writes the file when it differs; returns the exit code."""
    text = ERRORS_PROTO.read_text()
    if (wanted := with_reasons(text)) != text:
        ERRORS_PROTO.write_text(wanted)
        print(f"{ERRORS_PROTO.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
