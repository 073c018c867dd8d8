"""protos/SPEC.md is true: its values come out of the code, and the files, tests and requirements it names exist."""

import ast
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_client.media.crypto import MediaKeys, MediaType, encrypt_file
from interop_client.signal.chain import ChainKey, MessageKeys
from interop_client.signal.keys import KeyPair
from interop_client.signal.x3dh import PreKeyBundle, initiator_root_key
from interop_protocol.certificates import Validity, issue_chain
from interop_protocol.digest import blocklist_digest, key_digest, phash
from interop_protocol.encoding import decode_base64url, media_token
from interop_protocol.franking import reporting_token
from interop_protocol.noise import InitiatorHandshake, ResponderHandshake
from interop_protocol.xeddsa_keys import sign_xeddsa, verify_signed_prekey
from interop_server.core.errors import Reason
from interop_server.core.limits import Limits
from interop_server.ledger import load_ledger

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protos" / "SPEC.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", SPEC, re.MULTILINE | re.DOTALL))
REQUIREMENTS = load_ledger().rows
WITHOUT_TEST = {"User-visible identifiers", "Protocol version"}


class Prekey(NamedTuple):
    key_id: int
    public_key: bytes


def seq(start: int) -> bytes:
    return bytes(range(start, start + 32))


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def values(section: str) -> dict[str, str]:
    """The values in the code blocks of a section, by name; a value may go on in the lines below it."""
    found: dict[str, str] = {}
    name = ""
    for block in re.findall(r"^```\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            given = re.fullmatch(r"(\S.*?) {2,}(\S+)", line)
            if given:
                name = given[1]
            found[name] = found.get(name, "") + (given[2] if given else line.strip())
    return found


def test_the_handshake_is_the_written_one() -> None:
    """Both ends, from the written keys, send the written bytes."""
    client, server = InitiatorHandshake(seq(0), seq(32)), ResponderHandshake(seq(64), seq(96))
    hello = client.client_hello()
    server.read_client_hello(hello)
    answer = server.server_hello(b"certificate chain")
    client.read_server_hello(*answer)
    finish = client.client_finish(b"login payload")
    server.read_client_finish(*finish)
    ends = client.split(), server.split()
    written = values("The Noise handshake")
    assert [written[f"server_hello.{name}"] for name in ("ephemeral", "static_key", "payload")] == [
        part.hex() for part in answer
    ]
    assert [written[f"client_finish.{name}"] for name in ("static_key", "payload")] == [part.hex() for part in finish]
    assert written["client_hello.ephemeral"] == hello.hex()
    assert written['first frame, "client"'] == ends[0].encrypt(b"client").hex()
    assert written['first frame, "server"'] == ends[1].encrypt(b"server").hex()


def test_the_certificate_chain_is_the_written_one() -> None:
    nonces = (bytes(64), bytes(range(64)))
    chain = issue_chain(seq(0), seq(32), public_key(seq(96)), Validity(1_000, 2_000), nonces)
    written = values("The server's certificates")
    assert written["root_public_key"] == public_key(seq(0)).hex()
    assert written["chain"] == chain.encode().hex()


def test_metas_sample_is_the_written_one() -> None:
    written = values("Keys and signatures")
    lengths = {"e_ident": 32, "e_skey_val": 32, "e_skey_sig": 64}
    assert verify_signed_prekey(*(decode_base64url(written[name], length) for name, length in lengths.items()))


@pytest.mark.parametrize("start", range(8))
def test_a_signature_takes_the_written_nonce(start: int) -> None:
    """`s = r + h·a` with the clamped scalar kept, for Edwards keys of both signs."""
    private, message, drawn = seq(start), b"message", bytes(range(64))
    clamped = bytes((private[0] & 0xF8, *private[1:31], private[31] & 0x7F | 0x40))
    prime, order = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
    signature = sign_xeddsa(private, message, drawn)
    u = int.from_bytes(public_key(private), "little")
    y = (u - 1) * pow(u + 1, -1, prime) % prime
    edwards = (y | (signature[63] >> 7) << 255).to_bytes(32, "little")

    def hashed(*parts: bytes) -> int:
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")

    r = hashed(b"\xfe", b"\xff" * 31, clamped, message, drawn) % order
    s = (r + hashed(signature[:32], edwards, message) * int.from_bytes(clamped, "little")) % order
    assert signature[32:63] + bytes((signature[63] & 0x7F,)) == s.to_bytes(32, "little")


def test_the_digests_are_the_written_ones() -> None:
    prekeys = [Prekey(10, b"\5" * 32), Prekey(9, b"\4" * 32)]
    assert values("Digests") == {
        "key digest": key_digest(b"\1" * 32, b"\2" * 32, b"\3" * 64, prekeys).hex(),
        "phash 12-34@interop": phash(["12-34@interop"]),
        "phash 12-34@interop, 12-34:2@interop": phash(["12-34@interop", "12-34:2@interop"]),
        "blocklist 12-3@interop, 1-2@interop": blocklist_digest(["12-3@interop", "1-2@interop"]).hex(),
    }


@pytest.mark.parametrize(("name", "one_time"), [("root key", 1), ("root key, no O_r", None)])
def test_the_root_key_is_the_written_one(name: str, one_time: int | None) -> None:
    ours, theirs, signed, single, base = (KeyPair.from_private(seq(start)) for start in range(0, 160, 32))
    key = None if one_time is None else single.public_key
    bundle = PreKeyBundle(1, 0, theirs.public_key, 1, signed.public_key, bytes(64), one_time, key)
    assert values("X3DH")[name] == initiator_root_key(ours, base, bundle).hex()


def test_the_chain_vector_is_the_written_one() -> None:
    written = values("The Double Ratchet")
    chain_key = ChainKey(bytes.fromhex(written["chain key"]))
    keys = MessageKeys.expand(chain_key.message_secret())
    assert (written["cipher key"], written["MAC key"]) == (keys.cipher_key.hex(), keys.mac_key.hex())
    assert written["next chain key"] == chain_key.next().key.hex()


def test_the_reporting_token_is_the_written_one() -> None:
    token = reporting_token(seq(0), "12-34@interop", "491511234567@s.whatsapp.net", "m1", b"Hi")
    assert values("Reporting tokens")["reporting token"] == token.hex()


def test_the_blob_is_the_written_one() -> None:
    blob, keys = io.BytesIO(), MediaKeys.expand(seq(0), MediaType.IMAGE)
    described = encrypt_file(io.BytesIO(b"a picture worth a thousand words"), blob, seq(0), MediaType.IMAGE)
    written = values("Media encryption")
    assert [written[name] for name in ("IV", "cipher key", "MAC key", "blob", "upload token")] == [
        keys.iv.hex(),
        keys.cipher_key.hex(),
        keys.mac_key.hex(),
        blob.getvalue().hex(),
        media_token(described.ciphertext_sha256),
    ]


def unknown_names(text: str) -> Iterator[str]:
    """Files, tests, requirements, reasons and limits that a text names and nobody else knows."""
    for file, test in re.findall(r"`((?:clients|protos|server|tests)/[\w/.-]+)(?:::(\w+))?`", text):
        path = ROOT / file
        if not path.exists() or (test and test not in _functions(path)):
            yield f"{file}::{test}" if test else file
    yield from (name for name in re.findall(r"\b[A-Z]{3}-\d\d\b", text) if name not in REQUIREMENTS)
    reasons = re.findall(r"(?<![\w`])[A-Z]+_[A-Z_]+[A-Z]\b", text)
    yield from (name for name in reasons if name not in Reason.__members__)
    limits = re.findall(r"`([a-z]+(?:_[a-z]+)*_(?:audience|bytes|days|seconds|version))`", text)
    yield from (name for name in limits if not hasattr(Limits(), name))


def _functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_names_what_exists(section: str) -> None:
    """The code, the requirements and the test that prove it, each of which is there."""
    text = SECTIONS[section]
    assert re.match(r"\nCode: `", text)
    assert "Requirement" in text
    assert (section in WITHOUT_TEST) == ("`tests/" not in text)
    assert list(unknown_names(text)) == []


def test_the_search_finds_what_it_looks_for() -> None:
    """A search that finds nothing proves something only if it can find."""
    text = """`server/interop_server/gone.py`, `tests/unit/test_spec.py::test_gone`, ABC-99, TOKEN_GONE and
    `gone_seconds`; but `tests/unit/test_spec.py::seq`, CHN-04, TOKEN_EXPIRED and `unenlist_days` are there."""
    assert list(unknown_names(text)) == [
        "server/interop_server/gone.py",
        "tests/unit/test_spec.py::test_gone",
        "ABC-99",
        "TOKEN_GONE",
        "gone_seconds",
    ]


def test_every_section_is_in_the_list_at_the_top() -> None:
    anchors = [re.sub(r"[^\w-]", "", name.lower().replace(" ", "-")) for name in SECTIONS]
    assert re.findall(r"\]\(#([\w-]+)\)", SPEC) == anchors
