"""HTTP sessions for requests to partners' servers, without cookies, proxies or decompression; knows no endpoint.

aiohttp takes a quarter of a start to import, and no start needs it; so functions import it where they use it.
"""

from typing import TYPE_CHECKING

from interop_server.http.own_places import OwnPlace, OwnPlaces

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

UNREACHED = "the server could not be reached"
"""Said of a partner's server, whatever keeps requests from it."""
PROXIED = "Interopsim-Proxied"
"""A header of every request that a simulator makes, and of none that it serves: so a loop ends at its first round, also
where it leads through other servers."""


def transport_errors() -> tuple[type[Exception], ...]:
    """All that a request to a partner's server can raise; a TimeoutError is an OSError, a bad URL a ValueError."""
    from aiohttp import ClientError

    return ClientError, OSError, ValueError


def open_session(own: OwnPlaces, timeout_seconds: float | None = None) -> "ClientSession":
    """Opens a session that keeps no cookies, decompresses nothing and takes no proxy from the environment.

    Args:
        own: Where nothing is asked.
        timeout_seconds: For a whole request; None when the caller sets the deadlines.
    """
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    from interop_server.http.names import NameResolver

    return ClientSession(
        connector=TCPConnector(socket_factory=own.open_socket, resolver=NameResolver()),
        timeout=ClientTimeout(total=timeout_seconds),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": "interopsim", "Accept-Encoding": "identity", PROXIED: "1"},
    )


def is_encoded(response: "ClientResponse") -> bool:
    """Says whether a body is compressed, which the request did not allow."""
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def describe_failure(error: BaseException) -> str:
    """Says in words what went wrong, without repeating addresses or content."""
    from aiohttp import ClientPayloadError
    from aiohttp.client_exceptions import ClientConnectorError, ServerDisconnectedError

    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ClientConnectorError) and isinstance(error.os_error, OwnPlace):
        return "the address is this server's own"
    if isinstance(error, ClientConnectorError):
        return UNREACHED
    if isinstance(error, ClientPayloadError | ServerDisconnectedError):
        return "the server broke off its answer"
    return f"the exchange failed ({type(error).__name__})"
