"""A simulator under fire: accounts on both sides, calls of any bytes, and whether it is unharmed; knows no rule."""

import asyncio
import hashlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import (
    chat_pb2,
    enlistment_pb2_grpc,
    interop_pb2,
    interop_pb2_grpc,
    media_pb2,
    media_pb2_grpc,
    prekeys_pb2,
    prekeys_pb2_grpc,
)
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.errors import refusal_from_rpc_error
from interop_client.state import ClientState
from interop_client.whatsapp import TERMS_ID
from interop_demo.processes import Child, simulator
from interop_protocol.encoding import media_token
from interop_protocol.endpoint import Endpoint
from interop_server.rpc.errors import DETAILS_METADATA
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.raw import enlistment, one_time_prekeys, signed_prekey
from tests.e2e.wire import sealed_message
from tests.fuzz.line import WAIT_SECONDS, Line
from tests.fuzz.methods import path_of
from tests.fuzz.outcomes import Answer
from tests.invariants import violations, violations_on_server
from tests.largest_limits import no_rates
from tests.postgres import fresh_database
from tests.registration import registration

INTEGRATOR = 500
BLOB = bytes(range(256)) * 8
BLOB_TOKEN = media_token(hashlib.sha256(BLOB).digest())
STREAM_SECONDS = 0.2
"""How long a stream of answers is listened to when nothing comes."""
STREAM_RESPONSES = 5


@dataclass
class People:
    """One account on each side, who can talk to each other."""

    whatsapp: Line
    third_party: Line
    user: str
    """What the third-party user is called."""
    phone_number: str

    @property
    def lines(self) -> tuple[Line, Line]:
        return self.whatsapp, self.third_party

    async def close(self) -> None:
        for line in self.lines:
            await line.close()


class Target:
    """A running simulator. Made by `open_target`."""

    def __init__(
        self,
        child: Child,
        db: Path | str,
        partner: PartnerServer,
        admin: AdminClient,
        stack: AsyncExitStack,
        ahead: list[float],
    ) -> None:
        self.child = child
        self.db = db
        self.partner = partner
        self.admin = admin
        self.endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        self.people: People
        self._numbers = itertools.count(1)
        self._stack = stack
        self._ahead = ahead
        self._log_length = 0
        self._blocking: grpc.Channel | None = None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.issuer = ""
        self.upload_auth = ""
        self.blob_path = ""
        """Of a blob that was uploaded."""
        self.request_id = ""
        """Of a refusal."""

    async def renew(self) -> None:
        """Puts the registration in order, and people who nothing was done to in the place of those there were."""
        if hasattr(self, "people"):
            await self.people.close()
        number = next(self._numbers)
        clock = await self.admin.resume_clock()
        self._ahead[0] = clock.now_ms / 1000 - time.time()  # tokens are dated by the server's clock
        # Another issuer each time: whatever was registered meanwhile, an issuer belongs to one integrator for ever.
        self.issuer = f"https://fuzzed-{number}.example"
        await self.admin.put_partner(self.registration())
        user, phone_number = f"user{number}", f"+4915{number:08}"
        third_party = await self._third_party(user)
        whatsapp = await self._whatsapp(phone_number)
        self.people = People(whatsapp, third_party, user, phone_number)
        await self._prepare_media(whatsapp)
        try:
            await prekeys_pb2_grpc.PreKeyServiceStub(self._channel("grpc")).GetKeyDigest(
                prekeys_pb2.GetKeyDigestRequest()
            )
        except grpc.aio.AioRpcError as error:
            self.request_id = refusal_from_rpc_error(error).request_id

    def registration(self) -> admin_pb2.Partner:
        """The messenger as it is registered."""
        entry = registration(self.partner, INTEGRATOR, "Fuzzed")
        entry.issuer = self.issuer
        return entry

    def token(self, user: str, **changes: object) -> str:
        """A token of the messenger."""
        return self.partner.issue_token(user, iss=self.issuer, **changes)

    def login_of(self, line: Line) -> chat_pb2.LoginPayload:
        """The login of one of the people."""
        if line is self.people.whatsapp:
            return whatsapp_login(line.state.jid)
        return third_party_login(line.state.jid, self.token(self.people.user))

    async def call(
        self, method: MethodDescriptor, requests: Sequence[bytes], line: Line | None, authorization: Sequence[str] = ()
    ) -> Answer:
        """Makes a call of any kind with these bytes and takes its answers.

        Args:
            method: What is called.
            requests: The messages.
            line: In whose session.
            authorization: Values of that header where there is no session.
        """
        channel = self._channel("admin" if ".admin." in method.full_name else "grpc")
        metadata = tuple(("authorization", value) for value in authorization)
        if line is not None:
            metadata = line.client.metadata
        path = path_of(method)
        answer = Answer()
        try:
            if method.server_streaming:
                call = channel.unary_stream(path)(requests[0], metadata=metadata, timeout=WAIT_SECONDS)
                answer.is_open = await _listen(call, answer.responses)
            elif method.client_streaming:
                answer.responses.append(await asyncio.to_thread(self._stream, path, requests, metadata))
            else:
                unary = channel.unary_unary(path)(requests[0], metadata=metadata, timeout=WAIT_SECONDS)
                answer.responses.append(await unary)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            details = trailers.get(DETAILS_METADATA, b"")
            assert isinstance(details, bytes)
            answer.status, answer.message, answer.details = error.code(), error.details() or "", details
        return answer

    async def check_unharmed(self) -> None:
        """Asserts that the server still serves, that its store is in order, and that its log holds no surprise."""
        await self.renew()
        alice, bob = self.people.lines
        for sender, recipient in ((alice, bob), (bob, alice)):
            content = os.urandom(32)
            await sender.exchange([sealed_message(recipient.jid, f"m-{content.hex()[:20]}", content)])
            async with asyncio.timeout(WAIT_SECONDS):
                while not any(_content(stanza) == content for stanza in await recipient.take()):
                    pass
        db = self.db
        found = await (asyncio.to_thread(violations, db) if isinstance(db, Path) else violations_on_server(db))
        assert not found, found
        log = self.child.log.read_text(errors="replace")
        news, self._log_length = log[self._log_length :], len(log)
        assert "Traceback" not in news, news[:6_000]
        assert "SERVER_FAULT" not in news, news[:6_000]

    def _stream(self, path: str, requests: Sequence[bytes], metadata: object) -> bytes:
        # Not with grpc.aio: a write that comes after the server's answer makes it forget that answer.
        if self._blocking is None:
            self._blocking = grpc.insecure_channel(self.endpoint.grpc)
            self._stack.callback(self._blocking.close)
        response = self._blocking.stream_unary(path)(iter(requests), metadata=metadata, timeout=WAIT_SECONDS)
        assert isinstance(response, bytes)
        return response

    def _channel(self, surface: str) -> grpc.aio.Channel:
        if surface not in self._channels:
            channel = grpc.aio.insecure_channel(str(self.child.ready[surface]))
            self._stack.push_async_callback(channel.close)
            self._channels[surface] = channel
        return self._channels[surface]

    async def _prepare_media(self, line: Line) -> None:
        media = media_pb2_grpc.MediaServiceStub(line.client.channel)
        connection = media_pb2.GetMediaConnectionRequest()
        self.upload_auth = (await media.GetMediaConnection(connection, metadata=line.client.metadata)).auth
        start = media_pb2.UploadStart(auth=self.upload_auth, upload_token=BLOB_TOKEN, length=len(BLOB))
        parts = [media_pb2.UploadRequest(start=start), media_pb2.UploadRequest(chunk=BLOB)]
        self.blob_path = (await media.Upload(iter(parts), metadata=line.client.metadata)).direct_path

    async def _third_party(self, user: str) -> Line:
        state = ClientState.generate()
        stub = enlistment_pb2_grpc.EnlistmentServiceStub(self._channel("grpc"))
        response = await stub.Enlist(enlistment(state, self.token(user)))
        state.jid = response.success.login
        line = await Line.open(self.endpoint.grpc, state, third_party_login(state.jid, self.token(user)))
        await publish(line)
        return line

    async def _whatsapp(self, phone_number: str) -> Line:
        state = ClientState.generate()
        state.jid = await self.admin.put_whatsapp_user(phone_number, state.auth_public_key)
        line = await Line.open(self.endpoint.grpc, state, whatsapp_login(state.jid))
        await publish(line)
        interop, metadata = interop_pb2_grpc.InteropServiceStub(line.client.channel), line.client.metadata
        for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
            await interop.RecordTerms(
                interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result), metadata=metadata
            )
        await interop.OptIn(interop_pb2.OptInRequest(integrators=[INTEGRATOR]), metadata=metadata)
        return line


