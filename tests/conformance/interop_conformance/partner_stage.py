"""The stage of one check of a messenger's server: requests, tokens, pushes, its users' clients; knows no check."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.options import ClientOptions
from interop_client.signal.errors import SignalError
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_conformance.check import Check, NotSo
from interop_conformance.partner_subject import PartnerFacts
from interop_conformance.people import Person
from interop_conformance.probe import Answer, Probe
from interop_conformance.record import Stanza
from interop_conformance.simulator import Simulator
from interop_conformance.token_source import TokenSource
from interop_conformance.whatsapp_keys import Dates, KeyPlace, PushTokens
from partner_server import SigningKeys

T = TypeVar("T")

WAIT_SECONDS = 10.0
"""Longest wait for one thing, before `--time-factor`."""
NEVER_SECONDS = 1.5
"""How long it is watched that something does not happen, where nothing that comes later can show it."""
POLL_SECONDS = 0.02
"""Between two looks at what nobody tells the kit of."""
JWKS_PATH = "/.well-known/oauth/openid/jwks"
CLIENT_IP = "203.0.113.7"
"""Where a proxied client is; reserved for documentation (RFC 5737)."""
PREKEYS = 5
MAX_JWKS_BYTES = 256 * 1024
TOKEN_LIFE_SECONDS = 30.0
"""How long the kit uses a token again, where a check is not about tokens."""


@dataclass
class PartnerParts:
    """What the stages of a run share."""

    facts: PartnerFacts
    simulator: Simulator
    key_place: KeyPlace
    keys: SigningKeys
    """The kit's own: served as WhatsApp's."""
    stranger: SigningKeys
    """Not served."""
    integrator: int
    time_factor: float = 1.0
    dates: Dates = field(default_factory=Dates)
    """Of the kit's tokens of pushes."""
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)
    """The newest of each user, with the time at which it came."""


