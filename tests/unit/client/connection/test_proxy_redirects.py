"""A proxy that sends its clients elsewhere."""

import pytest
from aiohttp import web

from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ServerRefusal

pytestmark = pytest.mark.requirement("PRX-01")


async def test_a_token_goes_to_the_proxy_and_nowhere_else() -> None:
    """A redirect is not followed: what it leads to is not even asked."""
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async def get_token() -> str:
        return "token"

    application = web.Application()
    application.router.add_get("/{path}", redirect)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/proxy"
        with pytest.raises(ServerRefusal, match="UNAVAILABLE"):
            await ProxyTransport(url, ProxyLogin("bob", "17-1@interop", get_token)).connect()
    finally:
        await runner.cleanup()
    assert asked == ["/proxy"]
