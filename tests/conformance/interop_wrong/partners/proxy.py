"""Defects of proxies."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from interop_api.v1 import stanza_pb2
from interop_client.connection.login import LoginOptions
from interop_client.connection.proxy_frames import Hello
from interop_wrong.register import wrong_partner
from partner_server import proxy, upstream
from partner_server.proxy import Proxy
from partner_server.tokens import TokenIssuer, TokenRefused
from partner_server.upstream import Upstream

_LOGS_IN = "PRX-01.proxy-logs-in"
_ENDS = "PRX-04.proxy-ends-with-its-client"
_INDEPENDENT = "PRX-03.proxy-clients-are-independent"
_NEEDS_TOKEN = "PRX-01.proxy-needs-a-token"
_APART = "PRX-03.proxy-keeps-users-apart"


def _change_login(**choices: Any) -> None:
    """Has the proxy log in with other choices than it should."""

    def changed(**given: Any) -> LoginOptions:
        return LoginOptions(**{**given, **choices})

    proxy.LoginOptions = changed  # type: ignore[attr-defined, assignment]


@wrong_partner(_LOGS_IN)
def says_that_it_is_a_client() -> None:
    """Logs in as if its user had connected without a proxy."""
    _change_login(client_ip="")


@wrong_partner("PRX-02.proxy-gives-the-address")
def gives_its_own_address() -> None:
    """Gives its own address for that of its client."""
    _change_login(client_ip="198.51.100.1")


@wrong_partner("PRX-03.proxy-opens-one-for-each")
def shares_a_connection() -> None:
    """Has one connection to WhatsApp for all its clients."""
    upstream._OPTIONS = ()  # type: ignore[assignment]


def _stay(stays: Callable[[web.WebSocketResponse], bool]) -> None:
    """Has it keep connections to WhatsApp of clients that have gone.

    Args:
        stays: Says whether it keeps that of a WebSocket that has ended.
    """
    kept: list[asyncio.Task[Any]] = []

    send = proxy._Relay._send

    async def send_while_there(self: proxy._Relay, *stanzas: stanza_pb2.Stanza) -> None:
        with suppress(ConnectionError):  # what comes for a client that has gone does not end it either
            await send(self, *stanzas)

    async def relay(self: proxy._Relay) -> Any:
        from_whatsapp = asyncio.create_task(self._from_whatsapp())
        from_client = asyncio.create_task(self._from_client())
        done, _ = await asyncio.wait((from_whatsapp, from_client), return_when=asyncio.FIRST_COMPLETED)
        if from_whatsapp not in done and stays(self._socket):
            kept.append(from_whatsapp)
            return None
        await self._upstream.close()
        for task in (from_whatsapp, from_client):
            task.cancel()
        await asyncio.gather(from_whatsapp, from_client, return_exceptions=True)
        return next((task.result() for task in done if task.result()), None)

    proxy._Relay._send = send_while_there  # type: ignore[method-assign]
    proxy._Relay.run = relay  # type: ignore[method-assign]


@wrong_partner(_ENDS, also=(_INDEPENDENT, _NEEDS_TOKEN))
def leaves_connections_open() -> None:
    """Keeps the connection to WhatsApp when its client has gone."""
    _stay(lambda _: True)


@wrong_partner("PRX-04.proxy-ends-when-its-client-is-gone", also=(_INDEPENDENT,))
def waits_for_a_goodbye() -> None:
    """Ends the connection to WhatsApp only when its client says that it closes."""
    _stay(lambda socket: socket.close_code != WSCloseCode.OK)


@wrong_partner("PRX-04.proxy-says-that-its-client-closed")
def leaves_without_a_word() -> None:
    """Ends the connection to WhatsApp without saying that its client has closed."""

    async def hang_up(self: Upstream) -> None:
        await self.chat.close()
        await self._channel.close()

    Upstream.close = hang_up  # type: ignore[method-assign]


@wrong_partner(_NEEDS_TOKEN, _APART)
def asks_for_no_token() -> None:
    """Vouches for whoever says a name: it makes the token for WhatsApp itself."""
    login_of = Proxy._login_of

    def believe(self: Proxy, hello: Hello, request: web.Request) -> Any:
        token = self._issuer.issue_token(hello.user, self._now())
        return login_of(self, Hello(hello.user, token, hello.jid, hello.read_receipts, hello.capabilities), request)

    Proxy._login_of = believe  # type: ignore[method-assign]


@wrong_partner(_APART)
def takes_a_token_for_any_name() -> None:
    """Verifies that a token is its own, not whose, and then makes one for the name that the client says."""
    login_of, verify = Proxy._login_of, TokenIssuer.verify_token

    def believe(self: Proxy, hello: Hello, request: web.Request) -> Any:
        with suppress(TokenRefused):
            for user in ("kit-user", "kit-user-2"):
                with suppress(TokenRefused):
                    verify(self._issuer, hello.token, user, self._now())
                    token = self._issuer.issue_token(hello.user, self._now())
                    hello = Hello(hello.user, token, hello.jid, hello.read_receipts, hello.capabilities)
                    break
        return login_of(self, hello, request)

    Proxy._login_of = believe  # type: ignore[method-assign]


@wrong_partner("PRX-01.proxy-tells-the-end", "PRX-01.proxy-tells-a-refusal")
def keeps_reasons_to_itself() -> None:
    """Closes a client's connection without the reason that WhatsApp has given."""

    async def close(socket: web.WebSocketResponse, _: Any, code: int) -> None:
        await socket.close(code=code)

    proxy._say_ended = close  # type: ignore[assignment]


@wrong_partner("PRX-01.proxy-passes-choices")
def chooses_for_its_clients() -> None:
    """Turns read receipts on for everybody."""
    _change_login(read_receipts=True)


@wrong_partner("PRX-01.proxy-keeps-the-session-token")
def hands_out_the_session() -> None:
    """Passes on the answer to the login as it is, with the token of the session."""

    def whole(self: Upstream) -> stanza_pb2.LoginSuccess:
        return self.chat.login

    Upstream.login_success = whole  # type: ignore[method-assign]


@wrong_partner(_INDEPENDENT)
def ends_all_with_one() -> None:
    """Ends the connections of all its clients when one of them leaves."""
    run = proxy._Relay.run
    relays: list[proxy._Relay] = []

    async def relay(self: proxy._Relay) -> Any:
        relays.append(self)
        try:
            return await run(self)
        finally:
            relays.remove(self)
            for other in relays:
                await other._upstream.chat.close()

    proxy._Relay.run = relay  # type: ignore[method-assign]


@wrong_partner("PRX-01.proxy-refuses-garbage")
def waits_for_a_hello() -> None:
    """Goes on waiting when what a client sends first is no hello."""
    read = proxy._read_hello

    async def patient(socket: web.WebSocketResponse) -> Any:
        try:
            return await read(socket)
        except proxy._Refused:
            while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                pass
            raise

    proxy._read_hello = patient


@wrong_partner("PRX-01.proxy-relays")
def makes_no_calls() -> None:
    """Relays what goes over the channel, and refuses each call."""
    upstream.UNARY_METHODS = frozenset()
