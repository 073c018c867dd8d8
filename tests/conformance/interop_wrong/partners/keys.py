"""Defects of key sets."""

import zlib
from typing import Any

from aiohttp import web

from interop_wrong.register import wrong_partner
from partner_server import keys
from partner_server.keys import SigningKeys
from partner_server.routes import Routes

_SERVED = "ENL-03.jwks-is-served"
_TAKEN = "ENL-03.jwks-is-taken"
_NAMES_KEY = "ENL-04.token-names-its-key"


def _change_keys(change: Any) -> None:
    jwks = SigningKeys.jwks

    def changed(self: SigningKeys) -> Any:
        return {"keys": [change(key) for key in jwks(self)["keys"]]}

    SigningKeys.jwks = changed  # type: ignore[method-assign]


@wrong_partner("ENL-03.jwks-holds-nothing-private")
def serves_private_keys() -> None:
    """Serves its keys as they are in its memory, with what only it may know."""

    def jwks(self: SigningKeys) -> Any:
        return {"keys": [key.as_dict(private=True) for key in self.verification_keys.keys]}

    SigningKeys.jwks = jwks  # type: ignore[method-assign]


@wrong_partner("ENL-05.jwks-keys-are-long", also=(_TAKEN, "ENL-07.token-enlists"))
def signs_with_a_short_key() -> None:
    """Signs with a key of 1,024 bits."""
    keys.RSA_BITS = 1_024


@wrong_partner("ENL-04.jwks-keys-have-names", also=(_TAKEN, _NAMES_KEY))
def leaves_names_out_of_its_key_set() -> None:
    """Serves keys without `kid`."""
    _change_keys(lambda key: {name: value for name, value in key.items() if name != "kid"})


@wrong_partner("ENL-04.jwks-keys-are-marked")
def marks_its_keys_for_encryption() -> None:
    """Says of its keys that they are for encryption."""
    _change_keys(lambda key: {**key, "use": "enc"})


@wrong_partner("ENL-04.jwks-numbers-can-be-read", also=(_TAKEN, "ENL-03.token-verifies", "ENL-07.token-enlists"))
def writes_numbers_in_base64() -> None:
    """Writes the modulus with the characters of plain base64, padded."""
    _change_keys(lambda key: {**key, "n": key["n"].replace("-", "+").replace("_", "/") + "=="})


@wrong_partner(_SERVED)
def moves_its_key_set() -> None:
    """Answers with a redirect to where the key set is now."""

    async def move(_: Routes, __: web.Request) -> web.Response:
        raise web.HTTPFound("/keys.json")

    Routes._get_jwks = move  # type: ignore[method-assign, assignment]


@wrong_partner("ENL-03.jwks-is-not-compressed", also=(_SERVED,))
def compresses_its_key_set() -> None:
    """Compresses the key set for everybody."""
    get = Routes._get_jwks

    async def compressed(self: Routes, request: web.Request) -> web.Response:
        answer = await get(self, request)
        assert isinstance(answer.body, bytes)
        body = zlib.compress(answer.body)
        return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": "deflate"})

    Routes._get_jwks = compressed  # type: ignore[method-assign, assignment]


def _change_headers(name: str, value: str) -> None:
    get = Routes._get_jwks

    async def changed(self: Routes, request: web.Request) -> web.Response:
        answer = await get(self, request)
        answer.headers[name] = value
        return answer

    Routes._get_jwks = changed  # type: ignore[method-assign, assignment]


@wrong_partner("ENL-03.jwks-is-called-json")
def calls_its_key_set_a_page() -> None:
    """Serves the key set as HTML."""
    _change_headers("Content-Type", "text/html")


@wrong_partner("ENL-03.jwks-needs-no-cookie")
def sets_a_cookie_with_its_key_set() -> None:
    """Begins a session for whoever fetches its keys."""
    _change_headers("Set-Cookie", "session=1; Path=/")
