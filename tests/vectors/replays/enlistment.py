"""Replays what is about tokens, the enlistment form and its answers."""

import asyncio
import base64
import json
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import RSAKey

from interop_client.signal import SignalState
from interop_client.signal.keys import KeyPair, SignedPreKey
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.encoding import decode_base64url, encode_base64url
from interop_protocol.endpoint import ServerAddress
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message
from tests.vectors.documents import Vector
from tests.vectors.fixed import public_key
from tests.vectors.made.enlistment import read_answer, why_refused
from tests.vectors.made.tokens import verdict
from tests.vectors.replays.reading import octets

_JID = "12-10853634039893@interop"


def base64url(vector: Vector) -> None:
    """Reads the text."""
    try:
        value = decode_base64url(vector["text"], vector["length"])
    except ValueError:
        value = None
    assert vector["valid"] == (value is not None)
    assert vector["value"] == (None if value is None else value.hex())
    assert vector["written"] == (None if value is None else encode_base64url(value))


def token(vector: Vector) -> None:
    """Signs the token where it can, and verifies it."""
    if vector["signing_input"] is not None:
        parts = [base64.urlsafe_b64encode(vector[name].encode()).decode().rstrip("=") for name in ("header", "claims")]
        assert vector["signing_input"] == ".".join(parts)
        assert vector["token"] == f"{vector['signing_input']}.{encode_base64url(octets(vector, 'signature'))}"
    if vector["private_jwk"] is not None:
        key = RSAKey.import_key(vector["private_jwk"])
        private = key.private_key
        assert isinstance(private, rsa.RSAPrivateKey)
        _same_numbers(vector["private_jwk"], private.private_numbers())
        signature = private.sign(vector["signing_input"].encode(), padding.PKCS1v15(), SHA256())
        assert signature == octets(vector, "signature")
        public = json.loads(vector["jwks"])["keys"][0]
        assert (public["n"], public["e"]) == (vector["private_jwk"]["n"], vector["private_jwk"]["e"])
    read = verdict(vector["token"], vector["jwks"], vector["issuer"], int(vector["now"]))
    assert (vector["subject"], vector["reason"]) == read
    assert vector["valid"] == (vector["reason"] is None)


def _same_numbers(jwk: dict[str, str], numbers: rsa.RSAPrivateNumbers) -> None:
    """All of the key's numbers belong together: a library may use only some of them."""
    read = {
        name: int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")
        for name, text in jwk.items()
        if name != "kty"
    }
    public = numbers.public_numbers
    assert read == {
        "n": public.n,
        "e": public.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": read["d"] % (read["p"] - 1),
        "dq": read["d"] % (read["q"] - 1),
        "qi": pow(read["q"], -1, read["p"]),
    }
    assert read["p"] * read["q"] == read["n"]


def form(vector: Vector) -> None:
    """Makes the form where it can, by itself and with the SDK, and reads it."""
    if vector["auth_private_key"] is not None:
        assert vector["body"] == _written(vector) == asyncio.run(_posted(vector))
    assert (vector["reason"], vector["field"]) == why_refused(vector["body"])
    assert vector["valid"] == (vector["reason"] is None)


def _written(vector: Vector) -> str:
    auth, identity, prekey = _private_keys(vector)
    signature = sign_xeddsa(identity, signed_prekey_message(public_key(prekey)), octets(vector, "nonce"))
    values = {
        "authkey": public_key(auth),
        "e_keytype": b"\5",
        "e_regid": vector["registration_id"].to_bytes(4, "big"),
        "e_ident": public_key(identity),
        "e_skey_id": vector["signed_prekey_id"].to_bytes(3, "big"),
        "e_skey_val": public_key(prekey),
        "e_skey_sig": signature,
    }
    encoded = {name: encode_base64url(value) for name, value in values.items()}
    return urlencode({**encoded, "token": vector["token"], "version": vector["protocol_version"]})


def _private_keys(vector: Vector) -> tuple[bytes, bytes, bytes]:
    auth, identity, prekey = (octets(vector, f"{name}_private_key") for name in ("auth", "identity", "signed_prekey"))
    return auth, identity, prekey


async def _posted(vector: Vector) -> str:
    """What the SDK posts from the same keys, to a server that enlists everybody."""
    bodies = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.text())
        return web.json_response({"login": _JID, "status": "ok"})

    application = web.Application()
    application.router.add_post("/3p/interop_reg", answer)
    async with TestServer(application) as server:
        client = _client(vector)
        assert await client.enlist_over_http(str(server.make_url("/")), vector["token"]) == _JID
    return bodies[0]


def _client(vector: Vector) -> ThirdPartyClient:
    auth, identity, prekey = _private_keys(vector)
    signature = dict(parse_qsl(vector["body"]))["e_skey_sig"]
    pair = KeyPair.from_private(prekey)
    signed = SignedPreKey(vector["signed_prekey_id"], pair, decode_base64url(signature, 64))
    signal = SignalState(vector["registration_id"], KeyPair.from_private(identity), {signed.key_id: signed})
    state = ClientState("", auth, signal)

    async def no_token() -> str:
        raise AssertionError("nobody logs in")

    return ThirdPartyClient.direct(ServerAddress("127.0.0.1:1", bytes(32)), state, no_token)


def answer(vector: Vector) -> None:
    """Reads the answer, as a client."""
    read = read_answer(vector["body"])
    assert read == {name: vector[name] for name in read}
