"""The part that the commands share: finds the workbench of a running simulator, and asks it; knows no command."""

import json
from typing import Any
from urllib.parse import quote

import click

from interop_admin.commands.common import WrongUse
from interop_admin.endpoint import find_ready_line
from interop_protocol.json_text import read_json
from interop_protocol.printable import json_line, printable

SECONDS = 30.0
"""How long an answer may take: a file may be on its way."""
_MAX_ANSWER_BYTES = 64 << 20
_WRONG_USE = (400, 404)
"""Statuses for what is asked wrongly, or of somebody who is not here."""


def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Asks the workbench of the running simulator.

    Args:
        path: Under `/api/`, its parts quoted: see `path_of`.
        body: What to tell; None only reads.

    Raises:
        ClickException: It refuses, or cannot be reached; the message is a sentence.
        WrongUse: It refuses what is wrong by itself, such as a name that nobody has.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, Request, build_opener

    url, key = _workbench()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{url}/api/{path}", data, headers, method="GET" if body is None else "POST")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=SECONDS) as response:
            return dict(read_json(response.read(_MAX_ANSWER_BYTES)))
    except HTTPError as refused:
        refusal = WrongUse if refused.code in _WRONG_USE else click.ClickException
        raise refusal(printable(_sentence(refused.read(_MAX_ANSWER_BYTES)))) from refused
    except (OSError, HTTPException, ValueError, TypeError) as error:
        raise click.ClickException(f"the people do not answer at {printable(url)}: {printable(str(error))}") from error


def path_of(*parts: str) -> str:
    """Returns a path of parts that may hold anything."""
    return "/".join(quote(part, safe="") for part in parts)


def show(answer: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """Prints an answer: as JSON, or as a sentence."""
    click.echo(json_line(answer) if as_json else printable(sentence))


def _workbench() -> tuple[str, str]:
    facts = ready_facts()
    try:
        workbench = facts["workbench"]
        return str(workbench["url"]), str(workbench["key"])
    except (KeyError, TypeError) as error:
        raise click.ClickException("this simulator has no people: start it with `interopsim up --people`.") from error


def ready_facts() -> dict[str, Any]:
    """Returns what the ready line of the running simulator says.

    Raises:
        ClickException: There is none, or it cannot be told which is meant.
    """
    from interop_admin.endpoint import NotFound

    try:
        return dict(read_json(find_ready_line()))
    except NotFound as error:
        raise click.UsageError(printable(str(error))) from error
    except (ValueError, TypeError) as error:
        raise click.UsageError("Set INTEROPSIM to the line that `interopsim up` prints, or unset it.") from error


def _sentence(answer: bytes) -> str:
    try:
        return str(read_json(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return "the people answer something else than they should: is INTEROPSIM that of another version?"
