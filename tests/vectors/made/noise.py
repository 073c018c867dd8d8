"""The Noise handshake: all three messages, what is hashed, and the first frames both ways; and what ends it."""

import hmac
from typing import Any

from google.protobuf.message import Message

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.connection.login import LoginOptions, third_party_login
from interop_protocol.noise import (
    PROLOGUE,
    InitiatorHandshake,
    RemoteProtocolError,
    ResponderHandshake,
    ServerHello,
    Transport,
)
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import choice, number, octets, record, several
from tests.vectors.fixed import flip, public_key, secret, seq
from tests.vectors.made import certificates

THIRD_PARTY_JID = "12-10853634039893@interop"
"""Who logs in."""

_STEP = record(
    "The values of Noise's symmetric state after this message.",
    {
        "handshake_hash": octets("h.", 32),
        "chaining_key": octets("ck.", 32),
    },
)
_KEYS = {
    "client_static_private_key": octets("The client's auth key.", 32),
    "client_static_key": octets("Its public key.", 32),
    "client_ephemeral_private_key": octets("Of this handshake.", 32),
    "server_static_private_key": octets("What the certificate chain certifies.", 32),
    "server_static_key": octets("Its public key.", 32),
    "server_ephemeral_private_key": octets("Of this handshake.", 32),
}
_FIELDS = {
    "prologue": octets("Hashed first; it is not sent over gRPC.", 4),
    **_KEYS,
    "server_payload": octets("What ServerHello.payload seals: a certificate chain."),
    "client_payload": octets("What ClientFinish.payload seals: a LoginPayload."),
    "client_hello_ephemeral": octets("ClientHello.ephemeral.", 32),
    "client_hello": octets("The whole ConnectRequest, serialised."),
    "after_client_hello": _STEP,
    "server_hello_ephemeral": octets("ServerHello.ephemeral.", 32),
    "server_hello_static_key": octets("ServerHello.static_key: sealed.", 48),
    "server_hello_payload": octets("ServerHello.payload: sealed."),
    "server_hello": octets("The whole ConnectResponse, serialised."),
    "after_server_hello": _STEP,
    "client_finish_static_key": octets("ClientFinish.static_key: sealed.", 48),
    "client_finish_payload": octets("ClientFinish.payload: sealed."),
    "client_finish": octets("The whole ConnectRequest, serialised."),
    "after_client_finish": _STEP,
    "client_key": octets("Seals the frames of the client.", 32),
    "server_key": octets("Seals the frames of the server.", 32),
    "frames": several(
        "The first frames of both directions, in the order in which they are sealed.",
        record(
            "One frame.",
            {
                "sender": choice("Who seals it.", "client", "server"),
                "counter": number("Its number in its direction: the last 4 bytes of the nonce."),
                "plaintext": octets("A serialised Batch, or the text of SPEC.md."),
                "sealed": octets("ConnectRequest.sealed or ConnectResponse.sealed."),
            },
        ),
    ),
}
_REFUSED_FIELDS = {
    "client_static_private_key": _KEYS["client_static_private_key"],
    "client_ephemeral_private_key": _KEYS["client_ephemeral_private_key"],
    "server_hello_ephemeral": octets("ServerHello.ephemeral, as it came."),
    "server_hello_static_key": octets("ServerHello.static_key, as it came."),
    "server_hello_payload": octets("ServerHello.payload, as it came."),
    "reason": choice("Why the client ends the connection.", "HANDSHAKE_MALFORMED", "HANDSHAKE_AUTHENTICATION_FAILED"),
}


def handshakes() -> Document:
    """Returns the file of whole handshakes."""
    spec = (seq(0), seq(32), seq(64), seq(96))
    real = (secret("auth key"), secret("client ephemeral"), certificates.SERVER_STATIC, secret("server ephemeral"))
    texts = [("client", b"client"), ("server", b"server"), ("client", b""), ("server", b"again")]
    return Document(
        "noise_handshake",
        "Noise XX as it is spoken here. As a client: build messages 1 and 3 and the client's frames from the private "
        "keys, read message 2 and the server's frames. As a server: the other way round. `client_hello` and "
        "`client_finish` are whole ConnectRequests, `server_hello` is a whole ConnectResponse, each with its "
        "HandshakeMessage in it.",
        ("CHN-01", "CHN-02", "CHN-03", "CHN-05", "CHN-06"),
        _FIELDS,
        [
            _handshake("spec", "The one of SPEC.md: its payloads and frames are texts.", spec,
                       (b"certificate chain", b"login payload"), texts),
            _handshake("third-party-user", "The chain `right` of certificates.json, a login, and batches.", real,
                       (certificates.chain(), _login()), _batches()),
        ],
    )  # fmt: skip


