"""The same scenarios directly and by proxy: neither side of a conversation can tell which it was.

Everything that both clients see is written down, stanza by stanza, event by event and refusal by refusal, and compared.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from interop_admin.client import AdminClient
from interop_api.v1 import stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.connection.transport import DirectTransport, Transport
from interop_client.media.upload import media_host
from interop_client.messaging.events import (
    ConnectionLost,
    IdentityChanged,
    MediaReceived,
    ReceiptReceived,
    TextReceived,
)
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.endpoint import Endpoint
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.core.limits import Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.conftest import CLIENT_IP, RecordedAdmin
from tests.e2e.connection.transcripts import Recorded, Seen, Transcript, differences, recorder
from tests.e2e.raw import WAIT_SECONDS
from tests.e2e.wire import sealed_message
from tests.evidence import new_journal
from tests.registration import registration

pytestmark = pytest.mark.requirement("PRX-01")

FREE_PORT = "127.0.0.1:0"
INTEGRATOR = 17
ALICE_NUMBER, BOB = "+4915112345678", "bob"
NOBODY = f"{INTEGRATOR}-12345@interop"
HOUR_MS = 3_600_000
START_MS = time.time_ns() // 1_000_000
"""Where time stands in both runs: what ends with a week of the calendar ends at the same distance."""


@dataclass
class Stage:
    """Alice at WhatsApp, and Bob, who connects directly or by his messenger's proxy. Time stands still."""

    by_proxy: bool
    folder: Path
    endpoint: Endpoint
    partner: PartnerServer
    admin: AdminClient
    transcript: Transcript
    stack: AsyncExitStack
    alice: WhatsAppClient
    bob: ThirdPartyClient
    bob_state: ClientState

    async def alice_tries(self, what: str, doing: Awaitable[object]) -> None:
        """Writes down what comes of Alice's doing."""
        await self.transcript.attempt("Alice", what, doing)

    async def bob_tries(self, what: str, doing: Awaitable[object]) -> None:
        """Writes down what comes of Bob's doing."""
        await self.transcript.attempt("Bob", what, doing)

    async def enlist_bob(self, state: ClientState | None = None) -> None:
        """Enlists Bob by the documented form: with his own auth key, or with the one that the proxy holds for him."""
        auth_key = b""
        if self.by_proxy:
            url = f"{self.partner.base_url}/proxy/authkey"
            async with aiohttp.ClientSession() as http, http.get(url, params={"user": BOB}) as response:
                auth_key = bytes.fromhex((await response.json())["public_key"])
        enlisting = ThirdPartyClient.direct(self.endpoint, state or self.bob_state, self.token)
        token = await self.token()
        await self.bob_tries("enlistment", enlisting.enlist_over_http(self.endpoint.http, token, auth_key))

    async def token(self) -> str:
        """A token for Bob."""
        return self.partner.issue_token(BOB)

    def bobs_device(self, who: str, state: ClientState | None = None) -> ThirdPartyClient:
        """A client of Bob's, who is enlisted; what it sees is written down under a name of its own."""
        state = state or self.bob_state
        inner: Transport
        if self.by_proxy:
            inner = ProxyTransport(self.partner.proxy_url, ProxyLogin(BOB, state.jid, self.token), CLIENT_IP)
        else:

            async def log_in() -> object:
                return third_party_login(state.jid, await self.token())

            inner = DirectTransport(self.endpoint, state.auth_private_key, log_in)  # type: ignore[arg-type]
        options = ClientOptions(refill_count=0, on_event=recorder(self.transcript, who))
        client = ThirdPartyClient(Recorded(inner, self.transcript, who), state, options=options)
        self.stack.push_async_callback(client.close)
        return client

    async def meet(self) -> None:
        """Enlists and connects Bob, who has prekeys then; Alice has chosen his messenger."""
        with self.transcript.step("they meet"):
            await self.enlist_bob()
            self.bob = self.bobs_device("Bob")
            await self.bob.connect()
            await self.bob.publish_prekeys(5)
            await self.alice.opt_in([INTEGRATOR])
            await self.settle()

    async def settle(self, waiting: int = 0) -> None:
        """Waits until everything has arrived that can: all mailboxes together hold no more than this many items."""
        async with asyncio.timeout(WAIT_SECONDS):
            calm = 0
            while calm < 3:
                for client in (self.alice, self.bob):
                    if client.jid in await self.connected():
                        await client.ping()
                stored = (await self.admin.get_statistics()).stored["mailbox"]
                calm = calm + 1 if stored == waiting else 0

    async def connected(self) -> set[str]:
        """Who is connected."""
        return {connection.jid for connection in await self.admin.list_connections()}

    async def leave(self, client: InteropClient) -> None:
        """Closes a client, and waits until the server has noticed."""
        await client.close()
        async with asyncio.timeout(WAIT_SECONDS):
            while client.jid in await self.connected():
                pass

    async def say(self, sender: InteropClient, text: str) -> TextReceived:
        """Has one write to the other, who receives it; the sender is told that it has arrived."""
        recipient = self.bob if sender is self.alice else self.alice
        await sender.send_text(recipient.jid, text)
        received = await recipient.wait_for(TextReceived)
        await sender.wait_for(ReceiptReceived)
        return received


