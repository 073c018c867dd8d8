"""The device of a WhatsApp user; knows no partner's server."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import ReachabilityPing
from interop_client.whatsapp import WhatsAppClient
from interop_demo.device import OPTIONS, Device, DevicePlace
from interop_protocol.endpoint import ServerAddress
from interop_protocol.jid import whatsapp_jid


class WhatsAppDevice(Device):
    """Connects itself.

    Args:
        place: The surroundings of the device.
        user: The phone number, E.164 with a leading `+`.
    """

    def __init__(self, place: DevicePlace, user: str) -> None:
        super().__init__(place)
        self._user = user

    async def make_client(self, server: ServerAddress) -> InteropClient:
        """Makes the client for a new connection. See Device."""
        return WhatsAppClient.direct(server, self.load_state(), self.file, OPTIONS)

    async def make_keys(self) -> dict[str, Any]:
        """Makes and saves the device's keys, and returns the public auth key with which the operator registers it."""
        state = self.load_state()
        state.jid = whatsapp_jid(self._user.removeprefix("+"))
        self.file.save(state.to_bytes())
        return {"auth_public_key": state.auth_public_key.hex()}

    async def get_settings(self) -> dict[str, Any]:
        """Returns the user's choices for third-party chats."""
        settings = await self._whatsapp.get_settings()
        return {
            "enabled": settings.enabled,
            "integrators": list(settings.integrators),
            "inbox_mode": stanza_pb2.InboxMode.Name(settings.inbox_mode).removeprefix("INBOX_MODE_"),
            "terms_accepted": settings.terms_accepted,
            "eligible": settings.eligible,
        }

    async def list_partners(self) -> dict[str, Any]:
        """Returns the partners that the user can choose."""
        partners = await self._whatsapp.list_partners()
        return {"partners": [{"integrator": partner.integrator, "name": partner.name} for partner in partners]}

    async def see_terms(self) -> dict[str, Any]:
        """Records that the user was shown the terms."""
        await self._whatsapp.record_terms(interop_pb2.TERMS_RESULT_SHOWN)
        return {}

    async def accept_terms(self) -> dict[str, Any]:
        """Records that the user accepted the terms."""
        await self._whatsapp.record_terms(interop_pb2.TERMS_RESULT_ACCEPTED)
        return {}

    async def opt_in(self, integrators: list[int]) -> dict[str, Any]:
        """Turns third-party chats on for these partners."""
        await self._whatsapp.opt_in(integrators)
        return {}

    async def opt_out(self, integrators: list[int]) -> dict[str, Any]:
        """Turns third-party chats off for these partners."""
        await self._whatsapp.opt_out(integrators)
        return {}

    async def wait_for_reachability_ping(self) -> dict[str, Any]:
        """Waits until a third-party user pings this user."""
        ping = asdict(await self._wait_for(ReachabilityPing, "a reachability ping"))
        del ping["timestamp_ms"]
        return {"told": ping}

    async def accept_request(self, jid: str) -> dict[str, Any]:
        """Accepts a third-party user's message request."""
        await self._whatsapp.accept_message_request(jid)
        return {}

    async def choose_separate_inbox(self) -> dict[str, Any]:
        """Chooses an inbox of their own for third-party chats."""
        await self._whatsapp.set_inbox_mode(stanza_pb2.INBOX_MODE_SEPARATE)
        return {}

    async def list_chats(self) -> dict[str, Any]:
        """Returns the list of third-party chats."""
        chats = [
            {"peer": chat.peer_jid, "name": chat.external_id, "read_only": chat.read_only}
            async for chat in self._whatsapp.list_chats()
        ]
        return {"chats": chats}

    async def send_document(self, to: str, file: str, mimetype: str) -> dict[str, Any]:
        """Uploads a document and sends it."""
        sent = await self._whatsapp.send_document(to, Path(file), mimetype=mimetype, progress=self.progress)
        return {"id": sent.id}

    @property
    def _whatsapp(self) -> WhatsAppClient:
        assert isinstance(self.client, WhatsAppClient)
        return self.client
