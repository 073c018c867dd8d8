"""The length of a list's page, and the tokens that say where the next one begins; knows no list."""

from hashlib import sha256

from interop_server.core.errors import Reason, Refusal

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
MAX_TOKEN_CHARACTERS = 200
_CHECK_DIGITS = 16


def page_limit(page_size: int, requirement: str) -> int:
    """Returns how many entries a page of the requested size has; 0 leaves the size to the server.

    Args:
        page_size: What was asked for.
        requirement: Id of the rule that the list serves.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    if page_size > MAX_PAGE:
        detail = f"`page_size` is over {MAX_PAGE}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="page_size", requirement=requirement)
    return page_size or DEFAULT_PAGE


def give_token(scope: str, place: str) -> str:
    """Returns the token for a place in a list or journal.

    It ends in check digits, so that one which is mistyped, made up or of another list is recognised. They are no
    secret: whoever computes them reaches no more than the list shows them anyway.

    Args:
        scope: What the token is for, such as the name of the list and whose it is.
        place: Where to go on.
    """
    return f"{place}.{_check(scope, place)}"


def read_token(scope: str, token: str, field: str, requirement: str) -> str:
    """Returns the place that a token stands for.

    Args:
        scope: As in `give_token`.
        token: As it came.
        field: Its name in the request.
        requirement: Id of the rule that the list serves.

    Raises:
        Refusal: REQUEST_MALFORMED, when `give_token` has not made it for this scope.
    """
    place, _, check = token.rpartition(".")
    if len(token) > MAX_TOKEN_CHARACTERS or check != _check(scope, place):
        detail = f"`{field}` is not one that this server gave out for this list"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=field, requirement=requirement)
    return place


def _check(scope: str, place: str) -> str:
    return sha256(f"{scope}\0{place}".encode("utf-8", "surrogatepass")).hexdigest()[:_CHECK_DIGITS]
