"""What a refusal may say about the rule that was broken; knows no wire."""

from functools import cache

from interop_server.core.errors import Reason
from interop_server.core.limits import Limits, about
from interop_server.ledger import load_ledger


def may_rest_on(reason: Reason, requirement: str) -> bool:
    """Whether a refusal for that reason may name that requirement: the usual one, or that of the limit that was met."""
    assert requirement in load_ledger().rows, requirement
    return requirement == reason.requirement or (reason is Reason.RATE_LIMITED and requirement in _of_limits())


@cache
def _of_limits() -> frozenset[str]:
    return frozenset(requirement for name in Limits.__dataclass_fields__ for requirement in about(name).requirements)
