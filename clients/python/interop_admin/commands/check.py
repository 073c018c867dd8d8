"""`interopsim check`: health as an exit status; loads gRPC and nothing else, since it is asked often."""

import click

from interop_admin.commands.common import ANSWER_SECONDS, admin_option
from interop_admin.endpoint import endpoint_at
from interop_protocol.printable import printable

_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""HealthCheckResponse with status SERVING. Its request, for the server as a whole, is empty."""


@click.command(epilog="Example: interopsim check || echo not healthy")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@admin_option
def check(admin_address: str, quiet: bool) -> None:
    """Say by the exit status whether the simulator works: 0 if it serves, 1 if not. For health checks of containers."""
    import grpc

    ca = endpoint_at(admin_address).ca
    with (
        grpc.secure_channel(admin_address, grpc.ssl_channel_credentials(ca.encode()))
        if ca
        else grpc.insecure_channel(admin_address)
    ) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        answer = None
        try:
            answer = ask(b"", timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            what = "is not the admin address of a simulator" if _is_other(error) else "does not answer"
        else:
            what = "serves" if answer == _SERVING else "does not serve: `interopsim status` says why"
    if not quiet:
        click.echo(f"{printable(admin_address)} {what}.", err=answer != _SERVING)
    if answer != _SERVING:
        raise SystemExit(1)


def _is_other(error: object) -> bool:
    import grpc

    return isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNIMPLEMENTED
