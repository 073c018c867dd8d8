"""The Helm chart, with Helm's own library: it lints, Kubernetes knows what it makes, and a node takes its arguments."""

import json
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interop_demo.processes import Child, simulator
from tests.cluster.engines import Engines, engines
from tests.evidence import new_journal

helm = pytest.importorskip("helm_python", reason="The extra `deploy` is not installed: make extras.")
kubernetes = pytest.importorskip("kubernetes_validate", reason="The extra `deploy` is not installed: make extras.")

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
COMPOSE = YAML(typ="safe").load(ROOT / "compose.cluster.yaml")
OLDEST, NEWEST = "1.27.0", kubernetes.latest_version()
INFORMATION = 1
"""Severity of what Helm's linter only recommends, such as an icon."""


def render(**values: Any) -> dict[str, dict[str, Any]]:
    """Returns what the chart makes of values, by kind and name."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values=values, name="world")
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    parts = [part for text in texts for part in YAML(typ="safe").load_all(text) if part]
    return {f"{part['kind']} {part['metadata']['name']}": part for part in parts}


def test_it_lints() -> None:
    """Nothing is wrong, and nothing is warned of."""
    assert [each for each in helm.lint(CHART)["messages"] if each["severity"] > INFORMATION] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"replicas": 1, "secret": "engines", "arguments": ["--trace"], "service": {"type": "LoadBalancer"}},
        {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
        {"image": {"repository": "r", "tag": "1", "pullSecrets": [{"name": "s"}]}, "resources": {}},
    ],
    ids=["default", "one", "placed", "image"],
)
def test_kubernetes_knows_what_it_renders(values: dict[str, Any], version: str) -> None:
    """Strictly: no field that its schema does not have."""
    rendered = render(**values)
    for part in rendered.values():
        kubernetes.validate(part, version, strict=True)
    assert ("PodDisruptionBudget world" in rendered) == (values.get("replicas") != 1)


@pytest.mark.parametrize(
    "values",
    [{"store": "file.db"}, {"bus": ""}, {"blobs": "blobs"}, {"replicas": 0}, {"arguments": ["up"]}, {"replica": 3}],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    """A world cannot come of them; a misspelt one is told."""
    with pytest.raises(helm.HelmError):
        render(**values)


@pytest.fixture(scope="module")
def shared() -> Iterator[Engines]:
    """What the nodes share."""
    with engines() as shared:
        yield shared


def described(arguments: Sequence[str], shared: Engines, log: Path) -> Child:
    """Describes a node that gets arguments as a deployment has them, but listens on free ports of this machine."""
    places = {"store": shared.store, "blobs": shared.blobs, "bus": shared.bus}
    there = [re.sub(r"0\.0\.0\.0:\d+|127\.0\.0\.1:\d+", "127.0.0.1:0", each) for each in arguments]
    there = [
        re.sub(r"^--(store|blobs|bus)=.*", lambda found: f"--{found[1]}={places[found[1]]}", each) for each in there
    ]
    assert {each.partition("=")[0] for each in there} >= {"--store", "--blobs", "--bus", "--node", "--grpc", "--http"}
    return simulator(log, None, ["--journal", str(new_journal()), *there], shared.environment)


async def test_a_node_takes_the_arguments(shared: Engines, tmp_path: Path) -> None:
    """Those of the chart and those of compose.cluster.yaml, as one world."""
    container = render()["Deployment world"]["spec"]["template"]["spec"]["containers"][0]
    of_chart = [each.replace("$(POD_NAME)", "world-1") for each in container["args"]]
    service = COMPOSE["services"]["node-a"]
    of_compose = [*service["entrypoint"], *service["command"]]
    assert of_chart[0] == "up" and of_compose[:2] == ["interopsim", "up"]
    async with (
        described(of_chart[1:], shared, tmp_path / "chart.log") as one,
        described(of_compose[2:], shared, tmp_path / "compose.log") as other,
    ):
        assert one.ready["root_public_key"] == other.ready["root_public_key"]
        assert "admin_token" in one.ready and "metrics" in one.ready


def test_the_places_agree() -> None:
    """Ports of service and container, of balancer and nodes; versions of chart and program."""
    rendered = render()
    container = rendered["Deployment world"]["spec"]["template"]["spec"]["containers"][0]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = {
        name: int(port)
        for name, port in re.findall(r"--(grpc|http|metrics)=0\.0\.0\.0:(\d+)", " ".join(container["args"]))
    }
    assert named == listens
    for service in ("Service world", "Service world-nodes"):
        for port in rendered[service]["spec"]["ports"]:
            assert named[port["targetPort"]] == port["port"]
    nodes = {f"{name}:{port}" for name in ("node-a", "node-b", "node-c") for port in (named["grpc"], named["http"])}
    balancer = COMPOSE["services"]["balancer"]["environment"]
    assert {value for name, value in balancer.items() if "_" in name} == nodes
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["version"] == chart.metadata["appVersion"] == version_of("interopsim")
    assert json.loads((CHART / "values.schema.json").read_text())["additionalProperties"] is False
