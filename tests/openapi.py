"""protos/openapi/partner.yaml, and whether what went over HTTP is as it says; knows no server and no test.

Schemas of OpenAPI 3.1 are JSON Schemas, so a library validates them. What OpenAPI adds is here: which operation a
request is, where its parameters stand, and which answer belongs to a status.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

DOCUMENT = Path(__file__).parents[1] / "protos" / "openapi" / "partner.yaml"
METHODS = ("get", "put", "post")
_FORM = "application/x-www-form-urlencoded"
_URI = "urn:partner"
_NUMBERS: Mapping[str, type] = {"integer": int, "number": float}


class NotAsDocumented(AssertionError):
    """A request or an answer differs from the document."""


class Operation(NamedTuple):
    """A method and a path, as the document writes it."""

    method: str
    path: str


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, as they went over HTTP."""

    method: str
    path: str
    status: int
    query: Mapping[str, str] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""
    """None for one that was streamed past."""


@cache
def document() -> dict[str, Any]:
    """Returns the document."""
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return loaded


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what a node of the document refers to; the node itself when it is no reference."""
    while "$ref" in node:
        found: Any = document()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/")]
        node = found
    return node


def operations() -> Iterator[tuple[Operation, Mapping[str, Any]]]:
    """Yields every operation with what the document says of it; its parameters include those of the path."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                said = item[method]
                parameters = [resolved(each) for each in (*item.get("parameters", ()), *said.get("parameters", ()))]
                yield Operation(method.upper(), path), {**said, "parameters": parameters}


def pattern_of(path: str) -> re.Pattern[str]:
    """Returns what matches the paths that a path with braces stands for."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def check_schema(value: object, schema: Mapping[str, Any], what: str) -> None:
    """Checks a value against a schema of the document.

    Raises:
        NotAsDocumented: It is not valid.
    """
    registry = Registry().with_resource(_URI, Resource(contents=document(), specification=DRAFT202012))
    # References in the document are to the document, wherever the schema that has them stands.
    anchored = json.loads(json.dumps(schema).replace('"$ref": "#/', f'"$ref": "{_URI}#/'))
    validator = Draft202012Validator(anchored, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
    if errors := [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]:
        raise NotAsDocumented(f"{what}: {'; '.join(errors)}")


def check_named(value: object, name: str) -> None:
    """Checks a value against the schema of that name. See `check_schema`."""
    check_schema(value, {"$ref": f"#/components/schemas/{name}"}, name)


def check_exchange(exchange: Exchange) -> tuple[Operation, int]:
    """Checks that the document has such a request and such an answer; returns the operation and the status.

    A request need not be as documented when it is refused: tests make wrong ones on purpose.

    Raises:
        NotAsDocumented: It has not.
    """
    operation, said, in_path = _find(exchange)
    what = f"{operation.method} {operation.path} {exchange.status}"
    response = said["responses"].get(str(exchange.status))
    if response is None:
        raise NotAsDocumented(f"{what}: the document has no such status")
    if exchange.status < 400 and not _is_refused(exchange):
        _check_request(exchange, said, in_path, what)
    _check_response(exchange, resolved(response), what)
    return operation, exchange.status


def _find(exchange: Exchange) -> tuple[Operation, Mapping[str, Any], Mapping[str, str]]:
    for operation, said in operations():
        match = pattern_of(operation.path).fullmatch(exchange.path)
        if match is not None and operation.method == exchange.method:
            return operation, said, {name: unquote(value) for name, value in match.groupdict().items()}
    raise NotAsDocumented(f"{exchange.method} {exchange.path}: the document has no such path")


def _is_refused(exchange: Exchange) -> bool:
    """Says whether an answer with status 200 is a refusal, as only the enlistment form has it."""
    return exchange.path == "/3p/interop_reg" and json.loads(exchange.body or b"{}").get("status") == "fail"


def _check_request(exchange: Exchange, said: Mapping[str, Any], in_path: Mapping[str, str], what: str) -> None:
    given = {"path": in_path, "query": exchange.query, "header": _lowered(exchange.request_headers)}
    for parameter in said["parameters"]:
        name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
        value = given[parameter["in"]].get(name)
        if value is not None:
            check_schema(_typed(value, parameter["schema"]), parameter["schema"], f"{what}, {name}")
        elif parameter.get("required"):
            raise NotAsDocumented(f"{what}: {name} is required")
    if unknown := set(exchange.query) - {each["name"] for each in said["parameters"] if each["in"] == "query"}:
        raise NotAsDocumented(f"{what}: the document has no parameter {', '.join(sorted(unknown))}")
    if said.get("security"):
        scheme, _, token = given["header"].get("authorization", "").partition(" ")
        if scheme != "Bearer":
            raise NotAsDocumented(f"{what}: a bearer token is required")
        check_named(token, "CompactJws")
    body = said.get("requestBody")
    if body is not None:
        _check_content(exchange.request_body, given["header"].get("content-type"), body["content"], what)
    elif exchange.request_body:
        raise NotAsDocumented(f"{what}: the document has no body of the request")


def _check_response(exchange: Exchange, response: Mapping[str, Any], what: str) -> None:
    headers = _lowered(exchange.headers)
    for name, reference in response.get("headers", {}).items():
        header, value = resolved(reference), headers.get(name.lower())
        if value is not None:
            check_schema(_typed(value, header["schema"]), header["schema"], f"{what}, {name}")
        elif header.get("required"):
            raise NotAsDocumented(f"{what}: the answer has no {name}")
    if "content" in response:
        _check_content(exchange.body, headers.get("content-type"), response["content"], what)
    elif exchange.body:
        raise NotAsDocumented(f"{what}: the document has no body of the answer")


def _check_content(body: bytes | None, content_type: str | None, content: Mapping[str, Any], what: str) -> None:
    kind = (content_type or "").partition(";")[0].strip()
    if kind not in content:
        raise NotAsDocumented(f"{what}: the document has no {kind or 'body without a type'}")
    schema = content[kind].get("schema")
    if body is None or schema is None:
        return
    if kind == "application/json":
        check_schema(json.loads(body), schema, what)
    elif kind == _FORM:
        check_schema(dict(parse_qsl(body.decode("ascii"), strict_parsing=True)), schema, what)
    else:
        check_schema(body.decode(), schema, what)


def _typed(text: str, schema: Mapping[str, Any]) -> object:
    """Returns the value of a parameter or header, which is text on the wire."""
    number = _NUMBERS.get(resolved(schema).get("type", ""))
    try:
        return text if number is None else number(text)
    except ValueError:
        return text


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
