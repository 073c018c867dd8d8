"""Sealed frames at their limits, and frames that end a connection."""

import asyncio
import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_protocol.noise import Transport, _CipherState
from interop_protocol.sizes import MAX_FRAME_BYTES, TAG_BYTES
from interop_server.core.errors import Refusal
from interop_server.core.limits import Limits
from interop_server.rpc.chat import _SealedChannel
from interop_server.rpc.convert.batches import Batches
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import choice, number, octets, optional
from tests.vectors.fixed import flip, secret

KEY = secret("frame key")
_FIELDS = {
    "client_key": octets("What seals the frames of the client.", 32),
    "counter": number("Number of the frame: the last 4 bytes of its nonce."),
    "expected_counter": number("Number of the frame that the server expects."),
    "max_frame_bytes": number("ChannelLimits.max_frame_bytes."),
    "max_batch_stanzas": number("ChannelLimits.max_batch_stanzas."),
    "plaintext_start": octets("How the plaintext, a Batch, begins; zero bytes follow."),
    "plaintext_length": number("Of the whole plaintext, in bytes."),
    "sealed_length": number("Of the sealed frame: 16 bytes more."),
    "sealed_sha256": octets("Of the sealed frame as it is sent.", 32),
    "altered_byte": optional(number("This byte of the sealed frame is sent with its lowest bit changed; null: none.")),
    "sent_length": number("How many bytes of the sealed frame are sent."),
    "stanzas": optional(number("How many stanzas the server reads; null where it ends the connection.")),
    "reason": optional(
        choice(
            "Why the server ends the connection.",
            "FRAME_TOO_LARGE",
            "FRAME_AUTHENTICATION_FAILED",
            "FRAME_MALFORMED",
            "BATCH_TOO_LARGE",
        )
    ),
}
_PING = stanza_pb2.Stanza(ping=stanza_pb2.Ping())
_DEFAULTS = Limits()


def document() -> Document:
    """Returns the file."""
    usual = _DEFAULTS.max_frame_bytes
    one, most = _batch(1), _DEFAULTS.max_batch_stanzas
    whole = len(one) + TAG_BYTES
    return Document(
        "frames",
        "Frames of a client as the server takes them: within each limit, and beyond it. Build the plaintext, seal it, "
        "and compare length and hash; a reader gives the outcome. What a frame's bytes are is in noise_handshake.json.",
        ("CHN-05", "CHN-09"),
        _FIELDS,
        [
            _frame("small", "One stanza.", one),
            _frame("largest", "As long as a frame may be.", _padded(usual - TAG_BYTES), usual - TAG_BYTES),
            _frame("too-large", "One byte more.", _padded(usual - TAG_BYTES + 1), usual - TAG_BYTES + 1),
            _frame("hard-cap", "As long as any server may allow: 24 bits.", _padded(MAX_FRAME_BYTES - TAG_BYTES),
                   MAX_FRAME_BYTES - TAG_BYTES, limit=MAX_FRAME_BYTES),
            _frame("beyond-hard-cap", "One byte more.", _padded(MAX_FRAME_BYTES - TAG_BYTES + 1),
                   MAX_FRAME_BYTES - TAG_BYTES + 1, limit=MAX_FRAME_BYTES),
            _frame("most-stanzas", "As many stanzas as a batch may hold.", _batch(most)),
            _frame("too-many-stanzas", "One more.", _batch(most + 1)),
            _frame("later-frame", "The 257th frame: the counter is big-endian.", one, counter=256),
            _frame("last-counter", "The last but one number that a counter has: no connection sends more frames.", one,
                   counter=(1 << 32) - 2),
            _frame("repeated", "A frame that came before.", one, counter=4, expected=5),
            _frame("out-of-order", "A frame that comes too early.", one, counter=6, expected=5),
            _frame("tag-altered", "One bit of the tag is another.", one, altered=whole - 1),
            _frame("ciphertext-altered", "One bit of the ciphertext is another.", one, altered=0),
            _frame("cut", "The last byte is missing.", one, sent=whole - 1),
            _frame("shorter-than-a-tag", "15 bytes.", one, sent=TAG_BYTES - 1),
            _frame("no-bytes", "A sealed frame of no bytes.", one, sent=0),
            _frame("empty-batch", "A tag over nothing: a batch without a stanza.", b""),
            _frame("no-batch", "The plaintext is no Batch.", b"\xff" * 4),
        ],
    )  # fmt: skip


def _batch(stanzas: int) -> bytes:
    return stanza_pb2.Batch(stanzas=[_PING] * stanzas).SerializeToString(deterministic=True)


def _padded(length: int) -> bytes:
    """The beginning of a batch of one stanza, with a field that no release knows; zero bytes make it that long."""
    ping = _PING.SerializeToString(deterministic=True)
    lengths = length - 1 - len(_varint(length))  # of the stanza, if its own length takes as many bytes
    filled = lengths - len(ping) - 2 - len(_varint(lengths))
    start = b"\x0a" + _varint(lengths) + ping + b"\xfa\x3e" + _varint(filled)
    assert len(start) + filled == length
    return start


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


def _frame(
    name: str,
    comment: str,
    start: bytes,
    length: int | None = None,
    *,
    counter: int = 0,
    expected: int | None = None,
    limit: int = _DEFAULTS.max_frame_bytes,
    altered: int | None = None,
    sent: int | None = None,
) -> Vector:
    plaintext = start.ljust(len(start) if length is None else length, b"\0")
    sealed = AESGCM(KEY).encrypt(bytes(8) + counter.to_bytes(4, "big"), plaintext, None)
    vector: Vector = {
        "name": name,
        "comment": comment,
        "client_key": KEY.hex(),
        "counter": counter,
        "expected_counter": counter if expected is None else expected,
        "max_frame_bytes": limit,
        "max_batch_stanzas": _DEFAULTS.max_batch_stanzas,
        "plaintext_start": start.hex(),
        "plaintext_length": len(plaintext),
        "sealed_length": len(sealed),
        "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
        "altered_byte": altered,
        "sent_length": len(sealed) if sent is None else sent,
    }
    stanzas, reason = outcome(vector, sealed)
    return vector | {"stanzas": stanzas, "reason": reason}


def outcome(vector: Vector, sealed: bytes) -> tuple[int | None, str | None]:
    """Returns how many stanzas the server reads of a frame, or why it ends the connection."""
    on_the_way = sealed if vector["altered_byte"] is None else flip(sealed, vector["altered_byte"])
    limits = replace(Limits(), max_frame_bytes=vector["max_frame_bytes"], max_batch_stanzas=vector["max_batch_stanzas"])
    receiving = _CipherState(bytes.fromhex(vector["client_key"]))
    receiving._counter = vector["expected_counter"]
    transport = Transport(sending=_CipherState(bytes(32)), receiving=receiving)

    async def read() -> Any:
        return chat_pb2.ConnectRequest(sealed=on_the_way[: vector["sent_length"]])

    context: Any = SimpleNamespace(read=read)
    trace: Any = None
    try:
        plaintext = asyncio.run(_SealedChannel(context, transport, limits, trace).read())
        assert plaintext is not None
        return len(Batches(limits).read(plaintext).batch.stanzas), None
    except Refusal as refusal:
        return None, refusal.reason.name
