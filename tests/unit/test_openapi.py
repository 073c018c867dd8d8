"""protos/openapi/partner.yaml is OpenAPI 3.1, and has exactly the paths that the sample and the simulator serve."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from openapi_spec_validator import OpenAPIV31SpecValidator

from interop_server.core.reasons import Recovery
from interop_server.http.surface import build_application
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.openapi import (
    Exchange,
    NotAsDocumented,
    Operation,
    check_exchange,
    check_named,
    check_schema,
    document,
    operations,
)

SPEC = (Path(__file__).parents[2] / "protos" / "SPEC.md").read_text()
TAGS_OF_A_PARTNER = {"partner", "sample"}


class OpenPartner(PartnerServer):
    """A messenger's server that shows its application."""

    application: web.Application

    async def _application(self, http: object) -> web.Application:
        self.application = await super()._application(http)  # type: ignore[arg-type]
        return self.application


@pytest.fixture
async def sample(tmp_path: Path) -> AsyncIterator[web.Application]:
    """The application of the sample server."""
    async with OpenPartner(PartnerSettings(tmp_path), SigningKeys()) as server:
        yield server.application


async def unmatched(application: web.Application, tags: set[str]) -> list[str]:
    """Operations of the document that an application does not serve, and routes of it that the document lacks."""
    left = {route for route in application.router.routes() if route.method != "HEAD"}
    served = set(left)
    found = []
    for operation, said in operations():
        if tags.isdisjoint(said["tags"]):
            continue
        path = re.sub(r"\{\w+\}", "1", operation.path)
        match = await application.router.resolve(make_mocked_request(operation.method, path))
        if match.http_exception is not None or match.route not in served:
            found.append(f"not served: {operation.method} {operation.path}")
        left.discard(match.route)
    return found + [f"not documented: {route.method} {route.resource.canonical}" for route in left if route.resource]


def surface() -> web.Application:
    """The simulator's application, of which nothing is asked here."""
    return build_application(Mock(), Mock(), Mock(), Mock(), Mock(), Mock())


def test_the_document_is_openapi() -> None:
    """A validator that others use says so."""
    assert list(OpenAPIV31SpecValidator(document()).iter_errors()) == []


def test_nothing_is_empty_in_it() -> None:
    """A comma in a text without quotes makes another key of what follows, and YAML does not mind."""

    def empty(node: object, path: str) -> Iterator[str]:
        if isinstance(node, Mapping):
            for name, value in node.items():
                yield from empty(value, f"{path}/{name}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                yield from empty(value, f"{path}/{index}")
        elif node is None:
            yield path

    assert list(empty(document(), "")) == []


async def test_the_sample_serves_what_the_document_has(sample: web.Application) -> None:
    """And nothing else."""
    assert await unmatched(sample, TAGS_OF_A_PARTNER) == []


async def test_the_simulator_serves_what_the_document_has() -> None:
    """And nothing else."""
    assert await unmatched(surface(), {"whatsapp"}) == []


async def test_a_path_that_only_one_side_has_is_noticed(sample: web.Application) -> None:
    """In either direction: the simulator has none of the sample's paths."""
    wrong = await unmatched(surface(), TAGS_OF_A_PARTNER)
    assert "not served: POST /whatsapp/push" in wrong
    assert "not documented: POST /3p/interop_reg" in wrong
    assert "not served: GET /.well-known/jwks" in await unmatched(sample, {"whatsapp"})


def test_each_operation_belongs_to_somebody() -> None:
    """So that none escapes the tests above, and names are those that generators take."""
    said = [said for _, said in operations()]
    assert all(len(set(each["tags"]) & {"partner", "sample", "whatsapp"}) == 1 for each in said)
    names = [each["operationId"] for each in said]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", sorted(document()["components"]["schemas"]))
def test_an_example_is_as_its_schema_says(name: str) -> None:
    schema = document()["components"]["schemas"][name]
    if "example" in schema:
        check_named(schema["example"], name)


def test_the_answers_in_the_specification_are_as_documented() -> None:
    """Both outcomes of the enlistment form."""
    good, bad = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", SPEC, re.MULTILINE | re.DOTALL)]
    check_named(good, "Enlisted")
    check_named(bad, "NotEnlisted")


def test_every_recovery_is_documented() -> None:
    fields = document()["components"]["schemas"]["RefusalFields"]["properties"]
    assert fields["recovery"]["enum"] == [each.name.lower() for each in Recovery]


GOOD = Exchange(
    "POST",
    "/whatsapp/push",
    200,
    request_headers={"Authorization": "Bearer a.b.c", "Content-Type": "application/json"},
    request_body=b'{"to": "bob"}',
)


def test_a_right_exchange_is_found() -> None:
    assert check_exchange(GOOD) == (Operation("POST", "/whatsapp/push"), 200)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(GOOD, path="/push"), "no such path"),
        (replace(GOOD, method="GET"), "no such path"),
        (replace(GOOD, status=201), "no such status"),
        (replace(GOOD, request_headers={"Content-Type": "application/json"}), "bearer token"),
        (replace(GOOD, request_headers={"Authorization": "Bearer a.b.c"}), "body without a type"),
        (replace(GOOD, request_body=b'{"to": "bob", "from": "alice"}'), "'from' was unexpected"),
        (replace(GOOD, query={"x": "1"}), "no parameter x"),
        (replace(GOOD, body=b"thanks"), "no body of the answer"),
        (replace(GOOD, status=401, headers={"Content-Type": "text/plain"}), "no WWW-Authenticate"),
        (Exchange("GET", "/pushes", 200, query={"after": "x"}), "not of type 'integer'"),
        (Exchange("GET", "/proxy/authkey", 200), "user is required"),
    ],
)
def test_a_wrong_exchange_is_noticed(wrong: Exchange, says: str) -> None:
    """A check that finds everything right proves nothing."""
    with pytest.raises(NotAsDocumented, match=re.escape(says)):
        check_exchange(wrong)


def test_a_schema_refers_to_the_document() -> None:
    """Also from inside of another one."""
    with pytest.raises(NotAsDocumented, match="WHATSAPP"):
        check_schema([{"iss": "x"}], {"items": {"$ref": "#/components/schemas/PushTokenClaims"}}, "claims")
