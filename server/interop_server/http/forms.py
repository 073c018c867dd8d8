"""Parses the enlistment form and writes its outcome; knows nothing of tokens or accounts.

Every outcome is a JSON object with status 200, as documented: a bad form is a failure with a reason, never an HTTP
error.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from interop_protocol.content_types import read_content_type
from interop_protocol.encoding import decode_base64url
from interop_protocol.sizes import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, UNNAMED_PROTOCOL_VERSION
from interop_server.core.enlistment.enlistment import EnlistmentForm
from interop_server.core.errors import Reason, Refusal
from interop_server.http.refusals import refusal_to_json

MAX_FORM_BYTES = 16 * 1024
"""Policy: twice the size of the longest token and all keys with every character escaped."""
BODY_SECONDS = 10.0
"""How long a body may take to arrive; policy."""
_MAX_FIELDS = 16
_VERSION = re.compile(r"[0-9]{1,6}", re.ASCII)


class _KeyField(NamedTuple):
    """A binary field: its name on the wire, its attribute in the form, and its length in bytes."""

    name: str
    attribute: str
    length: int


_KEY_FIELDS = (
    _KeyField("authkey", "auth_key", PUBLIC_KEY_BYTES),
    _KeyField("e_keytype", "key_type", 1),
    _KeyField("e_regid", "registration_id", 4),
    _KeyField("e_ident", "identity_key", PUBLIC_KEY_BYTES),
    _KeyField("e_skey_id", "signed_prekey_id", 3),
    _KeyField("e_skey_val", "signed_prekey", PUBLIC_KEY_BYTES),
    _KeyField("e_skey_sig", "signed_prekey_signature", SIGNATURE_BYTES),
)
_REQUIRED = frozenset({"token", *(field.name for field in _KEY_FIELDS)})
_OPTIONAL = frozenset({"version"})


async def read_form(request: web.Request) -> EnlistmentForm:
    """Reads an enlistment form (ENL-08, ENL-09).

    Raises:
        Refusal: REQUEST_MALFORMED or KEY_MALFORMED.
    """
    return parse_form(await _read_body(request))


def parse_form(body: bytes) -> EnlistmentForm:
    """Parses the body of an enlistment form: exactly the documented fields, plus `version`, 1 when absent.

    Simulator: the name of the version field is not public.

    Raises:
        Refusal: REQUEST_MALFORMED or KEY_MALFORMED.
    """
    fields = _parse_fields(body)
    keys: dict[str, bytes] = {}
    for field in _KEY_FIELDS:
        try:
            keys[field.attribute] = decode_base64url(fields[field.name], field.length)
        except ValueError as error:
            raise Refusal(
                Reason.KEY_MALFORMED, f"{field.name}: {error}", field=field.name, requirement="ENL-09"
            ) from error
    version = fields.get("version", str(UNNAMED_PROTOCOL_VERSION))
    if not _VERSION.fullmatch(version):
        raise Refusal(Reason.REQUEST_MALFORMED, "version is not a number", field="version", requirement="ENL-15")
    return EnlistmentForm(**keys, token=fields["token"], protocol_version=int(version))


def success(login: str, headers: Mapping[str, str]) -> web.Response:
    """Returns the documented outcome of an enlistment (ENL-11)."""
    return web.json_response({"login": login, "status": "ok"}, headers=headers)


def failure(refusal: Refusal, headers: Mapping[str, str]) -> web.Response:
    """Returns the documented outcome of a refused enlistment, with advice on what to do about it (ENL-11)."""
    return web.json_response({"status": "fail", **refusal_to_json(refusal)}, headers=headers)


async def _read_body(request: web.Request) -> bytes:
    kind = read_content_type(request.headers.get("Content-Type", ""))
    if kind.name != "application/x-www-form-urlencoded":
        raise Refusal(
            Reason.REQUEST_MALFORMED, "the body must be application/x-www-form-urlencoded", requirement="ENL-08"
        )
    if not kind.is_utf_8:
        raise Refusal(Reason.REQUEST_MALFORMED, "the charset must be UTF-8", requirement="ENL-08")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(Reason.REQUEST_MALFORMED, "the body must not be compressed", requirement="ENL-08")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while part := await request.content.read(MAX_FORM_BYTES):
                body += part
                if len(body) > MAX_FORM_BYTES:
                    raise Refusal(
                        Reason.REQUEST_MALFORMED,
                        f"the form is larger than {MAX_FORM_BYTES} bytes",
                        requirement="ENL-08",
                    )
    except TimeoutError as error:
        raise Refusal(Reason.REQUEST_MALFORMED, "the body did not arrive in time", requirement="ENL-08") from error
    return bytes(body)


def _parse_fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise Refusal(
            Reason.REQUEST_MALFORMED, "the body is not a form of ASCII and escaped UTF-8", requirement="ENL-08"
        ) from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = {name for name in fields if [each for each, _ in pairs].count(name) > 1}
        # Only documented names are repeated: other names are the client's own text.
        field = min(twice & (_REQUIRED | _OPTIONAL), default="")
        raise Refusal(Reason.REQUEST_MALFORMED, "a field occurs twice", field=field, requirement="ENL-08")
    missing, unknown = _REQUIRED - fields.keys(), fields.keys() - _REQUIRED - _OPTIONAL
    if missing:
        detail = f"the form lacks {', '.join(sorted(missing))}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=min(missing), requirement="ENL-08")
    if unknown:
        raise Refusal(
            Reason.REQUEST_MALFORMED,
            f"the form has {len(unknown)} fields that are not documented",
            requirement="ENL-08",
        )
    return fields
