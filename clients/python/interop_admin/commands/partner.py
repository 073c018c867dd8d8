"""`interopsim partner`: registers messengers with a running simulator; knows nothing of their servers."""

from typing import TYPE_CHECKING, Any

import click

from interop_admin.commands.common import Commands, admin_option, call_admin, json_option, word_of
from interop_protocol.printable import json_line, printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import admin_pb2

_STATUS_PREFIX = "PARTNER_STATUS_"
_IDENTIFIER_PREFIX = "IDENTIFIER_TYPE_"


@click.group(cls=Commands)
def partner() -> None:
    """Register messengers, list them, and suspend them."""


@partner.command(epilog="Example: interopsim partner add 42 Owl --base-url http://127.0.0.1:8080")
@click.argument("integrator", type=click.IntRange(1, 999))
@click.argument("name")
@click.option("--base-url", required=True, metavar="URL", help="Of its server, which serves its key set.")
@click.option("--issuer", default="", help="The `iss` of its tokens; by default the base URL.")
@click.option("--push-url", default="", metavar="URL", help="Where pushes are posted; without it there are none.")
@click.option("--media-url", default="", metavar="URL", help="Of its media server; without it its users send no media.")
@click.option(
    "--identifier-type",
    type=click.Choice(["username", "email", "phone"]),
    default="username",
    show_default=True,
    help="The kind of identifier that its users have.",
)
@click.option("--no-proxy", is_flag=True, help="Do not allow its users to connect through its proxy.")
@admin_option
@json_option
def add(admin_address: str, as_json: bool, no_proxy: bool, identifier_type: str, **fields: Any) -> None:
    """Register the messenger NAME with the id INTEGRATOR, or replace its registration; fetches its key set once."""
    from interop_api.admin.v1alpha1 import admin_pb2
    from interop_api.v1 import interop_pb2

    kind = f"{_IDENTIFIER_PREFIX}{identifier_type.upper()}"
    registration = admin_pb2.Partner(
        **{**fields, "issuer": fields["issuer"] or fields["base_url"]},
        status=interop_pb2.PARTNER_STATUS_ACTIVE,
        identifier_type=interop_pb2.IdentifierType.Value(kind),
        proxy_allowed=not no_proxy,
    )
    keys = call_admin(admin_address, lambda admin: admin.put_partner(registration))
    if as_json:
        click.echo(json_line(_as_json(registration) | {"jwks_keys": keys}))
        return
    words = "its key set could not be fetched yet" if not keys else f"its key set holds {keys} key{'s'[: keys != 1]}"
    click.echo(printable(f"{registration.name} is registered as {registration.integrator}: {words}."))


@partner.command("list", epilog="Example: interopsim partner list --json")
@admin_option
@json_option
def list_all(admin_address: str, as_json: bool) -> None:
    """List the registered messengers."""
    partners = call_admin(admin_address, lambda admin: admin.list_partners())
    if as_json:
        click.echo(json_line({"partners": [_as_json(each) for each in partners]}))
        return
    for each in partners:
        facts = _as_json(each)
        words = (str(each.integrator), each.name, facts["status"], facts["identifier_type"], each.issuer, each.base_url)
        click.echo("  ".join(printable(word) for word in words))
    if not partners:
        click.echo("No messenger is registered.", err=True)


@partner.command(epilog="Example: interopsim partner suspend 42")
@click.argument("integrator", type=click.IntRange(1, 999))
@admin_option
@json_option
def suspend(integrator: int, admin_address: str, as_json: bool) -> None:
    """Suspend a messenger: its users' connections end, and nobody of it logs in."""
    _set_status(admin_address, integrator, "SUSPENDED", as_json=as_json)


@partner.command(epilog="Example: interopsim partner resume 42")
@click.argument("integrator", type=click.IntRange(1, 999))
@admin_option
@json_option
def resume(integrator: int, admin_address: str, as_json: bool) -> None:
    """Let a suspended messenger take part again."""
    _set_status(admin_address, integrator, "ACTIVE", as_json=as_json)


def _set_status(admin_address: str, integrator: int, status: str, *, as_json: bool) -> None:
    from interop_api.admin.v1alpha1 import admin_pb2
    from interop_api.v1 import interop_pb2

    changed = admin_pb2.Partner(
        integrator=integrator, status=interop_pb2.PartnerStatus.Value(f"{_STATUS_PREFIX}{status}")
    )

    async def change(admin: "AdminClient") -> None:
        await admin.put_partner(changed, "status")

    call_admin(admin_address, change)
    if as_json:
        click.echo(json_line({"integrator": integrator, "status": status.lower()}))
        return
    click.echo(f"Messenger {integrator} is {status.lower()}.")


def _as_json(partner: "admin_pb2.Partner") -> dict[str, Any]:
    from interop_api.v1 import interop_pb2

    plain = {field.name: value for field, value in partner.ListFields()}
    return plain | {
        "status": word_of(interop_pb2.PartnerStatus.items(), partner.status, _STATUS_PREFIX),
        "identifier_type": word_of(interop_pb2.IdentifierType.items(), partner.identifier_type, _IDENTIFIER_PREFIX),
    }
