"""A simulator process with a partner and users to load it with; knows no figure."""

import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import grpc.aio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwt
from joserfc.jwk import RSAKey

from interop_api.admin.v1 import admin_pb2, admin_pb2_grpc
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


class Testbed:
    """A running server, its partner's key server, and clients. An async context manager; leaving it ends all of them.

    Raises on leaving:
        WrongAnswer: The server logged an error.
    """

    def __init__(self, folder: Path) -> None:
        self.server: Child = simulator(folder / "server.log", folder / "server.db")
        self._stack = AsyncExitStack()
        self._signing_key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
        self._users = 0

    @property
    def address(self) -> str:
        """Where clients connect."""
        return str(self.server.ready["grpc"])

    async def third_party_user(self) -> tuple[LeanClient, prekeys_pb2.SetPreKeysRequest]:
        """Enlists a user of the partner and logs it in; also returns what it may publish, one-time prekeys aside."""
        self._users += 1
        user = f"user{self._users}"
        auth, identity, signed_prekey = (X25519PrivateKey.generate() for _ in range(3))
        public_key = signed_prekey.public_key().public_bytes_raw()
        message = signed_prekey_message(public_key)
        keys = prekeys_pb2.SetPreKeysRequest(
            registration_id=self._users,
            key_type=bytes((KEY_TYPE,)),
            identity_key=identity.public_key().public_bytes_raw(),
            signed_prekey=prekeys_pb2.SignedPreKey(
                key_id=1,
                public_key=public_key,
                signature=sign_xeddsa(identity.private_bytes_raw(), message, os.urandom(64)),
            ),
        )
        token = self._token(user)
        number = await self._enlist(auth, keys, token)
        payload = chat_pb2.LoginPayload(
            product=chat_pb2.PRODUCT_INTEROP,
            interop_data=chat_pb2.InteropData(account_id=number, token=token.encode()),
            protocol_version=PROTOCOL_VERSION,
            connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
        )
        return await self._log_in(auth, payload), keys

    async def whatsapp_user(self) -> LeanClient:
        """Registers a WhatsApp user, logs it in and opts it in."""
        self._users += 1
        digits = 491_510_000_000 + self._users
        auth = X25519PrivateKey.generate()
        await self._admin.PutWhatsAppUser(
            admin_pb2.PutWhatsAppUserRequest(
                phone_number=f"+{digits}",
                authkey=auth.public_key().public_bytes_raw(),
                platform=admin_pb2.PLATFORM_ANDROID,
            )
        )
        payload = chat_pb2.LoginPayload(
            username=digits,
            product=chat_pb2.PRODUCT_WHATSAPP,
            protocol_version=PROTOCOL_VERSION,
            connection_mode=chat_pb2.CONNECTION_MODE_DIRECT,
        )
        client = await self._log_in(auth, payload)
        interop = interop_pb2_grpc.InteropServiceStub(client.channel)
        for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
            terms = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
            await interop.RecordTerms(terms, metadata=client.metadata)
        await interop.OptIn(interop_pb2.OptInRequest(integrators=[INTEGRATOR]), metadata=client.metadata)
        return client

    async def stored(self, rows: str) -> int:
        """How many rows the server has in a table."""
        statistics = await self._admin.GetStatistics(admin_pb2.GetStatisticsRequest())
        return statistics.stored[rows]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.server)
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
        lines = self.server.log.read_text(errors="replace").splitlines()
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

    async def _enlist(self, auth: X25519PrivateKey, keys: prekeys_pb2.SetPreKeysRequest, token: str) -> int:
        request = enlistment_pb2.EnlistRequest(
            authkey=auth.public_key().public_bytes_raw(),
            e_keytype=keys.key_type,
            e_regid=keys.registration_id.to_bytes(4, "big"),
            e_ident=keys.identity_key,
            e_skey_id=keys.signed_prekey.key_id.to_bytes(3, "big"),
            e_skey_val=keys.signed_prekey.public_key,
            e_skey_sig=keys.signed_prekey.signature,
            token=token,
            protocol_version=PROTOCOL_VERSION,
        )
        async with grpc.aio.insecure_channel(self.address) as channel:
            response = await enlistment_pb2_grpc.EnlistmentServiceStub(channel).Enlist(request)
        if not response.HasField("success"):
            raise WrongAnswer(f"enlistment: {response.failure.error.reason}")
        return int(response.success.login.removesuffix("@interop").partition("-")[2])

    async def _log_in(self, auth: X25519PrivateKey, payload: chat_pb2.LoginPayload) -> LeanClient:
        client = await LeanClient.log_in(self.address, Account(auth.private_bytes_raw(), payload))
        self._stack.push_async_callback(client.close)
        return client
