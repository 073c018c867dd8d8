"""Refusals as HTTP says them: a status and a JSON object; the one place that maps categories to statuses."""

from collections.abc import Mapping

from aiohttp import web

from interop_server.core.errors import Category, Reason, Refusal

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


def refusal_response(
    refusal: Refusal, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Returns a refusal as `{"reason", "requirement", "advice"}`.

    Args:
        refusal: What was refused and why.
        status: Instead of the one that belongs to the reason.
        headers: Further headers.
    """
    reason, rule = refusal.reason, refusal.reason.rule
    body = {"reason": reason.name.lower(), "requirement": rule.requirement, "advice": refusal.advice}
    response = web.json_response(
        body,
        status=status or _STATUS_OF_REASON.get(reason) or _STATUS_OF_CATEGORY[rule.category],
        headers=headers,
    )
    if refusal.retry_after_ms is not None:
        response.headers["Retry-After"] = str(-(-refusal.retry_after_ms // 1_000))
    return response