Scenario = Callable[[Stage], Awaitable[None]]


async def enlisting_and_connecting(stage: Stage) -> None:
    """From the form to the first ping; enlisting again changes nothing."""
    await stage.meet()
    with stage.transcript.step("a login as nobody"):
        nobody = ClientState.generate()
        nobody.jid = NOBODY
        await stage.bob_tries("connect", stage.bobs_device("nobody", nobody).connect())
    with stage.transcript.step("the same enlistment again"):
        await stage.enlist_bob()
        await stage.settle()
    with stage.transcript.step("goodbye"):
        await stage.leave(stage.bob)
        await stage.bob_tries("ping", stage.bob.ping())


async def keys(stage: Stage) -> None:
    """Counted, added, compared, rotated, and taken until none is left."""
    await stage.meet()
    bob, alice = stage.bob, stage.alice
    with stage.transcript.step("Bob's keys"):
        await stage.bob_tries("count", bob.count_prekeys())
        await bob.add_prekeys(2)
        await stage.bob_tries("intact", bob.has_intact_prekeys())
        await bob.rotate_signed_prekey()
        await stage.bob_tries("intact", bob.has_intact_prekeys())
        await stage.bob_tries("anew", bob.publish_prekeys(1))
    for number in range(3):
        with stage.transcript.step(f"bundle {number}"):
            await stage.alice_tries("Bob's bundle", alice.take_prekey_bundle(bob.jid))
            await stage.bob_tries("Alice's bundle", bob.take_prekey_bundle(alice.jid))
            await stage.settle()


async def texts(stage: Stage) -> None:
    """Both ways, with answers, reactions and read receipts; the second session message goes on with the first."""
    await stage.meet()
    for number in range(3):
        with stage.transcript.step(f"Bob writes {number}"):
            received = await stage.say(stage.bob, f"Hello Alice {number}")
            await stage.alice.mark_read(received)
            await stage.settle()
        with stage.transcript.step(f"Alice answers {number}"):
            await stage.alice_tries("answer", stage.alice.send_text(stage.bob.jid, f"Hello Bob {number}", received))
            answer = await stage.bob.wait_for(TextReceived)
            await stage.bob.mark_read(answer)
            await stage.settle()
    with stage.transcript.step("reactions"):
        await stage.bob_tries("reaction", stage.bob.send_reaction(stage.alice.jid, answer.id, "\N{GRINNING FACE}"))
        await stage.settle()
        await stage.bob_tries("none any more", stage.bob.send_reaction(stage.alice.jid, answer.id, ""))
        await stage.settle()
    with stage.transcript.step("typing"):
        for sender, to in ((stage.bob, stage.alice.jid), (stage.alice, stage.bob.jid)):
            typing = stanza_pb2.Typing(to_jid=to, state=stanza_pb2.TYPING_STATE_COMPOSING)
            await sender.transport.send(stanza_pb2.Stanza(typing=typing))
        await stage.settle()
    with stage.transcript.step("what nobody can read"):
        await stage.bob_tries("sealed", stage.bob.send_encrypted(sealed_message(stage.alice.jid, "s1").message))
        await stage.alice_tries("sealed", stage.alice.send_encrypted(sealed_message(stage.bob.jid, "s2").message))
        await stage.settle()


