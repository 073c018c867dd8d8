"""What means something to the server under fire: the values that make a generated message get past the first checks."""

import os
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from interop_api.admin.v1alpha1 import faults_pb2, standing_pb2
from interop_api.v1 import integrity_pb2, interop_pb2, media_pb2, prekeys_pb2, stanza_pb2
from interop_client.state import ClientState
from interop_client.whatsapp import TERMS_ID
from interop_protocol.xeddsa_keys import sign_xeddsa
from tests.e2e.raw import enlistment, one_time_prekeys, signed_prekey
from tests.fuzz.messages import Vocabulary
from tests.fuzz.target import BLOB, BLOB_TOKEN, INTEGRATOR, Target, published

DAY_MS = 86_400_000


def words_of(target: Target) -> Vocabulary:
    """The target's people, keys, tokens and files as they are now."""
    people = target.people
    states = [line.state for line in people.lines]
    jids = [people.third_party.jid, people.whatsapp.jid]
    addresses = [
        *jids,
        *jids,
        jids[0].replace("@", ":0@"),
        jids[1].replace("@", ":1@"),
        f"{INTEGRATOR}-99999999999999@interop",
        "4915199999999@s.whatsapp.net",
        people.user,
        people.phone_number,
    ]
    nobody = ClientState.generate()
    tokens = [target.token(people.user), target.token("somebody"), target.token(people.user, exp=1), BLOB_TOKEN]
    keys = [state.signal.publishable for state in states]
    base_url = target.partner.base_url
    fields: list[tuple[str, Sequence[str | bytes | int]]] = [
        ("jid jids to_jid peer_jid", addresses),
        ("from_jid", ["", "", "", *jids]),
        ("external_id phone_number user", [people.user, people.phone_number, "nobody", "+4915"]),
        ("integrator integrators", [INTEGRATOR, INTEGRATOR, INTEGRATOR + 1, 0, 999]),
        ("id message_id message_ids stanza_id", ["m1", "m2", "m-3", os.urandom(8).hex()]),
        ("delivery_id delivery_ids", [1, 2, 3, 100]),
        ("base_url push_url media_url", [base_url, "http://127.0.0.1:1", "", "ftp://127.0.0.1"]),
        ("identity_key e_ident", [key.identity_key for key in keys]),
        ("page_size count limit protocol_version retry_count", [1, 2, 5, 100]),
        ("e_skey_val", [key.signed_prekey.public_key for key in keys]),
        ("e_skey_sig", [key.signed_prekey.signature for key in keys]),
        ("e_skey_id", [key.signed_prekey.key_id.to_bytes(3, "big") for key in keys]),
        ("e_regid", [key.registration_id.to_bytes(4, "big") for key in keys]),
        ("e_keytype key_type", [b"\x05"]),
        ("actor", ["", *jids]),
        ("action", ["", "InteropService.Resolve"]),
        ("reason", ["", "SESSION_REQUIRED"]),
        ("requirement", ["", "OPT-09"]),
        ("request_id", [target.request_id]),
        ("sub_code expires_after_seconds", [101, 102, 60, 3_600]),
        ("registration_id", [key.registration_id for key in keys]),
        ("authkey", [state.auth_public_key for state in states]),
        ("token upload_token challenge_id", tokens),
        ("auth", [target.upload_auth]),
        ("direct_path", [f"/interop/whatsapp/download/{INTEGRATOR}/blob/", target.blob_path, "/v/t" + "A" * 32]),
        ("length", [len(BLOB), 1, 100]),
        ("offset", [0, 1, len(BLOB)]),
        ("terms_id", [TERMS_ID]),
        ("paths", ["name", "status", "proxy_allowed", "integrator"]),
        ("page_token resume_token", ["", "AAAA", "node-1.0.1"]),
        ("advance_ms", [1, 1_000, DAY_MS, 31 * DAY_MS]),
        ("issuer", [target.issuer, "https://other.example"]),
        ("name", ["Messenger", "Fuzzed"]),
        ("nack_code", [487, 500, 588]),
        ("device_id", [0]),
        ("public_key", [os.urandom(32), os.urandom(32), os.urandom(1_568)]),
        ("signature", [os.urandom(64)]),
        ("key_id key_ids", [1, 2, 3, 1_000]),
        ("plaintext", [b"plaintext"]),
        ("message_secret", [os.urandom(32)]),
        ("answer", ["000000"]),
        ("ciphertext", [b"ciphertext", os.urandom(100)]),
        ("reporting_token", [os.urandom(16), b""]),
        ("display_name", ["Bob", "B" * 64]),
        ("call", ["PreKeyService.TakePreKeyBundles", "InteropService.Resolve", "http.upload", "partner.push", ""]),
        ("stanza", ["message", "receipt", "any", ""]),
        ("peer", ["", *jids]),
        ("times nth copies delay_ms keep_bytes bits chance_percent seed", [1, 2, 7]),
    ]
    by_name = {name: values for names, values in fields for name in names.split()}
    return Vocabulary(by_name, _messages(target, states, nobody))


