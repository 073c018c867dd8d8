"""What a refusal may say about the rule that was broken; knows no wire."""

from functools import cache

from interop_server.core.errors import Reason
from interop_server.core.limits import Limits, about
from interop_server.ledger import load_ledger

ABOUT_A_FIELD = frozenset(
    {
        Reason.REQUEST_MALFORMED,
        Reason.KEY_MALFORMED,
        Reason.TOO_MANY_ITEMS,
        Reason.STANZA_MALFORMED,
        Reason.PREKEY_SIGNATURE_INVALID,
        Reason.PREKEY_ID_DUPLICATE,
    }
)
"""Reasons that always name the field that is wrong, once the request could be read (SIM-01)."""
UNNAMEABLE = r"the (bytes|body|charset|form is|form has) |a field occurs twice|Not Found|Method Not Allowed"
"""How it begins what is said of a request that could not, and of what is wrong with a form as a whole."""


def may_rest_on(reason: Reason, requirement: str) -> bool:
    """Whether a refusal for that reason may name that requirement: the usual one, or that of the limit that was met."""
    assert requirement in load_ledger().rows, requirement
    return requirement == reason.requirement or (reason is Reason.RATE_LIMITED and requirement in _of_limits())


@cache
def _of_limits() -> frozenset[str]:
    return frozenset(requirement for name in Limits.__dataclass_fields__ for requirement in about(name).requirements)
