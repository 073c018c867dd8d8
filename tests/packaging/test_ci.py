"""What CI systems and containers run, run here with the wheel: no runner and no container engine is needed for that."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interop_admin.client import AdminClient
from interopsim.containers import PORTS, SimulatorContainer
from tests.e2e.program import ANY_PORTS, running
from tests.packaging.conftest import ROOT, Outside, clean, do

ACTION = YAML(typ="safe").load(ROOT / "action.yml")
GITLAB = YAML(typ="safe").load(ROOT / "ci/gitlab.yml")[".interopsim"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GREETS = 'interopsim check --admin "$INTEROPSIM_ADMIN" && echo "$INTEROPSIM" > seen.json'


class Runner:
    """Goes through the steps of action.yml as GitHub's runner does, as far as they need it."""

    def __init__(self, outside: Outside, folder: Path) -> None:
        self._outside, self._folder = outside, folder
        self.temp = folder / "runner temp"
        self.temp.mkdir()
        self.said = ""
        self.environment = {**clean(folder), "PATH": f"{outside.bin}:/usr/bin:/bin", "GITHUB_ACTION_PATH": str(ROOT)}

    @property
    def report(self) -> Path:
        """Where the action keeps log and journal."""
        return self.temp / "interopsim"

    def play(self, **given: str) -> tuple[bool, dict[str, str]]:
        """Runs the action; returns whether it succeeded, and its outputs."""
        inputs = {name: each["default"] for name, each in ACTION["inputs"].items()} | given
        steps: dict[str, dict[str, str]] = {}
        succeeded = True
        for step in ACTION["runs"]["steps"]:
            if "run" in step and self._is_due(step.get("if", ""), inputs, succeeded):
                done, steps[step.get("id", step["name"])] = self._run(step, inputs)
                succeeded = succeeded and done
        outputs = {
            name: steps["start"].get(re.fullmatch(r"\$\{\{ steps\.start\.outputs\.(\w+) \}\}", each["value"])[1], "")
            for name, each in ACTION["outputs"].items()
        }
        return succeeded, outputs

    @staticmethod
    def _is_due(condition: str, inputs: dict[str, str], succeeded: bool) -> bool:
        clauses = [clause for clause in condition.split(" && ") if clause]
        wanted = [inputs[name] for clause in clauses for name in re.findall(r"^inputs\.(\w+) != ''$", clause)]
        assert len(wanted) + clauses.count("always()") == len(clauses), condition
        return all(wanted) and (succeeded or "always()" in clauses)

    def _run(self, step: dict[str, Any], inputs: dict[str, str]) -> tuple[bool, dict[str, str]]:
        files = {name: self._folder / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        own = {name: self._meant(value, inputs) for name, value in step.get("env", {}).items()}
        process = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self._meant(step["run"], inputs)],
            cwd=self._folder,
            env={**self.environment, **own, **{name: str(file) for name, file in files.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.said += process.stdout
        self.environment |= _pairs(files["GITHUB_ENV"])
        return process.returncode == 0, _pairs(files["GITHUB_OUTPUT"])

    def _meant(self, text: str, inputs: dict[str, str]) -> str:
        """Fills in what expressions stand for; that with a choice has inputs.version `installed`, which is nothing."""

        def value(expression: re.Match[str]) -> str:
            if expression[1] == "runner.temp":
                return str(self.temp)
            if "format(" in expression[1]:
                return ""
            return inputs[expression[1].removeprefix("inputs.")]

        return re.sub(r"\$\{\{\s+(.*?)\s+\}\}", value, text, flags=re.DOTALL)


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.fixture
def runner(outside: Outside, tmp_path: Path) -> Iterator[Runner]:
    """A runner; what it has left running is ended."""
    runner = Runner(outside, tmp_path)
    yield runner
    stop = ["bash", ROOT / "ci/simulator.sh", "stop"]
    subprocess.run(stop, env={**runner.environment, "INTEROPSIM_REPORT": str(runner.report)}, check=True, timeout=60)


def kept(runner: Runner) -> set[str]:
    """Names of what the action keeps."""
    return {path.name for path in runner.report.iterdir() if path.suffix in (".log", ".jsonl")}


def is_gone(runner: Runner) -> bool:
    """Whether nothing of the action's runs."""
    return list((runner.report / "state").glob("*.json")) == []


@pytest.mark.parametrize(("command", "succeeds"), [(GREETS, True), (f"{GREETS} && exit 3", False)], ids=["well", "ill"])
def test_the_action_runs_a_command(runner: Runner, tmp_path: Path, command: str, succeeds: bool) -> None:
    """It succeeds as the command does; either way the simulator has gone afterwards, and log and journal are there."""
    succeeded, outputs = runner.play(run=command, args="--seed 7\n--freeze-at 2027-01-01T00:00:00Z", people="true")
    assert succeeded is succeeds, runner.said
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert outputs == {name: seen[name] for name in ("grpc", "admin", "http")} | {"report": str(runner.report)}
    assert seen["people"]
    assert is_gone(runner) and kept(runner) >= {"simulator.log", "journal.jsonl"}
    assert "derived from the seed" in (runner.report / "simulator.log").read_text()
    assert '"at_ms": 1798761600000' in (runner.report / "journal.jsonl").read_text()


def test_the_action_says_why_it_did_not_start(runner: Runner) -> None:
    """In the log of the job, and in a file."""
    succeeded, _ = runner.play(run="echo it runs", args="--limit send_brust=1")
    assert not succeeded and "send_burst" in runner.said and "it runs" not in runner.said
    assert "send_burst" in (runner.report / "start.log").read_text() and is_gone(runner)


def test_the_action_leaves_it_running_for_later_steps(runner: Runner, outside: Outside) -> None:
    """Without `run`: they find it by their environment."""
    succeeded, outputs = runner.play()
    assert succeeded, runner.said
    check = [str(outside.bin / "interopsim"), "check"]
    said = subprocess.run(check, env=runner.environment, capture_output=True, text=True, timeout=60).stdout
    assert said == f"{outputs['admin']} serves.\n"


def test_the_script_says_what_it_needs(tmp_path: Path) -> None:
    """A word for what to do, and a folder."""
    script = ["bash", str(ROOT / "ci/simulator.sh"), "begin"]
    nowhere = subprocess.run(script, env={"PATH": os.defpath}, capture_output=True, text=True)
    assert nowhere.returncode != 0 and "Set INTEROPSIM_REPORT" in nowhere.stderr
    environment = {"PATH": os.defpath, "INTEROPSIM_REPORT": str(tmp_path)}
    other = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert other.returncode == 2 and "install, start or stop" in other.stderr


@pytest.mark.parametrize("status", [0, 3])
def test_the_template_for_gitlab(outside: Outside, tmp_path: Path, status: int) -> None:
    """Its scripts, around a job's own: the simulator is there for that, and has gone after it; its log is kept."""
    variables = {name: each.replace("$CI_PROJECT_DIR", str(tmp_path)) for name, each in GITLAB["variables"].items()}
    variables["INTEROPSIM_ARGS"] = "--grpc 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0"
    environment = {**clean(tmp_path), "PATH": f"{outside.bin}:/usr/bin:/bin", **variables}
    before = [line for line in GITLAB["before_script"] if "pip install" not in line]
    assert len(before) == len(GITLAB["before_script"]) - 1
    job = subprocess.run(
        ["bash", "-e", "-c", "\n".join([*before, GREETS, f"exit {status}"])], cwd=tmp_path, env=environment, timeout=60
    )
    after = ["bash", "-e", "-c", "\n".join(GITLAB["after_script"])]
    subprocess.run(after, cwd=tmp_path, env=environment, check=True, timeout=60)
    assert job.returncode == status and json.loads((tmp_path / "seen.json").read_text())["event"] == "ready"
    found = {path.suffix for pattern in GITLAB["artifacts"]["paths"] for path in tmp_path.glob(pattern)}
    assert found == {".log", ".jsonl"} and not list(tmp_path.glob("interopsim-report/*.json"))


def test_what_the_container_runs(outside: Outside, tmp_path: Path) -> None:
    """Its command gets ready and ends on SIGTERM with 0, and its health check tells the one from the other."""
    [command] = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    [health] = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words = [re.sub(r"^0\.0\.0\.0:\d+$", "127.0.0.1:0", word) for word in json.loads(command)]
    program, *rest = json.loads(health)
    environment = clean(tmp_path)
    with subprocess.Popen([outside.bin / "interopsim", *words], env=environment, stdout=subprocess.PIPE) as up:
        try:
            assert up.stdout is not None and json.loads(up.stdout.readline())["event"] == "ready"
            outside.run(program, *rest, cwd=tmp_path)
        finally:
            up.send_signal(signal.SIGTERM)
    assert up.returncode == 0
    assert outside.run(program, *rest, cwd=tmp_path, check=False).returncode == 1


def test_the_image_gets_all_that_its_wheel_needs(outside: Outside, tmp_path: Path) -> None:
    """What .dockerignore lets through makes the same wheel."""
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in allowed:
        copy = tmp_path / "context" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, copy)
    do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(tmp_path / "context"))
    assert (tmp_path / outside.wheel.name).read_bytes() == outside.wheel.read_bytes()


class Published(SimulatorContainer):
    """A container whose engine is not there: what that would say is said by a simulator that runs beside it."""

    def __init__(self, ready: dict[str, str]) -> None:
        super().__init__("--seed", "1", docker_client_kw={"version": "1.43"})  # told, so that no engine is asked
        self._ports = {port: int(ready[name].rpartition(":")[2]) for name, port in PORTS.items()}
        within = {name: f"{ready[name].rpartition('127')[0]}0.0.0.0:{port}" for name, port in PORTS.items()}
        self._line = json.dumps({**ready, **within})

    def get_logs(self) -> tuple[bytes, bytes]:
        return f"something else\n{self._line}\n".encode(), b""

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> int:
        return self._ports[port]


async def test_what_testcontainers_make_of_a_ready_line(tmp_path: Path) -> None:
    """Addresses are those that the engine publishes, by which clients reach it."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        ready = await program.ready_line()
        endpoint = Published(ready).endpoint
        assert (endpoint.grpc, endpoint.admin, endpoint.http) == (ready["grpc"], ready["admin"], ready["http"])
        async with AdminClient(endpoint) as admin:
            assert (await admin.get_clock()).now_ms > 0