def _login() -> bytes:
    options = LoginOptions(read_receipts=True)
    return third_party_login(THIRD_PARTY_JID, "a.partners.token", options).SerializeToString(deterministic=True)


def _batches() -> list[tuple[str, bytes]]:
    success = stanza_pb2.LoginSuccess(jid=THIRD_PARTY_JID, session_token="session")
    stanzas = [
        ("server", stanza_pb2.Stanza(login_success=success)),
        ("server", stanza_pb2.Stanza(offline_end=stanza_pb2.OfflineEnd())),
        ("client", stanza_pb2.Stanza(ping=stanza_pb2.Ping(), ref=1)),
        ("server", stanza_pb2.Stanza(pong=stanza_pb2.Pong(), ref=1)),
        ("client", stanza_pb2.Stanza(ping=stanza_pb2.Ping(), ref=2)),
    ]
    return [
        (sender, stanza_pb2.Batch(stanzas=[stanza]).SerializeToString(deterministic=True)) for sender, stanza in stanzas
    ]


def _handshake(
    name: str, comment: str, keys: tuple[bytes, ...], payloads: tuple[bytes, bytes], frames: list[tuple[str, bytes]]
) -> Vector:
    client, server = InitiatorHandshake(*keys[:2]), ResponderHandshake(*keys[2:])
    hello = client.client_hello()
    server.read_client_hello(hello)
    vector: Vector = {
        "name": name,
        "comment": comment,
        "prologue": PROLOGUE.hex(),
        "client_static_private_key": keys[0].hex(),
        "client_static_key": public_key(keys[0]).hex(),
        "client_ephemeral_private_key": keys[1].hex(),
        "server_static_private_key": keys[2].hex(),
        "server_static_key": public_key(keys[2]).hex(),
        "server_ephemeral_private_key": keys[3].hex(),
        "server_payload": payloads[0].hex(),
        "client_payload": payloads[1].hex(),
        "client_hello_ephemeral": hello.hex(),
        "client_hello": client_hello(hello).hex(),
        "after_client_hello": state_of(client),
    }
    ephemeral, static, payload = answer = server.server_hello(payloads[0])
    client.read_server_hello(*answer)
    vector |= {
        "server_hello_ephemeral": ephemeral.hex(),
        "server_hello_static_key": static.hex(),
        "server_hello_payload": payload.hex(),
        "server_hello": server_hello(*answer).hex(),
        "after_server_hello": state_of(client),
    }
    finish = client.client_finish(payloads[1])
    server.read_client_finish(*finish)
    after = state_of(client)
    client_key, server_key = split(bytes.fromhex(after["chaining_key"]))
    return vector | {
        "client_finish_static_key": finish.static_ciphertext.hex(),
        "client_finish_payload": finish.payload_ciphertext.hex(),
        "client_finish": client_finish(*finish).hex(),
        "after_client_finish": after,
        "client_key": client_key.hex(),
        "server_key": server_key.hex(),
        "frames": _sealed(frames, {"client": client.split(), "server": server.split()}),
    }


def _sealed(frames: list[tuple[str, bytes]], ends: dict[str, Transport]) -> list[Any]:
    counters = dict.fromkeys(ends, 0)
    sealed = []
    for sender, plaintext in frames:
        frame = ends[sender].encrypt(plaintext)
        sealed.append(
            {"sender": sender, "counter": counters[sender], "plaintext": plaintext.hex(), "sealed": frame.hex()}
        )
        counters[sender] += 1
    return sealed


def client_hello(ephemeral: bytes) -> bytes:
    """Returns message 1 as it is sent."""
    hello = chat_pb2.ClientHello(ephemeral=ephemeral)
    return _serialized(chat_pb2.ConnectRequest(handshake=chat_pb2.HandshakeMessage(client_hello=hello)))


