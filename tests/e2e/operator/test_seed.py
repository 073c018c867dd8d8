"""A seed makes what the server gives out follow from it, and a start at a given time: two processes, the same ids."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from interop_admin.client import AdminClient
from interop_api.v1 import media_pb2, media_pb2_grpc, prekeys_pb2
from interop_client.connection.calls import unary_call
from interop_client.connection.login import whatsapp_login
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import simulator
from interop_protocol.encoding import media_token
from interop_protocol.endpoint import Endpoint
from interop_protocol.noise import InitiatorHandshake
from interop_protocol.times import format_time, parse_time
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.operator.test_command_line import assert_sentence
from tests.e2e.program import ANY_PORTS, run
from tests.e2e.raw import QUIET, RawStream
from tests.e2e.wire import sealed_message
from tests.registration import registration

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000_000 * 1_000
"""A whole second of now: clients judge certificates by the machine's time."""
SERVICE = "/interop_api.v1."


@dataclass(frozen=True)
class Inputs:
    """What clients and a messenger bring along: the same for each simulator."""

    partner: PartnerServer
    alice: ClientState
    bob: ClientState
    carol: ClientState
    tokens: dict[str, str]


@asynccontextmanager
async def same_inputs(folder: Path, keys: SigningKeys) -> AsyncIterator[Inputs]:
    settings = PartnerSettings(folder, issuer="https://messenger.example")
    async with PartnerServer(settings, keys, now=lambda: NOW_MS / 1_000) as partner:
        states = [ClientState.generate() for _ in range(3)]
        yield Inputs(partner, *states, {user: partner.issue_token(user) for user in ("bob", "carol")})


@asynccontextmanager
async def seeded(folder: Path, name: str, seed: int, db: Path | None = None) -> AsyncIterator[Endpoint]:
    """A simulator of its own whose clock stands still."""
    options = ("--seed", str(seed), "--freeze-at", format_time(NOW_MS))
    async with simulator(folder / f"{name}.log", db, options) as child:
        yield Endpoint.from_ready_line(json.dumps(dict(child.ready)))


async def register(endpoint: Endpoint, inputs: Inputs) -> None:
    """Registers the messenger, and Alice."""
    partner = inputs.partner
    partner.set_simulator(endpoint)
    async with AdminClient(endpoint.admin) as admin:
        await admin.put_partner(registration(partner, 7, "Messenger", proxy_allowed=False))
        inputs.alice.jid = await admin.put_whatsapp_user("+4915112345678", inputs.alice.auth_public_key)


async def enlist(endpoint: Endpoint, inputs: Inputs, user: str, state: ClientState) -> str:
    """Enlists a third-party user; returns the JID."""

    async def get_token() -> str:
        return inputs.tokens[user]

    device = ThirdPartyClient.direct(endpoint, ClientState.from_bytes(state.to_bytes()), get_token)
    try:
        return await device.enlist(inputs.tokens[user])
    finally:
        await device.close()


async def session(endpoint: Endpoint, state: ClientState) -> dict[str, object]:
    """Connects and uploads; returns what the server gave out on the way."""
    async with RawStream(endpoint.grpc) as stream:
        login = await stream.log_in(state.auth_private_key, whatsapp_login(state.jid))
        metadata = (("authorization", f"Bearer {login.session_token}"),)
        granted = await unary_call(
            stream.grpc_channel,
            f"{SERVICE}MediaService/GetMediaConnection",
            media_pb2.GetMediaConnectionRequest(),
            media_pb2.GetMediaConnectionResponse,
            metadata,
        )
        content = b"the same content"
        start = media_pb2.UploadStart(
            auth=granted.auth, upload_token=media_token(hashlib.sha256(content).digest()), length=len(content)
        )

        async def upload() -> AsyncIterator[media_pb2.UploadRequest]:
            yield media_pb2.UploadRequest(start=start)
            yield media_pb2.UploadRequest(chunk=content)

        stub = media_pb2_grpc.MediaServiceStub(stream.grpc_channel)
        uploaded = await stub.Upload(upload(), metadata=metadata, timeout=10.0)
        # Last: how a handshake ends that is broken off would draw a number of its own, at any time.
        async with RawStream(endpoint.grpc) as broken_off:
            hello = await broken_off.hello(InitiatorHandshake(state.auth_private_key, bytes(range(32))))
    return {
        "server ephemeral": hello.ephemeral,
        "session token": login.session_token,
        "server time": login.server_time_ms,
        "upload permission": granted.auth,
        "blob path": uploaded.direct_path,
    }


async def request_id(endpoint: Endpoint) -> str:
    """What a refusal is called."""
    async with grpc.aio.insecure_channel(endpoint.grpc) as channel:
        try:
            await unary_call(
                channel,
                f"{SERVICE}PreKeyService/CountOneTimePreKeys",
                prekeys_pb2.CountOneTimePreKeysRequest(),
                prekeys_pb2.CountOneTimePreKeysResponse,
            )
        except ServerRefusal as refusal:
            return refusal.request_id
    raise AssertionError("not refused")


