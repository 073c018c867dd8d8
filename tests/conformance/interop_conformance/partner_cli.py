"""`interopsim conformance partner`: reads what was said about a messenger's server; knows no check."""

import re
from collections.abc import Mapping
from typing import Any

import click

from interop_conformance.options import RUN, SELECTION, options, run_to_the_end, settings_of
from interop_conformance.output import echo
from interop_conformance.partner_subject import PartnerChoices, PartnerFacts, PartnerUnusable, read_command, read_url
from interop_protocol.whole_numbers import read_whole

_REFERENCE = re.compile(r"[A-Za-z0-9_.~-]{1,256}")
_WEB = ("http", "https")
_SOCKET = ("ws", "wss", "http", "https")

_OF_A_RUN = frozenset(
    [
        "profile",
        "areas",
        "level",
        "scopes",
        "only",
        "skip",
        "expected_failures",
        "report",
        "no_report",
        "seed",
        "time_factor",
        "as_json",
    ]
)
"""Options that do not say what is judged, but how."""


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
@options(*SELECTION, *RUN)
def partner(**chosen: Any) -> None:
    """Judge a messenger's server: its keys, tokens, pushes and media; and its proxy.

    The kit starts a simulator in which the messenger is registered, and serves WhatsApp's keys. Before the first check
    it prints where both are, as a line of JSON on stderr. Tell the server, or have it told: --simulator-hook gets
    POST {"grpc": …, "http": …, "root_public_key": …}, as `/admin/simulator` of the sample takes it. Servers that take
    only fixed addresses need --listen and --chat; the root key follows from --seed.

    How clients talk to a proxy is each messenger's own affair. --proxy takes one that speaks the WebSocket form of the
    sample, `/proxy` in openapi/partner.yaml, and takes a client's address from `Forwarded`. Its URL is the
    sample's `proxy_url`; the WebSocket is there with `ws:` for `http:`. One with another form is judged together with
    its client, by that client's driver: `interopsim conformance client --mode proxy`.

    Only hosts that are named here are contacted, and no redirect is followed.

    Exit status: 0 conformant, 1 not, 2 wrong use, 3 the kit failed.
    """
    echo("Starting the kit.", err=True)

    async def run() -> int:
        from interop_conformance.partner_judgement import PartnerJudgement

        try:
            facts, choices = _facts(chosen), _choices(chosen)
            return await PartnerJudgement(settings_of(_arguments(chosen), **chosen), facts, choices).run()
        except PartnerUnusable as error:
            raise click.UsageError(str(error)) from error

    run_to_the_end(run)


def _arguments(chosen: Mapping[str, Any]) -> list[str]:
    """Returns the options that say what is judged, as somebody would write them again."""
    context = click.get_current_context()
    said = []
    for parameter in context.command.params:
        name, value = str(parameter.name), chosen[str(parameter.name)]
        if name not in _OF_A_RUN and value is not False and value != parameter.default:
            said += [parameter.opts[0]] if value is True else [parameter.opts[0], str(value)]
    return said


def _facts(chosen: Mapping[str, Any]) -> PartnerFacts:
    def url(name: str, schemes: tuple[str, ...] = _WEB, default: str = "") -> str:
        option = {"proxy_url": "--proxy", "hook_url": "--simulator-hook"}.get(name, f"--{name.replace('_', '-')}")
        given = str(chosen[name]) or default
        if not given:
            return ""
        return read_url(option, given, is_remote_allowed=bool(chosen["allow_remote"]), schemes=schemes)

    base_url, media_url, proxy_url = url("base_url"), url("media_url"), url("proxy_url", _SOCKET)
    if not base_url:
        raise PartnerUnusable("--base-url must be an absolute URL with http or https.")
    if media_url and not (chosen["media_reference"] or chosen["media_put"]):
        raise PartnerUnusable("--media-url needs --media-reference, a file that is there, or --media-put.")
    if chosen["media_reference"] and not _REFERENCE.fullmatch(str(chosen["media_reference"])):
        raise PartnerUnusable("--media-reference must be 1 to 256 characters of A-Z a-z 0-9 - _ . ~ (MED-03).")
    key_url = f"http{proxy_url.removeprefix('http').removeprefix('ws')}/authkey" if proxy_url else ""
    return PartnerFacts(
        base_url=base_url,
        issuer=str(chosen["issuer"]) or base_url,
        token_command=read_command(str(chosen["token_command"])),
        users=_users(str(chosen["user"]), str(chosen["other_user"])),
        push_url=url("push_url"),
        media_url=media_url,
        media_reference=str(chosen["media_reference"]),
        media_put=bool(chosen["media_put"]),
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


def _choices(chosen: Mapping[str, Any]) -> PartnerChoices:
    chat = str(chosen["chat"])
    if chat:
        _place("--chat", chat)
    return PartnerChoices(
        listen=_place("--listen", str(chosen["listen"])),
        chat=chat,
        seed=int(str(chosen["seed"])),
        time_factor=float(str(chosen["time_factor"])),
    )


def _place(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    number = read_whole(port, 0, 65_535)
    if not host or number is None:
        raise PartnerUnusable(f"{option} must be HOST:PORT.")
    return host.removeprefix("[").removesuffix("]"), number
