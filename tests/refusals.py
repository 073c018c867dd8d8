"""What a refusal may say about the rule that was broken; knows no wire."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from interop_server.core.errors import Reason, Refusal
from interop_server.ledger import load_ledger
from tests.proto_sources import read_protos

PLACES = Path(__file__).with_name("refusals.toml")
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

_BEYOND = frozenset({"QUOTA_EXCEEDED KEY-03", "RATE_LIMITED ENL-17"})
"""Refused at a bound that is too far for a client of an end-to-end test."""
_EVERYWHERE = frozenset({"REQUEST_MALFORMED SIM-01", "REQUEST_MALFORMED SIM-06", "RATE_LIMITED SIM-06"})
"""Every call may come as bytes that are no message, or far too many, or be one too many at once: no rule of its own."""
_OF_FORM = frozenset({"e_keytype"})
"""Of the enlistment form, beside those that the contract has, too."""
Places = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By reason and action, the requirements that a refusal may name."""


@cache
def places() -> Places:
    """The table of the places that refuse for a rule that is not the reason's own."""
    table = tomllib.loads(PLACES.read_text())
    return {reason: {action: tuple(ids) for action, ids in rows.items()} for reason, rows in table.items()}


def may_rest_on(reason: Reason, requirement: str) -> bool:
    """Whether a refusal for that reason may name that requirement, wherever it is given."""
    assert requirement in load_ledger().rows, requirement
    if f"{reason.name} {requirement}" in _EVERYWHERE:
        return True
    return requirement == reason.requirement or any(
        requirement in ids for ids in places().get(reason.name, {}).values()
    )


def check_said(refusal: Refusal) -> None:
    """Asserts that a refusal rests on a rule of its reason, and that the fields that it names are there."""
    row = f"{refusal.reason.name} {refusal.requirement}"
    assert row in _BEYOND or may_rest_on(refusal.reason, refusal.requirement), row
    assert refusal.violations or refusal.reason not in ABOUT_A_FIELD, refusal
    for violation in refusal.violations:
        assert violation.description
        for name in re.sub(r"\[\d+\]", "", violation.field).split("."):
            assert name in _fields(), violation


@cache
def _fields() -> frozenset[str]:
    """The names of all fields of the contract, and those of the documented form."""
    messages = [message for file in read_protos() for message in file.message_type]
    return frozenset(field.name for message in messages for field in message.field) | _OF_FORM


def strangers(refusals: Iterable[str], table: Places) -> list[str]:
    """Returns the refusals, as `action reason requirement`, that name a rule which their place does not stand for."""
    return sorted(each for each in refusals if not _is_of_its_place(*each.split(" "), table))


def unprovoked(refusals: Iterable[str], table: Places) -> list[str]:
    """Returns what stands in the table, in the same form, and was given by nobody."""
    rows = {
        f"{action} {reason} {requirement}"
        for reason, actions in table.items()
        for action, ids in actions.items()
        for requirement in ids
    }
    return sorted(rows - set(refusals))


def _is_of_its_place(action: str, reason: str, requirement: str, table: Places) -> bool:
    if f"{reason} {requirement}" in _EVERYWHERE:
        return True
    ids = table.get(reason, {}).get(action)
    return requirement in ids if ids else requirement == Reason[reason].requirement
