"""How attempts end, as values to compare; knows no server."""

from collections.abc import Awaitable

from interop_client.errors import ConnectionEnded, ServerRefusal


async def refused(attempt: Awaitable[object]) -> str:
    """Returns the reason for which an attempt is refused; empty when it is not."""
    try:
        await attempt
    except ServerRefusal as refusal:
        return refusal.reason
    return ""


async def ended(attempt: Awaitable[object]) -> str:
    """Returns why the connection ended during an attempt; empty when it did not."""
    try:
        await attempt
    except ConnectionEnded as end:
        return end.reason
    return ""