def server_hello(ephemeral: bytes, static_key: bytes, payload: bytes) -> bytes:
    """Returns message 2 as it is sent."""
    hello = chat_pb2.ServerHello(ephemeral=ephemeral, static_key=static_key, payload=payload)
    return _serialized(chat_pb2.ConnectResponse(handshake=chat_pb2.HandshakeMessage(server_hello=hello)))


def client_finish(static_key: bytes, payload: bytes) -> bytes:
    """Returns message 3 as it is sent."""
    finish = chat_pb2.ClientFinish(static_key=static_key, payload=payload)
    return _serialized(chat_pb2.ConnectRequest(handshake=chat_pb2.HandshakeMessage(client_finish=finish)))


def _serialized(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def state_of(handshake: InitiatorHandshake | ResponderHandshake) -> dict[str, str]:
    """Returns what a handshake has hashed so far: the vectors show it, although no caller needs it."""
    symmetric = handshake._symmetric
    return {
        "handshake_hash": symmetric._handshake_hash.hex(),
        "chaining_key": symmetric._chaining_key.hex(),
    }


def split(chaining_key: bytes) -> tuple[bytes, bytes]:
    """Returns the keys of the client's and of the server's frames, as SPEC.md says."""
    key = hmac.digest(chaining_key, b"", "sha256")
    first = hmac.digest(key, b"\1", "sha256")
    return first, hmac.digest(key, first + b"\2", "sha256")


def refused() -> Document:
    """Returns the file of handshakes that the client ends."""
    ephemeral, static, payload = _answer()
    weak = bytes(32)
    given = [
        ("static-key-altered", "One bit of the sealed static key is another.", ephemeral, flip(static), payload),
        ("payload-altered", "One bit of the sealed chain is another.", ephemeral, static, flip(payload)),
        ("ephemeral-altered", "One bit of the ephemeral key is another.", flip(ephemeral, 0), static, payload),
        ("payload-cut", "The last byte is missing.", ephemeral, static, payload[:-1]),
        ("stock-noise", "The server hashed the empty payload of message 1, as the Noise specification says.",
         *_stock_answer()),
        ("ephemeral-weak", "A key of low order, with which every secret is zero.", weak, static, payload),
        ("ephemeral-short", "31 bytes.", ephemeral[:-1], static, payload),
        ("ephemeral-absent", "No key at all.", b"", static, payload),
        ("static-key-short", "47 bytes.", ephemeral, static[:-1], payload),
    ]  # fmt: skip
    return Document(
        "noise_refusals",
        "Second messages of a handshake that a client must not accept: it ends the connection, and sends no third "
        "message.",
        ("CHN-02", "CHN-03"),
        _REFUSED_FIELDS,
        [_refused(name, comment, *answer) for name, comment, *answer in given],
    )


_CLIENT = (seq(0), seq(32))


def _answer() -> ServerHello:
    server = ResponderHandshake(seq(64), seq(96))
    server.read_client_hello(InitiatorHandshake(*_CLIENT).client_hello())
    return server.server_hello(b"certificate chain")


def _stock_answer() -> ServerHello:
    server = ResponderHandshake(seq(64), seq(96))
    server.read_client_hello(InitiatorHandshake(*_CLIENT).client_hello())
    server._symmetric.mix_hash(b"")
    return server.server_hello(b"certificate chain")


def _refused(name: str, comment: str, ephemeral: bytes, static: bytes, payload: bytes) -> Vector:
    client = InitiatorHandshake(*_CLIENT)
    client.client_hello()
    try:
        client.read_server_hello(ephemeral, static, payload)
    except RemoteProtocolError as error:
        return {
            "name": name,
            "comment": comment,
            "client_static_private_key": _CLIENT[0].hex(),
            "client_ephemeral_private_key": _CLIENT[1].hex(),
            "server_hello_ephemeral": ephemeral.hex(),
            "server_hello_static_key": static.hex(),
            "server_hello_payload": payload.hex(),
            "reason": error.reason,
        }
    raise AssertionError(f"{name} is accepted")
