"""Refusals as HTTP says them: a status and a JSON object; knows no rule."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from interop_server.core.errors import Refusal
from interop_server.core.journal import ANONYMOUS, Journal, is_request_id
from interop_server.core.limits import SECOND_MS

JOURNAL = web.AppKey("journal", Journal)
"""Where an application's refusals are recorded."""
REQUEST_ID_HEADER = "X-Request-Id"


def record_acceptance(request: web.Request, actor: str) -> dict[str, str]:
    """Records in the journal that a request was done as asked, and returns the header that names it there."""
    journal = request.app[JOURNAL]
    request_id = _chosen_id(request) or journal.new_request_id()
    journal.record(actor, action_of(request), "accepted", request_id=request_id)
    return {REQUEST_ID_HEADER: request_id}


async def name_response(request: web.Request, response: web.StreamResponse) -> None:
    """Names an answer whose request does not stand in the journal."""
    if REQUEST_ID_HEADER not in response.headers:
        request_id = _chosen_id(request) or request.app[JOURNAL].unrecorded_request_id()
        response.headers[REQUEST_ID_HEADER] = request_id


def _chosen_id(request: web.Request) -> str:
    chosen = request.headers.get(REQUEST_ID_HEADER, "")
    return chosen if is_request_id(chosen) else ""


def action_of(request: web.Request) -> str:
    """What a request asks for, by the name of its route: paths can be keys to what lies there."""
    return f"http.{request.match_info.route.name or 'unknown'}"


def record_refusal(request: web.Request, refusal: Refusal) -> dict[str, str]:
    """Records a refusal in the journal, and returns the headers that name it there and say when to try again."""
    request.app[JOURNAL].refuse(refusal, ANONYMOUS, action_of(request), request_id=_chosen_id(request))
    headers = {REQUEST_ID_HEADER: refusal.request_id}
    if refusal.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-refusal.retry_after_ms // SECOND_MS))
    return headers


def refusal_to_json(refusal: Refusal) -> dict[str, object]:
    """Returns a refusal as an object with the fields of `Refusal` in errors.proto, less those that are absent."""
    reason = refusal.reason
    facts: dict[str, object] = {
        "reason": reason.name.lower(),
        "requirement": refusal.requirement,
        "advice": refusal.advice,
        "recovery": reason.recovery.name.lower(),
        "code": refusal.code,
        "request_id": refusal.request_id,
    }
    if refusal.retry_after_ms is not None:
        facts["retry_after_ms"] = refusal.retry_after_ms
    if refusal.violations:
        facts["violations"] = [violation._asdict() for violation in refusal.violations]
    return facts


def refusal_response(
    request: web.Request, refusal: Refusal, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Returns a refusal as a status and an object.

    Args:
        request: What was refused.
        refusal: What was refused and why.
        status: Instead of the one that belongs to the reason.
        headers: Further headers.
    """
    recorded = record_refusal(request, refusal)  # first: the object names the refusal as the journal does
    return web.json_response(
        refusal_to_json(refusal),
        status=status or refusal.reason.http_status,
        headers={**(headers or {}), **recorded},
    )
