"""The client of a third-party user; knows nothing of the partner's own server but its tokens.

Source: ENL-07 to ENL-15, MED-02, ABU-06, LIF-03.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from interop_api.v1 import account_pb2, enlistment_pb2, integrity_pb2, interop_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.connection.transport import DirectTransport, ca_of
from interop_client.errors import Recovery, ServerRefusal, refusal_from_json, refusal_from_stanza_error
from interop_client.media.crypto import MediaType
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, MediaHost, encrypted_blob
from interop_client.messaging.contents import check_description, media_content
from interop_client.messaging.events import MediaRetryRequested
from interop_client.messaging.outgoing import SentMessage
from interop_client.options import ClientOptions
from interop_client.state import ClientState, StateStore
from interop_protocol.encoding import encode_base64url
from interop_protocol.endpoint import ServerAddress
from interop_protocol.jid import INTEROP_SERVER, JidError, parse_jid
from interop_protocol.json_text import read_json
from interop_protocol.sizes import PREKEY_ID_BYTES, PROTOCOL_VERSION, REGISTRATION_ID_BYTES
from interop_protocol.xeddsa_keys import KEY_TYPE

ENLISTMENT_PATH = "/3p/interop_reg"
"""The path to which the client posts the documented form."""

_MAX_OUTCOME_BYTES = 64 * 1024

TokenSource = Callable[[], Awaitable[str]]
"""Gets a token from the partner's own server: tokens are short-lived, so each login asks for a new one."""


