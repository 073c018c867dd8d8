"""The admin service on its own port: converts, calls one rule, answers; knows no rule itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interop_api.admin.v1alpha1 import admin_pb2 as pb
from interop_api.admin.v1alpha1 import admin_pb2_grpc
from interop_api.v1 import chat_pb2, interop_pb2
from interop_server import __version__
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import IdentifierType, Partner, PartnerStatus, Platform
from interop_server.core.operator.operator import Operator
from interop_server.core.operator.world import World
from interop_server.core.troubles import Troubles
from interop_server.rpc.calls import Context
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.enums import known
from interop_server.rpc.others import Others, answering, ask_all
from interop_server.shared_answers import SharedAnswers

_STATISTICS = "AdminService.GetStatistics"


@dataclass(frozen=True, slots=True)
class Itself:
    """What a server says of itself; of several nodes, each says its own."""

    counted: Callable[[], dict[str, int]]
    """Returns what was counted since the start."""
    troubles: Troubles
    """What does not work."""
    registry: ConnectionRegistry
    """Its connections."""
    uptime_ms: Callable[[], int]
    """Returns how long it runs."""
    version: str = __version__
    """The release of its program."""

    def statistics(self) -> pb.NodeStatistics:
        """Returns all of it."""
        return pb.NodeStatistics(
            counted=self.counted(),
            troubles=self.troubles.present,
            uptime_ms=self.uptime_ms(),
            version=self.version,
            connections=len(self.registry.connected()),
            is_draining=self.registry.is_draining,
        )


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """See AdminService in admin.proto."""

    def __init__(
        self,
        operator: Operator,
        count_rows: Callable[[], Awaitable[dict[str, int]]],
        itself: Itself,
        world: World,
        others: Others | None = None,
    ) -> None:
        self._others = others
        if others is not None:
            others.answer_with(_STATISTICS, answering(self.GetStatistics, pb.GetStatisticsRequest))
        self._operator = operator
        self._count_rows = count_rows
        self._counts = SharedAnswers[dict[str, int]]()
        self._itself = itself
        self._world = world

    async def PutPartner(self, request: pb.PutPartnerRequest, context: Context) -> pb.PutPartnerResponse:
        """Registers a partner."""
        values = partner_values_from(request)
        integrator, may_be_new = request.partner.integrator, not request.HasField("update_mask")
        keys = await self._operator.change_partner(integrator, values, may_be_new=may_be_new)
        return pb.PutPartnerResponse(jwks_keys=keys)

    async def ListPartners(self, request: pb.ListPartnersRequest, context: Context) -> pb.ListPartnersResponse:
        """Lists partners."""
        partners = await self._operator.list_partners()
        return pb.ListPartnersResponse(partners=[_partner_to(partner) for partner in partners])

    async def RefreshJwks(self, request: pb.RefreshJwksRequest, context: Context) -> pb.RefreshJwksResponse:
        """Fetches a key set now."""
        return pb.RefreshJwksResponse(jwks_keys=await self._operator.refresh_jwks(request.integrator))

    async def PutWhatsAppUser(self, request: pb.PutWhatsAppUserRequest, context: Context) -> pb.PutWhatsAppUserResponse:
        """Registers a WhatsApp user."""
        platform = known(Platform, request.platform, "platform", "OPT-04")
        account, eligible = await self._operator.put_whatsapp_user(request.phone_number, request.authkey, platform)
        return pb.PutWhatsAppUserResponse(jid=account.jid, eligible=eligible)

    async def ChangeNumber(self, request: pb.ChangeNumberRequest, context: Context) -> pb.ChangeNumberResponse:
        """Moves a WhatsApp user to another number."""
        jid, eligible = await self._operator.change_number(request.jid, request.phone_number)
        return pb.ChangeNumberResponse(jid=jid, eligible=eligible)

    async def ObserveClient(self, request: pb.ObserveClientRequest, context: Context) -> pb.ObserveClientResponse:
        """Says whether an end client is open."""
        await self._operator.observe_client(request.jid, request.is_open)
        return pb.ObserveClientResponse()

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Context) -> pb.ListConnectionsResponse:
        """Lists open connections."""
        page, next_page_token = self._operator.list_connections(request.page_size, request.page_token)
        response = pb.ListConnectionsResponse(next_page_token=next_page_token)
        for facts in page:
            response.connections.add(
                jid=facts.account.jid,
                mode=chat_pb2.ConnectionMode.ValueType(facts.mode),
                client_ip=facts.client_ip,
                peer_address=facts.peer_address,
                connection_signals_available=facts.signals_available,
                connected_at_ms=facts.connected_at_ms,
                client_closed_at_ms=facts.client_closed_at_ms,
            )
        return response

    async def RequestKeyDigest(
        self, request: pb.RequestKeyDigestRequest, context: Context
    ) -> pb.RequestKeyDigestResponse:
        """Asks a client to compare its keys."""
        await self._operator.request_key_digest(request.jid)
        return pb.RequestKeyDigestResponse()

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        """Counts rows and events."""
        itself = self._itself.statistics()
        own = pb.GetStatisticsResponse(world=self._world.number, **_shared(itself))
        if not request.this_node_only:  # all nodes of a world have one store
            own.stored.update(await self._counts.get(None, self._count_rows))
            if self._others is not None:
                itself.node = self._others.own_name
                own.nodes.append(itself)
                await self._add_others(own, self._others)
        return own

    async def _add_others(self, statistics: pb.GetStatisticsResponse, others: Others) -> None:
        asked = pb.GetStatisticsRequest(this_node_only=True)
        told = await ask_all(others, _STATISTICS, asked, pb.GetStatisticsResponse)
        for node, answer in sorted(told.answers.items()):
            statistics.nodes.add(node=node, **_shared(answer))
            statistics.connections += answer.connections
            for name, count in answer.counted.items():
                statistics.counted[name] += count
        for node in told.silent:
            statistics.nodes.add(node=node, is_silent=True)

    async def ResetWorld(self, request: pb.ResetWorldRequest, context: Context) -> pb.ResetWorldResponse:
        """Has a clean world begin."""
        return pb.ResetWorldResponse(world=self._world.want_next())


def _shared(statistics: pb.NodeStatistics | pb.GetStatisticsResponse) -> dict[str, Any]:
    """Returns what a server and one node of several say in fields of the same names."""
    names = ("counted", "troubles", "uptime_ms", "version", "connections", "is_draining")
    return {name: getattr(statistics, name) for name in names}


_VALUES: Mapping[str, Callable[[pb.Partner], Any]] = {
    "name": lambda partner: partner.name,
    "issuer": lambda partner: partner.issuer,
    "base_url": lambda partner: partner.base_url.rstrip("/"),
    "push_url": lambda partner: partner.push_url,
    "media_url": lambda partner: partner.media_url.rstrip("/"),
    "status": lambda partner: known(PartnerStatus, partner.status, "partner.status", "ENL-02"),
    "identifier_type": lambda partner: known(
        IdentifierType, partner.identifier_type, "partner.identifier_type", "ENL-02"
    ),
    "icon": lambda partner: partner.icon,
    "proxy_allowed": lambda partner: partner.proxy_allowed,
    "group_messaging": lambda partner: partner.group_messaging,
}
"""How the changeable fields of a partner are read."""


def partner_values_from(request: pb.PutPartnerRequest) -> dict[str, Any]:
    """Returns a request's values for a partner, by field: the fields that its mask names, or all fields without a mask.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    names = _masked(request) if request.HasField("update_mask") else _set_in(request.partner)
    return {name: _VALUES[name](request.partner) for name in names}


