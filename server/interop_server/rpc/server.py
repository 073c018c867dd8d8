"""The two gRPC servers: the services of each, and how it listens; knows no rule and no implementation of a port."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from interop_api.admin.v1alpha1 import (
    admin_pb2,
    admin_pb2_grpc,
    clock_pb2,
    clock_pb2_grpc,
    faults_pb2,
    faults_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    standing_pb2,
    standing_pb2_grpc,
    trace_pb2,
    trace_pb2_grpc,
)
from interop_api.v1 import (
    account_pb2,
    account_pb2_grpc,
    chat_pb2,
    chat_pb2_grpc,
    enlistment_pb2,
    enlistment_pb2_grpc,
    integrity_pb2,
    integrity_pb2_grpc,
    interop_pb2,
    interop_pb2_grpc,
    media_pb2,
    prekeys_pb2,
    prekeys_pb2_grpc,
)
from interop_server.core.limits import SECOND_MS
from interop_server.core.operator.world import World
from interop_server.core.troubles import Troubles
from interop_server.rpc.account import AccountServicer
from interop_server.rpc.admin import AdminServicer, Itself
from interop_server.rpc.answers import Answers
from interop_server.rpc.calls import take_hanging_up_as_ordinary
from interop_server.rpc.chat import ChatServicer
from interop_server.rpc.clock import ClockServicer
from interop_server.rpc.edge import Edge
from interop_server.rpc.enlistment import EnlistmentServicer
from interop_server.rpc.faults import FaultServicer
from interop_server.rpc.handshake import Identities
from interop_server.rpc.health import NAME, Health
from interop_server.rpc.integrity import IntegrityServicer
from interop_server.rpc.interceptor import CallInterceptor
from interop_server.rpc.interop import InteropServicer
from interop_server.rpc.journal import JournalServicer, Requirements
from interop_server.rpc.media import MediaServicer, add_media_service
from interop_server.rpc.prekeys import PreKeyServicer
from interop_server.rpc.reflection import add_reflection
from interop_server.rpc.request_bounds import METADATA_BYTES, most_received_bytes
from interop_server.rpc.session import Sessions
from interop_server.rpc.standing import StandingServicer
from interop_server.rpc.trace import TraceServicer

_CLIENT_SERVICES = (
    enlistment_pb2.DESCRIPTOR.services_by_name["EnlistmentService"],
    chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    prekeys_pb2.DESCRIPTOR.services_by_name["PreKeyService"],
    interop_pb2.DESCRIPTOR.services_by_name["InteropService"],
    media_pb2.DESCRIPTOR.services_by_name["MediaService"],
    integrity_pb2.DESCRIPTOR.services_by_name["IntegrityService"],
    account_pb2.DESCRIPTOR.services_by_name["AccountService"],
)
_ADMIN_SERVICES = (
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
    clock_pb2.DESCRIPTOR.services_by_name["ClockService"],
    journal_pb2.DESCRIPTOR.services_by_name["JournalService"],
    standing_pb2.DESCRIPTOR.services_by_name["StandingService"],
    faults_pb2.DESCRIPTOR.services_by_name["FaultService"],
    trace_pb2.DESCRIPTOR.services_by_name["TraceService"],
)

IDLE_CONNECTION_MS = 600_000
"""How long a connection may be without a call. A chat channel is a call, however long it is silent; policy."""

CountRows = Callable[[], Awaitable[dict[str, int]]]


@dataclass(frozen=True, slots=True)
class Listening:
    """A listening server."""

    port: int
    stops: tuple[Callable[[], Awaitable[None]], ...]
    """Functions that stop it, called last to first: health says NOT_SERVING, then calls get time to finish."""


def client_server(edge: Edge, identities: Identities, http_url: str) -> grpc.aio.Server:
    """Returns the server for clients."""
    rules = edge.rules
    server = _server(edge)
    enlistment = EnlistmentServicer(rules.enlistment)
    enlistment_pb2_grpc.add_EnlistmentServiceServicer_to_server(enlistment, server)
    chat_pb2_grpc.add_ChatServiceServicer_to_server(ChatServicer(edge, identities), server)
    prekeys = PreKeyServicer(rules.prekeys, rules.journal)
    prekeys_pb2_grpc.add_PreKeyServiceServicer_to_server(prekeys, server)
    interop = InteropServicer(rules.optin, rules.requests, rules.reachability, rules.journal)
    interop_pb2_grpc.add_InteropServiceServicer_to_server(interop, server)
    add_media_service(MediaServicer(rules.media, http_url, rules.limits, edge.gate, edge.seats), server)
    integrity = IntegrityServicer(rules.blocklist, rules.reports, rules.challenges, rules.limits)
    integrity_pb2_grpc.add_IntegrityServiceServicer_to_server(integrity, server)
    account_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(rules.deletion), server)
    return server


def admin_server(
    edge: Edge, count_rows: CountRows, itself: Itself, requirements: Requirements, world: World
) -> grpc.aio.Server:
    """Returns the server for the operator."""
    rules, clock = edge.rules, edge.clock
    server = _server(edge, *_gates(edge.admin_token))
    admin = AdminServicer(rules.operator, count_rows, itself, world, edge.others)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
    journal = JournalServicer(rules.journal, clock, rules.limits, requirements, edge.others)
    journal_pb2_grpc.add_JournalServiceServicer_to_server(journal, server)
    clock_pb2_grpc.add_ClockServiceServicer_to_server(ClockServicer(rules.clock_control), server)
    standing = StandingServicer(rules.escalation, rules.reports, rules.audit, clock)
    standing_pb2_grpc.add_StandingServiceServicer_to_server(standing, server)
    faults_pb2_grpc.add_FaultServiceServicer_to_server(FaultServicer(edge.gate, edge.others), server)
    trace_pb2_grpc.add_TraceServiceServicer_to_server(TraceServicer(rules.trace, clock, edge.others), server)
    return server


def _gates(admin_token: str) -> Iterator[grpc.aio.ServerInterceptor]:
    if admin_token:
        from interop_server.rpc.admin_gate import AdminGate  # loaded on demand: a plain start is on loopback

        yield AdminGate(admin_token)


async def listen(
    server: grpc.aio.Server,
    address: str,
    grace_seconds: float,
    troubles: Troubles,
    tls: grpc.ServerCredentials | None = None,
    *,
    is_admin: bool,
) -> Listening:
    """Starts a server; health says SERVING when this returns, of all that works.

    Args:
        server: Not started yet.
        address: `host:port`.
        grace_seconds: How long calls may take to end when it stops.
        troubles: What does not work.
        tls: Its certificate and key; None for no TLS.
        is_admin: Whether it is the operator's.

    Raises:
        RuntimeError: The server cannot listen on the address.
    """
    services = [each.full_name for each in (_ADMIN_SERVICES if is_admin else _CLIENT_SERVICES)]
    health = Health(services, troubles)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    add_reflection(server, (*services, NAME))
    port = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
    await server.start()

    async def stop() -> None:
        await server.stop(grace_seconds)

    await health.begin()
    return Listening(port, (stop, health.servicer.enter_graceful_shutdown))


def _bounds(edge: Edge) -> tuple[tuple[str, int], ...]:
    """Returns what gRPC's core bounds before any code of this server runs."""
    limits = edge.rules.limits
    streams = limits.connection_streams
    return (
        ("grpc.max_concurrent_streams", streams),
        # Calls that wait to be looked at: from here on gRPC cancels some, without a reason, and from the next on all.
        ("grpc.server.max_pending_requests", streams),
        ("grpc.server.max_pending_requests_hard_limit", 2 * streams),
        # Both alike: between them gRPC refuses at random.
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.server_handshake_timeout_ms", limits.silent_connection_seconds * SECOND_MS),
        # Until a client has acknowledged them, it is not held to what they say of metadata.
        ("grpc.http2.settings_timeout", limits.silent_connection_seconds * SECOND_MS),
        ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MS),
        ("grpc.max_allowed_incoming_connections", edge.most_connections),
    )


def _server(edge: Edge, *first: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    limits = edge.rules.limits
    options = (
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
        ("grpc.max_receive_message_length", most_received_bytes(limits.max_ciphertext_bytes)),
        ("grpc.max_send_message_length", -1),
        *_bounds(edge),
        # Identity alone: 16 KiB that are compressed can unpack to 16 MiB before anybody has measured them.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    )
    take_hanging_up_as_ordinary()
    answers = Answers(limits.waiting_bytes)
    interceptor = CallInterceptor(edge.rules, Sessions(edge.entrance), edge.repeats, edge.seats, edge.gate, answers)
    spans = () if edge.spans is None else (edge.spans,)
    return grpc.aio.server(interceptors=(*spans, *first, interceptor), options=options)
