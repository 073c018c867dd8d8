"""The stage of the samples: runs a messenger's server, registers it with the simulator, makes users of both sides."""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop_admin.client import AdminClient
from interop_admin.endpoint import NotFound, find_endpoint
from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.options import ClientOptions
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.endpoint import Endpoint
from interop_protocol.printable import printable
from partner_server import PartnerServer, PartnerSettings


def endpoint() -> Endpoint:
    """Returns the addresses of the simulator that INTEROPSIM names, or else of the one that runs here."""
    try:
        return find_endpoint()
    except NotFound as error:
        sys.exit(str(error))


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a sample; what it does not expect of the server, a fault say, ends it with a sentence."""
    try:
        asyncio.run(main())
    except (ServerRefusal, ConnectionEnded) as error:
        sys.exit(f"NOT SO: {printable(str(error))}")
    except TimeoutError:
        sys.exit("NOT SO: No answer came in time; the server may or may not have done what it was asked.")


def expect(claim: bool, sentence: str) -> None:
    """Prints a sentence if its claim is true, or else ends the sample with it."""
    if not claim:
        sys.exit(f"NOT SO: {printable(sentence)}")
    print(printable(sentence))


@dataclass(frozen=True)
class Messenger:
    """A third-party messenger with its server."""

    server: PartnerServer
    integrator: int

    def user(self, name: str, options: ClientOptions | None = None) -> ThirdPartyClient:
        """Returns the client of a user of this messenger, on a new device, not enlisted yet."""

        async def get_token() -> str:
            return self.server.issue_token(name)

        return ThirdPartyClient.direct(endpoint(), ClientState.generate(), get_token, options=options)


@asynccontextmanager
async def messenger(integrator: int) -> AsyncIterator[Messenger]:
    """Runs a messenger's server and registers it."""
    with tempfile.TemporaryDirectory() as folder:
        issuer = f"https://sample-messenger-{integrator}.example"
        settings = PartnerSettings(Path(folder), issuer=issuer, endpoint=endpoint())
        async with PartnerServer(settings) as server, AdminClient(endpoint()) as admin:
            partner = admin_pb2.Partner(
                integrator=integrator,
                name=f"Sample Messenger {integrator}",
                issuer=server.issuer,
                base_url=server.base_url,
                push_url=server.push_url,
                media_url=server.media_url,
                status=interop_pb2.PARTNER_STATUS_ACTIVE,
                identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
                proxy_allowed=True,
            )
            expect(await admin.put_partner(partner) == 1, f"{partner.name} is registered, and its key is known.")
            yield Messenger(server, integrator)


async def whatsapp_user(*integrators: int) -> WhatsAppClient:
    """Returns the connected client of a new WhatsApp user who has opted in for these integrators, if any are given."""
    state = ClientState.generate()
    phone_number = f"+316{secrets.randbelow(10**8):08}"
    async with AdminClient(endpoint()) as admin:
        state.jid = await admin.put_whatsapp_user(phone_number, state.auth_public_key)
    client = WhatsAppClient.direct(endpoint(), state)
    await client.connect()
    await client.publish_prekeys()
    if integrators:
        await client.accept_terms()
        await client.opt_in(integrators)
    return client
