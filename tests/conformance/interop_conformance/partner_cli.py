"""`interopsim conformance partner`: reads what was said about a messenger's server; knows no check."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping

import click

from interop_conformance.catalogue import Scope, UnknownName
from interop_conformance.partner_subject import PartnerChoices, PartnerFacts, PartnerUnusable, read_command, read_url
from interop_conformance.verdict import Result, Run
from interop_demo.processes import ChildFailed

_REFERENCE = re.compile(r"[A-Za-z0-9_.~-]{1,256}")
_WEB = ("http", "https")
_SOCKET = ("ws", "wss", "http", "https")

CONFORMANT, NOT_CONFORMANT, WRONG_USE, KIT_FAILED = range(4)


@click.command(
    epilog="Example: interopsim conformance partner --base-url http://127.0.0.1:8080 "
    '--token-command "python -m partner_server token --url http://127.0.0.1:8080"'
)
@click.option("--base-url", required=True, metavar="URL", help="As registered: the key set is below it.")
@click.option("--push-url", default="", metavar="URL", help="Where WhatsApp posts pushes.")
@click.option("--media-url", default="", metavar="URL", help="`/{reference}` is added to it.")
@click.option("--token-command", required=True, metavar="COMMAND", help="Prints a token for its last argument, a user.")
@click.option("--issuer", default="", metavar="TEXT", help="The `iss` of its tokens; by default the base URL.")
@click.option("--user", default="kit-user", show_default=True, help="A user of the messenger, as pushes name them.")
@click.option("--other-user", default="kit-user-2", show_default=True, help="Another one.")
@click.option("--media-reference", default="", metavar="REF", help="A file that its media server has.")
@click.option("--media-put", is_flag=True, help="The kit may `PUT {media-url}/{ref}`; the files stay there.")
@click.option(
    "--proxy", "proxy_url", default="", metavar="URL", help="Its proxy, if it speaks the sample's form: below."
)
@click.option("--proxy-key-url", default="", metavar="URL", help="`?user=` gives a key; by default {proxy}/authkey.")
@click.option("--simulator-hook", "hook_url", default="", metavar="URL", help="Is told where the simulator is: below.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Of WhatsApp's keys.")
@click.option("--chat", default="", metavar="HOST:PORT", help="Of the simulator, for clients and the proxy.")
@click.option("--allow-remote", is_flag=True, help="URLs may be on other machines; they get hostile requests.")
@click.option("--only", multiple=True, metavar="ID", help="Only this check; repeatable.")
@click.option("--time-factor", type=click.FloatRange(0.1, 100), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
def partner(**options: str | bool | float | int | tuple[str, ...]) -> None:
    """Judge a messenger's server: its keys, tokens, pushes and media; and its proxy.

    The kit starts a simulator in which the messenger is registered, and serves WhatsApp's keys. Before the first check
    it prints where both are, as a line of JSON on stderr. Tell the server, or have it told: --simulator-hook gets
    POST {"grpc": …, "http": …, "root_public_key": …}, as `/admin/simulator` of the sample takes it. Servers that take
    only fixed addresses need --listen and --chat; the root key follows from --seed.

    How clients talk to a proxy is each messenger's own affair. --proxy takes one that speaks the WebSocket form of the
    sample, interop_client.connection.proxy_frames, and takes a client's address from `Forwarded`. One with another form
    is judged together with its client, by that client's driver: `interopsim conformance client --mode proxy`.

    Only hosts that are named here are contacted, and no redirect is followed.

    Exit status: 0 conformant, 1 not, 2 wrong use, 3 the kit failed.
    """
    from interop_conformance.partner_run import run_partner  # imported here: it takes long, and --help needs none of it

    try:
        facts, choices = _facts(options), _choices(options)
        run = asyncio.run(run_partner(facts, choices, _show, _say_ready))
    except (PartnerUnusable, UnknownName) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_USE)
    except ChildFailed as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(KIT_FAILED)
    sys.exit(status_of(run))


def status_of(run: Run) -> int:
    """Returns the exit status of a run."""
    if run.has_harness_error:
        return KIT_FAILED
    return CONFORMANT if run.is_conformant else NOT_CONFORMANT


def _facts(options: Mapping[str, object]) -> PartnerFacts:
    def url(name: str, schemes: tuple[str, ...] = _WEB, default: str = "") -> str:
        option = {"proxy_url": "--proxy", "hook_url": "--simulator-hook"}.get(name, f"--{name.replace('_', '-')}")
        given = str(options[name]) or default
        if not given:
            return ""
        return read_url(option, given, is_remote_allowed=bool(options["allow_remote"]), schemes=schemes)

    base_url, media_url, proxy_url = url("base_url"), url("media_url"), url("proxy_url", _SOCKET)
    if not base_url:
        raise PartnerUnusable("--base-url must be an absolute URL with http or https.")
    if media_url and not (options["media_reference"] or options["media_put"]):
        raise PartnerUnusable("--media-url needs --media-reference, a file that is there, or --media-put.")
    if options["media_reference"] and not _REFERENCE.fullmatch(str(options["media_reference"])):
        raise PartnerUnusable("--media-reference must be 1 to 256 characters of A-Z a-z 0-9 - _ . ~ (MED-03).")
    key_url = f"http{proxy_url.removeprefix('http').removeprefix('ws')}/authkey" if proxy_url else ""
    return PartnerFacts(
        base_url=base_url,
        issuer=str(options["issuer"]) or base_url,
        token_command=read_command(str(options["token_command"])),
        users=_users(str(options["user"]), str(options["other_user"])),
        push_url=url("push_url"),
        media_url=media_url,
        media_reference=str(options["media_reference"]),
        media_put=bool(options["media_put"]),
        proxy_url=proxy_url,
        proxy_key_url=url("proxy_key_url", default=key_url),
        hook_url=url("hook_url"),
    )


def _users(user: str, other: str) -> tuple[str, str]:
    for option, name in (("--user", user), ("--other-user", other)):
        if not (0 < len(name) <= 256 and name.isprintable()) or name.startswith("-"):
            raise PartnerUnusable(f"{option} must be 1 to 256 printable characters, and begin with no hyphen.")
    if user == other:
        raise PartnerUnusable("--user and --other-user must be two users.")
    return user, other


def _choices(options: Mapping[str, object]) -> PartnerChoices:
    only = options["only"]
    assert isinstance(only, tuple)
    chat = str(options["chat"])
    if chat:
        _place("--chat", chat)
    return PartnerChoices(
        scope=Scope(only=only),
        listen=_place("--listen", str(options["listen"])),
        chat=chat,
        seed=int(str(options["seed"])),
        time_factor=float(str(options["time_factor"])),
    )


def _place(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise PartnerUnusable(f"{option} must be HOST:PORT.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _say_ready(addresses: Mapping[str, str]) -> None:
    click.echo(json.dumps({"event": "ready", **addresses}), err=True)


def _show(result: Result) -> None:
    expected = f"expected {result.expected}; " if result.expected else ""
    click.echo(f"{result.verdict} {result.check.id} {expected}{result.got} {result.seconds:.2f}")
