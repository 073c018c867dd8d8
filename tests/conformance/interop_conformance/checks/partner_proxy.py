"""PRX: a messenger's proxy, which connects to WhatsApp for its users; reached in the form of the sample."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from interop_api.v1.chat_pb2 import CONNECTION_MODE_PROXY
from interop_client.connection.proxy_transport import websocket_session
from interop_client.errors import ConnectionEnded, LoginRefused, ServerRefusal
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_conformance.check import Level, NotSo, Subject, check
from interop_conformance.checks.partner_tokens import LOGS_IN
from interop_conformance.partner_stage import CLIENT_IP, PREKEYS, PartnerStage, refusal_of

CONNECTS = "PRX-01.proxy-logs-in"
RELAYS = "PRX-01.proxy-relays"
CANARY = "canary: nobody but the two may read this 0123456789"
NOBODYS_NUMBER = 99_999_999_999_999
_BARE = ("BROKEN", "CLOSED", "UNAVAILABLE")
"""Reasons that the SDK makes up when nobody has said one."""


async def require_refused(stage: PartnerStage, client: ThirdPartyClient, what: str) -> ServerRefusal | ConnectionEnded:
    """Has a client connect that the proxy, or WhatsApp, must refuse.

    Raises:
        NotSo: It gets in, or is told nothing.
    """
    try:
        async with asyncio.timeout(stage.patience):
            await client.connect()
    except (ServerRefusal, ConnectionEnded) as refusal:
        return refusal
    except TimeoutError:
        raise NotSo(f"a refusal of {what}", "nothing, in time") from None
    raise NotSo(f"a refusal of {what}", "the client is in")


async def writes_to(stage: PartnerStage, client: ThirdPartyClient, text: str) -> None:
    """A WhatsApp user and a proxied one write to each other."""
    alice = await stage.alice()
    await stage.does("a proxied client publishes prekeys", client.publish_prekeys(PREKEYS))
    await alice.send(client.jid, f"{text} 1")
    await gets(stage, client, f"{text} 1")
    await stage.does("a proxied client sends a text", client.send_text(alice.jid, f"{text} 2"))
    await alice.reads(f"{text} 2")


async def gets(stage: PartnerStage, client: ThirdPartyClient, text: str) -> None:
    """Takes the text that must come to a proxied client."""

    def is_it(event: object) -> bool:
        return isinstance(event, TextReceived) and event.text == text

    await stage.does(f"a proxied client gets the text {text!r}", client.wait_for(is_it, stage.patience))


@check(
    CONNECTS,
    Level.MUST,
    "The proxy logs a user in to WhatsApp, and says that it is a proxy.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(LOGS_IN,),
)
async def logs_in(stage: PartnerStage) -> None:
    """The simulator has one connection of the user, in proxy mode."""
    client = await stage.proxied()
    modes = [each.mode for each in await stage.connections(client.jid)]
    stage.expect(modes == [CONNECTION_MODE_PROXY], "one connection, in proxy mode", f"{len(modes)}: {modes}")


@check(
    "PRX-02.proxy-gives-the-address",
    Level.MUST,
    "The proxy gives WhatsApp the address of the client, not its own.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def gives_the_address(stage: PartnerStage) -> None:
    """The one that the load balancer before it says, in `Forwarded`."""
    client = await stage.proxied()
    addresses = [each.client_ip for each in await stage.connections(client.jid)]
    stage.expect(addresses == [CLIENT_IP], CLIENT_IP, addresses or "no connection")


@check(
    "PRX-03.proxy-opens-one-for-each",
    Level.MUST,
    "Each client has a connection to WhatsApp of its own.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def opens_one_for_each(stage: PartnerStage) -> None:
    """Two users, two connections: each of its account, from a port of its own."""
    clients = [await stage.proxied(user) for user in (stage.user, stage.other_user)]
    found = [await stage.connections(client.jid) for client in clients]
    counts = [len(each) for each in found]
    stage.expect(counts == [1, 1], "one connection of each user", f"{counts[0]} and {counts[1]}")
    peers = {each.peer_address for each in (*found[0], *found[1])}
    stage.expect(len(peers) == 2, "two connections", f"both from {', '.join(peers)}")


@check(
    RELAYS,
    Level.MUST,
    "A proxied client does all that one does that connects itself: it publishes keys, gets texts and sends them.",
    subject=Subject.PROXY,
    milestone=3,
    features=("proxy",),
    after=(CONNECTS,),
)
async def relays(stage: PartnerStage) -> None:
    """Texts both ways, and calls of the API."""
    client = await stage.proxied()
    await writes_to(stage, client, "Hello by proxy")
    await stage.does("a proxied client counts its prekeys", client.count_prekeys())


@check(
    "PRX-06.proxy-passes-ciphertext",
    Level.MUST,
    "What a proxied client sends reaches WhatsApp as ciphertext, as the client has encrypted it.",
    subject=Subject.PROXY,
    milestone=3,
    features=("proxy",),
    after=(RELAYS,),
)
async def passes_ciphertext(stage: PartnerStage) -> None:
    """The WhatsApp side gets bytes that hold nothing of the text, and decrypts them with its own session."""
    client, alice = await stage.proxied(), await stage.alice()
    await stage.does("a proxied client sends a text", client.send_text(alice.jid, CANARY))
    await alice.reads(CANARY)
    wire = b"".join(enc.ciphertext for message in await alice.gets_messages() for enc in message.enc)
    stage.expect(CANARY.encode() not in wire, "a ciphertext without the text in it", "the text is in it")


@check(
    "PRX-01.proxy-passes-choices",
    Level.SHOULD,
    "The proxy passes on what its client has chosen: whether it takes part in read receipts, and what it knows.",
    subject=Subject.PROXY,
    milestone=3,
    features=("proxy",),
    after=(CONNECTS,),
)
async def passes_choices(stage: PartnerStage) -> None:
    """The login as WhatsApp has seen it."""
    for chosen in (False, True):
        client = await stage.behind_proxy(read_receipts=chosen)
        before = len(stage.sent(client.jid, "login"))
        await stage.does("a client logs in through the proxy", client.connect())
        await stage.records(lambda: len(stage.sent(client.jid, "login")) > before, "a login")  # noqa: B023 - awaited
        login = stage.sent(client.jid, "login")[-1]
        said = login.fields.get("interop_data", {}).get("enable_read_receipts", False)
        stage.expect(said is chosen, f"read receipts: {chosen}", said)
        await client.close()


async def _proxied_and_quiet(stage: PartnerStage) -> ThirdPartyClient:
    """Connects a client through the proxy, which has nothing more to bring it then.

    A proxy that sees only by what it cannot bring that its client has gone must not be saved by what comes at a login.
    """
    client = await stage.proxied()
    await stage.does("the channel works", client.ping())
    return client


@check(
    "PRX-04.proxy-ends-with-its-client",
    Level.MUST,
    "When a client closes, the proxy ends its connection to WhatsApp.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def ends_with_its_client(stage: PartnerStage) -> None:
    """The simulator has no connection of the user any more."""
    client = await _proxied_and_quiet(stage)
    await client.close()
    await stage.leaves(client.jid)


@check(
    "PRX-04.proxy-ends-when-its-client-is-gone",
    Level.MUST,
    "When a client's network breaks, the proxy ends its connection to WhatsApp, too.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=("PRX-04.proxy-ends-with-its-client",),
)
async def ends_when_its_client_is_gone(stage: PartnerStage) -> None:
    """The client's TCP connection ends without a word."""
    client = await _proxied_and_quiet(stage)
    await client.abort()
    await stage.leaves(client.jid)


