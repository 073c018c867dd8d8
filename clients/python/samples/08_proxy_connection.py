"""Carol connects through her messenger's proxy: it proves the auth key for her, and never sees what she writes."""

import aiohttp
from stage import Messenger, endpoint, expect, messenger, play, whatsapp_user

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.messaging.events import TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient

CLIENT_IP = "203.0.113.7"


async def carol_behind_the_proxy(messenger: Messenger) -> ThirdPartyClient:
    """Enlists Carol with the auth key that the proxy holds for her, and returns her client."""
    server, state = messenger.server, ClientState.generate()

    async def get_token() -> str:
        return server.issue_token("carol")

    async with aiohttp.ClientSession() as http, http.get(f"{server.base_url}/proxy/authkey?user=carol") as response:
        auth_public_key = bytes.fromhex((await response.json())["public_key"])
    enlisting = ThirdPartyClient.direct(endpoint(), state, get_token)
    jid = await enlisting.enlist_over_http(endpoint().http, await get_token(), auth_public_key)
    transport = ProxyTransport(server.proxy_url, ProxyLogin("carol", jid, get_token), CLIENT_IP)
    return ThirdPartyClient(transport, state)


async def main() -> None:
    """Talks through the proxy, and looks at the connection as the server's operator."""
    async with messenger(integrator=108) as carols_messenger:
        carol = await carol_behind_the_proxy(carols_messenger)
        alice = await whatsapp_user(108)
        async with carol, alice, AdminClient(endpoint()) as admin:
            await carol.publish_prekeys()
            await carol.send_text(alice.jid, "Through the proxy")
            expect((await alice.wait_for(TextReceived)).text == "Through the proxy", "Alice reads what Carol wrote.")
            await alice.send_text(carol.jid, "And back")
            expect((await carol.wait_for(TextReceived)).text == "And back", "Carol reads the answer.")

            seen = next(connection for connection in await admin.list_connections() if connection.jid == carol.jid)
            expect(seen.mode == chat_pb2.CONNECTION_MODE_PROXY, "The server knows that a proxy connects for Carol,")
            expect(seen.client_ip == CLIENT_IP, f"that she is at {seen.client_ip},")
            expect(not seen.connection_signals_available, "and that the connection says nothing about her device.")


play(main)
