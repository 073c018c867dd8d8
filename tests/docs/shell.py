"""Runs what a page shows: commands in one shell, in order, and snippets of Python as in `python -m asyncio`."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from interop_protocol.state_files import STATE_VARIABLE
from tests.docs.pages import ROOT, Command

ANY_PORTS = "--grpc 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0"
SECONDS = 120
_VARYING = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|[A-Za-z0-9_-]{22,}|\d+")
"""What is another each time: keys, hashes, ids, times, ports."""
_SHORTENED = re.compile(r"[0-9a-f]{4}…[0-9a-f]{4}")
"""A key or a hash of which a page shows both ends."""
_SNIPPETS = """
import ast, asyncio, inspect, sys
space = {"__name__": "__main__"}
code = compile(sys.stdin.read(), "the page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def main():
    result = eval(code, space)
    if inspect.isawaitable(result):
        await result
asyncio.run(main())
"""


@dataclass(frozen=True)
class Place:
    """Where commands run: as in a checkout, with simulators of one's own."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """With this interpreter's programs first, and a state folder of its own."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, STATE_VARIABLE: str(self.folder / "state"), "PYTHONUNBUFFERED": "1"}

    @classmethod
    def make(cls, folder: Path) -> "Place":
        """Makes one whose files are those of the repository, and whose new files are its own."""
        for name in ("clients", "docs", "protos", "tests"):
            (folder / name).symlink_to(ROOT / name)
        return cls(folder)

    def run(self, script: str) -> str:
        """Runs a script of bash to its end; returns what it prints on both streams.

        Raises:
            AssertionError: It fails; the message has what it printed.
        """
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def play(self, commands: list[Command]) -> None:
        """Runs commands in one shell, and holds what they print against what the page shows.

        Raises:
            AssertionError: One fails, or prints something else; the message names its place.
        """
        script = ["set -eo pipefail", _PREAMBLE]
        for _, block in itertools.groupby(enumerate(commands), lambda each: each[1].place):
            lines = [
                line for number, command in block for line in (f"printf '\\n@@{number}\\n'", _settled(command.text))
            ]
            script += lines if _SERVER in lines[1] else ["(", *lines, ")"]
        printed = re.split(r"\n@@\d+\n", self.run("\n".join(script)))[1:]
        for command, said in zip(commands, printed, strict=True):
            if command.shown is not None:
                compare(command, said)

    def play_python(self, snippets: list[str]) -> str:
        """Runs snippets of Python one after the other in one process; returns what they print."""
        done = subprocess.run(
            [sys.executable, "-c", _SNIPPETS], input="\n".join(snippets), cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


_SERVER = "python -m partner_server --data"
_PREAMBLE = f"""
interopsim() {{
  case "$1" in start|up) command interopsim "$@" {ANY_PORTS};; *) command interopsim "$@";; esac
}}
http() {{ python -c 'from interopsim import find_endpoint; print(find_endpoint().http)'; }}
metrics() {{ python -c 'from interopsim import find_endpoint; print(find_endpoint().metrics)'; }}
"""
"""Nothing in a test has a fixed port."""
_BEHIND = f"""
coproc MESSENGER {{ exec {_SERVER} partner; }}
trap 'kill $MESSENGER_PID' EXIT
read -r line <&"${{MESSENGER[0]}}"
echo "$line"
url=$(python -c 'import json, sys; print(json.loads(sys.argv[1])["base_url"])' "$line")
"""
"""Starts a messenger's server, as somebody does in a shell of its own, and waits until it is ready."""


def _settled(command: str) -> str:
    """A command as the test runs it: on ports that are free; where the page says how it ends, it must end so."""
    text, _, ending = command.partition("  # exits with ")
    if text.startswith(_SERVER):
        return _BEHIND
    text = text.replace("http://127.0.0.1:8080", "$url").replace("https://127.0.0.1:4462", "$(http)")
    text = text.replace("http://127.0.0.1:4463/metrics", "$(metrics)").replace("127.0.0.1:4463", "127.0.0.1:0")
    return f"{{ {text}\n}} && exit 99 || test $? = {shlex.quote(ending)}" if ending else text


def compare(command: Command, said: str) -> None:
    """Every line that is shown is printed, in this order; `…` stands for anything, and what varies may vary."""
    lines = iter(said.splitlines())
    for shown in (command.shown or "").splitlines():
        assert any(_is_shown(shown.rstrip(), line.rstrip()) for line in lines), (
            f"{command.place}: {command.text} does not print {shown!r} but\n{said}"
        )


def _is_shown(shown: str, line: str) -> bool:
    parts = _SHORTENED.sub("0", shown).split("…")
    as_it_is = ".*".join(re.escape(part) for part in parts)
    as_it_varies = ".*".join(re.escape(_VARYING.sub("#", part)) for part in parts)
    return re.fullmatch(as_it_is, line) is not None or re.fullmatch(as_it_varies, _VARYING.sub("#", line)) is not None