@check(
    "PRX-04.proxy-says-that-its-client-closed",
    Level.SHOULD,
    "When a client closes, the proxy tells WhatsApp so.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=("PRX-04.proxy-ends-with-its-client",),
)
async def says_that_its_client_closed(stage: PartnerStage) -> None:
    """WhatsApp sees `client_closed` on the connection, so that it need not guess."""
    client = await stage.proxied()
    before = len(stage.sent(client.jid, "client_closed"))
    await client.close()
    await stage.leaves(client.jid)
    await stage.records(lambda: len(stage.sent(client.jid, "client_closed")) > before, "`client_closed`")


@check(
    "PRX-04.proxy-lets-a-client-come-back",
    Level.MUST,
    "A client that was there can connect again through the proxy.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=("PRX-04.proxy-ends-with-its-client",),
)
async def lets_a_client_come_back(stage: PartnerStage) -> None:
    """Three times, and then the channel works."""
    client = await stage.proxied()
    for _ in range(2):
        await client.close()
        await stage.does("a client comes back through the proxy", client.connect())
    await stage.does("the channel works", client.ping())
    stage.expect(len(await stage.connections(client.jid)) == 1, "one connection", "more, or none")


@check(
    "PRX-03.proxy-clients-are-independent",
    Level.MUST,
    "When one client closes, another one's connection goes on.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=("PRX-03.proxy-opens-one-for-each", RELAYS),
)
async def clients_are_independent(stage: PartnerStage) -> None:
    """The other one's channel answers, and gets what is for it."""
    first, second = await stage.proxied(), await stage.proxied(stage.other_user)
    await first.abort()
    await stage.leaves(first.jid)
    await stage.does("the other client's channel works", second.ping())
    await writes_to(stage, second, "Still here")


