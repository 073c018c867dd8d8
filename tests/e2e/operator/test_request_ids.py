"""Every call is answered with what it is called, and the journal has it under the same name."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from interop_server.rpc.server import _ADMIN_SERVICES, _CLIENT_SERVICES
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream, case

KEY = "x-request-id"
OWN = re.compile(r"[0-9a-f]{16}")
UNARY = [
    method
    for service in (*_CLIENT_SERVICES, *_ADMIN_SERVICES)
    for method in service.methods
    if not (method.client_streaming or method.server_streaming)
]


async def test_a_call_that_is_not_there_is_called_something_too(world: World) -> None:
    """On both ports, whatever its path, by the client's name if it has one; the status is gRPC's own (SIM-01)."""
    for address in (world.endpoint.grpc, world.endpoint.admin):
        async with grpc.aio.insecure_channel(address) as channel:
            for path in ("/interop_api.v1.InteropService/Nothing", "/no.Such/Call", "/x"):
                for sent, named in (((), OWN), (((KEY, "mine-1"),), re.compile("mine-1"))):
                    call = channel.unary_unary(path)(b"", metadata=sent)
                    with pytest.raises(grpc.aio.AioRpcError) as raised:
                        await call
                    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
                    assert named.fullmatch(str(dict(raised.value.trailing_metadata() or ())[KEY])), path


class Answer(NamedTuple):
    """What came of a call."""

    request_id: str
    response: Any = None
    refusal: ServerRefusal | None = None


class Caller:
    """Makes calls of all services in one session, with metadata of its own."""

    def __init__(self, world: World, client: grpc.aio.Channel, admin: grpc.aio.Channel, token: str) -> None:
        self.admin: AdminClient = world.admin
        self._client = client
        self._admin = admin
        self._token = token

    async def call(
        self, method: MethodDescriptor, request: bytes = b"", name: str = "", *, in_session: bool = True
    ) -> Answer:
        """Makes a call, called as it says."""
        service: Any = method.containing_service
        response_type = GetMessageClass(method.output_type)
        channel = self._admin if service in _ADMIN_SERVICES else self._client
        unary: Any = channel.unary_unary(
            f"/{service.full_name}/{method.name}", response_deserializer=response_type.FromString
        )
        metadata = [("authorization", f"Bearer {self._token}")] if in_session else []
        metadata += [(KEY, name)] if name else []
        call = unary(request, metadata=metadata, timeout=WAIT_SECONDS)
        try:
            response = await call
            return Answer(dict(await call.trailing_metadata())[KEY], response=response)
        except grpc.aio.AioRpcError as error:
            return Answer(dict(error.trailing_metadata())[KEY], refusal=refusal_from_rpc_error(error))

    async def entries(self, name: str) -> list[journal_pb2.JournalEntry]:
        """What the journal has under a name."""
        found = [response.entry async for response in self.admin.read_journal()]
        return [entry for entry in found if entry.request_id == name]


def method_named(name: str) -> MethodDescriptor:
    return next(method for method in UNARY if method.name == name)


@pytest_asyncio.fixture
async def caller(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[Caller]:
    """A connected WhatsApp user, and the operator, at a simulator of their own."""
    async with own_world(tmp_path, signing_keys) as (world, _):
        alice = await world.whatsapp_device(QUIET)
        async with (
            RawStream(world.endpoint.grpc) as stream,
            grpc.aio.insecure_channel(world.endpoint.admin) as admin,
        ):
            login = await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
            yield Caller(world, stream.grpc_channel, admin, login.session_token)


@pytest.mark.requirement("SIM-07")
async def test_every_call_is_answered_with_the_name_that_its_client_gave_it(caller: Caller) -> None:
    """Accepted or refused: its one entry in the journal has that name; an operator who only looks leaves none."""
    for number, method in enumerate(UNARY):
        name = f"my-call_{number}.x"
        with case(method.full_name):
            answer = await caller.call(method, name=name)
            assert answer.request_id == name
            if answer.refusal is not None:
                assert answer.refusal.request_id == name
            entries = await caller.entries(name)
            looked = method.GetOptions().idempotency_level == 1 and answer.refusal is None
            action = f"{method.containing_service.name}.{method.name}"  # type: ignore[union-attr]
            assert [entry.action for entry in entries] == ([] if looked else [action])


@pytest.mark.requirement("SIM-07")
@pytest.mark.parametrize("chosen", ["", "x" * 65, "a b", "a/b"])
async def test_a_call_without_a_proper_name_is_named_by_the_server(caller: Caller, chosen: str) -> None:
    """Each with a name of its own."""
    count, look = method_named("CountOneTimePreKeys"), method_named("GetClock")
    answers = [await caller.call(each, name=chosen) for each in (count, count, look, look)]
    names = [answer.request_id for answer in answers]
    assert all(OWN.fullmatch(name) for name in names) and len(set(names)) == 4
    assert [len(await caller.entries(name)) for name in names] == [1, 1, 0, 0]


async def test_also_what_comes_to_nothing_is_named(caller: Caller) -> None:
    """Without a session, which is looked for first; with bytes that are no message; with a refusal in the response."""
    count, enlist = method_named("CountOneTimePreKeys"), method_named("Enlist")
    for name, answer, reason in (
        ("no-session", await caller.call(count, b"\xff", "no-session", in_session=False), "SESSION_REQUIRED"),
        ("no-message", await caller.call(count, b"\xff", "no-message"), "REQUEST_MALFORMED"),
    ):
        assert answer.refusal is not None and answer.refusal.reason == reason
        assert [entry.reason for entry in await caller.entries(name)] == [reason]
    answer = await caller.call(enlist, name="no-form")
    assert answer.response.failure.error.request_id == answer.request_id == "no-form"
    explained = await caller.admin.explain_refusal("no-form")
    assert explained.entry.action == "EnlistmentService.Enlist"


async def test_a_name_that_comes_twice_names_two_calls(caller: Caller) -> None:
    """It is for finding them, and keeps nobody from calling; the newer refusal is explained."""
    resolve = method_named("Resolve")
    for _ in range(2):
        answer = await caller.call(resolve, name="twice")
        assert answer.refusal is not None and answer.refusal.request_id == "twice"
    entries = await caller.entries("twice")
    assert len(entries) == 2
    assert (await caller.admin.explain_refusal("twice")).entry.number == entries[-1].number
