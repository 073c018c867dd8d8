"""How a sample messenger's server is registered with a simulator; knows no test."""

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from partner_server import PartnerServer


def registration(
    partner: PartnerServer, integrator: int, name: str, *, proxy_allowed: bool = True
) -> admin_pb2.Partner:
    """The entry of a running messenger's server: active, its users named by user names."""
    return admin_pb2.Partner(
        integrator=integrator,
        name=name,
        issuer=partner.issuer,
        base_url=partner.base_url,
        push_url=partner.push_url,
        media_url=partner.media_url,
        status=interop_pb2.PARTNER_STATUS_ACTIVE,
        identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
        proxy_allowed=proxy_allowed,
        group_messaging=False,
    )
