"""A client of the simulator's own controls, for operators and tests; knows nothing of the simulated protocol.

Source: interop_api/admin/v1alpha1.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, Self

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from interop_api.admin.v1alpha1 import admin_pb2, clock_pb2, faults_pb2, journal_pb2, standing_pb2, trace_pb2
from interop_client.connection.calls import CALL_SECONDS, M, reading, unary_call
from interop_client.connection.opening import open_channel
from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint

MAX_PAGE = 1_000
"""Entries in a page of a list."""
CLOCK_SECONDS = 600.0
"""Longest wait for the answer to a call that moves the clock: the server first does everything that falls due."""


RESET_SECONDS = 30.0
"""Longest wait for a clean world."""
LOOK_SECONDS = 0.02
"""How often it is looked whether it has begun: while it begins, nobody answers."""


class WorldNotBegun(ServerRefusal):
    """UNAVAILABLE: the simulator has taken the order to begin anew, and nobody has heard of it since."""

    def __init__(self, seconds: float) -> None:
        advice = (
            f"the simulator has given up its world, and no clean one has begun within {seconds:g} seconds: its log "
            "says why, and it may have ended."
        )
        super().__init__("UNAVAILABLE", advice=advice)


class AdminClient:
    """A client of the admin service. An asynchronous context manager.

    Every method raises ServerRefusal when the service refuses the call or cannot be reached.

    Args:
        simulator: The simulator; or, without TLS and token, the address of its admin service, `host:port`.
    """

    def __init__(self, simulator: str | Endpoint) -> None:
        at = Endpoint("", b"", admin=simulator) if isinstance(simulator, str) else simulator
        self._channel = open_channel(at.admin, at.ca)
        self._metadata = (("authorization", f"Bearer {at.admin_token}"),) if at.admin_token else ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection to the service."""
        await self._channel.close()

    async def check(self, seconds: float = CALL_SECONDS) -> bool:
        """Says whether the server serves: health as gRPC has it. Whatever it is, an answer shows that one is there.

        Args:
            seconds: How long to wait for the answer.
        """
        method = "/grpc.health.v1.Health/Check"
        answer = await unary_call(
            self._channel,
            method,
            health_pb2.HealthCheckRequest(),
            health_pb2.HealthCheckResponse,
            self._metadata,
            seconds,
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def put_partner(self, partner: admin_pb2.Partner, *changed: str) -> int:
        """Registers a partner or replaces its registration; returns how many keys its key set holds now.

        Args:
            partner: The partner.
            changed: Names of the only fields to change of a registered partner; without names, all fields.
        """
        request = admin_pb2.PutPartnerRequest(partner=partner)
        if changed:
            request.update_mask.paths.extend(changed)
        return (await self._call("PutPartner", request, admin_pb2.PutPartnerResponse)).jwks_keys

    async def list_partners(self) -> list[admin_pb2.Partner]:
        """Returns the registered partners, by integrator id."""
        request = admin_pb2.ListPartnersRequest()
        return list((await self._call("ListPartners", request, admin_pb2.ListPartnersResponse)).partners)

    async def refresh_jwks(self, integrator: int) -> int:
        """Has the server fetch a partner's key set now; returns how many keys it holds."""
        request = admin_pb2.RefreshJwksRequest(integrator=integrator)
        return (await self._call("RefreshJwks", request, admin_pb2.RefreshJwksResponse)).jwks_keys

    async def put_whatsapp_user(
        self,
        phone_number: str,
        auth_public_key: bytes,
        platform: admin_pb2.DevicePlatform.ValueType = admin_pb2.DEVICE_PLATFORM_ANDROID,
    ) -> str:
        """Registers a WhatsApp user and returns the JID.

        Args:
            phone_number: E.164 with a leading `+`.
            auth_public_key: The key that the user's client proves in every handshake, 32 bytes.
            platform: Kind of device.
        """
        request = admin_pb2.PutWhatsAppUserRequest(
            phone_number=phone_number, authkey=auth_public_key, platform=platform
        )
        return (await self._call("PutWhatsAppUser", request, admin_pb2.PutWhatsAppUserResponse)).jid

    async def change_number(self, jid: str, phone_number: str) -> admin_pb2.ChangeNumberResponse:
        """Moves a WhatsApp user to another number, E.164 with a leading `+`."""
        request = admin_pb2.ChangeNumberRequest(jid=jid, phone_number=phone_number)
        return await self._call("ChangeNumber", request, admin_pb2.ChangeNumberResponse)

    async def list_connections(self) -> list[admin_pb2.OpenConnection]:
        """Returns all open connections, by JID, page by page."""
        connections: list[admin_pb2.OpenConnection] = []
        request = admin_pb2.ListConnectionsRequest(page_size=MAX_PAGE)
        while True:
            page = await self._call("ListConnections", request, admin_pb2.ListConnectionsResponse)
            connections += page.connections
            if not page.next_page_token:
                return connections
            request.page_token = page.next_page_token

    async def observe_client(self, jid: str, *, is_open: bool) -> None:
        """Tells the server whether the end client behind a connection is open, which only a test can know (PRX-04).

        A connection that outlives its client has `client_closed_at_ms` in `list_connections` from then on.
        """
        request = admin_pb2.ObserveClientRequest(jid=jid, is_open=is_open)
        await self._call("ObserveClient", request, admin_pb2.ObserveClientResponse)

    async def request_key_digest(self, jid: str) -> None:
        """Asks an account's client to compare its keys with the server's (KEY-10)."""
        request = admin_pb2.RequestKeyDigestRequest(jid=jid)
        await self._call("RequestKeyDigest", request, admin_pb2.RequestKeyDigestResponse)

    async def get_statistics(self) -> admin_pb2.GetStatisticsResponse:
        """Returns how many records of each kind the server stores, and its counters."""
        request = admin_pb2.GetStatisticsRequest()
        return await self._call("GetStatistics", request, admin_pb2.GetStatisticsResponse)

    async def reset(self, seconds: float = RESET_SECONDS) -> None:
        """Has a clean world begin; returns when it has. All connections of the old one have ended.

        Args:
            seconds: How long to wait for it.

        Raises:
            ServerRefusal: Refused.
            WorldNotBegun: It was taken, and has not begun in that time.
        """
        request = admin_pb2.ResetWorldRequest()
        world = (await self._call("ResetWorld", request, admin_pb2.ResetWorldResponse)).world
        end = time.monotonic() + seconds
        while True:
            try:
                if (await self.get_statistics()).world >= world:
                    return
            except ServerRefusal as refusal:
                if time.monotonic() > end:
                    raise WorldNotBegun(seconds) from refusal
            await asyncio.sleep(LOOK_SECONDS)

    def read_journal(self, **wanted: Any) -> AsyncGenerator[journal_pb2.ReadJournalResponse, None]:
        """Yields the entries of the journal, oldest first.

        Args:
            **wanted: Fields of ReadJournalRequest: `actor`, `reason`, `follow`, …
        """
        request = journal_pb2.ReadJournalRequest(**wanted)
        return self._stream("JournalService/ReadJournal", request, journal_pb2.ReadJournalResponse)

    def read_trace(self, **wanted: Any) -> AsyncGenerator[trace_pb2.ReadTraceResponse, None]:
        """Yields what went over the chat channels, oldest first, after one response without an entry: from then on the
        server records.

        Args:
            **wanted: Fields of ReadTraceRequest: `jid`, `follow`, `resume_token`.
        """
        request = trace_pb2.ReadTraceRequest(**wanted)
        return self._stream("TraceService/ReadTrace", request, trace_pb2.ReadTraceResponse)

    async def explain_refusal(self, request_id: str) -> journal_pb2.ExplainRefusalResponse:
        """Returns the refusal of a request id, or the decision about a message of that id, with its rule and advice."""
        request = journal_pb2.ExplainRefusalRequest(request_id=request_id)
        method = "/interop_api.admin.v1alpha1.JournalService/ExplainRefusal"
        return await unary_call(self._channel, method, request, journal_pb2.ExplainRefusalResponse, self._metadata)

    async def get_clock(self) -> clock_pb2.ClockState:
        """Returns the state of the server's clock."""
        return (await self.get_clock_move()).clock

    async def get_clock_move(self) -> clock_pb2.GetClockResponse:
        """Returns the state of the server's clock, with the move that is under way, if any."""
        return await self._clock_call("GetClock", clock_pb2.GetClockRequest(), clock_pb2.GetClockResponse)

    async def freeze_clock(self, at_ms: int | None = None) -> clock_pb2.FreezeClockResponse:
        """Stops the server's time, after moving it to a later time if one is given.

        Args:
            at_ms: Milliseconds since the UNIX epoch; None for the current time.
        """
        request = clock_pb2.FreezeClockRequest(at_ms=at_ms)
        return await self._clock_call("FreezeClock", request, clock_pb2.FreezeClockResponse)

    async def advance_clock(self, advance_ms: int) -> clock_pb2.AdvanceClockResponse:
        """Moves the server's time forward; returns when everything that fell due is done."""
        request = clock_pb2.AdvanceClockRequest(advance_ms=advance_ms)
        return await self._clock_call("AdvanceClock", request, clock_pb2.AdvanceClockResponse)

    async def resume_clock(self) -> clock_pb2.ClockState:
        """Lets the server's time run on from the time at which it stands."""
        response = await self._clock_call("ResumeClock", clock_pb2.ResumeClockRequest(), clock_pb2.ResumeClockResponse)
        return response.clock

    async def add_faults(self, faults: Iterable[faults_pb2.Fault]) -> list[str]:
        """Has the server do wrong on purpose, from now on: see faults.proto.

        Returns:
            The names of the nodes of its world that did not answer, and go on without.
        """
        request = faults_pb2.AddFaultsRequest(faults=faults)
        return list((await self._call_faults("AddFaults", request, faults_pb2.AddFaultsResponse)).silent_nodes)

    async def list_faults(self) -> faults_pb2.ListFaultsResponse:
        """Returns the faults, with what became of each."""
        return await self._call_faults("ListFaults", faults_pb2.ListFaultsRequest(), faults_pb2.ListFaultsResponse)

    async def release_fault(self, name: str) -> int:
        """Lets go on what a fault holds or delays; returns how much that is."""
        request = faults_pb2.ReleaseFaultRequest(name=name)
        return (await self._call_faults("ReleaseFault", request, faults_pb2.ReleaseFaultResponse)).released

    async def clear_faults(self, *names: str) -> list[faults_pb2.FaultState]:
        """Removes faults, all without names; returns what became of them."""
        request = faults_pb2.ClearFaultsRequest(names=names)
        return list((await self._call_faults("ClearFaults", request, faults_pb2.ClearFaultsResponse)).faults)

    async def _call_faults(self, method: str, request: Message, response_type: type[M]) -> M:
        name = f"/interop_api.admin.v1alpha1.FaultService/{method}"
        return await unary_call(self._channel, name, request, response_type, self._metadata)

    async def get_standing(self, jid: str) -> standing_pb2.GetStandingResponse:
        """Returns the standing of an account: score, signals, sanctions in force."""
        request = standing_pb2.GetStandingRequest(jid=jid)
        return await self._call_standing("GetStanding", request, standing_pb2.GetStandingResponse)

    async def impose_sanction(
        self, jid: str, kind: standing_pb2.SanctionKind.ValueType, expires_after_seconds: int = 0, sub_code: int = 0
    ) -> None:
        """Imposes a sanction, as enough reports that count would.

        Args:
            jid: JID of the account.
            kind: The kind of sanction.
            expires_after_seconds: After how long it ends; 0 for a permanent ban.
            sub_code: For a temporary ban: its cause, as in `LoginFailure`.
        """
        request = standing_pb2.ImposeSanctionRequest(
            jid=jid, kind=kind, sub_code=sub_code, expires_after_seconds=expires_after_seconds
        )
        await self._call_standing("ImposeSanction", request, standing_pb2.ImposeSanctionResponse)

    async def lift_sanctions(self, jid: str = "", integrator: int = 0, external_id: str = "") -> None:
        """Lifts all sanctions of an account, or of a user without one, named by integrator and external id."""
        request = standing_pb2.LiftSanctionsRequest(jid=jid, integrator=integrator, external_id=external_id)
        await self._call_standing("LiftSanctions", request, standing_pb2.LiftSanctionsResponse)

    async def audit_account(
        self, jid: str = "", integrator: int = 0, external_id: str = ""
    ) -> AsyncIterator[list[standing_pb2.KeptField]]:
        """Yields every record that the server keeps about an account, or about a user, named by the other two."""
        request = standing_pb2.AuditAccountRequest(jid=jid, integrator=integrator, external_id=external_id)
        stream = self._stream("StandingService/AuditAccount", request, standing_pb2.AuditAccountResponse)
        async with aclosing(stream) as responses:
            async for response in responses:
                yield list(response.fields)

    async def _stream(self, method: str, request: Message, response_type: type[M]) -> AsyncGenerator[M, None]:
        call = self._channel.unary_stream(
            f"/interop_api.admin.v1alpha1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_type.FromString,
        )(request, metadata=self._metadata)
        with reading(call):
            async for response in call:
                yield response

    async def _call_standing(self, method: str, request: Message, response_type: type[M]) -> M:
        name = f"/interop_api.admin.v1alpha1.StandingService/{method}"
        return await unary_call(self._channel, name, request, response_type, self._metadata)

    async def _call(self, method: str, request: Message, response_type: type[M]) -> M:
        name = f"/interop_api.admin.v1alpha1.AdminService/{method}"
        return await unary_call(self._channel, name, request, response_type, self._metadata)

    async def _clock_call(self, method: str, request: Message, response_type: type[M]) -> M:
        name = f"/interop_api.admin.v1alpha1.ClockService/{method}"
        return await unary_call(self._channel, name, request, response_type, self._metadata, CLOCK_SECONDS)