_kem_keys = [MLKEM1024PrivateKey.generate().public_key().public_bytes_raw() for _ in range(4)]


def kem_prekey(state: ClientState, key_id: int) -> prekeys_pb2.KemPreKey:
    """A KEM prekey that an account's identity key has signed."""
    public_key = _kem_keys[key_id % len(_kem_keys)]
    signature = sign_xeddsa(state.signal.identity.private_key, public_key, os.urandom(64))
    return prekeys_pb2.KemPreKey(key_id=key_id, public_key=public_key, signature=signature)


def _nobody() -> faults_pb2.FaultMatch:
    return faults_pb2.FaultMatch(stanza="pong", actor="999-10000000000001@interop")


def _messages(target: Target, states: list[ClientState], nobody: ClientState) -> dict[str, list[bytes]]:
    people = target.people
    jids = [people.third_party.jid, people.whatsapp.jid]
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=os.urandom(40))
    text = {"type": stanza_pb2.MESSAGE_TYPE_TEXT, "enc": [enc]}
    delivered = stanza_pb2.RECEIPT_TYPE_DELIVERED
    devices = [prekeys_pb2.KnownDevice(registration_id=state.signal.registration_id) for state in states]
    flow, reported = integrity_pb2.SPAM_FLOW_MESSAGE_MENU, integrity_pb2.ReportedMessage(message_id="m1")
    good = [
        *(signed_prekey(state.signal) for state in (*states, nobody)),
        *(published(state, count) for state in states for count in (0, 3)),
        *one_time_prekeys(3, 1_000),
        *(kem_prekey(state, key_id) for key_id, state in enumerate(states, 1_000)),
        *(prekeys_pb2.KemPreKeys(last_resort=kem_prekey(state, 2_000)) for state in states),
        *(integrity_pb2.ReportRequest(jid=jid, spam_flow=flow, messages=[reported]) for jid in jids),
        target.registration(),
        enlistment(people.third_party.state, target.token(people.user)),
        enlistment(nobody, target.token("somebody")),
        enc,
        *(stanza_pb2.Message(id=os.urandom(8).hex(), to_jid=jid, **text) for jid in (*jids, *jids)),
        *(stanza_pb2.Receipt(type=delivered, to_jid=jid, message_ids=["m1", "m2"]) for jid in jids),
        *(stanza_pb2.Typing(state=stanza_pb2.TYPING_STATE_COMPOSING, to_jid=jid) for jid in jids),
        *(stanza_pb2.RetryReceipt(to_jid=jid, message_id="m1", retry_count=1, registration_id=1) for jid in jids),
        *(prekeys_pb2.KnownRegistration(jid=jid, devices=[device]) for jid in jids for device in devices),
        *(target.login_of(line) for line in people.lines),
        target.login_of(people.third_party).interop_data,
        *(standing_pb2.ImposeSanctionRequest(jid=jid, kind=standing_pb2.SANCTION_KIND_BAN) for jid in jids),
        interop_pb2.ExternalUser(external_id=people.user, integrator=INTEGRATOR),
        interop_pb2.ExternalUser(external_id=people.phone_number),
        *(faults_pb2.Fault(name=name, match=_nobody(), hold=faults_pb2.FaultHold()) for name in ("held", "Fuzzed")),
        media_pb2.UploadStart(auth=target.upload_auth, upload_token=BLOB_TOKEN, length=len(BLOB)),
    ]
    messages: dict[str, list[bytes]] = {}
    for message in good:
        messages.setdefault(message.DESCRIPTOR.full_name, []).append(message.SerializeToString())
    return messages