async def being_away(stage: Stage) -> None:
    """What waits is announced and comes in order; so it does after hours, and for either of the two."""
    await stage.meet()
    await stage.say(stage.alice, "Hello")
    with stage.transcript.step("Bob is away"):
        await stage.leave(stage.bob)
        for number in range(4):
            await stage.alice_tries("text", stage.alice.send_text(stage.bob.jid, f"Are you there? {number}"))
        await stage.admin.advance_clock(HOUR_MS)
        await stage.settle(waiting=4)
    with stage.transcript.step("Bob is back"):
        await stage.bob.connect()
        await stage.settle()
    with stage.transcript.step("Alice is away"):
        await stage.leave(stage.alice)
        for number in range(3):
            await stage.bob_tries("text", stage.bob.send_text(stage.alice.jid, f"Yes {number}"))
        await stage.settle(waiting=3)
    with stage.transcript.step("Alice is back"):
        await stage.alice.connect()
        await stage.settle()


async def media(stage: Stage) -> None:
    """A picture that Bob's messenger hosts, and a document that Alice uploads; both whole at the other end."""
    await stage.meet()
    picture, document = stage.folder / "cat.png", stage.folder / "report.pdf"
    picture.write_bytes(b"\x89PNG" + bytes(range(256)) * 40)
    document.write_bytes(b"%PDF" + bytes(range(256)) * 50)
    target = stage.folder / "received"
    with stage.transcript.step("a picture"):
        host = media_host(stage.partner.media_url)
        await stage.bob_tries("picture", stage.bob.send_image(stage.alice.jid, picture, host, caption="My cat"))
        received = await stage.alice.wait_for(MediaReceived)
        await stage.alice_tries("download", stage.alice.download(received.media, target, stage.endpoint.http))
        assert target.read_bytes() == picture.read_bytes()
        await stage.settle()
    with stage.transcript.step("a document"):
        await stage.alice_tries("document", stage.alice.send_document(stage.bob.jid, document))
        received = await stage.bob.wait_for(MediaReceived)
        await stage.bob_tries("download", stage.bob.download(received.media, target, stage.endpoint.http))
        assert target.read_bytes() == document.read_bytes()
        await stage.settle()


async def blocking(stage: Stage) -> None:
    """Each blocks the other in turn: the blocked notices nothing, and what was sent meanwhile never comes."""
    await stage.meet()
    await stage.say(stage.bob, "Hello")
    people: tuple[tuple[str, InteropClient, InteropClient], ...] = (
        ("Alice", stage.alice, stage.bob),
        ("Bob", stage.bob, stage.alice),
    )
    for name, blocker, blocked in people:
        with stage.transcript.step(f"{name} blocks"):
            await blocker.block(blocked.jid)
            await stage.alice_tries("Alice's text", stage.alice.send_text(stage.bob.jid, "Do you hear me?"))
            await stage.bob_tries("Bob's text", stage.bob.send_text(stage.alice.jid, "Do you?"))
            await stage.alice_tries("Bob's bundle", stage.alice.take_prekey_bundle(stage.bob.jid))
            await stage.bob_tries("Alice's bundle", stage.bob.take_prekey_bundle(stage.alice.jid))
            await stage.settle()
        with stage.transcript.step(f"{name} unblocks"):
            await blocker.unblock(blocked.jid)
            await stage.say(blocked, "And now?")
            await stage.settle()


async def opting_out(stage: Stage) -> None:
    """Alice turns the chats off, for Bob's messenger and as a whole, and on again."""
    await stage.meet()
    await stage.say(stage.bob, "Hello")
    turns: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
        ("out for the messenger", lambda: stage.alice.opt_out([INTEGRATOR])),
        ("in again", lambda: stage.alice.opt_in([INTEGRATOR])),
        ("out as a whole", lambda: stage.alice.set_third_party_chats(False)),
        ("and in", lambda: stage.alice.set_third_party_chats(True)),
    )
    for name, turn in turns:
        with stage.transcript.step(name):
            await turn()
            await stage.bob_tries("text", stage.bob.send_text(stage.alice.jid, "Hello?"))
            await stage.alice_tries("text", stage.alice.send_text(stage.bob.jid, "Hello?"))
            await stage.bob_tries("look-up", stage.bob.resolve(ALICE_NUMBER))
            await stage.alice_tries("look-up", stage.alice.resolve(BOB, INTEGRATOR))
            await stage.settle()


