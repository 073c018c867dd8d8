"""X3DH: the first secret of a session and its first message; and bundles that nobody may use."""

from dataclasses import replace

from interop_client.signal import CiphertextType, InvalidKey, InvalidSignature, PreKeyBundle
from interop_client.signal.keys import KeyPair
from interop_client.signal.x3dh import initiator_root_key
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import choice, number, octets, optional
from tests.vectors.fixed import Given, flip, public_key, secret
from tests.vectors.made import sessions
from tests.vectors.made.sessions import ALICE, BOB, SESSION

FIRST = "with-one-time-prekey"
"""Name of the agreement with which the conversation of ratchet.json begins."""
_BUNDLE = {
    "responder_registration_id": number("32 bits."),
    "responder_identity_key": octets("Without 0x05."),
    "signed_prekey_id": number("1 to 16777215."),
    "signed_prekey": octets("Without 0x05."),
    "signed_prekey_signature": octets("XEdDSA of the identity key over 0x05 and the signed prekey."),
    "one_time_prekey_id": optional(number("Null when the bundle has none.")),
    "one_time_prekey": optional(octets("Without 0x05; null when the bundle has none.")),
}
_FIELDS = {
    **_BUNDLE,
    "responder_identity_private_key": octets("The responder's.", 32),
    "signed_prekey_private_key": octets("The responder's.", 32),
    "one_time_prekey_private_key": optional(octets("The responder's.", 32)),
    "initiator_registration_id": number("32 bits."),
    "initiator_identity_private_key": octets("The initiator's.", 32),
    "initiator_identity_key": octets("Its public key.", 32),
    "base_private_key": octets("The initiator's, of this agreement only: the first that it draws.", 32),
    "base_key": octets("Its public key.", 32),
    "first_ratchet_private_key": octets("The initiator's first ratchet key: the second that it draws.", 32),
    "secret": octets("What HKDF gets: 32 bytes FF, and three or four shared secrets."),
    "root_key": octets("What X3DH gives, before the initiator's first root step.", 32),
    "plaintext": octets("A serialised Message of content.proto, padded."),
    "message": octets("The PreKeySignalMessage, as Enc.ciphertext has it with the type `pkmsg`."),
    "responder_ratchet_private_key": octets("What the responder draws when it has read the message.", 32),
    "initiator_session": SESSION,
    "responder_session": SESSION,
}
_REFUSED_FIELDS = {
    **_BUNDLE,
    "reason": choice("Why.", "INVALID_KEY", "INVALID_SIGNATURE"),
}


def agreements() -> Document:
    """Returns the file of agreements."""
    return Document(
        "x3dh",
        "X3DH and the first message of a session. As the initiator: verify the bundle, agree with the given private "
        "keys, encrypt, and compare message and session. As the responder: read the message with the private prekeys, "
        "and compare plaintext and session.",
        ("KEY-05", "KEY-06", "MSG-02", "MSG-03"),
        _FIELDS,
        [
            _agreement(FIRST, "Four shared secrets. The conversation of ratchet.json begins so.", True),
            _agreement("without-one-time-prekey", "Three: the server had no one-time prekey left.", False),
        ],
    )


def _agreement(name: str, comment: str, with_one_time_prekey: bool) -> Vector:
    alice, bob = sessions.alice(), sessions.bob()
    bundle = sessions.bundle_of(bob, with_one_time_prekey)
    one_time = bob.one_time_prekeys[sessions.ONE_TIME_PREKEY_ID] if with_one_time_prekey else None
    base, ratchet, answer = (KeyPair.from_private(key) for key in drawn_by(name))
    alice.entropy, bob.entropy = Given(base.private_key, ratchet.private_key), Given(answer.private_key)
    alice.process_bundle(BOB, bundle)
    plaintext = sessions.padded("Hello", 1)
    message = alice.encrypt(BOB, plaintext)
    assert message.type is CiphertextType.PREKEY
    assert bob.decrypt(ALICE, message.type, message.body) == plaintext
    return {
        "name": name,
        "comment": comment,
        **_shown_bundle(bundle),
        "responder_identity_private_key": bob.identity.private_key.hex(),
        "signed_prekey_private_key": bob.signed_prekeys[bundle.signed_prekey_id].key_pair.private_key.hex(),
        "one_time_prekey_private_key": one_time and one_time.hex(),
        "initiator_registration_id": alice.registration_id,
        "initiator_identity_private_key": alice.identity.private_key.hex(),
        "initiator_identity_key": alice.identity.public_key.hex(),
        "base_private_key": base.private_key.hex(),
        "base_key": base.public_key.hex(),
        "first_ratchet_private_key": ratchet.private_key.hex(),
        "secret": agreed(alice.identity, base, bundle).hex(),
        "root_key": initiator_root_key(alice.identity, base, bundle).hex(),
        "plaintext": plaintext.hex(),
        "message": message.body.hex(),
        "responder_ratchet_private_key": answer.private_key.hex(),
        "initiator_session": sessions.show(alice.records[BOB].current, alice),
        "responder_session": sessions.show(bob.records[ALICE].current, bob),
    }


