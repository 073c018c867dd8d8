"""The partner's HTTP routes except media and proxy; knows no lifecycle.

For every client: `GET /.well-known/oauth/openid/jwks`, `POST /whatsapp/push`. For this machine only, because a real
partner has its own login and network in their place: `POST /tokens`, `GET /proxy/authkey`, `GET /pushes`,
`POST /admin/simulator`, `POST /admin/clock`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from aiohttp import web

from interop_protocol.endpoint import ServerAddress
from partner_server.authkeys import AuthKeys, TooManyAuthKeys
from partner_server.bodies import read_object
from partner_server.clock import PartnerClock
from partner_server.local import is_for_this_machine, is_loopback, is_of_another_site
from partner_server.push_tokens import JwksUnavailable, PushVerifier
from partner_server.pushes import PushInbox
from partner_server.simulator import read_endpoint
from partner_server.tokens import TokenIssuer, TokenRefused, is_user_identifier

JWKS_PATH = "/.well-known/oauth/openid/jwks"
PUSH_PATH = "/whatsapp/push"
JWKS_LIFE_SECONDS = 300
"""How long others may use a copy of the key set; a `kid` that is not in it is a reason to fetch it anew (ENL-04)."""
MAX_WAIT_SECONDS = 60.0
"""How long `GET /pushes` waits at most."""
MAX_TIME_MS = 253_402_300_800_000
"""The beginning of the year 10,000, which no date can express; exclusive."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def this_machine_only(answer: Answer) -> Answer:
    """Wraps a handler so that it refuses requests from other machines, and those of other sites in a browser here."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not is_loopback(request.remote):
            raise web.HTTPForbidden(text="only for this machine")
        if not is_for_this_machine(request):
            raise web.HTTPForbidden(text="ask for this under 127.0.0.1 or localhost")
        if is_of_another_site(request):
            raise web.HTTPForbidden(text="not for a page of another site")
        return await answer(request)

    return guarded


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes, and the parts that they use."""

    issuer: TokenIssuer
    inbox: PushInbox
    verifier: PushVerifier
    auth_keys: AuthKeys
    set_simulator: Callable[[ServerAddress], None]
    clock: PartnerClock

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes for an application."""
        return [
            web.get(JWKS_PATH, self._get_jwks),
            web.post(PUSH_PATH, self._take_push),
            web.post("/tokens", this_machine_only(self._issue_token)),
            web.get("/proxy/authkey", this_machine_only(self._get_auth_key)),
            web.get("/pushes", this_machine_only(self._list_pushes)),
            web.post("/admin/simulator", this_machine_only(self._point_to_simulator)),
            web.post("/admin/clock", this_machine_only(self._set_clock)),
        ]

    async def _get_jwks(self, _: web.Request) -> web.Response:
        lifetime = {"Cache-Control": f"public, max-age={JWKS_LIFE_SECONDS}"}
        return web.json_response(self.issuer.keys.jwks(), headers=lifetime)

    async def _take_push(self, request: web.Request) -> web.Response:
        try:
            await self.verifier.verify(request.headers.get("Authorization", ""))
        except TokenRefused as error:
            raise web.HTTPUnauthorized(text=str(error), headers={"WWW-Authenticate": "Bearer"}) from error
        except JwksUnavailable as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        fields = await read_object(request)
        user = fields.get("to")
        if set(fields) != {"to"} or not is_user_identifier(user):
            raise web.HTTPBadRequest(text='the body must be {"to": user-visible identifier}')
        await self.inbox.add(str(user), self.clock(), (await request.read()).decode())
        return web.Response()

    async def _issue_token(self, request: web.Request) -> web.Response:
        user = (await read_object(request)).get("user")
        if not is_user_identifier(user):
            raise web.HTTPBadRequest(text="`user` must be 1 to 256 printable characters")
        return web.json_response({"token": self.issuer.issue_token(str(user), self.clock())})

    async def _get_auth_key(self, request: web.Request) -> web.Response:
        user = request.query.get("user")
        if not is_user_identifier(user):
            raise web.HTTPBadRequest(text="`user` must be 1 to 256 printable characters")
        try:
            key = await asyncio.to_thread(self.auth_keys.get_or_create, str(user))
        except TooManyAuthKeys:
            raise web.HTTPInsufficientStorage(text="too many users") from None
        return web.json_response({"user": user, "public_key": key.public_key().public_bytes_raw().hex()})

    async def _list_pushes(self, request: web.Request) -> web.Response:
        """Lists the pushes for `user` with a number above `after`; waits `wait_seconds` for one when there are none."""
        user = request.query.get("user")
        try:
            after = int(request.query.get("after", "0"))
            wait_seconds = float(request.query.get("wait_seconds", "0"))
        except ValueError:
            raise web.HTTPBadRequest(text="`after` and `wait_seconds` must be numbers") from None
        if not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
            raise web.HTTPBadRequest(text=f"`wait_seconds` must be 0 to {MAX_WAIT_SECONDS:.0f}")
        pushes = self.inbox.list_pushes(user, after)
        if not pushes and wait_seconds:
            try:
                pushes = [await self.inbox.wait(user, after, wait_seconds)]
            except TimeoutError:
                pushes = []
        return web.json_response({"pushes": [asdict(push) for push in pushes]})

    async def _point_to_simulator(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        try:
            endpoint = read_endpoint(fields.get("grpc"), fields.get("http"), fields.get("root_public_key"))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self.set_simulator(endpoint)
        return web.Response()

    async def _set_clock(self, request: web.Request) -> web.Response:
        """Follows the simulator's clock: `{"now_ms": …, "frozen": …}`."""
        fields = await read_object(request)
        now_ms, is_frozen = fields.get("now_ms"), fields.get("frozen")
        if not isinstance(now_ms, int) or isinstance(now_ms, bool) or not 0 <= now_ms < MAX_TIME_MS:
            raise web.HTTPBadRequest(text=f"`now_ms` must be a whole number of milliseconds under {MAX_TIME_MS}")
        if not isinstance(is_frozen, bool):
            raise web.HTTPBadRequest(text="`frozen` must be true or false")
        self.clock.set(now_ms / 1_000, is_frozen=is_frozen)
        return web.Response()