async def what_is_refused(stage: Stage) -> None:
    """Addresses, sizes, groups and calls; wrong stanzas, and wrong calls: to the last word alike."""
    await stage.meet()
    wrong = sealed_message(stage.alice.jid, "m1").message
    for address in ("", "alice", NOBODY, "120363041234567890@g.us", "4915199999999@s.whatsapp.net", ALICE_NUMBER):
        with stage.transcript.step(f"to {address!r}"):
            wrong.to_jid, wrong.id = address, f"m-{len(address)}"
            await stage.bob_tries("message", stage.bob.send_encrypted(wrong))
            await stage.bob_tries("bundle", stage.bob.take_prekey_bundle(address))
            await stage.bob_tries("look-up", stage.bob.resolve(address))
            await stage.bob_tries("block", stage.bob.block(address))
    with stage.transcript.step("too large"):
        large = sealed_message(stage.alice.jid, "large", bytes(200_000)).message
        await stage.bob_tries("message", stage.bob.send_encrypted(large))
    with stage.transcript.step("wrong stanzas"):
        offer = stanza_pb2.CallOffer(id="c1", to_jid=stage.alice.jid)
        receipt = stanza_pb2.Receipt(to_jid="alice", type=stanza_pb2.RECEIPT_TYPE_READ, message_ids=["x"])
        await stage.bob.transport.send(
            stanza_pb2.Stanza(call_offer=offer),
            stanza_pb2.Stanza(receipt=receipt),
            stanza_pb2.Stanza(pong=stanza_pb2.Pong(id=1)),
            stanza_pb2.Stanza(),
        )
        await stage.settle()
    with stage.transcript.step("wrong calls"):
        as_whatsapp = WhatsAppClient(stage.bob.transport, stage.bob_state)
        await stage.bob_tries("opt-in", as_whatsapp.opt_in([INTEGRATOR]))
        await stage.bob_tries("terms", as_whatsapp.accept_terms())
        await stage.bob_tries("message request", as_whatsapp.accept_message_request(stage.alice.jid))
        await stage.settle()


async def two_devices(stage: Stage) -> None:
    """The second login replaces the first, which is told why; the session of the first is dead."""
    await stage.meet()
    first = stage.bob
    with stage.transcript.step("a second login"):
        stage.bob = stage.bobs_device("Bob's second device")
        await stage.bob.connect()
        lost = await first.wait_for(ConnectionLost)
        await stage.transcript.attempt("Bob", "count", first.count_prekeys())
        assert lost.reason == "CONNECTION_REPLACED"
        await stage.settle()
    with stage.transcript.step("the second goes on"):
        await stage.alice_tries("text", stage.alice.send_text(stage.bob.jid, "To the second"))
        await stage.settle()


async def another_identity(stage: Stage) -> None:
    """Bob enlists with new keys: Alice is told, and what she sends then is for the new keys."""
    await stage.meet()
    await stage.say(stage.bob, "Hello")
    with stage.transcript.step("new keys"):
        fresh = ClientState.generate()
        old, stage.bob_state = stage.bob, fresh
        await stage.enlist_bob(fresh)
        await stage.alice.wait_for(IdentityChanged)
        await old.wait_for(ConnectionLost)
        stage.bob = stage.bobs_device("Bob again")
        await stage.bob.connect()
        await stage.bob.publish_prekeys(5)
        await stage.settle()
    with stage.transcript.step("and on"):
        await stage.say(stage.alice, "Is that still you?")
        await stage.say(stage.bob, "It is")
        await stage.settle()


async def a_broken_session(stage: Stage) -> None:
    """Bob goes back to a backup: what he cannot read any more he asks for again, and what Alice cannot, she does."""
    await stage.meet()
    await stage.say(stage.bob, "Hello")
    backup = stage.bob_state.to_bytes()
    for number in range(2):
        await stage.say(stage.alice, f"Since the backup {number}")
        await stage.say(stage.bob, f"So it is {number}")
    with stage.transcript.step("Bob is restored"):
        await stage.settle()
        await stage.leave(stage.bob)
        stage.bob_state = ClientState.from_bytes(backup)
        stage.bob = stage.bobs_device("Bob restored")
        await stage.bob.connect()
        await stage.settle()
    for sender, name in ((stage.alice, "Alice"), (stage.bob, "Bob")):
        with stage.transcript.step(f"{name} writes"):
            await stage.say(sender, f"{name} again")
            await stage.settle()