def drawn_by(name: str) -> tuple[bytes, bytes, bytes]:
    """Returns what is drawn for an agreement: the base key, the initiator's first ratchet key, the responder's."""
    return secret(f"{name} base"), secret(f"{name} ratchet"), secret(f"{name} answer")


def agreed(identity: KeyPair, base: KeyPair, bundle: PreKeyBundle) -> bytes:
    """Returns what HKDF gets on the initiator's side, as SPEC.md says."""
    single = [] if bundle.one_time_prekey is None else [base.agree(bundle.one_time_prekey)]
    parts = [identity.agree(bundle.signed_prekey), base.agree(bundle.identity_key), base.agree(bundle.signed_prekey)]
    return b"\xff" * 32 + b"".join(parts + single)


def _shown_bundle(bundle: PreKeyBundle) -> Vector:
    return {
        "responder_registration_id": bundle.registration_id,
        "responder_identity_key": bundle.identity_key.hex(),
        "signed_prekey_id": bundle.signed_prekey_id,
        "signed_prekey": bundle.signed_prekey.hex(),
        "signed_prekey_signature": bundle.signed_prekey_signature.hex(),
        "one_time_prekey_id": bundle.one_time_prekey_id,
        "one_time_prekey": bundle.one_time_prekey and bundle.one_time_prekey.hex(),
    }


def refused() -> Document:
    """Returns the file of bundles that a client refuses."""
    right = sessions.bundle_of(sessions.bob(), True)
    other = public_key(secret("somebody else"))
    given = [
        ("signature-altered", "One bit of the signature is another.",
         replace(right, signed_prekey_signature=flip(right.signed_prekey_signature, 0))),
        ("signature-cut", "63 bytes.", replace(right, signed_prekey_signature=right.signed_prekey_signature[:-1])),
        ("other-signed-prekey", "The signature is of another key: a server's own, for instance.",
         replace(right, signed_prekey=other)),
        ("other-identity", "Another identity key did not sign it.", replace(right, identity_key=other)),
        ("weak-identity", "A key of low order signs anything.", replace(right, identity_key=bytes(32))),
        ("weak-one-time-prekey", "A key of low order.", replace(right, one_time_prekey=bytes(32))),
        ("short-one-time-prekey", "31 bytes.", replace(right, one_time_prekey=other[:-1])),
        ("one-time-prekey-without-id", "They come together.", replace(right, one_time_prekey_id=None)),
    ]  # fmt: skip
    return Document(
        "bundle_refusals",
        "Prekey bundles with which a client begins no session. INVALID_KEY: a key or a pair of fields is malformed or "
        "weak. INVALID_SIGNATURE: the identity key did not sign the signed prekey.",
        ("KEY-02", "KEY-13"),
        _REFUSED_FIELDS,
        [_refused(*each) for each in given],
    )


def _refused(name: str, comment: str, bundle: PreKeyBundle) -> Vector:
    return {"name": name, "comment": comment, **_shown_bundle(bundle), "reason": reason_against(bundle)}


def reason_against(bundle: PreKeyBundle) -> str:
    """Returns why a client refuses a bundle; empty if it does not."""
    try:
        bundle.verify()
    except InvalidKey:
        return "INVALID_KEY"
    except InvalidSignature:
        return "INVALID_SIGNATURE"
    return ""
