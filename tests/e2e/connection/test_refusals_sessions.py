"""Who may call at all: no service but enlistment answers without a live connection; driven by the protos themselves."""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import interop_api.admin.v1
import interop_api.v1
from interop_client.errors import refusal_from_rpc_error
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS, no_trace, refused
from tests.e2e.wire import Wire

NO_MESSAGE = b"\xff\xff\xff"
"""Bytes that no protobuf parser takes."""
WITHOUT_SESSION = {"/interop_api.v1.EnlistmentService/Enlist", "/interop_api.v1.ChatService/Connect"}


def methods_of(*files: FileDescriptor) -> list[MethodDescriptor]:
    """Every method that files define."""
    return [
        method
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods_by_name.values()
    ]


def path_of(method: MethodDescriptor) -> str:
    """Where a method is called."""
    return f"/{method.containing_service.full_name}/{method.name}"


def files_of(package: ModuleType) -> list[FileDescriptor]:
    """Every proto file of a package."""
    names = (f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(name).DESCRIPTOR for name in names if name.endswith("_pb2")]


CLIENT_METHODS = methods_of(*files_of(interop_api.v1))
SESSION_METHODS = [method for method in CLIENT_METHODS if path_of(method) not in WITHOUT_SESSION]


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, request: bytes, token: str | None) -> None:
    """Makes a call of any kind with one request, and takes all of its responses.

    Raises:
        ServerRefusal: It was refused.
    """
    options: Any = {"metadata": () if token is None else (("authorization", token),), "timeout": WAIT_SECONDS}
    path = path_of(method)

    async def requests() -> AsyncIterator[bytes]:
        yield request

    try:
        if method.client_streaming and method.server_streaming:
            streams = channel.stream_stream(path)(requests(), **options)
            async for _ in streams:
                pass
        elif method.client_streaming:
            await channel.stream_unary(path)(requests(), **options)
        elif method.server_streaming:
            async for _ in channel.unary_stream(path)(request, **options):
                pass
        else:
            await channel.unary_unary(path)(request, **options)
    except grpc.aio.AioRpcError as error:
        raise refusal_from_rpc_error(error) from error


def test_the_protos_have_methods_that_need_a_session() -> None:
    """What finds them finds them, streams included."""
    paths = {path_of(method) for method in SESSION_METHODS}
    assert len(paths) == len(CLIENT_METHODS) - len(WITHOUT_SESSION) > 20
    assert "/interop_api.v1.MediaService/Upload" in paths and "/interop_api.v1.MediaService/Download" in paths


@pytest.mark.requirement("CHN-01")
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(None, "SESSION_REQUIRED", id="no token"),
        pytest.param("", "SESSION_REQUIRED", id="an empty header"),
        pytest.param("Basic dXNlcjpwYXNzd29yZA==", "SESSION_REQUIRED", id="another scheme"),
        pytest.param("Bearer ", "SESSION_DEAD", id="an empty token"),
        pytest.param("Bearer " + "0" * 48, "SESSION_DEAD", id="a made-up token"),
        pytest.param("Bearer ' OR 1=1 --", "SESSION_DEAD", id="no token at all"),
    ],
)
async def test_no_call_is_served_without_a_session(world: World, token: str | None, reason: str) -> None:
    """Whatever it asks for, before anything of it is looked at (CHN-01)."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel, no_trace(world.admin):
        for method in SESSION_METHODS:
            with refused(reason, path_of(method)):
                await call(channel, method, b"", token)


async def test_a_session_dies_with_its_connection(world: World) -> None:
    """By its end, by another login of the account and by its deletion; the session that is alive goes on (CHN-11)."""
    bob, carol = await world.third_party("bob", QUIET), await world.third_party("carol", QUIET)
    tokens = {}
    async with Wire(world.device("carol", state=carol.state).transport) as wire:
        tokens["closed"] = wire.login.session_token
    carol_again = world.device("carol", QUIET, carol.state)
    await carol_again.connect()
    async with Wire(world.device("bob", state=bob.state).transport) as replaced:
        tokens["replaced"] = replaced.login.session_token
        await bob.connect()
        deleted = world.device("dave", QUIET)
        await deleted.enlist(world.partner.issue_token("dave"))
        async with Wire(deleted.transport) as wire:
            tokens["deleted"] = wire.login.session_token
            await deleted.delete_account()
            async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel, no_trace(world.admin):
                for how, token in tokens.items():
                    for method in SESSION_METHODS:
                        with refused("SESSION_DEAD", f"{how}: {path_of(method)}"):
                            await call(channel, method, b"", f"Bearer {token}")
    assert (await bob.count_prekeys(), await carol_again.count_prekeys()) == (20, 20)


@pytest.mark.requirement("SIM-01")
async def test_bytes_that_are_no_request_are_refused(world: World) -> None:
    """By every method of every service, with or without a session, and without a stack trace (SIM-01)."""
    bob = world.device("bob")
    await bob.enlist(world.partner.issue_token("bob"))
    admin_methods = methods_of(*files_of(interop_api.admin.v1))
    async with Wire(bob.transport) as wire, no_trace(world.admin):
        token = f"Bearer {wire.login.session_token}"
        async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
            for method in CLIENT_METHODS:
                is_chat = path_of(method).endswith("/Connect")
                with refused("HANDSHAKE_MALFORMED" if is_chat else "REQUEST_MALFORMED", path_of(method)):
                    await call(channel, method, NO_MESSAGE, token)
        async with grpc.aio.insecure_channel(world.endpoint.admin) as channel:
            for method in admin_methods:
                with refused("REQUEST_MALFORMED", path_of(method)):
                    await call(channel, method, NO_MESSAGE, None)
