"""A simulator process with a partner and users to load it with; knows no figure."""

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc.aio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwt
from joserfc.jwk import RSAKey

from interop_api.admin.v1alpha1 import admin_pb2, admin_pb2_grpc
from interop_api.v1 import chat_pb2, enlistment_pb2, enlistment_pb2_grpc, interop_pb2, interop_pb2_grpc, prekeys_pb2
from interop_demo.processes import Child, simulator
from interop_protocol.xeddsa_keys import KEY_TYPE, sign_xeddsa, signed_prekey_message
from tests.bench.lean_client import Account, LeanClient
from tests.bench.report import WrongAnswer

INTEGRATOR = 7
ISSUER = "https://messenger.example"
PROTOCOL_VERSION = 1
TOKEN_SECONDS = 3600
TERMS_ID = "20240306"


@dataclass(frozen=True, slots=True)
class Applicant:
    """A user of the partner who can be enlisted."""

    user: str
    """The user-visible identifier."""
    auth: X25519PrivateKey = field(repr=False)
    """What the enlisted user logs in with."""
    request: enlistment_pb2.EnlistRequest = field(repr=False)
    """The enlistment."""

    async def enlist(self, service: "enlistment_pb2_grpc.EnlistmentServiceAsyncStub") -> str:
        """Enlists the user and returns the JID.

        Raises:
            WrongAnswer: It is refused.
        """
        response = await service.Enlist(self.request)
        if not response.HasField("success"):
            raise WrongAnswer(f"enlistment: {response.failure.error.reason}")
        return response.success.login


