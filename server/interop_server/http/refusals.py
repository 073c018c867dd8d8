"""Refusals as HTTP says them: a status and a JSON object; the one place that maps categories to statuses."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from interop_server.core.errors import Category, Reason, Refusal
from interop_server.core.journal import ANONYMOUS, Journal
from interop_server.core.limits import SECOND_MS

_STATUS_OF_CATEGORY = {
    Category.INVALID_REQUEST: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION_DENIED: 403,
    Category.NOT_FOUND: 404,
    Category.ALREADY_EXISTS: 409,
    Category.FAILED_PRECONDITION: 409,
    Category.ABORTED: 409,
    Category.RESOURCE_EXHAUSTED: 429,
    Category.UNAVAILABLE: 503,
    Category.DEADLINE_EXCEEDED: 504,
}
_STATUS_OF_REASON = {
    Reason.BLOB_EXPIRED: 410,
    Reason.RANGE_INVALID: 416,
    Reason.PARTNER_MEDIA_UNAVAILABLE: 502,
    Reason.BLOB_TOO_LARGE: 502,  # nothing is uploaded over HTTP: it is the partner who sends too much
}


JOURNAL = web.AppKey("journal", Journal)
"""Where an application's refusals are recorded."""
REQUEST_ID_HEADER = "X-Request-Id"


def action_of(request: web.Request) -> str:
    """What a request asks for, by the name of its route: paths can be keys to what lies there."""
    return f"http.{request.match_info.route.name or 'unknown'}"


def record_refusal(request: web.Request, refusal: Refusal) -> dict[str, str]:
    """Records a refusal in the journal, and returns the headers that name it there and say when to try again."""
    request.app[JOURNAL].refuse(refusal, ANONYMOUS, action_of(request))
    headers = {REQUEST_ID_HEADER: refusal.request_id}
    if refusal.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-refusal.retry_after_ms // SECOND_MS))
    return headers


def refusal_response(
    request: web.Request, refusal: Refusal, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Returns a refusal as `{"reason", "requirement", "advice"}`.

    Args:
        request: What was refused.
        refusal: What was refused and why.
        status: Instead of the one that belongs to the reason.
        headers: Further headers.
    """
    reason, rule = refusal.reason, refusal.reason.rule
    body = {"reason": reason.name.lower(), "requirement": rule.requirement, "advice": refusal.advice}
    return web.json_response(
        body,
        status=status or _STATUS_OF_REASON.get(reason) or _STATUS_OF_CATEGORY[rule.category],
        headers={**(headers or {}), **record_refusal(request, refusal)},
    )