async def everything(endpoint: Endpoint, inputs: Inputs) -> dict[str, object]:
    """Gives a simulator the same inputs in the same order; returns all ids and keys that it gave out."""
    first = await request_id(endpoint)
    await register(endpoint, inputs)
    return {
        "root key": endpoint.root_public_key,
        "request id": first,
        "JID of Bob": await enlist(endpoint, inputs, "bob", inputs.bob),
        "JID of Carol": await enlist(endpoint, inputs, "carol", inputs.carol),
        **await session(endpoint, inputs.alice),
    }


@pytest.mark.requirement("SIM-04", "ENL-12")
async def test_the_same_seed_and_inputs_give_the_same_ids(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """In two processes, and none of them with another seed; the time is the one at which the clock stands."""
    async with same_inputs(tmp_path / "partner", signing_keys) as inputs:
        given = []
        for name, seed in (("first", 7), ("second", 7), ("other", 8)):
            async with seeded(tmp_path, name, seed) as endpoint:
                given.append(await everything(endpoint, inputs))
    first, second, other = given
    assert first == second
    assert first["server time"] == other["server time"] == NOW_MS
    assert [name for name, value in other.items() if value == first[name]] == ["server time"]


@pytest.mark.requirement("SIM-04", "SIM-03", "CHN-01")
async def test_a_restart_goes_on_with_other_ids(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """On one database nothing comes again: an old session token stays dead. The server's own keys stay."""
    db = tmp_path / "simulator.db"
    async with same_inputs(tmp_path / "partner", signing_keys) as inputs:
        async with seeded(tmp_path, "first", 7, db) as endpoint:
            first = await everything(endpoint, inputs)
        async with seeded(tmp_path, "second", 7, db) as endpoint:
            again = {"root key": endpoint.root_public_key, "request id": await request_id(endpoint)}
            again |= await session(endpoint, inputs.alice)
    # The content was there already, and so was its path.
    same = {"root key", "server time", "blob path"}
    assert {name for name, value in again.items() if value == first[name]} == same


@pytest.mark.requirement("MSG-14", "SIM-04")
async def test_no_restart_leads_back_in_time(tmp_path: Path) -> None:
    """A database that has seen a year pass begins where it ended, and refuses a clock that stands before that."""
    db = tmp_path / "simulator.db"
    async with simulator(tmp_path / "first.log", db) as child, AdminClient(child.ready["admin"]) as admin:
        moved = await admin.advance_clock(365 * DAY_MS)
    async with simulator(tmp_path / "second.log", db) as child, AdminClient(child.ready["admin"]) as admin:
        again = await admin.get_clock()
        assert moved.clock.now_ms <= again.now_ms < moved.clock.now_ms + DAY_MS
        assert not again.is_frozen
        await child.kill()
    too_early = format_time(moved.clock.now_ms - 1)
    ended = await run(tmp_path, "up", *ANY_PORTS, "--db", str(db), "--freeze-at", too_early)
    assert_sentence(ended, too_early, "does not go backwards")
    at = format_time(again.now_ms + DAY_MS)
    async with (
        simulator(tmp_path / "third.log", db, ("--freeze-at", at)) as child,
        AdminClient(child.ready["admin"]) as admin,
    ):
        clock = await admin.get_clock()
    assert (clock.now_ms, clock.is_frozen) == (parse_time(at), True)


@pytest.mark.requirement("MSG-14")
async def test_a_killed_server_goes_on_after_its_newest_message(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Although it could not say where its time ended."""
    db, at_ms = tmp_path / "simulator.db", NOW_MS + 300_000
    async with (
        same_inputs(tmp_path / "partner", signing_keys) as inputs,
        simulator(tmp_path / "first.log", db, ("--freeze-at", format_time(at_ms))) as child,
    ):
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        await register(endpoint, inputs)
        bob = await enlist(endpoint, inputs, "bob", inputs.bob)
        async with WhatsAppClient.direct(endpoint, inputs.alice, options=QUIET) as alice:
            await alice.accept_terms()
            await alice.opt_in([7])
            sent = await alice.send_encrypted(sealed_message(bob, "m").message)
            assert sent.timestamp_ms == at_ms
            await child.kill()
    async with simulator(tmp_path / "second.log", db) as child, AdminClient(child.ready["admin"]) as admin:
        assert (await admin.get_clock()).now_ms >= at_ms


@pytest.mark.requirement("SIM-04")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--freeze-at", "now"), "2026-01-01T00:00:00Z"),
        (("--freeze-at", "1999-12-31T23:59:59Z"), "2000"),
        (("--seed", "x"), "integer"),
        (("--node", "a node"), "letters"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(tmp_path: Path, arguments: tuple[str, ...], hint: str) -> None:
    """Before anything starts."""
    ended = await run(tmp_path, "up", *ANY_PORTS, *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert hint in ended.stderr and "Traceback" not in ended.stderr
