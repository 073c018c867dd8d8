"""The client of a WhatsApp user, for third-party chats only; knows no registration of phone numbers.

Source: OPT-01 to OPT-11, OPT-14, MED-04, MED-05.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Self

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions, whatsapp_login
from interop_client.connection.transport import DirectTransport
from interop_client.media.crypto import MediaType
from interop_client.media.file_names import harmless_name
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, Progress, UploadTransport, encrypted_blob, upload_blob
from interop_client.messaging.contents import check_description, media_content
from interop_client.messaging.events import MediaRetryRequested
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.state import ClientState, StateStore
from interop_protocol.endpoint import ServerAddress

TERMS_ID = "20240306"
"""The version of the terms that WhatsApp users accept (OPT-03)."""

_PAGE_SIZE = 100


class WhatsAppClient(InteropClient):
    """The client of a WhatsApp user, who is registered with the admin service.

    Args:
        transport: Reaches the server, and moves blobs.
        state: Keys and sessions.
        store: Saves the state; None saves nothing.
        options: Choices of the application.
    """

    def __init__(
        self,
        transport: UploadTransport,
        state: ClientState,
        store: StateStore | None = None,
        options: ClientOptions | None = None,
    ) -> None:
        super().__init__(transport, state, store, options)
        self._uploads = transport

    @classmethod
    def direct(
        cls,
        server: ServerAddress,
        state: ClientState,
        store: StateStore | None = None,
        options: ClientOptions | None = None,
        *,
        login: LoginOptions | None = None,
    ) -> Self:
        """Makes a client that connects itself.

        Args:
            server: Its address, and the root to trust.
            state: Keys and sessions; its JID is `{digits}@s.whatsapp.net`.
            store: Saves the state; None saves nothing.
            options: Choices of the application.
            login: Choices at login.
        """

        async def log_in() -> Any:
            return whatsapp_login(state.jid, login)

        return cls(DirectTransport(server, state.auth_private_key, log_in), state, store, options)

    async def accept_terms(self) -> None:
        """Records that the user was shown the terms, and then that they accepted them (OPT-03)."""
        await self.record_terms(interop_pb2.TERMS_RESULT_SHOWN)
        await self.record_terms(interop_pb2.TERMS_RESULT_ACCEPTED)

    async def record_terms(self, result: interop_pb2.TermsResult.ValueType) -> None:
        """Records one step of accepting the terms (OPT-03).

        Raises:
            ServerRefusal: TERMS_NOT_ACCEPTED: the user was not shown them before.
        """
        request = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
        await self._call("InteropService/RecordTerms", request, interop_pb2.RecordTermsResponse)

    async def list_partners(self) -> list[interop_pb2.PartnerListing]:
        """Returns the partners that the user can choose, by integrator id (OPT-07)."""
        request = interop_pb2.ListPartnersRequest()
        response = await self._call("InteropService/ListPartners", request, interop_pb2.ListPartnersResponse)
        return list(response.partners)

    async def opt_in(self, integrators: Iterable[int]) -> None:
        """Turns third-party chats on for exactly these partners, and off for all others.

        Raises:
            ServerRefusal: TERMS_NOT_ACCEPTED, NOT_ELIGIBLE or PARTNER_UNKNOWN.
        """
        request = interop_pb2.OptInRequest(integrators=integrators)
        await self._call("InteropService/OptIn", request, interop_pb2.OptInResponse)

    async def opt_out(self, integrators: Iterable[int]) -> None:
        """Removes these partners from the user's choice: their chats become read-only (OPT-06)."""
        request = interop_pb2.OptOutRequest(integrators=integrators)
        await self._call("InteropService/OptOut", request, interop_pb2.OptOutResponse)

    async def set_third_party_chats(self, enabled: bool) -> None:
        """Turns third-party chats on or off as a whole, and keeps the chosen partners (OPT-02).

        Raises:
            ServerRefusal: TERMS_NOT_ACCEPTED or NOT_ELIGIBLE.
        """
        request = interop_pb2.SetThirdPartyChatsRequest(enabled=enabled)
        await self._call("InteropService/SetThirdPartyChats", request, interop_pb2.SetThirdPartyChatsResponse)

    async def set_inbox_mode(self, mode: stanza_pb2.InboxMode.ValueType) -> None:
        """Chooses how the inbox shows third-party chats (OPT-05)."""
        request = interop_pb2.SetInboxModeRequest(inbox_mode=mode)
        await self._call("InteropService/SetInboxMode", request, interop_pb2.SetInboxModeResponse)

    async def get_reachability(self) -> interop_pb2.GetReachabilityResponse:
        """Returns which reachability pings come through (OPT-11)."""
        request = interop_pb2.GetReachabilityRequest()
        return await self._call("InteropService/GetReachability", request, interop_pb2.GetReachabilityResponse)

    async def set_reachability(self, enabled: bool, muted: Iterable[int] = ()) -> None:
        """Chooses which reachability pings come through; the server does not tell senders (OPT-11).

        Args:
            enabled: Whether any come through.
            muted: Partners whose users' pings do not come through; replaces those muted before.
        """
        request = interop_pb2.SetReachabilityRequest(enabled=enabled, muted_integrators=muted)
        await self._call("InteropService/SetReachability", request, interop_pb2.SetReachabilityResponse)

    async def get_settings(self) -> interop_pb2.GetInteropSettingsResponse:
        """Returns this user's choices."""
        request = interop_pb2.GetInteropSettingsRequest()
        return await self._call("InteropService/GetInteropSettings", request, interop_pb2.GetInteropSettingsResponse)

    async def list_chats(self) -> AsyncIterator[interop_pb2.ThirdPartyChat]:
        """Yields this user's third-party chats, newest first, including read-only ones (OPT-06)."""
        page_token = ""
        while True:
            request = interop_pb2.ListThirdPartyChatsRequest(page_size=_PAGE_SIZE, page_token=page_token)
            response = await self._call(
                "InteropService/ListThirdPartyChats", request, interop_pb2.ListThirdPartyChatsResponse
            )
            for chat in response.chats:
                yield chat
            page_token = response.next_page_token
            if not page_token:
                return

    async def accept_message_request(self, peer_jid: str) -> None:
        """Accepts a third-party user's message request; the server tells them. Writing to them does the same (OPT-14).

        Idempotent.
        """
        await self._answer_message_request(peer_jid, interop_pb2.MESSAGE_REQUEST_ANSWER_ACCEPT)

    async def decline_message_request(self, peer_jid: str) -> None:
        """Declines a third-party user's message request; the server does not tell them (OPT-14).

        No more of their messages come. Idempotent; the user can accept later.
        """
        await self._answer_message_request(peer_jid, interop_pb2.MESSAGE_REQUEST_ANSWER_DECLINE)

    async def _answer_message_request(self, peer_jid: str, answer: interop_pb2.MessageRequestAnswer.ValueType) -> None:
        request = interop_pb2.AnswerMessageRequestRequest(peer_jid=peer_jid, answer=answer)
        await self._call("InteropService/AnswerMessageRequest", request, interop_pb2.AnswerMessageRequestResponse)

    async def delete_chat(self, peer_jid: str) -> None:
        """Deletes a third-party chat from the list; the server does not tell the peer. Idempotent."""
        request = interop_pb2.DeleteThirdPartyChatRequest(peer_jid=peer_jid)
        await self._call("InteropService/DeleteThirdPartyChat", request, interop_pb2.DeleteThirdPartyChatResponse)

    async def send_document(
        self, to: str, path: Path, *, mimetype: str = "application/octet-stream", progress: Progress | None = None
    ) -> SentMessage:
        """Sends a file: encrypts it, uploads the blob, and sends its path and key.

        Args:
            to: JID of the recipient.
            path: The file; the recipient sees its name, made harmless as in `file_names`, but not its folder.
            mimetype: Of the file.
            progress: Called with how much of the blob was sent.

        Raises:
            OSError: The file cannot be read.
            InvalidContent: The MIME type is not text that can be sent, or too long.
            ServerRefusal: The server refused the upload; or as `send_message`, with its other exceptions.
        """
        name = harmless_name(path.name)
        check_description(MediaType.DOCUMENT, mimetype, name)
        async with encrypted_blob(path, MediaType.DOCUMENT) as blob:
            direct_path = await upload_blob(self._uploads, blob, progress)
        reference = MediaReference(
            media_type=MediaType.DOCUMENT,
            direct_path=direct_path,
            media_key=blob.media_key,
            encrypted=blob.encrypted,
            mimetype=mimetype,
            name=name,
        )
        return await self.send_message(to, media_content(reference))

    async def resend_media(
        self, request: MediaRetryRequested, path: Path, *, progress: Progress | None = None
    ) -> SentMessage:
        """Uploads a file once more, and sends its message again under the same id (MED-08).

        Args:
            request: The recipient's request.
            path: The file.
            progress: Called with how much of the blob was sent.

        Raises:
            LookupError: Neither this client nor `ClientOptions.find_sent` knows the message any more.
            OSError: The file cannot be read.
            ServerRefusal: The server refused the upload; or as `send_message`, with its other exceptions.
        """

        async def store(blob: Blob) -> str:
            return await upload_blob(self._uploads, blob, progress)

        return await self._send_file_again(request, path, store)