async def deletion(stage: Stage) -> None:
    """Bob deletes his account; nobody reaches him, and he comes back as somebody else."""
    await stage.meet()
    await stage.say(stage.bob, "Goodbye")
    gone = stage.bob.jid
    with stage.transcript.step("he goes"):
        await stage.bob_tries("deletion", stage.bob.delete_account())
        await stage.bob.wait_for(ConnectionLost)
        await stage.alice_tries("text", stage.alice.send_text(gone, "Bob?"))
        await stage.alice_tries("bundle", stage.alice.take_prekey_bundle(gone))
        await stage.alice_tries("look-up", stage.alice.resolve(BOB, INTEGRATOR))
        await stage.bob_tries("connect", stage.bob.connect())
    with stage.transcript.step("he comes back"):
        stage.bob_state = ClientState.generate()
        await stage.enlist_bob()
        stage.bob = stage.bobs_device("Bob again")
        await stage.bob.connect()
        await stage.bob.publish_prekeys(5)
        await stage.say(stage.alice, "Hello again")
        await stage.settle()


SCENARIOS: tuple[Scenario, ...] = (
    enlisting_and_connecting,
    keys,
    texts,
    being_away,
    media,
    blocking,
    opting_out,
    what_is_refused,
    two_devices,
    another_identity,
    a_broken_session,
    deletion,
)


@asynccontextmanager
async def stage_of(folder: Path, signing_keys: SigningKeys, by_proxy: bool) -> AsyncIterator[Stage]:
    """A server of one's own where time stands still, with the same people on it whichever way Bob connects."""
    clock = AdjustableClock(START_MS)
    limits = Limits(silent_seconds=10**9)
    simulator = Simulator(
        Config(FREE_PORT, FREE_PORT, FREE_PORT, folder / "db", journal=new_journal(), limits=limits, grace_seconds=0.5),
        clock,
    )
    async with AsyncExitStack() as stack:
        addresses = await simulator.start()
        stack.push_async_callback(simulator.stop)
        endpoint = Endpoint(addresses.grpc, addresses.root_public_key, addresses.http, addresses.admin)
        settings = PartnerSettings(folder / "partner", issuer="https://messenger.example", endpoint=endpoint)
        partner = await stack.enter_async_context(
            PartnerServer(settings, keys=signing_keys, now=lambda: clock.now_ms() / 1_000)
        )
        admin = await stack.enter_async_context(RecordedAdmin(endpoint.admin))
        await admin.put_partner(registration(partner, INTEGRATOR, "Messenger"))
        transcript, bob_state = Transcript(clock.now_ms()), ClientState.generate()
        alice = await _alice(admin, endpoint, transcript)
        stack.push_async_callback(alice.close)
        await alice.connect()
        await alice.publish_prekeys(5)
        await alice.accept_terms()
        bob = ThirdPartyClient.direct(endpoint, bob_state, _no_token)
        yield Stage(by_proxy, folder, endpoint, partner, admin, transcript, stack, alice, bob, bob_state)


async def _no_token() -> str:
    raise AssertionError("Bob is not enlisted yet")


async def _alice(admin: AdminClient, endpoint: Endpoint, transcript: Transcript) -> WhatsAppClient:
    state = ClientState.generate()
    state.jid = await admin.put_whatsapp_user(ALICE_NUMBER, state.auth_public_key)

    async def log_in() -> object:
        return whatsapp_login(state.jid)

    inner = DirectTransport(endpoint, state.auth_private_key, log_in)  # type: ignore[arg-type]
    options = ClientOptions(refill_count=0, on_event=recorder(transcript, "Alice"))
    return WhatsAppClient(Recorded(inner, transcript, "Alice"), state, options=options)


async def seen_in(scenario: Scenario, folder: Path, signing_keys: SigningKeys, by_proxy: bool) -> Seen:
    """Plays a scenario, and returns all that was seen."""
    place = folder / ("proxied" if by_proxy else "direct")
    await asyncio.to_thread(place.mkdir)
    async with stage_of(place, signing_keys, by_proxy) as stage:
        await scenario(stage)
        return stage.transcript.normalised()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_nobody_can_tell_a_proxied_client_from_a_direct_one(
    scenario: Scenario, tmp_path: Path, signing_keys: SigningKeys
) -> None:
    """What Alice and Bob see is the same in both modes, to the last word of the last refusal."""
    direct = await seen_in(scenario, tmp_path, signing_keys, by_proxy=False)
    proxied = await seen_in(scenario, tmp_path, signing_keys, by_proxy=True)
    found = differences(direct, proxied)
    assert not found, "\n".join(found)
