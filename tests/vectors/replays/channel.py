"""Replays what is about the chat channel: certificates, the Noise handshake from both sides, frames, refusals."""

import hashlib
import hmac
import json
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.rpc import error_details_pb2, status_pb2

from interop_api.v1 import chat_pb2, errors_pb2, stanza_pb2
from interop_client.errors import refusal_from_json, refusal_from_stanza_error
from interop_protocol.certificates import Certificate, CertificateChain, CertificateError, verify_chain
from interop_protocol.noise import PROLOGUE, InitiatorHandshake, RemoteProtocolError, ResponderHandshake
from interop_server.core.errors import Reason
from tests.vectors.documents import Vector
from tests.vectors.fixed import public_key
from tests.vectors.made.frames import outcome
from tests.vectors.made.refusals import refusal_of_call, shown, types_of
from tests.vectors.replays.reading import octets, optional_octets

Handshake = InitiatorHandshake | ResponderHandshake


def certificates(vector: Vector) -> None:
    """Reads the chain and verifies it."""
    try:
        chain = CertificateChain.decode(octets(vector, "chain"))
    except CertificateError as error:
        assert (vector["valid"], vector["reason"]) == (False, error.reason)
        assert vector["leaf"] is None and vector["intermediate"] is None
        return
    for name, certificate in (("leaf", chain.leaf), ("intermediate", chain.intermediate)):
        _same_certificate(vector[name], certificate)
    try:
        verify_chain(chain, octets(vector, "root_public_key"), octets(vector, "server_static_key"), int(vector["now"]))
        reason = None
    except CertificateError as error:
        reason = error.reason
    assert (vector["valid"], vector["reason"]) == (reason is None, reason)


def _same_certificate(shown: Vector, certificate: Certificate) -> None:
    details = certificate.decoded
    assert shown == {
        "details": certificate.details.hex(),
        "signature": certificate.signature.hex(),
        "serial": details.serial,
        "issuer_serial": details.issuer_serial,
        "key": details.key.hex(),
        "not_before": str(details.validity.not_before),
        "not_after": str(details.validity.not_after),
    }


def handshake(vector: Vector) -> None:
    """Plays both ends, and compares every message, every hash and every frame."""
    assert octets(vector, "prologue") == PROLOGUE
    client_keys = [octets(vector, f"client_{name}_private_key") for name in ("static", "ephemeral")]
    server_keys = [octets(vector, f"server_{name}_private_key") for name in ("static", "ephemeral")]
    client, server = InitiatorHandshake(*client_keys), ResponderHandshake(*server_keys)
    assert octets(vector, "client_static_key") == public_key(client_keys[0])
    assert octets(vector, "server_static_key") == public_key(server_keys[0])

    first = chat_pb2.ConnectRequest.FromString(octets(vector, "client_hello")).handshake.client_hello
    assert first.ephemeral == octets(vector, "client_hello_ephemeral") == client.client_hello()
    server.read_client_hello(first.ephemeral)
    _same_state(vector, "after_client_hello", client, server)

    second = chat_pb2.ConnectResponse.FromString(octets(vector, "server_hello")).handshake.server_hello
    answer = server.server_hello(octets(vector, "server_payload"))
    assert tuple(answer) == (second.ephemeral, second.static_key, second.payload)
    assert tuple(answer) == tuple(
        octets(vector, f"server_hello_{name}") for name in ("ephemeral", "static_key", "payload")
    )
    assert client.read_server_hello(*answer) == octets(vector, "server_payload")
    assert client.remote_static == octets(vector, "server_static_key")
    _same_state(vector, "after_server_hello", client, server)

    third = chat_pb2.ConnectRequest.FromString(octets(vector, "client_finish")).handshake.client_finish
    finish = client.client_finish(octets(vector, "client_payload"))
    assert tuple(finish) == (third.static_key, third.payload)
    assert tuple(finish) == tuple(octets(vector, f"client_finish_{name}") for name in ("static_key", "payload"))
    assert server.read_client_finish(*finish) == octets(vector, "client_payload")
    _same_state(vector, "after_client_finish", client, server)
    _same_frames(vector, client, server)


def _same_state(vector: Vector, name: str, *ends: Handshake) -> None:
    for end in ends:
        if name == "after_client_hello" and isinstance(end, ResponderHandshake):
            continue
        symmetric = end._symmetric
        assert vector[name] == {
            "handshake_hash": symmetric._handshake_hash.hex(),
            "chaining_key": symmetric._chaining_key.hex(),
        }


