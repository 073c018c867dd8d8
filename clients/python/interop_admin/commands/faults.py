"""`interopsim faults`: orders, lists, releases and clears the faults of a running simulator; does nothing itself."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from interop_admin.commands.common import Commands, admin_option, call_admin, json_option, tell_silent
from interop_admin.commands.completion import complete_requirement
from interop_protocol.printable import json_line, printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import faults_pb2
    from interop_protocol.fault_files import FaultFile

NOT_FIRED = 1
WRONG = 2
_FLAGS = {
    "name": "--name",
    "match": "--call or --stanza",
    "match.direction": "--to",
    "chance_percent": "--chance",
    "action": "--do",
}
"""Flags that are not called as their field is."""
_MATCHED = ("call", "stanza", "actor", "peer", "integrator", "mode", "requirement", "nth")

require_fired_option = click.option(
    "--require-fired", is_flag=True, help="Exit with status 1 if a fault never did anything, and name it."
)


class WrongFault(click.ClickException):
    """A fault, or a file of faults, that cannot be ordered."""

    exit_code = WRONG


@click.group(cls=Commands)
def faults() -> None:
    """Have a running simulator do wrong on purpose: refuse, lose, delay, forge. See `interopsim docs faults`.

    A fault says what it is about, what is then done, and how often. It stays until it is cleared.
    """


@faults.command(
    epilog="Examples: interopsim faults add lost.toml | "
    "interopsim faults add --call PreKeyService.TakePreKeyBundles --do refuse:reason=RATE_LIMITED --times 2 | "
    "interopsim faults add --stanza message --to client --peer 17-10000000000001@interop --do drop"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--name", metavar="NAME", help="What to call it; by default after what it does.")
@click.option("--call", metavar="CALL", help="A call that it is about: PreKeyService.TakePreKeyBundles.")
@click.option("--stanza", metavar="KIND", help="A kind of stanza that it is about: message, receipt, any.")
@click.option(
    "--to", type=click.Choice(["server", "client"]), help="Which way that goes; a call's answer goes to client."
)
@click.option("--actor", metavar="JID", help="Only calls and channels of this account.")
@click.option("--peer", metavar="JID", help="Only what names this account.")
@click.option("--integrator", type=int, metavar="N", help="Only what has to do with this messenger.")
@click.option("--mode", type=click.Choice(["direct", "proxy"]), help="Only clients that are connected so.")
@click.option(
    "--requirement",
    metavar="ID",
    shell_complete=complete_requirement,
    help="Only answers that are refusals for this requirement.",
)
@click.option("--nth", type=int, metavar="N", help="Not before the Nth match.")
@click.option("--times", type=int, metavar="N", help="Only so many times; otherwise every time.")
@click.option("--chance", type=int, metavar="PERCENT", help="Only so many of a hundred times; needs --seed.")
@click.option("--seed", type=int, metavar="N", help="What is left to chance follows from N.")
@click.option("--do", "action", metavar="ACTION", help="What is done, with its fields: drop, delay:delay_ms=500.")
@admin_option
@json_option
def add(admin_address: str, as_json: bool, file: Path | None, **flags: Any) -> None:
    """Add the faults of a TOML FILE, or one that is written as flags.

    `interopsim docs faults` says what can be done where; faults.proto has the fields of each ACTION.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if (file is None) == (not given):
        raise click.UsageError("Name a FILE of faults, or write one fault with --call or --stanza, and --do.")
    from interop_api.admin.v1alpha1 import faults_pb2

    request = faults_pb2.AddFaultsRequest()
    source = None if file is None else _read_file(file, request)
    if source is None:
        _read_flags(given, request)

    async def order(admin: "AdminClient") -> list[str]:
        from interop_client.errors import ServerRefusal

        try:
            return await admin.add_faults(request.faults)
        except ServerRefusal as refusal:
            for field, description in refusal.violations:
                _refuse(source, field, description)
            raise

    tell_silent(call_admin(admin_address, order))
    names = [fault.name for fault in request.faults]
    click.echo(json_line({"added": names}) if as_json else f"Added {', '.join(map(printable, names))}.")


@faults.command(name="list", epilog="Example: interopsim faults list --require-fired")
@require_fired_option
@admin_option
@json_option
def list_(admin_address: str, as_json: bool, require_fired: bool) -> None:
    """List the faults with how often each matched and fired, and what it holds up."""
    listed = call_admin(admin_address, lambda admin: admin.list_faults())
    tell_silent(listed.silent_nodes)
    _print(listed.faults, as_json, {"never_fired": list(listed.never_fired)})
    if require_fired:
        _require_fired(listed.never_fired)


