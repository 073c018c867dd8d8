"""A message as a person may see it: what stands in it, but for what is secret, and never more than fits."""

import hashlib
import json
from typing import Any

from google.protobuf.message import Message

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_server.rpc.convert.shown import MOST_CHARACTERS, MOST_ELEMENTS, UNKNOWN_BYTES, shown


def read(message: Message) -> tuple[dict[str, Any], bool]:
    view = shown(message, message.ByteSize())
    fields: dict[str, Any] = json.loads(view.content)
    return fields, view.is_shortened


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def test_what_is_not_secret_is_shown_as_the_protos_name_it() -> None:
    """Enums by name, numbers of 64 bits as texts, bytes in hexadecimal, what is not set not at all."""
    keys = stanza_pb2.RetryKeys(identity_key=bytes(range(32)), signed_prekey_id=7)
    retry = stanza_pb2.RetryReceipt(
        to_jid="49@s.whatsapp.net", retry_count=2, reason=stanza_pb2.RETRY_REASON_BAD_MAC, keys=keys
    )
    fields, is_shortened = read(stanza_pb2.Stanza(retry_receipt=retry, delivery_id=2**53, offline=True))
    assert not is_shortened
    assert fields == {
        "retry_receipt": {
            "to_jid": "49@s.whatsapp.net",
            "retry_count": 2,
            "reason": "RETRY_REASON_BAD_MAC",
            "keys": {"identity_key": bytes(range(32)).hex(), "signed_prekey_id": 7},
        },
        "delivery_id": str(2**53),
        "offline": True,
    }


def test_a_secret_is_a_length_and_a_hash_wherever_it_stands() -> None:
    """In lists, in parts, as text and as bytes: two that are alike can be told from two that are not."""
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"c" * 40)
    fields, _ = read(stanza_pb2.Stanza(message=stanza_pb2.Message(enc=[enc, enc], reporting_token=b"t" * 16)))
    hidden = {"length": 40, "sha256": sha(b"c" * 40)}
    assert fields["message"] == {
        "enc": [{"type": "CIPHERTEXT_TYPE_DOUBLE_RATCHET", "ciphertext": hidden}] * 2,
        "reporting_token": {"length": 16, "sha256": sha(b"t" * 16)},
    }
    login = stanza_pb2.LoginSuccess(session_token="s" * 48)
    assert read(login)[0] == {"session_token": {"length": 48, "sha256": sha(b"s" * 48)}}


def test_a_short_secret_has_no_hash() -> None:
    """Whoever tries all codes of six digits would find it."""
    assert read(stanza_pb2.ChallengeCode(digits="123456"))[0] == {"digits": {"length": 6}}
    assert read(chat_pb2.InteropData(token=b"1" * 15))[0] == {"token": {"length": 15}}
    assert read(chat_pb2.InteropData(token=b"1" * 16))[0] == {"token": {"length": 16, "sha256": sha(b"1" * 16)}}


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """A list, a text, bytes; at the bound itself nothing is."""
    ids, text = ["m"] * MOST_ELEMENTS, "é" * MOST_CHARACTERS
    assert read(stanza_pb2.Receipt(message_ids=ids, to_jid=text)) == ({"message_ids": ids, "to_jid": text}, False)
    assert read(stanza_pb2.Receipt(message_ids=[*ids, "n"])) == ({"message_ids": ids}, True)
    assert read(stanza_pb2.Receipt(to_jid=text + "x")) == ({"to_jid": text}, True)
    half = MOST_CHARACTERS // 2
    assert read(chat_pb2.ClientHello(ephemeral=bytes(half))) == ({"ephemeral": "00" * half}, False)
    assert read(chat_pb2.ClientHello(ephemeral=bytes(half + 1))) == ({"ephemeral": "00" * half}, True)


def test_what_nobody_knows_is_shown_by_its_numbers() -> None:
    """A number of an enum as it is, fields by their numbers alone, and in a large message not even those."""
    strange = stanza_pb2.Stanza.FromString(bytes.fromhex("c80601c80602c00603"))  # fields 105, 105 and 104
    assert read(strange)[0] == {"unknown_fields": [104, 105]}
    assert read(stanza_pb2.Receipt.FromString(b"\x08\x63"))[0] == {"type": 99}
    assert "unknown_fields" in shown(strange, UNKNOWN_BYTES).content
    assert "unknown_fields" not in shown(strange, UNKNOWN_BYTES + 1).content
