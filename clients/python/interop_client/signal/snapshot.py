"""The saved form of a device's keys and sessions: versioned JSON; writes and reads it, knows no file.

Binary values are base64 text, numbers are numbers, and a key pair is saved as its private key only. Version 2:

    {"version": 2, "registration_id": n, "identity": private,
     "signed_prekeys": [[id, private, signature], ...],             current one last
     "one_time_prekeys": [[id, private], ...], "next_one_time_prekey_id": n,
     "records": {remote: {"identity": public, "sessions": [session, ...]}},      current one first
     "kem": {"one_time": [[id, seed], ...], "last_resort": null or [id, seed], "next_id": n, "seen": [remote, ...]},
     "offered_signed_prekey": null or [id, private, signature],     absent from an older state, as are these:
     "confirmed_signed_prekey_id": n,
     "offered_one_time_prekeys": [id, ...], "retired_one_time_prekeys": [id, ...]}

    session: {"base_key": public, "registration_id": n, "pending": null or [signed prekey id, one-time id or null],
              "root_key": secret, "ratchet_key": private, "sending_chain": null or [secret, counter],
              "previous_counter": n, "receiving_chains": [[ratchet public, secret, counter, [[n, secret], ...]], ...]}

Version 1, which this release reads too, has no "kem".

It contains every secret of the device: protect it like a private key.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from interop_client.signal.chain import ChainKey, ReceivingChain
from interop_client.signal.errors import InvalidKey, InvalidSnapshot
from interop_client.signal.kem import SEED_BYTES, KemKeys
from interop_client.signal.keys import KeyPair, SignedPreKey
from interop_client.signal.ratchet import DoubleRatchet
from interop_client.signal.session import PendingPreKey, Session, SessionRecord
from interop_protocol.json_text import plain_text, read_json, whole_number
from interop_protocol.sizes import PRIVATE_KEY_BYTES, SIGNATURE_BYTES

VERSION = 2
_READABLE = (1, 2)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a state; the fields are those of `SignalState`."""

    registration_id: int
    """32 bits, not 0."""
    identity: KeyPair
    """The identity key."""
    signed_prekeys: dict[int, SignedPreKey]
    """By id; the current one last."""
    one_time_prekeys: dict[int, bytes]
    """Private keys by id."""
    next_one_time_prekey_id: int
    """Id of the next one-time prekey to make."""
    records: dict[str, SessionRecord]
    """Identity key and sessions of each remote party."""
    kem: KemKeys
    """Post-quantum prekeys."""
    offered_signed_prekey: SignedPreKey | None
    """The signed prekey that the server has not confirmed yet."""
    confirmed_signed_prekey_id: int
    """Id of the one that the server confirmed last."""
    offered_one_time_prekeys: list[int]
    """Ids of those that the server has not confirmed yet."""
    retired_one_time_prekeys: list[int]
    """Ids of those that are published no more."""


