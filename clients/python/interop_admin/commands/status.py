"""`interopsim status`: which simulators run, where, since when, and whether they work; changes nothing."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from interop_admin.commands.common import ANSWER_SECONDS, interrupts_waiting, json_option
from interop_admin.commands.life import found_line, name_argument, named
from interop_admin.endpoint import VARIABLE
from interop_admin.running import Running, running_simulators
from interop_protocol.endpoint import Endpoint
from interop_protocol.json_text import read_json
from interop_protocol.printable import json_line, printable

if TYPE_CHECKING:
    from interop_api.admin.v1alpha1.admin_pb2 import GetStatisticsResponse, NodeStatistics

WORKS, TROUBLED, DRAINING, SILENT = "works", "troubled", "draining", "silent"
_PLACES = ("grpc", "admin", "http", "metrics", "db", "blobs", "ui")
_SHOWN_AS = {"ui": "page"}
"""What is called otherwise than in the ready line."""


@click.command(epilog="Example: interopsim status --json")
@name_argument
@json_option
def status(name: str | None, as_json: bool) -> None:
    """Show the simulators that run: NAME, that of INTEROPSIM, or all of yours on this machine.

    One that is a node of a world shows every node of it, beginning with itself: how it is, since when it runs, which
    release, and how many are connected there. `silent` is one that does not answer, `draining` one that stops.

    Exits with 1 when there is none, or one of them does not work. Other nodes have no part in that.
    """
    shown = asyncio.run(_look_at(_lines(name)))
    if as_json:
        click.echo(json_line({"simulators": shown}))
    else:
        for each in shown:
            _print(each)
    if not shown:
        click.echo("No simulator runs: start one with `interopsim start`.", err=True)
    if not shown or any(each["health"] != WORKS for each in shown):
        raise SystemExit(1)


def _lines(name: str | None) -> list[tuple[str, Running | None]]:
    import os

    running = running_simulators()
    if name is not None:
        return [(each.line, each) for each in [named(name, running)]]
    if os.environ.get(VARIABLE):
        line = found_line(None)
        return [(line, next((each for each in running if each.line == line), None))]
    return [(each.line, each) for each in running]


async def _look_at(lines: list[tuple[str, Running | None]]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(_facts(line, running) for line, running in lines))


async def _facts(line: str, running: Running | None) -> dict[str, Any]:
    facts = {key: value for key, value in read_json(line).items() if key != "event"}
    here = {} if running is None else {"name": running.name, "uptime_seconds": round(time.time() - running.since, 1)}
    health, statistics = await _look(Endpoint.from_ready_line(line))
    for secret in ("ca", "admin_token"):
        facts.pop(secret, None)
    if isinstance(workbench := facts.get("workbench"), dict):
        workbench.pop("key", None)
    if statistics is None:
        return {**here, **facts, "health": health, "troubles": {}}
    nodes = {"nodes": [_node_facts(each) for each in statistics.nodes]} if statistics.nodes else {}
    told = {"troubles": dict(statistics.troubles), "connections": statistics.connections}
    return {**here, **facts, "health": health, **told, **nodes}


async def _look(simulator: Endpoint) -> "tuple[str, GetStatisticsResponse | None]":
    """Returns how it is, and what it says of itself and of the other nodes of its world; None when it is silent."""
    with interrupts_waiting():
        from interop_admin.client import AdminClient
        from interop_client.errors import ServerRefusal

    async with AdminClient(simulator) as admin:
        try:
            works = await admin.check(ANSWER_SECONDS)
            statistics = await admin.get_statistics()
        except ServerRefusal:
            return SILENT, None
    word = _word(statistics)
    return TROUBLED if word == WORKS and not works else word, statistics


def _word(statistics: "GetStatisticsResponse | NodeStatistics") -> str:
    return DRAINING if statistics.is_draining else TROUBLED if statistics.troubles else WORKS


def _node_facts(node: "NodeStatistics") -> dict[str, Any]:
    if node.is_silent:
        return {"node": node.node, "health": SILENT}
    facts: dict[str, Any] = {"node": node.node, "health": _word(node), "troubles": dict(node.troubles)}
    if not node.version:  # of a release before it was said
        return facts
    uptime_seconds = round(node.uptime_ms / 1_000, 1)
    return {**facts, "uptime_seconds": uptime_seconds, "version": node.version, "connections": node.connections}


def _print(facts: dict[str, Any]) -> None:
    name, uptime = facts.get("name", "that of INTEROPSIM"), facts.get("uptime_seconds")
    since = "" if uptime is None else f", up {uptime:.0f} s"
    told = {word: printable(str(facts.get(word, "unknown"))) for word in ("version", "pid")}
    click.echo(f"{name}: {facts['health']}{since}, version {told['version']}, pid {told['pid']}")
    places = {_SHOWN_AS.get(each, each): facts[each] for each in _PLACES if facts.get(each)}
    width = max(map(len, places), default=0)
    for place, address in places.items():
        click.echo(f"  {place:{width}}  {printable(str(address))}")
    for part, sentence in facts["troubles"].items():
        click.echo(f"  {printable(part)}: {printable(sentence)}")
    for node in facts.get("nodes", ()):
        click.echo(f"  node {printable(node['node'])}: {node['health']}{_more(node)}")


def _more(node: dict[str, Any]) -> str:
    """Returns what else a node has said of itself."""
    if "version" not in node:
        return ""
    count = node["connections"]
    connections = f"{count} connection{'' if count == 1 else 's'}"
    return f", up {node['uptime_seconds']:.0f} s, version {printable(node['version'])}, {connections}"
