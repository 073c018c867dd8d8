"""The enlistment form, byte for byte, and what the server answers."""

import json
from urllib.parse import urlencode

from interop_client.errors import ServerRefusal
from interop_client.third_party import _login_of
from interop_protocol.encoding import encode_base64url
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message
from interop_server.core.enlistment.enlistment import check_form_keys
from interop_server.core.errors import Reason, Refusal
from interop_server.http.forms import failure, parse_form, success
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import big, choice, flag, number, octets, optional, text
from tests.vectors.fixed import flip, public_key, secret
from tests.vectors.made import tokens

_FIELDS = {
    "auth_private_key": optional(octets("Of the auth key; null: only read the form.", 32)),
    "identity_private_key": optional(octets("Of the identity key.", 32)),
    "signed_prekey_private_key": optional(octets("Of the signed prekey.", 32)),
    "nonce": optional(octets("What XEdDSA takes for random bytes.", 64)),
    "registration_id": optional(number("32 bits.")),
    "signed_prekey_id": optional(number("1 to 16777215.")),
    "token": optional(text("The messenger's token.")),
    "protocol_version": optional(number("The field `version`.")),
    "body": text("The body of the request, in ASCII: exactly these bytes."),
    "valid": flag("Whether a server reads it. It then looks at the token."),
    "reason": optional(choice("Why it is refused.", "REQUEST_MALFORMED", "KEY_MALFORMED", "PREKEY_SIGNATURE_INVALID")),
    "field": optional(text("The field that is wrong; empty where it is no single one.")),
}
_ANSWER_FIELDS = {
    "body": text("The body of the answer, with status 200."),
    "login": optional(text("The JID that the account has from now on; null where it is refused.")),
    "reason": optional(text("The ErrorReason, in capitals.")),
    "recovery": optional(text("What to do about it: a Recovery, in capitals.")),
    "retry_after_ms": optional(big("Milliseconds after which a new attempt can succeed.")),
    "field": optional(text("The field that is wrong.")),
}
_AUTH, _IDENTITY, _PREKEY = (secret(f"enlistment {which}") for which in ("auth", "identity", "signed prekey"))
_NONCE = secret("enlistment nonce", 64)
_REGISTRATION_ID, _PREKEY_ID, _VERSION = 0xC7A83AB4, 0x010203, 1


def forms() -> Document:
    """Returns the file of forms."""
    right = _fields()
    signature = _signature()

    def body(**changes: str | None) -> str:
        return urlencode({name: value for name, value in {**right, **changes}.items() if value is not None})

    def key(value: bytes) -> str:
        return encode_base64url(value)

    given = [
        ("without-version", "An absent version means 1.", body(version=None)),
        ("padded", "Base64url may be padded.", body(e_keytype="BQ==")),
        ("other-order", "In any order.", urlencode(dict(reversed(right.items())))),
        ("no-token", "A field is missing.", body(token=None)),
        ("no-identity", "A field is missing.", body(e_ident=None)),
        ("unknown-field", "A field that is not documented.", body(colour="blue")),
        ("twice", "A field occurs twice.", body() + "&e_keytype=BQ"),
        ("version-is-text", "A version is 1 to 6 digits.", body(version="one")),
        ("short-auth-key", "31 bytes.", body(authkey=key(public_key(_AUTH)[:-1]))),
        ("standard-base64", "The alphabet of base64url has no `+`.", body(authkey="+" + right["authkey"][1:])),
        ("weak-auth-key", "A key of low order.", body(authkey=key(bytes(32)))),
        ("other-key-type", "The type of Curve25519 keys is 5.", body(e_keytype=key(b"\6"))),
        ("prekey-id-zero", "Ids begin at 1.", body(e_skey_id=key(bytes(3)))),
        ("weak-identity", "A key of low order.", body(e_ident=key(bytes(32)))),
        ("signature-altered", "One bit of it is another.", body(e_skey_sig=key(flip(signature, 0)))),
        ("other-prekey", "Another key than the one that was signed.",
         body(e_skey_val=key(public_key(secret("enlistment of another"))))),
        ("empty", "No body.", ""),
    ]  # fmt: skip
    whole = _vector("right", "From fixed keys.", body())
    own = {
        "auth_private_key": _AUTH.hex(),
        "identity_private_key": _IDENTITY.hex(),
        "signed_prekey_private_key": _PREKEY.hex(),
        "nonce": _NONCE.hex(),
        "registration_id": _REGISTRATION_ID,
        "signed_prekey_id": _PREKEY_ID,
        "token": right["token"],
        "protocol_version": _VERSION,
    }
    return Document(
        "enlistment_forms",
        "The form of POST /3p/interop_reg. As a client: make it from the private keys; the order of the fields does not"
        " matter to a server, and here it is that of EnlistRequest. As a server: read it, or refuse it.",
        ("ENL-08", "ENL-09", "ENL-10", "ENL-15"),
        _FIELDS,
        [whole | own, *(_vector(*each) for each in given)],
    )