class PartnerStage:
    """The stage. An asynchronous context manager: takes down all that was put up.

    Args:
        parts: What it is made of.
        check: The check.
    """

    def __init__(self, parts: PartnerParts, check: Check) -> None:
        self._parts = parts
        self._stack = AsyncExitStack()
        self._jids: list[str] = []
        self.check = check
        self.facts = parts.facts
        self.user, self.other_user = parts.facts.users
        self.simulator = parts.simulator
        self.admin = parts.simulator.admin
        self.record = parts.simulator.record
        self.integrator = parts.integrator
        self.key_place = parts.key_place
        self.patience = WAIT_SECONDS * parts.time_factor
        """How long to wait for one thing."""
        self._tokens = TokenSource(parts.facts.token_command, 3 * self.patience)
        self._probe = Probe(parts.facts.hosts(), self.patience)
        self._began_ms = time.time_ns() // 1_000_000

    async def __aenter__(self) -> Self:
        self.simulator.check_runs()
        await self._stack.enter_async_context(self._probe)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def pushes(self) -> PushTokens:
        """Makes tokens of pushes."""
        return PushTokens(self._parts.keys, self._parts.stranger, self.facts.base_url, self._parts.dates)

    async def ask(self, method: str, url: str, **request: Any) -> Answer:
        """Sends a request to the messenger's server. See Probe.ask."""
        return await self._probe.ask(method, url, **request)

    async def key_set(self) -> Sequence[Mapping[str, Any]]:
        """Returns the keys that the messenger serves, as they are served.

        Raises:
            NotSo: It serves none.
        """
        answer = await self.ask("GET", self.facts.base_url + JWKS_PATH, max_bytes=MAX_JWKS_BYTES)
        return keys_in(answer)

    async def token(self, user: str = "") -> str:
        """Returns a new token of the messenger for a user; the first one without a name.

        Raises:
            NotSo: Its command gives none.
        """
        name = user or self.user
        token = await self._tokens.get(name)
        self._parts.tokens[name] = (time.monotonic(), token)
        return token

    async def any_token(self, user: str = "") -> str:
        """Returns a token that may have been used before, since to run the command takes time."""
        came, token = self._parts.tokens.get(user or self.user, (0.0, ""))
        return token if token and time.monotonic() - came < TOKEN_LIFE_SECONDS else await self.token(user)

    async def push(self, token: str | None, user: str = "", **request: Any) -> Answer:
        """Posts a push as WhatsApp would, with a token of the kit's.

        Args:
            token: The bearer token; None for none.
            user: Whom it names; the first user without a name.
            **request: Other parts of the request: `headers`, `body`.
        """
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        request = {"headers": headers, "body": json.dumps({"to": user or self.user}).encode(), **request}
        return await self.ask("POST", self.facts.push_url, **request)

    async def alice(self) -> Person:
        """Makes a WhatsApp user who is connected, and has opted in for the messenger."""
        person = Person(self.simulator, self.simulator.next_phone_number(), self.patience)
        self._stack.push_async_callback(person.close)
        await person.join()
        self.watch(person.jid)
        await person.client.accept_terms()
        await person.client.opt_in([self.integrator])
        return person

    async def enlisted(self, user: str = "", auth_key: bytes = b"") -> ThirdPartyClient:
        """Enlists a user with a token of the messenger, and returns the client, which connects directly.

        Args:
            user: The first user without a name.
            auth_key: Of the proxy that connects for the user; empty for the client's own.
        """
        client = ThirdPartyClient.direct(
            self.simulator.endpoint, ClientState.generate(), lambda: self.any_token(user), options=_quiet()
        )
        self._stack.push_async_callback(client.close)
        token = await self.any_token(user)
        enlisting = client.enlist_over_http(self.simulator.endpoint.http, token, auth_key)
        self.watch(await self.does("a user enlists with the messenger's token", enlisting))
        return client

    async def behind_proxy(
        self,
        user: str = "",
        *,
        state: ClientState | None = None,
        get_token: Callable[[], Awaitable[str]] | None = None,
        jid: str = "",
        read_receipts: bool = True,
    ) -> ThirdPartyClient:
        """Enlists a user with the key that the proxy holds, and returns a client behind the proxy; not connected yet.

        Args:
            user: The first user without a name.
            state: Of a client of the user's that is enlisted already; None enlists the user anew.
            get_token: Where its tokens come from; the messenger without one.
            jid: Another account than that of the user.
            read_receipts: As the user has chosen.
        """
        name = user or self.user
        if state is None:
            state = (await self.enlisted(name, await self.proxy_key(name))).state
        own = ClientState.from_bytes(state.to_bytes())
        login = ProxyLogin(name, jid or own.jid, get_token or (lambda: self.token(name)), read_receipts)
        client = ThirdPartyClient(ProxyTransport(self.facts.proxy_url, login, CLIENT_IP), own, options=_quiet())
        self._stack.push_async_callback(client.close)
        return client

    async def proxied(self, user: str = "", **choices: Any) -> ThirdPartyClient:
        """Does the same, and connects."""
        client = await self.behind_proxy(user, **choices)
        await self.does("a client logs in through the proxy", client.connect())
        return client

    async def proxy_key(self, user: str) -> bytes:
        """Returns the public auth key that the proxy holds for a user."""
        answer = await self.ask("GET", f"{self.facts.proxy_key_url}?user={_escaped(user)}")
        try:
            return bytes.fromhex(json.loads(answer.body)["public_key"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise NotSo('the proxy\'s auth key for a user, as {"public_key": hex}', str(answer)) from None

    async def connections(self, jid: str) -> list[admin_pb2.OpenConnection]:
        """Returns the connections that the simulator has of an account."""
        return [each for each in await self.admin.list_connections() if each.jid == jid]

    async def until(self, look: Callable[[], Awaitable[bool]], expected: str, got: str) -> None:
        """Looks again and again until something holds.

        Raises:
            NotSo: It does not, in time.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                while not await look():  # noqa: ASYNC110 - nobody tells the kit of it
                    await asyncio.sleep(POLL_SECONDS)
                return
        raise NotSo(expected, got)

    def sent(self, jid: str, kind: str) -> list[Stanza]:
        """Returns the stanzas of a kind that came for an account so far, as the simulator saw them."""
        return [each for each in self.record.wire(jid) if each.is_from_client and each.kind == kind]

    async def records(self, find: Callable[[], bool], what: str) -> None:
        """Waits until the simulator has recorded something.

        Raises:
            NotSo: It has not, in time.
        """
        try:
            async with asyncio.timeout(self.patience):
                await self.record.wait(find)
        except TimeoutError:
            raise NotSo(f"WhatsApp sees {what} on the connection", "none, in time") from None

    async def leaves(self, jid: str) -> None:
        """Waits until the simulator has no connection of an account any more.

        Raises:
            NotSo: It still has one.
        """

        async def is_gone() -> bool:
            return not await self.connections(jid)

        await self.until(is_gone, "no connection to WhatsApp after its client has gone", "it is still open")

    async def does(self, what: str, work: Awaitable[T]) -> T:
        """Does something that the messenger's server must make possible.

        Args:
            what: In a few words, for the report.
            work: What to await.
        """
        try:
            async with asyncio.timeout(self.patience):
                return await work
        except (ServerRefusal, ConnectionEnded, SignalError, OSError) as error:
            raise NotSo(what, refusal_of(error)) from error
        except TimeoutError as error:
            raise NotSo(what, "nothing came of it in time") from error

    async def counted(self, name: str) -> int:
        """Returns a counter of the simulator, such as `push_sent`."""
        return (await self.admin.get_statistics()).counted[name]

    def watch(self, jid: str) -> None:
        """Has an account's wire and journal in the report."""
        self._jids.append(jid)

    def expect(self, claim: object, expected: str, got: object) -> None:
        """Raises NotSo unless a claim holds. See Stage.expect."""
        if not claim:
            raise NotSo(expected, str(got)[:500])

    async def evidence(self) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """Returns what was asked and answered, with the wire and the journal of the accounts on the stage."""
        await self.record.catch_up(self.admin, self.patience)
        wire, journal = self.record.shown(self._jids)
        everything = sorted(
            [*self._probe.wire, *(each for each in wire if each["at_ms"] >= self._began_ms)],
            key=lambda each: int(each["at_ms"]),
        )
        return everything, [each for each in journal if each.get("at_ms", 0) >= self._began_ms]


async def register(parts: PartnerParts) -> None:
    """Registers the messenger with the simulator, as it was named."""
    facts = parts.facts
    await parts.simulator.admin.put_partner(
        admin_pb2.Partner(
            integrator=parts.integrator,
            name="The messenger",
            issuer=facts.issuer,
            base_url=facts.base_url,
            push_url=facts.push_url,
            media_url=facts.media_url,
            status=interop_pb2.PARTNER_STATUS_ACTIVE,
            identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
            proxy_allowed=True,
        )
    )


def keys_in(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """Returns the keys in an answer.

    Raises:
        NotSo: It has none.
    """
    if answer.status != 200:
        raise NotSo("status 200, without a redirect", str(answer))
    try:
        keys = json.loads(answer.body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotSo("a JSON object with `keys`", f"{answer.body[:80]!r}") from None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise NotSo("`keys` is a list of objects, at least one", f"{type(keys).__name__}: {len(answer.body)} bytes")
    return keys


def refusal_of(error: BaseException) -> str:
    """Returns what an error of the SDK says, for a report."""
    advice = getattr(error, "advice", "")
    reason = getattr(error, "reason", "") or type(error).__name__
    return f"{reason}: {advice or error}"[:400]


def _quiet() -> ClientOptions:
    return ClientOptions(refill_count=0)


def _escaped(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