def _same_frames(vector: Vector, client: InitiatorHandshake, server: ResponderHandshake) -> None:
    ends = {"client": client.split(), "server": server.split()}
    other = {"client": "server", "server": "client"}
    seen = dict.fromkeys(ends, 0)
    extract = hmac.digest(bytes.fromhex(vector["after_client_finish"]["chaining_key"]), b"", "sha256")
    client_key = hmac.digest(extract, b"\1", "sha256")
    assert octets(vector, "client_key") == client_key
    assert octets(vector, "server_key") == hmac.digest(extract, client_key + b"\2", "sha256")
    for frame in vector["frames"]:
        sender, plaintext, sealed = frame["sender"], octets(frame, "plaintext"), octets(frame, "sealed")
        assert frame["counter"] == seen[sender]
        assert ends[sender].encrypt(plaintext) == sealed
        assert ends[other[sender]].decrypt(sealed) == plaintext
        nonce = bytes(8) + frame["counter"].to_bytes(4, "big")
        assert AESGCM(octets(vector, f"{sender}_key")).encrypt(nonce, plaintext, None) == sealed
        seen[sender] += 1
    assert min(seen.values()) > 0


def refused_handshake(vector: Vector) -> None:
    """Reads the false second message, as a client."""
    client = InitiatorHandshake(*(octets(vector, f"client_{name}_private_key") for name in ("static", "ephemeral")))
    client.client_hello()
    parts = [octets(vector, f"server_hello_{name}") for name in ("ephemeral", "static_key", "payload")]
    assert vector["reason"] == _reason(lambda: client.read_server_hello(*parts))


def _reason(call: Callable[[], object]) -> str:
    try:
        call()
    except RemoteProtocolError as error:
        return error.reason
    return ""


def frame(vector: Vector) -> None:
    """Seals the frame, sends what is sent of it, and reads it as the server does."""
    plaintext = octets(vector, "plaintext_start").ljust(vector["plaintext_length"], b"\0")
    assert len(plaintext) == vector["plaintext_length"]
    nonce = bytes(8) + vector["counter"].to_bytes(4, "big")
    sealed = AESGCM(octets(vector, "client_key")).encrypt(nonce, plaintext, None)
    assert len(sealed) == vector["sealed_length"]
    assert hashlib.sha256(sealed).digest() == octets(vector, "sealed_sha256")
    assert vector["sent_length"] <= len(sealed)
    assert (vector["stanzas"], vector["reason"]) == outcome(vector, sealed)


def refusal(vector: Vector) -> None:
    """Reads the refusal in every form that it has, and finds the same in each."""
    details = optional_octets(vector, "status_details")
    read = shown(refusal_of_call(vector["grpc_status"], vector["grpc_message"], details))
    assert read == {name: vector[name] for name in read}
    _same_details(vector, details)
    if vector["refusal"] is not None:
        alone = errors_pb2.Refusal.FromString(octets(vector, "refusal"))
        assert shown(refusal_from_stanza_error(alone)) == read
        assert alone.SerializeToString(deterministic=True) == octets(vector, "refusal")
    if vector["stanza"] is not None:
        stanza = stanza_pb2.Stanza.FromString(octets(vector, "stanza"))
        assert shown(refusal_from_stanza_error(stanza.stanza_refused.error)) == read
        refused = stanza_pb2.StanzaRefused(id="3EB0A1B2C3", kind="receipt", error=stanza.stanza_refused.error)
        assert stanza == stanza_pb2.Stanza(stanza_refused=refused)
    assert (vector["http_status"] is None) == (vector["http_body"] is None)
    if vector["http_body"] is not None:
        body = json.loads(vector["http_body"])
        assert shown(refusal_from_json(body)) == read
        assert set(body) <= {*read}
        assert vector["http_status"] == Reason[vector["reason"]].http_status


def _same_details(vector: Vector, details: bytes | None) -> None:
    assert vector["detail_types"] == types_of(details)
    if not vector["detail_types"]:
        return
    status = status_pb2.Status.FromString(details or b"")
    assert (status.code, status.message) == (vector["grpc_status"], vector["grpc_message"])
    info, retry, request = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    alone = errors_pb2.Refusal()
    for detail in status.details:
        if detail.Unpack(info):
            metadata = {name: vector[name] for name in ("requirement", "advice", "recovery", "request_id")}
            assert dict(info.metadata) == {**metadata, "code": str(vector["code"])}
            assert (info.reason, info.domain) == (vector["reason"], "interopsim")
        if detail.Unpack(retry) and vector["retry_after_ms"] is not None:
            assert str(retry.retry_delay.ToMilliseconds()) == vector["retry_after_ms"]
        if detail.Unpack(request):
            found = [{"field": each.field, "description": each.description} for each in request.field_violations]
            assert found == vector["violations"]
        if detail.Unpack(alone) and vector["refusal"] is not None:
            assert alone == errors_pb2.Refusal.FromString(octets(vector, "refusal"))
