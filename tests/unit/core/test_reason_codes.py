"""The codes that refusals have on each wire, as literals: clients of other makers decide by them."""

import pytest

from interop_server.core.reasons import Category, Reason, Recovery

pytestmark = pytest.mark.requirement("CHN-10", "SIM-01")

CATEGORIES = {
    "INVALID_REQUEST": (1, 400, 400),
    "UNAUTHENTICATED": (2, 401, 401),
    "PERMISSION_DENIED": (3, 403, 403),
    "NOT_FOUND": (4, 404, 404),
    "ALREADY_EXISTS": (5, 409, 409),
    "FAILED_PRECONDITION": (6, 405, 409),
    "ABORTED": (7, 409, 409),
    "RESOURCE_EXHAUSTED": (8, 429, 429),
    "UNAVAILABLE": (9, 503, 503),
    "DEADLINE_EXCEEDED": (10, 503, 504),
    "INTERNAL": (11, 500, 500),
}
"""Number, code on the modelled wire, status over HTTP."""
OWN = {
    "BAD_INTEGRATOR": (403, 401, 403),
    "TOKEN_SUBJECT_MISMATCH": (403, 401, 403),
    "KEY_MALFORMED": (406, 406, 400),
    "PREKEY_SIGNATURE_INVALID": (406, 406, 400),
    "TEMPORARILY_BANNED": (402, 402, 403),
    "BANNED": (406, 406, 403),
    "PREKEY_ID_DUPLICATE": (406, 406, 400),
    "PREKEY_REUSED": (406, 406, 409),
    "RATE_LIMITED": (429, 503, 429),
    "NEW_CHATS_CAPPED": (475, 475, 429),
    "NEW_CHATS_LOCKED": (463, 463, 429),
    "BLOB_TOO_LARGE": (400, 400, 502),
    "BLOB_EXPIRED": (410, 410, 410),
    "RANGE_INVALID": (400, 400, 416),
    "PARTNER_MEDIA_UNAVAILABLE": (503, 503, 502),
}
"""Reasons with codes of their own: on the modelled wire, when a login is refused, over HTTP."""
RECOVERIES = ["NEVER", "SAME_AGAIN", "RECONNECT", "NEW_TOKEN", "ENLIST", "NEW_KEYS", "REFRESH_DEVICES", "CHALLENGE"]


def test_a_category_has_its_codes() -> None:
    """Every category, and no other."""
    assert {each.name: (each.value, each.code, each.http_status) for each in Category} == CATEGORIES


def test_a_reason_has_the_codes_of_its_category_or_its_own() -> None:
    """Own ones are few: they are what clients were observed to look at, or what HTTP has a status for."""
    found = {reason.name: (reason.code, reason.login_code, reason.http_status) for reason in Reason}
    by_category = {reason.name: CATEGORIES[reason.category.name] for reason in Reason}
    expected = {name: (code, code, http_status) for name, (_, code, http_status) in by_category.items()}
    assert found == expected | OWN


def test_what_a_client_can_do_has_its_number() -> None:
    """From 1 on, in this order."""
    assert [(each.name, each.value) for each in Recovery] == [(name, at) for at, name in enumerate(RECOVERIES, 1)]