def _signature() -> bytes:
    return sign_xeddsa(_IDENTITY, signed_prekey_message(public_key(_PREKEY)), _NONCE)


def _fields() -> dict[str, str]:
    values = {
        "authkey": public_key(_AUTH),
        "e_keytype": b"\5",
        "e_regid": _REGISTRATION_ID.to_bytes(4, "big"),
        "e_ident": public_key(_IDENTITY),
        "e_skey_id": _PREKEY_ID.to_bytes(3, "big"),
        "e_skey_val": public_key(_PREKEY),
        "e_skey_sig": _signature(),
    }
    encoded = {name: encode_base64url(value) for name, value in values.items()}
    return {**encoded, "token": tokens.right(), "version": str(_VERSION)}


_OWN = ("auth_private_key", "identity_private_key", "signed_prekey_private_key", "nonce", "registration_id")
_NOTHING = dict.fromkeys((*_OWN, "signed_prekey_id", "token", "protocol_version"))


def _vector(name: str, comment: str, body: str) -> Vector:
    reason, field = why_refused(body)
    return {"name": name, "comment": comment, **_NOTHING, "body": body, "valid": reason is None} | {
        "reason": reason,
        "field": field,
    }


def why_refused(body: str) -> tuple[str | None, str | None]:
    """Returns why a form is refused, and for which field; None if it is not."""
    try:
        check_form_keys(parse_form(body.encode("ascii")))
    except Refusal as refusal:
        return refusal.reason.name, refusal.violations[0].field if refusal.violations else ""
    return None, None


def answers() -> Document:
    """Returns the file of answers."""
    bad_field = Refusal(Reason.KEY_MALFORMED, "authkey: not base64url", field="authkey", requirement="ENL-09")
    refusals = [
        ("bad-integrator", "The one reason that Meta documents.", Refusal(Reason.BAD_INTEGRATOR)),
        ("token-expired", "Get another token, then try again.", Refusal(Reason.TOKEN_EXPIRED)),
        ("rate-limited", "Try again after the delay.", Refusal(Reason.RATE_LIMITED, "", 30_000, requirement="ENL-17")),
        ("key-malformed", "A field is wrong.", bad_field),
    ]
    for _, _, refusal in refusals:
        refusal.request_id = "0123456789abcdef"
    bodies = [
        ("enlisted", "The account's JID.", success("12-10853634039893@interop", {}).text),
        *((name, comment, failure(refusal, {}).text) for name, comment, refusal in refusals),
        ("only-what-is-documented", "Everything but status and reason is the simulator's own.",
         json.dumps({"reason": "bad_integrator", "status": "fail"})),
        ("newer-reason", "A reason that is newer than the client: act on its recovery.",
         json.dumps({"reason": "moon_is_full", "recovery": "same_again", "retry_after_ms": 5000, "status": "fail"})),
    ]  # fmt: skip
    return Document(
        "enlistment_answers",
        "What POST /3p/interop_reg answers: read each as a client.",
        ("ENL-11", "SIM-01"),
        _ANSWER_FIELDS,
        [{"name": name, "comment": comment, "body": body, **read_answer(body or "")} for name, comment, body in bodies],
    )


def read_answer(body: str) -> Vector:
    """Returns what a client makes of an answer."""
    facts: Vector = dict.fromkeys(("login", "reason", "recovery", "retry_after_ms", "field"))
    try:
        return facts | {"login": _login_of(body.encode())}
    except ServerRefusal as refusal:
        return facts | {
            "reason": refusal.reason,
            "recovery": refusal.recovery.name,
            "retry_after_ms": None if refusal.retry_after_ms is None else str(refusal.retry_after_ms),
            "field": refusal.violations[0].field if refusal.violations else None,
        }