def _masked(request: pb.PutPartnerRequest) -> Sequence[str]:
    names = request.update_mask.paths
    if not names:
        raise Refusal(
            Reason.REQUEST_MALFORMED, "`update_mask` names no field", field="update_mask", requirement="ENL-01"
        )
    for name in names:
        if name not in _VALUES:
            detail = f"`update_mask` names {name[:64]!r}, which is not a field that can change"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="update_mask", requirement="ENL-01")
    return names


def _set_in(partner: pb.Partner) -> Sequence[str]:
    absent = {
        "proxy_allowed": not partner.HasField("proxy_allowed"),
        "group_messaging": not partner.HasField("group_messaging"),
    }
    return [name for name in _VALUES if not absent.get(name)]


def _partner_to(partner: Partner) -> pb.Partner:
    return pb.Partner(
        integrator=partner.integrator,
        name=partner.name,
        issuer=partner.issuer,
        base_url=partner.base_url,
        push_url=partner.push_url,
        media_url=partner.media_url,
        status=interop_pb2.PartnerStatus.ValueType(partner.status),
        identifier_type=interop_pb2.IdentifierType.ValueType(partner.identifier_type),
        icon=partner.icon,
        proxy_allowed=partner.proxy_allowed,
        group_messaging=partner.group_messaging,
    )