@faults.command(epilog="Example: interopsim faults release held-message")
@click.argument("name")
@admin_option
@json_option
def release(admin_address: str, as_json: bool, name: str) -> None:
    """Let go on what the fault NAME holds or delays now."""
    released = call_admin(admin_address, lambda admin: admin.release_fault(name))
    click.echo(json_line({"released": released}) if as_json else f"Released {released}.")


@faults.command(epilog="Example: interopsim faults clear --require-fired")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@require_fired_option
@admin_option
@json_option
def clear(admin_address: str, as_json: bool, require_fired: bool, names: Sequence[str]) -> None:
    """Remove faults, all without NAME, and show what became of them. What they hold goes on."""
    cleared = call_admin(admin_address, lambda admin: admin.clear_faults(*names))
    _print(cleared, as_json, {})
    if require_fired:
        _require_fired([state.fault.name for state in cleared if not state.fired])


def _read_file(file: Path, request: "faults_pb2.AddFaultsRequest") -> "FaultFile":
    from interop_protocol.fault_files import FaultFile, FaultFileWrong

    try:
        source = FaultFile.read(file)
        source.write(request.faults)
    except FaultFileWrong as error:
        raise WrongFault(printable(str(error))) from error
    return source


def _read_flags(given: Mapping[str, Any], request: "faults_pb2.AddFaultsRequest") -> None:
    from interop_protocol.fault_files import FieldWrong, fill

    kinds = request.faults.add().DESCRIPTOR.oneofs_by_name["action"].fields
    word, action = _action(given.get("action", ""), {kind.name: kind.message_type for kind in kinds})
    match = {name: given[name] for name in _MATCHED if name in given}
    if "to" in given:
        match["direction"] = f"to_{given['to']}"
    about = given.get("call") or given.get("stanza") or ""
    fault: dict[str, Any] = {"name": given.get("name", f"{word}.{about}"), "match": match, word: action}
    fault |= {name: given[name] for name in ("times", "seed") if name in given}
    if "chance" in given:
        fault["chance_percent"] = given["chance"]
    try:
        fill(request.faults[0], fault, "faults[0]")
    except FieldWrong as error:
        _refuse(None, error.path, error.detail)


def _action(text: str, kinds: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Reads `word:field=value,field=value`, given the descriptors of all actions."""
    from interop_protocol.fault_files import no_such

    word, _, rest = text.partition(":")
    if not word:
        raise click.UsageError("Say with --do what is done, for example `--do drop`.")
    if word not in kinds:
        raise WrongFault(printable(f"--do: {no_such(word, list(kinds))}."))
    fields: dict[str, Any] = {}
    for setting in rest.split(",") if rest else ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--do: write field=value after the colon, not {setting!r}.")
        fields[name] = _value(value, kinds[word].fields_by_name.get(name))
    return word, fields


def _value(text: str, field: Any) -> str | int:
    """Returns a number where the field is none of texts, and it is one."""
    if field is None or field.type == field.TYPE_STRING:
        return text
    try:
        return int(text)
    except ValueError:  # no number, or one of thousands of digits
        return text


def _refuse(source: "FaultFile | None", field: str, description: str) -> NoReturn:
    if source is not None:
        raise WrongFault(printable(str(source.wrong(field, description))))
    path = field.partition(".")[2] or field
    flag = _FLAGS.get(path) or (f"--{path.removeprefix('match.')}" if path.startswith("match.") else None)
    raise WrongFault(printable(f"{flag or (f'--{path}' if path in ('times', 'seed') else '--do')}: {description}."))


def _print(states: "Iterable[faults_pb2.FaultState]", as_json: bool, more: Mapping[str, Any]) -> None:
    from google.protobuf.json_format import MessageToDict

    shown = [
        MessageToDict(state.fault, preserving_proto_field_name=True)
        | {"matched": state.matched, "fired": state.fired, "held": state.held}
        for state in states
    ]
    if as_json:
        click.echo(json_line({"faults": shown, **more}))
        return
    for each, state in zip(shown, states, strict=True):
        match = each["match"]
        about = match.get("call") or f"{match.get('stanza', '')} {_way(match)}"
        counts = f"matched {state.matched}, fired {state.fired}, held {state.held}"
        click.echo(f"{printable(each['name'])}: {state.fault.WhichOneof('action')} {about}: {counts}")
    if not shown:
        click.echo("No faults.")


def _way(match: Mapping[str, str]) -> str:
    return match["direction"].removeprefix("FAULT_DIRECTION_").lower().replace("_", " ")


def _require_fired(never_fired: Iterable[str]) -> None:
    if names := list(never_fired):
        click.echo(f"Error: these faults never fired: {', '.join(map(printable, names))}.", err=True)
        raise SystemExit(NOT_FIRED)
