"""A server asks itself nothing, however its address is spelt; and other servers of this machine are asked."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from interop_server.http.outbound import PROXIED, describe_failure, open_session, transport_errors
from interop_server.http.own_places import OwnPlaces

from .conftest import Handler

pytestmark = pytest.mark.requirement("MED-03", "SIM-06")

SPELLINGS = (
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0", "127.0.0.2",
    "[::1]", "[::ffff:127.0.0.1]", "[::]", "LOCALHOST", "localhost.",
)  # fmt: skip


async def test_no_spelling_of_its_own_address_is_asked(serve_partner: Callable[[Handler], Awaitable[str]]) -> None:
    """IPv4 in every notation, IPv6, mapped addresses, any address, and names."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers[PROXIED])
        return web.Response()

    url = await serve_partner(answer)
    port = int(url.rpartition(":")[2])
    own = OwnPlaces()
    async with open_session(own) as session, session.get(url) as response:
        assert response.status == 200
    assert asked == ["1"], "other servers of this machine are asked, and told that a simulator asks"
    own.add(port)
    async with open_session(own) as session:
        for host in SPELLINGS:
            with pytest.raises(transport_errors()) as raised:
                await session.get(f"http://{host}:{port}/")
            if isinstance(raised.value, aiohttp.ClientConnectorError) and host[0] in "1[l":
                assert describe_failure(raised.value) in (
                    "the address is this server's own", "the server could not be reached"
                )  # fmt: skip
    assert asked == ["1"]
