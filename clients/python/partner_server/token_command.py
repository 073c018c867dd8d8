"""Asks a running server for a user's token, as the user's client would; knows nothing of what is in it."""

import json
from http.client import HTTPException
from urllib.request import ProxyHandler, Request, build_opener

import click

from interop_protocol.json_text import read_json
from interop_protocol.web_address import is_web_address

SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 * 1024


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", required=True, help="Base URL of the server.")
@click.argument("user")
def main(url: str, user: str) -> None:
    """Print a token that vouches for USER.

    Example: python -m partner_server token --url http://127.0.0.1:8080 bob
    """
    if not is_web_address(url):
        raise click.UsageError("--url must be an absolute http or https URL.")
    request = Request(
        f"{url.rstrip('/')}/tokens", json.dumps({"user": user}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=SECONDS) as response:
            click.echo(read_json(response.read(_MAX_ANSWER_BYTES))["token"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"the server gives no token: {error}") from error