class ThirdPartyClient(InteropClient):
    """A third-party user. `enlist` once, then connect."""

    @classmethod
    def direct(
        cls,
        server: ServerAddress,
        state: ClientState,
        get_token: TokenSource,
        store: StateStore | None = None,
        options: ClientOptions | None = None,
        *,
        login: LoginOptions | None = None,
    ) -> Self:
        """Makes a client that connects itself.

        Args:
            server: Its address, and the root to trust.
            state: Keys and sessions.
            get_token: Gets a token for each login.
            store: Saves the state; None saves nothing.
            options: Choices of the application.
            login: Choices at login.
        """

        async def log_in() -> Any:
            if not state.jid:
                raise ValueError("this account has no JID: enlist() first")
            return third_party_login(state.jid, await get_token(), login)

        return cls(DirectTransport(server, state.auth_private_key, log_in), state, store, options)

    async def enlist(self, token: str) -> str:
        """Enlists this user, or renews the enlistment, and returns the JID.

        When the server refuses the signed prekey, the client makes a new one and tries again, once (KEY-13).

        Args:
            token: A token that the partner issued for this user.

        Raises:
            ServerRefusal: The server did not enlist the user.
        """
        try:
            return await self._enlist(token)
        except ServerRefusal as refusal:
            if refusal.recovery is not Recovery.NEW_KEYS:
                raise
        self._signal.renew_signed_prekey()
        await self._durable.commit()  # before sending: without its private key, the message that uses it is lost
        return await self._enlist(token)

    async def _enlist(self, token: str) -> str:
        request = self._enlistment(token, b"")
        response = await self._call("EnlistmentService/Enlist", request, enlistment_pb2.EnlistResponse)
        if response.HasField("failure"):
            raise refusal_from_stanza_error(response.failure.error)
        return await self._keep_jid(response.success.login)

    async def enlist_over_http(self, base_url: str, token: str, auth_public_key: bytes = b"") -> str:
        """Enlists with the documented form post, and returns the JID.

        Args:
            base_url: Of the server's HTTP surface.
            token: A token that the partner issued for this user.
            auth_public_key: The auth key of a proxy that will connect for this user, 32 bytes; empty enlists this
                client's own.

        Raises:
            ServerRefusal: The server did not enlist the user, or its answer is malformed.
            OSError: The server cannot be reached or is too slow.
        """
        from interop_client.connection.http import http_request, read_body  # imported here: slow, as its docstring says

        request = self._enlistment(token, auth_public_key)
        form = {
            descriptor.name: encode_base64url(value)
            for descriptor, value in request.ListFields()
            if isinstance(value, bytes)
        }
        form |= {"token": token, "version": str(request.protocol_version)}
        async with http_request(
            "POST", base_url.rstrip("/") + ENLISTMENT_PATH, form, ca_of(self.transport)
        ) as response:
            body = await read_body(response, _MAX_OUTCOME_BYTES)
        return await self._keep_jid(_login_of(body))

    async def delete_account(self) -> None:
        """Deletes the account, which ends the connection. The server never gives its JID to another account (LIF-03).

        Raises:
            ServerRefusal: The server did not delete the account.
        """
        request = account_pb2.DeleteAccountRequest()
        await self._call("AccountService/DeleteAccount", request, account_pb2.DeleteAccountResponse)

    async def request_challenge(self) -> integrity_pb2.RequestChallengeResponse:
        """Begins a challenge, which replaces any earlier one. The code for one way to answer it comes as ChallengeCode.

        Raises:
            ServerRefusal: RATE_LIMITED: the account has begun too many.
        """
        request = integrity_pb2.RequestChallengeRequest()
        return await self._call("IntegrityService/RequestChallenge", request, integrity_pb2.RequestChallengeResponse)

    async def answer_challenge(
        self,
        challenge_id: str,
        answer: str,
        option: integrity_pb2.ChallengeOption.ValueType = integrity_pb2.CHALLENGE_OPTION_CHANNEL,
    ) -> None:
        """Answers a challenge, after which the account may open new chats again (ABU-06).

        Args:
            challenge_id: The challenge.
            answer: The code that came as ChallengeCode, or the digits of the prompt in reverse.
            option: Which of the two.

        Raises:
            ServerRefusal: CHALLENGE_INVALID: the answer is wrong or late, and the challenge has ended; RATE_LIMITED.
        """
        request = integrity_pb2.AnswerChallengeRequest(challenge_id=challenge_id, option=option, answer=answer)
        await self._call("IntegrityService/AnswerChallenge", request, integrity_pb2.AnswerChallengeResponse)

    async def send_reachability_ping(self, phone_number: str, display_name: str) -> None:
        """Tells a WhatsApp user that this user would like to write (OPT-10). The server does not say if it arrives.

        Args:
            phone_number: Of the WhatsApp user, with `+` and country code.
            display_name: The name that this user shows: 1 to 64 printable characters.

        Raises:
            ServerRefusal: REQUEST_MALFORMED, or RATE_LIMITED with the delay before the next ping.
        """
        request = interop_pb2.SendReachabilityPingRequest(phone_number=phone_number, display_name=display_name)
        await self._call("InteropService/SendReachabilityPing", request, interop_pb2.SendReachabilityPingResponse)

    async def send_image(
        self, to: str, path: Path, host: MediaHost, *, mimetype: str = "image/png", caption: str = ""
    ) -> SentMessage:
        """Sends an image, whose encrypted blob stays on the partner's own media server.

        Args:
            to: JID of the recipient.
            path: The image file.
            host: Stores the encrypted blob.
            mimetype: Of the image.
            caption: Text to show under it.

        Raises:
            OSError: The file cannot be read.
            InvalidContent: The caption or the MIME type is not text that can be sent, or too long.
            ServerRefusal: As `send_message`, with its other exceptions.
        """
        check_description(MediaType.IMAGE, mimetype, caption)
        async with encrypted_blob(path, MediaType.IMAGE) as blob:
            direct_path = self._path_of(await host(blob.path))
        reference = MediaReference(
            media_type=MediaType.IMAGE,
            direct_path=direct_path,
            media_key=blob.media_key,
            encrypted=blob.encrypted,
            mimetype=mimetype,
            name=caption,
        )
        return await self.send_message(to, media_content(reference))

    async def resend_media(self, request: MediaRetryRequested, path: Path, host: MediaHost) -> SentMessage:
        """Stores a file once more, and sends its message again under the same id (MED-08).

        Args:
            request: The recipient's request.
            path: The file.
            host: Stores the encrypted blob.

        Raises:
            LookupError: Neither this client nor `ClientOptions.find_sent` knows the message any more.
            OSError: The file cannot be read.
            ServerRefusal: As `send_message`, with its other exceptions.
        """

        async def store(blob: Blob) -> str:
            return self._path_of(await host(blob.path))

        return await self._send_file_again(request, path, store)

    def _path_of(self, storage_reference: str) -> str:
        return f"/interop/whatsapp/download/{parse_jid(self.jid).integrator}/{storage_reference}/"

    def _enlistment(self, token: str, auth_public_key: bytes) -> enlistment_pb2.EnlistRequest:
        keys = self._signal.publishable
        return enlistment_pb2.EnlistRequest(
            authkey=auth_public_key or self.state.auth_public_key,
            e_keytype=bytes((KEY_TYPE,)),
            e_regid=keys.registration_id.to_bytes(REGISTRATION_ID_BYTES, "big"),
            e_ident=keys.identity_key,
            e_skey_id=keys.signed_prekey.key_id.to_bytes(PREKEY_ID_BYTES, "big"),
            e_skey_val=keys.signed_prekey.public_key,
            e_skey_sig=keys.signed_prekey.signature,
            token=token,
            protocol_version=PROTOCOL_VERSION,
        )

    async def _keep_jid(self, jid: str) -> str:
        if not _is_account(jid):
            raise ServerRefusal("ANSWER_MALFORMED", advice="The server named no account of a messenger.")
        self.state.jid = jid
        self._signal.confirmed_signed_prekey_id = self._signal.publishable.signed_prekey.key_id
        await self._durable.commit()
        return jid


def _is_account(jid: str) -> bool:
    try:
        return parse_jid(jid).server == INTEROP_SERVER
    except JidError:
        return False


def _login_of(body: bytes) -> str:
    try:
        outcome = read_json(body)
        if outcome["status"] == "ok":
            return str(outcome["login"])
        refusal = refusal_from_json(outcome)
    except (ValueError, KeyError, TypeError) as error:
        raise ServerRefusal("ANSWER_MALFORMED", advice="The server did not answer with an outcome object.") from error
    raise refusal