@check(
    "PRX-01.proxy-tells-the-end",
    Level.SHOULD,
    "When WhatsApp ends a connection, the proxy tells its client, with WhatsApp's reason.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def tells_the_end(stage: PartnerStage) -> None:
    """A second connection of the same account takes the place of the first."""
    first = await stage.proxied()
    second = await stage.behind_proxy(state=first.state)
    await stage.does("a second client of the account logs in", second.connect())

    def is_end(event: object) -> bool:
        return isinstance(event, ConnectionLost)

    lost = await stage.does("the first client learns that its connection has ended", first.wait_for(is_end))
    reason = getattr(lost, "reason", "")
    stage.expect(reason and reason not in _BARE, "the reason that WhatsApp gave", reason or "none")


@check(
    "PRX-01.proxy-tells-a-refusal",
    Level.SHOULD,
    "When WhatsApp refuses a login, the proxy tells its client, with WhatsApp's reason.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def tells_a_refusal(stage: PartnerStage) -> None:
    """The login of an account that never was."""
    client = await stage.behind_proxy(jid=f"{stage.integrator}-{NOBODYS_NUMBER}@interop")
    refusal = await require_refused(stage, client, "an account that never was")
    stage.expect(isinstance(refusal, LoginRefused), "WhatsApp's refusal of the login", refusal_of(refusal))


@check(
    "PRX-01.proxy-needs-a-token",
    Level.MUST,
    "A client without a token of the messenger gets no connection.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def needs_a_token(stage: PartnerStage) -> None:
    """What is no token, and one whose signature was changed."""

    async def garbage() -> str:
        return "not-a-token"

    async def altered() -> str:
        head, _, signature = (await stage.token()).rpartition(".")
        return f"{head}.{'B' if signature[:1] == 'A' else 'A'}{signature[1:]}"

    for what, source in (("what is no token", garbage), ("a token that was altered", altered)):
        client = await stage.behind_proxy(get_token=source)
        await require_refused(stage, client, what)
        await stage.leaves(client.jid)


@check(
    "PRX-03.proxy-keeps-users-apart",
    Level.MUST,
    "A user cannot have the proxy connect for another one.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def keeps_users_apart(stage: PartnerStage) -> None:
    """With the user's own token and another one's name, or JID. Whoever is connected stays so."""
    victim = await stage.proxied()

    async def others_token() -> str:
        return await stage.token(stage.other_user)

    by_name = await stage.behind_proxy(state=victim.state, get_token=others_token)
    await require_refused(stage, by_name, "another user's name")
    by_jid = await stage.behind_proxy(stage.other_user, jid=victim.jid)
    await require_refused(stage, by_jid, "another user's JID")
    await stage.does("the channel of the user goes on", victim.ping())


@check(
    "PRX-01.proxy-refuses-garbage",
    Level.SHOULD,
    "A client that does not begin as it should is refused, and the proxy serves others as before.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def refuses_garbage(stage: PartnerStage) -> None:
    """Bytes first, text that is no hello, and bytes that are no frame after a login."""
    for first in (b"\x01\x00\xff", b"", "hello", "{}", "[" * 5_000):
        async with _socket(stage) as socket:
            await (socket.send_str(first) if isinstance(first, str) else socket.send_bytes(first))
            await _require_end(stage, socket, f"the first frame {first[:20]!r}")
    await stage.proxied()


@asynccontextmanager
async def _socket(stage: PartnerStage) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Opens a WebSocket at the proxy, which answers with an upgrade or is no proxy."""
    async with websocket_session() as http:
        try:
            async with asyncio.timeout(stage.patience):
                socket = await http.ws_connect(stage.facts.proxy_url, max_msg_size=1 << 16)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotSo("a WebSocket at the proxy", refusal_of(error)) from error
        async with socket:
            yield socket


async def _require_end(stage: PartnerStage, socket: aiohttp.ClientWebSocketResponse, what: str) -> None:
    """Reads until the proxy has ended the connection; a word before that is welcome."""
    try:
        async with asyncio.timeout(stage.patience):
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.BINARY:
                    raise NotSo(f"a refusal of {what}", "the proxy goes on")
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
    except TimeoutError:
        raise NotSo(f"an end of the connection after {what}", "none, in time") from None


@check(
    "PRX-01.proxy-keeps-the-session-token",
    Level.SHOULD,
    "The token of the session with WhatsApp stays with the proxy, which makes the calls.",
    subject=Subject.PROXY,
    milestone=2,
    features=("proxy",),
    after=(CONNECTS,),
)
async def keeps_the_session_token(stage: PartnerStage) -> None:
    """The client gets the answer to the login without it."""
    client = await stage.behind_proxy()
    login = await stage.does("a client logs in through the proxy", client.transport.connect())
    stage.expect(not login.session_token, "no session token", f"one of {len(login.session_token)} characters")