class Testbed:
    """A running server, its partner's key server, and clients. An async context manager; leaving it ends all of them.

    Args:
        folder: For the server's database and log.
        limits: Limits that the server starts with, as `NAME=VALUE`.
        database: One that is there already, in place of a new one.
        servers: Further options of each server, at which clients log in in turn; None for one with a file.

    Raises on leaving:
        WrongAnswer: The server logged an error.
    """

    def __init__(
        self,
        folder: Path,
        limits: Sequence[str] = (),
        database: Path | None = None,
        servers: Sequence[Sequence[str]] | None = None,
    ) -> None:
        arguments = [argument for limit in limits for argument in ("--limit", limit)]
        own = [("--db", str(database or folder / "server.db"))] if servers is None else servers
        self.servers: list[Child] = [
            simulator(folder / f"server-{number}.log", None, [*arguments, *each]) for number, each in enumerate(own)
        ]
        self._places = itertools.cycle(self.servers)
        self._stack = AsyncExitStack()
        self._signing_key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
        self._users = 0

    @property
    def server(self) -> Child:
        """The first server."""
        return self.servers[0]

    @property
    def address(self) -> str:
        """Where clients call that are not logged in."""
        return str(self.server.ready["grpc"])

    async def third_party_user(self, *, raw: bool = False) -> tuple[LeanClient, prekeys_pb2.SetPreKeysRequest]:
        """Enlists a user of the partner and logs it in; also returns what it may publish, one-time prekeys aside.

        Args:
            raw: As `LeanClient.log_in`.
        """
        applicant = self.applicant()
        async with grpc.aio.insecure_channel(self.address) as channel:
            jid = await applicant.enlist(enlistment_pb2_grpc.EnlistmentServiceStub(channel))
        request = applicant.request
        payload = chat_pb2.LoginPayload(
            product=chat_pb2.PRODUCT_INTEROP,
            interop_data=chat_pb2.InteropData(
                account_id=int(jid.removesuffix("@interop").partition("-")[2]), token=request.token.encode()
            ),
            protocol_version=PROTOCOL_VERSION,
            connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
        )
        keys = prekeys_pb2.SetPreKeysRequest(
            registration_id=int.from_bytes(request.e_regid, "big"),
            key_type=request.e_keytype,
            identity_key=request.e_ident,
            signed_prekey=prekeys_pb2.SignedPreKey(
                key_id=int.from_bytes(request.e_skey_id, "big"),
                public_key=request.e_skey_val,
                signature=request.e_skey_sig,
            ),
        )
        return await self.log_in(Account(applicant.auth.private_bytes_raw(), payload), raw=raw), keys

    def applicant(self) -> "Applicant":
        """Makes a user of the partner who has a token and keys, and is not enlisted."""
        self._users += 1
        auth, identity, signed_prekey = (X25519PrivateKey.generate() for _ in range(3))
        public_key = signed_prekey.public_key().public_bytes_raw()
        user = f"user{self._users}"
        request = enlistment_pb2.EnlistRequest(
            authkey=auth.public_key().public_bytes_raw(),
            e_keytype=bytes((KEY_TYPE,)),
            e_regid=self._users.to_bytes(4, "big"),
            e_ident=identity.public_key().public_bytes_raw(),
            e_skey_id=(1).to_bytes(3, "big"),
            e_skey_val=public_key,
            e_skey_sig=sign_xeddsa(identity.private_bytes_raw(), signed_prekey_message(public_key), os.urandom(64)),
            token=self._token(user),
            protocol_version=PROTOCOL_VERSION,
        )
        return Applicant(user, auth, request)

    async def whatsapp_accounts(self, count: int) -> list[Account]:
        """Registers WhatsApp users at once; none is logged in."""
        return await asyncio.gather(*(self._register() for _ in range(count)))

    async def whatsapp_user(self, *, raw: bool = False) -> LeanClient:
        """Registers a WhatsApp user, logs it in and opts it in.

        Args:
            raw: As `LeanClient.log_in`.
        """
        client = await self.log_in(await self._register(), raw=raw)
        interop = interop_pb2_grpc.InteropServiceStub(client.channel)
        for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
            terms = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
            await interop.RecordTerms(terms, metadata=client.metadata)
        await interop.OptIn(interop_pb2.OptInRequest(integrators=[INTEGRATOR]), metadata=client.metadata)
        return client

    async def _register(self) -> Account:
        self._users += 1
        digits = 491_510_000_000 + self._users
        auth = X25519PrivateKey.generate()
        await self._admin.PutWhatsAppUser(
            admin_pb2.PutWhatsAppUserRequest(
                phone_number=f"+{digits}",
                authkey=auth.public_key().public_bytes_raw(),
                platform=admin_pb2.DEVICE_PLATFORM_ANDROID,
            )
        )
        payload = chat_pb2.LoginPayload(
            username=digits,
            product=chat_pb2.PRODUCT_WHATSAPP,
            protocol_version=PROTOCOL_VERSION,
            connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
        )
        return Account(auth.private_bytes_raw(), payload)

    async def stored(self, rows: str) -> int:
        """How many rows the server has in a table."""
        statistics = await self._admin.GetStatistics(admin_pb2.GetStatisticsRequest())
        return statistics.stored[rows]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for server in self.servers:
                await stack.enter_async_context(server)
            base_url = await self._serve_key_set(stack)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(self.server.ready["admin"])))
            self._admin = admin_pb2_grpc.AdminServiceStub(channel)
            partner = admin_pb2.Partner(
                integrator=INTEGRATOR,
                name="Bench",
                issuer=ISSUER,
                base_url=base_url,
                status=interop_pb2.PARTNER_STATUS_ACTIVE,
                identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
            )
            await self._admin.PutPartner(admin_pb2.PutPartnerRequest(partner=partner))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()
        lines = [line for each in self.servers for line in each.log.read_text(errors="replace").splitlines()]
        faults = [line for line in lines if " ERROR " in line or "Traceback" in line]
        if faults and error[0] is None:
            raise WrongAnswer("the server logged an error:\n" + "\n".join(lines[-30:]))

    async def _serve_key_set(self, stack: AsyncExitStack) -> str:
        async def key_set(_: web.Request) -> web.Response:
            return web.json_response({"keys": [self._signing_key.as_dict(private=False)]})

        application = web.Application()
        application.router.add_get("/.well-known/oauth/openid/jwks", key_set)
        runner = web.AppRunner(application)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        return f"http://{host}:{port}"

    def _token(self, user: str) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user, "aud": "interopsim", "iat": now, "exp": now + TOKEN_SECONDS}
        return jwt.encode({"alg": "RS256", "kid": "bench"}, claims, self._signing_key, algorithms=["RS256"])

    async def log_in(self, account: Account, *, raw: bool = False) -> LeanClient:
        """Logs somebody in, at the next server, until the end of the run; `raw` as `LeanClient.log_in`."""
        client = await LeanClient.log_in(str(next(self._places).ready["grpc"]), account, raw=raw)
        self._stack.push_async_callback(client.close)
        return client
