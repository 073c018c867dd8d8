"""The values of the options of `interopsim up`, each judged where it is given; starts nothing.

Every function here is a callback of an option, or judges several options together, and raises what click tells:
wrong use is a sentence and status 2. Each loads what it needs when its option is used.
"""

import importlib
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interop_protocol.printable import printable

if TYPE_CHECKING:
    from interop_server.config import TlsFiles
    from interop_server.core.enlistment.location import LocationPolicy
    from interop_server.core.fault_rules import FaultRule
    from interop_server.core.limits import Limits
    from interop_server.nodes.address import BusAddress
    from interop_server.storage import StoreAddress
    from interop_server.workbench import WorkbenchChoice

USUAL_PEOPLE = " "
"""What `--people` stands for without a file: no name of one."""
AUTO = "auto"
"""What `--tls` stands for without files."""


def read_time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """Returns a time in milliseconds since the UNIX epoch."""
    if text is None:
        return None
    from interop_protocol.times import parse_time
    from interop_server.core.limits import EARLIEST_TIME_MS, LATEST_TIME_MS

    try:
        ms = parse_time(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    if not EARLIEST_TIME_MS <= ms <= LATEST_TIME_MS:
        raise click.BadParameter("a clock can begin from the year 2000 to the year 9999.")
    return ms


def read_address(_context: click.Context, parameter: click.Parameter, address: str | None) -> str | None:
    """Returns an address as `HOST:PORT`, also of a URL as the ready line has it."""
    if address is None:
        return None
    from interop_server.addresses import AddressUnusable, split_address

    if parameter.name != "grpc_address":  # as the ready line has it
        address = address.removeprefix("http://").removeprefix("https://").removesuffix("/metrics").rstrip("/")
    try:
        split_address(address)
    except AddressUnusable as error:
        raise click.BadParameter(printable(str(error))) from error
    return address


def read_otlp(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    """Returns the URL of a collector, when spans can be sent to one."""
    if url is None:
        return None
    from interop_protocol.web_address import is_web_address

    if not is_web_address(url):
        raise click.BadParameter(
            f"{printable(ascii(url))} is not an address of a collector: write http://127.0.0.1:4318."
        )
    try:
        importlib.import_module("interop_server.telemetry")
    except ModuleNotFoundError as error:
        raise click.UsageError("--otlp needs OpenTelemetry: pip install 'interopsim[otel]'") from error
    return url


def read_tls(_context: click.Context, _parameter: click.Parameter, files: tuple[str, str] | None) -> "bool | TlsFiles":
    """Returns the files for TLS, or whether it is wanted at all."""
    if files is None or files == (AUTO, AUTO):
        return files is not None
    from interop_server.config import TlsFiles

    return TlsFiles(Path(files[0]), Path(files[1]))


def warn_of_remote(addresses: Sequence[str], *, is_allowed: bool, is_tls: bool) -> None:
    """Refuses addresses that other machines reach, or says what they mean where they are meant."""
    from interop_server.addresses import is_remote

    remote = ", ".join(printable(address) for address in addresses if is_remote(address))
    if remote and not is_allowed:
        raise click.UsageError(
            f"other machines reach {remote}: whoever does can enlist, connect and write there. If that is meant, say "
            "--allow-remote."
        )
    if remote:
        read = "" if is_tls else ", and whoever is on the way can read all, since there is no --tls"
        click.echo(
            f"Other machines reach {remote}: whoever does can enlist, connect and write there{read}. Admin calls need "
            "the `admin_token` of the ready line.",
            err=True,
        )


def read_node(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Returns the name of a node."""
    if not re.fullmatch("[A-Za-z0-9-]{1,32}", name):
        raise click.BadParameter("the name of a node is 1 to 32 letters, digits and hyphens.")
    return name


def read_name(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    """Returns the name of a simulator."""
    from interop_protocol.state_files import NAME_RULE, is_name

    if name is not None and not is_name(name):
        raise click.BadParameter(f"the name of a simulator is {NAME_RULE}.")
    return name


def read_file(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Returns the path of a file."""
    if path is not None and not path.name:  # the empty name, too, is a path: that of the folder one is in
        raise click.BadParameter("name a file.")
    return path


def read_blobs(_context: click.Context, _parameter: click.Parameter, place: str | None) -> "Path | str | None":
    """Returns where blobs are kept: a folder, or the URL of an object store."""
    if place is None or "://" not in place:
        return None if place is None else read_file(_context, _parameter, Path(place))
    from interop_server.blobs import BlobsUnusable
    from interop_server.blobs.urls import checked

    try:
        return checked(place)
    except BlobsUnusable as error:
        raise click.BadParameter(printable(str(error))) from error


def read_store(_context: click.Context, _parameter: click.Parameter, url: str | None) -> "StoreAddress | None":
    """Returns where a database is on a server."""
    if url is None:
        return None
    from interop_server.storage import StoreAddress, WrongStore

    try:
        return StoreAddress.parse(url)
    except WrongStore as error:
        raise click.BadParameter(str(error)) from error


def read_bus(_context: click.Context, _parameter: click.Parameter, url: str | None) -> "BusAddress | None":
    """Returns where a bus is."""
    if url is None:
        return None
    from interop_server.nodes import BusUnusable
    from interop_server.nodes.address import BusAddress

    try:
        importlib.import_module("nats")
        return BusAddress.parse(url)
    except ModuleNotFoundError as error:
        raise click.UsageError("--bus needs nats-py: pip install 'interopsim[cluster]'") from error
    except BusUnusable as error:
        raise click.BadParameter(str(error)) from error


def check_stores(choices: dict[str, Any]) -> None:
    """Refuses two places of one database, and nodes that would share no world."""
    if choices["store"] is not None and choices["db"] is not None:
        raise click.UsageError("--store and --db exclude each other: the database is on a server or in a file.")
    if choices["bus"] is None:
        return
    if choices["store"] is None:
        raise click.UsageError("--bus joins nodes that share a database: add --store postgresql://….")
    if not isinstance(choices["blobs"], str):
        raise click.UsageError(
            "Nodes share their blobs, too: add --blobs with a URL, such as s3://… or file:///FOLDER."
        )
    if choices["freeze_at_ms"] is not None:
        raise click.UsageError(
            "--freeze-at and --bus exclude each other: all nodes have one clock. Freeze it with interopsim clock."
        )
    if choices["seed"] is not None:
        raise click.UsageError(
            "--seed and --bus exclude each other: which node does what first is not repeatable, and two nodes with one "
            "seed would give the same ids."
        )


def read_limits(_context: click.Context, _parameter: click.Parameter, settings: tuple[str, ...]) -> "Limits":
    """Returns the limits, those that were set and all others."""
    if not settings:
        from interop_server.core.limits import Limits

        return Limits()
    from interop_server.limit_list import LimitWrong, limits_from

    try:
        return limits_from(settings)
    except LimitWrong as error:
        raise click.BadParameter(str(error)) from error


def complete_limit(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
    """Returns the limits that begin like that, for the completion of shells."""
    from interop_server.completion_command import limit_names

    return [*limit_names(context, parameter, begun)]


def read_faults(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> "tuple[FaultRule, ...]":
    """Returns the rules of a file of faults."""
    if path is None:
        return ()
    from interop_protocol.fault_files import FaultFileWrong
    from interop_server.fault_file import load_faults

    try:
        return load_faults(path)
    except FaultFileWrong as error:
        raise click.BadParameter(printable(str(error))) from error


def read_workbench(people: str | None, ui: bool | None, ui_control: bool) -> "WorkbenchChoice | None":
    """Returns what the workbench is to have; None for none. A file of people that is wrong ends the command."""
    has_page = people is not None if ui is None else ui
    if ui_control and not has_page:
        raise click.UsageError("--ui-control needs the page: add --ui.")
    if people is None and not has_page:
        return None
    from interop_server.workbench import WorkbenchChoice

    cast = None if people in (None, USUAL_PEOPLE) else Path(str(people))
    if cast is not None:
        _check_is_file(cast, "--people: ", "write the people into one")
    choice = WorkbenchChoice(cast, people is not None, has_page, ui_control)
    if status := choice.check():
        raise click.exceptions.Exit(status)
    return choice


def _check_is_file(path: Path, option: str, advice: str) -> None:
    """Refuses a pipe, which could have no end, a folder, and what is not there or cannot be looked at."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        is_there = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise click.UsageError(f"{option}{printable(str(path))} {is_there}.") from error
    if not is_file:
        raise click.UsageError(f"{option}{printable(str(path))} is no regular file: {advice}.")


def read_location(kind: str, networks: Path | None, limits: "Limits") -> "LocationPolicy":
    """Returns the location policy."""
    from interop_server.core.enlistment.location import Anywhere, EeaNumbers, parse_networks

    if (kind == "networks") != (networks is not None):
        raise click.UsageError("`--location networks` and `--location-networks FILE` go together.")
    if networks is not None:
        _check_is_file(networks, "", "write the networks into one")
        from interop_server.runtime.files import read_chosen

        try:
            return parse_networks(read_chosen(networks).decode())
        except (OSError, ValueError) as error:
            raise click.UsageError(printable(f"{networks} cannot be used: {error}.")) from error
    return EeaNumbers(limits.eligible_calling_codes) if kind == "number" else Anywhere()