def encode(parts: Parts) -> bytes:
    """Returns the saved form: UTF-8 JSON."""
    document = {
        "version": VERSION,
        "registration_id": parts.registration_id,
        "identity": _text(parts.identity.private_key),
        "signed_prekeys": [_encode_signed(key) for key in parts.signed_prekeys.values()],
        "one_time_prekeys": [[key_id, _text(private_key)] for key_id, private_key in parts.one_time_prekeys.items()],
        "next_one_time_prekey_id": parts.next_one_time_prekey_id,
        "records": {
            remote: {
                "identity": _text(record.remote_identity),
                "sessions": [_encode_session(session) for session in record.sessions],
            }
            for remote, record in parts.records.items()
        },
        "kem": _encode_kem(parts.kem),
        "offered_signed_prekey": parts.offered_signed_prekey and _encode_signed(parts.offered_signed_prekey),
        "confirmed_signed_prekey_id": parts.confirmed_signed_prekey_id,
        "offered_one_time_prekeys": parts.offered_one_time_prekeys,
        "retired_one_time_prekeys": parts.retired_one_time_prekeys,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(saved: bytes) -> Parts:
    """Reads the saved form.

    Raises:
        InvalidSnapshot: The form is damaged, or has a version that this release does not know.
    """
    try:
        document = read_json(saved)
        if whole_number(document["version"]) not in _READABLE:
            raise InvalidSnapshot(f"version {document['version']} is not one of {_READABLE}")
        return _decode_parts(document)
    except (ValueError, TypeError, AttributeError, LookupError, InvalidKey) as error:
        raise InvalidSnapshot("the saved state is damaged") from error


def _decode_parts(document: dict[str, Any]) -> Parts:
    identity, offered = _key_pair(document["identity"]), document.get("offered_signed_prekey")
    if not document["signed_prekeys"]:
        raise InvalidSnapshot("there is no signed prekey")
    return Parts(
        registration_id=whole_number(document["registration_id"]),
        identity=identity,
        signed_prekeys={key[0]: _decode_signed(*key) for key in document["signed_prekeys"]},
        one_time_prekeys={
            whole_number(key_id): _key(private_key) for key_id, private_key in document["one_time_prekeys"]
        },
        next_one_time_prekey_id=whole_number(document["next_one_time_prekey_id"]),
        records={remote: _decode_record(identity.public_key, record) for remote, record in document["records"].items()},
        kem=KemKeys() if document["version"] == 1 else _decode_kem(document["kem"]),
        offered_signed_prekey=None if offered is None else _decode_signed(*offered),
        confirmed_signed_prekey_id=whole_number(
            document.get("confirmed_signed_prekey_id", document["signed_prekeys"][-1][0])
        ),
        offered_one_time_prekeys=_whole_numbers(document.get("offered_one_time_prekeys", [])),
        retired_one_time_prekeys=_whole_numbers(document.get("retired_one_time_prekeys", [])),
    )


def _encode_signed(key: SignedPreKey) -> list[Any]:
    return [key.key_id, _text(key.key_pair.private_key), _text(key.signature)]


def _decode_signed(key_id: int, private_key: str, signature: str) -> SignedPreKey:
    return SignedPreKey(whole_number(key_id), _key_pair(private_key), _key(signature, SIGNATURE_BYTES))


def _encode_kem(kem: KemKeys) -> dict[str, Any]:
    return {
        "one_time": [[key_id, _text(seed)] for key_id, seed in kem.one_time.items()],
        "last_resort": None if kem.last_resort is None else [kem.last_resort[0], _text(kem.last_resort[1])],
        "next_id": kem.next_id,
        "seen": sorted(kem.seen),
    }


def _decode_kem(kem: dict[str, Any]) -> KemKeys:
    last_resort = kem["last_resort"]
    return KemKeys(
        one_time={whole_number(key_id): _key(seed, SEED_BYTES) for key_id, seed in kem["one_time"]},
        last_resort=None if last_resort is None else (whole_number(last_resort[0]), _key(last_resort[1], SEED_BYTES)),
        next_id=whole_number(kem["next_id"]),
        seen={plain_text(remote) for remote in kem["seen"]},
    )


def _decode_record(local_identity: bytes, record: dict[str, Any]) -> SessionRecord:
    remote_identity = _key(record["identity"])
    sessions = [_decode_session(local_identity, remote_identity, session) for session in record["sessions"]]
    return SessionRecord(remote_identity, sessions)


def _encode_session(session: Session) -> dict[str, Any]:
    ratchet, pending = session.ratchet, session.pending
    sending = ratchet.sending_chain
    return {
        "base_key": _text(session.base_key),
        "registration_id": session.remote_registration_id,
        "pending": None if pending is None else [pending.signed_prekey_id, pending.one_time_prekey_id],
        "root_key": _text(ratchet.root_key),
        "ratchet_key": _text(ratchet.ratchet_key.private_key),
        "sending_chain": None if sending is None else [_text(sending.key), sending.counter],
        "previous_counter": ratchet.previous_counter,
        "receiving_chains": [_encode_chain(chain) for chain in ratchet.receiving_chains],
    }


def _decode_session(local_identity: bytes, remote_identity: bytes, session: dict[str, Any]) -> Session:
    sending, pending = session["sending_chain"], session["pending"]
    return Session(
        local_identity=local_identity,
        remote_identity=remote_identity,
        remote_registration_id=whole_number(session["registration_id"]),
        base_key=_key(session["base_key"]),
        ratchet=DoubleRatchet(
            root_key=_key(session["root_key"]),
            ratchet_key=_key_pair(session["ratchet_key"]),
            sending_chain=None if sending is None else ChainKey(_key(sending[0]), whole_number(sending[1])),
            previous_counter=whole_number(session["previous_counter"]),
            receiving_chains=[_decode_chain(*chain) for chain in session["receiving_chains"]],
        ),
        pending=None if pending is None else _decode_pending(*pending),
    )


def _decode_pending(signed_prekey_id: int, one_time_prekey_id: int | None) -> PendingPreKey:
    one_time = None if one_time_prekey_id is None else whole_number(one_time_prekey_id)
    return PendingPreKey(whole_number(signed_prekey_id), one_time)


def _encode_chain(chain: ReceivingChain) -> list[Any]:
    skipped = [[counter, _text(secret)] for counter, secret in chain.skipped.items()]
    return [_text(chain.ratchet_key), _text(chain.chain_key.key), chain.chain_key.counter, skipped]


def _decode_chain(ratchet_key: str, key: str, counter: int, skipped: list[tuple[int, str]]) -> ReceivingChain:
    secrets = {whole_number(skipped_counter): _key(secret) for skipped_counter, secret in skipped}
    return ReceivingChain(_key(ratchet_key), ChainKey(_key(key), whole_number(counter)), secrets)


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _whole_numbers(values: list[Any]) -> list[int]:
    return [whole_number(value) for value in values]


def _key(text: str, length: int = PRIVATE_KEY_BYTES) -> bytes:
    key = b64decode(text, validate=True)
    if len(key) != length:
        raise ValueError(f"a key has {len(key)} bytes instead of {length}")
    return key


def _key_pair(private_key: str) -> KeyPair:
    return KeyPair.from_private(_key(private_key))
