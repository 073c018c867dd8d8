"""The parties of the vectors of sessions, and a session as the vectors show it."""

from typing import Any

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal import PreKeyBundle, SignalState
from interop_client.signal.chain import ChainKey, ReceivingChain
from interop_client.signal.content import pad, serialize_message
from interop_client.signal.keys import KeyPair
from interop_client.signal.ratchet import DoubleRatchet
from interop_client.signal.session import PendingPreKey, Session
from tests.vectors.fields import Field, number, octets, optional, record, several
from tests.vectors.fixed import Given, secret

ALICE = "12-10853634039893@interop"
"""The initiator's JID."""
BOB = "4915112345678@s.whatsapp.net"
"""The responder's JID."""
ALICE_REGISTRATION_ID = 0xC7A83AB4
BOB_REGISTRATION_ID = 305419896
SIGNED_PREKEY_ID = 1
ONE_TIME_PREKEY_ID = 1

_CHAIN = record(
    "A chain of the other party.",
    {
        "ratchet_key": octets("The other party's ratchet key, without 0x05.", 32),
        "chain_key": octets("For the next message expected.", 32),
        "counter": number("Number of that message."),
        "skipped": several(
            "Messages that have not come yet, oldest first.",
            record(
                "One of them.",
                {
                    "counter": number("Its number."),
                    "message_secret": octets("Its keys expand from this: HKDF, `WhisperMessageKeys`.", 32),
                },
            ),
        ),
    },
)
SESSION: Field = {"$ref": "#/$defs/session"}
"""A field that shows a session."""
SESSION_SCHEMA: Field = record(
    "Everything that a party keeps of a session. Public keys are without 0x05.",
    {
        "local_identity_private_key": octets("The party's own identity key.", 32),
        "local_identity_key": octets("Its public key.", 32),
        "local_registration_id": number("The party's own."),
        "remote_identity_key": octets("The other party's.", 32),
        "remote_registration_id": number("The other party's."),
        "base_key": octets("The initiator's base key: it names the session.", 32),
        "pending_prekey": optional(
            record(
                "What the initiator repeats with each message until the responder has answered.",
                {
                    "signed_prekey_id": number("Of the responder's."),
                    "one_time_prekey_id": optional(number("Of the responder's; null when the bundle had none.")),
                },
            )
        ),
        "root_key": octets("32 bytes.", 32),
        "ratchet_private_key": octets("The party's current ratchet key.", 32),
        "ratchet_key": octets("Its public key.", 32),
        "sending_chain": optional(
            record(
                "Null on the responder's side until it has received a message.",
                {"chain_key": octets("For the next message sent.", 32), "counter": number("Number of that message.")},
            )
        ),
        "previous_counter": number("How many messages the party sent in the sending chain before."),
        "receiving_chains": several("Of the other party, oldest first; five at most.", _CHAIN),
    },
)


def alice() -> SignalState:
    """Returns the initiator as a new device."""
    return _device("alice", ALICE_REGISTRATION_ID)


def bob() -> SignalState:
    """Returns the responder as a new device, with one one-time prekey."""
    device = _device("bob", BOB_REGISTRATION_ID)
    device.entropy = Given(secret("bob one-time prekey"))
    device.generate_one_time_prekeys(1)
    return device


def _device(name: str, registration_id: int) -> SignalState:
    drawn = Given(
        secret(f"{name} identity"), secret(f"{name} signed prekey"), secret(f"{name} signed prekey nonce", 64)
    )
    return SignalState.generate(registration_id, drawn)


def bundle_of(device: SignalState, with_one_time_prekey: bool) -> PreKeyBundle:
    """Returns what the server gives out of a device's keys."""
    published = device.publishable
    one_time = device.unused_one_time_prekeys()[0] if with_one_time_prekey else None
    return PreKeyBundle(
        registration_id=published.registration_id,
        device_id=0,
        identity_key=published.identity_key,
        signed_prekey_id=published.signed_prekey.key_id,
        signed_prekey=published.signed_prekey.public_key,
        signed_prekey_signature=published.signed_prekey.signature,
        one_time_prekey_id=one_time.key_id if one_time else None,
        one_time_prekey=one_time.public_key if one_time else None,
    )


def padded(text: str, padding: int) -> bytes:
    """Returns a text as what a session encrypts."""
    return pad(serialize_message(content_pb2.Message(conversation=text)), padding)


def show(session: Session, device: SignalState) -> dict[str, Any]:
    """Returns a session as the vectors show it."""
    ratchet, pending, sending = session.ratchet, session.pending, session.ratchet.sending_chain
    return {
        "local_identity_private_key": device.identity.private_key.hex(),
        "local_identity_key": session.local_identity.hex(),
        "local_registration_id": device.registration_id,
        "remote_identity_key": session.remote_identity.hex(),
        "remote_registration_id": session.remote_registration_id,
        "base_key": session.base_key.hex(),
        "pending_prekey": pending
        and {"signed_prekey_id": pending.signed_prekey_id, "one_time_prekey_id": pending.one_time_prekey_id},
        "root_key": ratchet.root_key.hex(),
        "ratchet_private_key": ratchet.ratchet_key.private_key.hex(),
        "ratchet_key": ratchet.ratchet_key.public_key.hex(),
        "sending_chain": sending and {"chain_key": sending.key.hex(), "counter": sending.counter},
        "previous_counter": ratchet.previous_counter,
        "receiving_chains": [_show_chain(chain) for chain in ratchet.receiving_chains],
    }


def _show_chain(chain: ReceivingChain) -> dict[str, Any]:
    return {
        "ratchet_key": chain.ratchet_key.hex(),
        "chain_key": chain.chain_key.key.hex(),
        "counter": chain.chain_key.counter,
        "skipped": [
            {"counter": counter, "message_secret": message_secret.hex()}
            for counter, message_secret in chain.skipped.items()
        ],
    }


def read_session(shown: dict[str, Any]) -> Session:
    """Returns a session from what the vectors show of it; the opposite of `show`."""
    pending, sending = shown["pending_prekey"], shown["sending_chain"]
    return Session(
        local_identity=bytes.fromhex(shown["local_identity_key"]),
        remote_identity=bytes.fromhex(shown["remote_identity_key"]),
        remote_registration_id=shown["remote_registration_id"],
        base_key=bytes.fromhex(shown["base_key"]),
        ratchet=DoubleRatchet(
            root_key=bytes.fromhex(shown["root_key"]),
            ratchet_key=KeyPair.from_private(bytes.fromhex(shown["ratchet_private_key"])),
            sending_chain=sending and ChainKey(bytes.fromhex(sending["chain_key"]), sending["counter"]),
            previous_counter=shown["previous_counter"],
            receiving_chains=[_read_chain(chain) for chain in shown["receiving_chains"]],
        ),
        pending=pending and PendingPreKey(pending["signed_prekey_id"], pending["one_time_prekey_id"]),
    )


def _read_chain(shown: dict[str, Any]) -> ReceivingChain:
    skipped = {each["counter"]: bytes.fromhex(each["message_secret"]) for each in shown["skipped"]}
    position = ChainKey(bytes.fromhex(shown["chain_key"]), shown["counter"])
    return ReceivingChain(bytes.fromhex(shown["ratchet_key"]), position, skipped)