def published(state: ClientState, count: int = 20) -> prekeys_pb2.SetPreKeysRequest:
    """What an account publishes, with one-time prekeys that are new each time."""
    keys = state.signal.publishable
    return prekeys_pb2.SetPreKeysRequest(
        registration_id=keys.registration_id,
        key_type=b"\x05",
        identity_key=keys.identity_key,
        signed_prekey=signed_prekey(state.signal),
        one_time_prekeys=one_time_prekeys(count),
    )


async def publish(line: Line) -> None:
    """Publishes an account's keys."""
    stub = prekeys_pb2_grpc.PreKeyServiceStub(line.client.channel)
    await stub.SetPreKeys(published(line.state), metadata=line.client.metadata)


async def _listen(call: grpc.aio.UnaryStreamCall[bytes, bytes], responses: list[bytes]) -> bool:
    """Takes the first responses of a stream; says whether it was still open then."""
    try:
        while len(responses) < STREAM_RESPONSES:
            async with asyncio.timeout(STREAM_SECONDS):
                response = await call.read()
            if not isinstance(response, bytes):
                return False
            responses.append(response)
    except TimeoutError:
        pass
    call.cancel()
    return True


def _content(stanza: object) -> bytes:
    enc = stanza.message.enc  # type: ignore[attr-defined]
    return enc[0].ciphertext if enc else b""


@asynccontextmanager
async def open_target(folder: Path, keys: SigningKeys) -> AsyncIterator[Target]:
    """Starts a simulator with a messenger and people; ends all of it."""
    db: Path | str = folder / "fuzzed.db"
    arguments = ["--log-level", "warning", "--limit", "kem_prekeys=true"]
    for name, most in no_rates().items():
        arguments += ["--limit", f"{name}={most}"]
    async with AsyncExitStack() as stack:
        if os.environ.get("FUZZ_POSTGRES"):
            db = await stack.enter_async_context(fresh_database())
            arguments += ["--store", db, "--blobs", str(folder)]
        file = db if isinstance(db, Path) else None
        child = await stack.enter_async_context(simulator(folder / "simulator.log", file, arguments))
        admin = await stack.enter_async_context(AdminClient(str(child.ready["admin"])))
        ahead = [0.0]
        settings = PartnerSettings(folder / "partner")
        server = PartnerServer(settings, keys, lambda: time.time() + ahead[0])
        partner = await stack.enter_async_context(server)
        target = Target(child, db, partner, admin, stack, ahead)
        stack.push_async_callback(lambda: target.people.close())
        await target.renew()
        yield target
