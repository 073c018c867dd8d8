"""Keys of the wrong form: refused wherever they come in, and the account keeps the keys that it had."""

import os
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest
from google.protobuf.message import Message

from interop_api.v1 import enlistment_pb2, prekeys_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal, refusal_from_json
from interop_client.state import ClientState
from interop_protocol.encoding import encode_base64url
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS, MAX_PREKEY_ID
from tests.e2e.conftest import World
from tests.e2e.raw import (
    QUIET,
    case,
    check,
    check_error,
    enlistment,
    flipped,
    no_trace,
    one_time_prekeys,
    refused,
    signed_prekey,
)
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL

SERVICE = "/interop_api.v1.PreKeyService/"
LENGTHS = {
    "authkey": 32,
    "e_keytype": 1,
    "e_regid": 4,
    "e_ident": 32,
    "e_skey_id": 3,
    "e_skey_val": 32,
    "e_skey_sig": 64,
}
"""Binary fields of the enlistment form, in bytes (ENL-08)."""


def bad_forms(state: ClientState) -> Iterable[tuple[str, dict[str, object], str]]:
    """Yields what is wrong, the fields that are, and the reason."""
    for name, length in LENGTHS.items():
        for wrong in (0, length - 1, length + 1, 2 * length):
            if wrong != length:
                yield f"{name} of {wrong} bytes", {name: bytes(wrong)}, "KEY_MALFORMED"
    for key_type in (b"\x00", b"\x04", b"\x06", b"\xff"):
        yield f"key type {key_type.hex()}", {"e_keytype": key_type}, "KEY_MALFORMED"
    yield "signed prekey id 0", {"e_skey_id": bytes(3)}, "KEY_MALFORMED"
    signature = state.signal.publishable.signed_prekey.signature
    for name, changed in (
        ("another signature", {"e_skey_sig": os.urandom(64)}),
        ("no signature but zeros", {"e_skey_sig": bytes(64)}),
        ("a bit of the signature", {"e_skey_sig": flipped(signature, 10)}),
        ("another signed prekey", {"e_skey_val": os.urandom(32)}),
        ("another identity key", {"e_ident": ClientState.generate().signal.publishable.identity_key}),
    ):
        yield name, changed, "PREKEY_SIGNATURE_INVALID"
    for key in (*LOW_ORDER, *NOT_CANONICAL):
        for name in ("authkey", "e_ident", "e_skey_val"):
            yield f"{name} {key.hex()}", {name: key}, "KEY_MALFORMED"
    yield "protocol version 0", {"protocol_version": 0}, "PROTOCOL_VERSION_TOO_OLD"


async def check_bad_forms(world: World, bob: InteropClient) -> None:
    """Asserts that enlisting Bob over gRPC with bad keys is refused, each in its way."""
    token = world.partner.issue_token("bob")
    for name, changes, reason in bad_forms(bob.state):
        response = await bob.transport.call(
            "/interop_api.v1.EnlistmentService/Enlist",
            enlistment(bob.state, token, **changes),
            enlistment_pb2.EnlistResponse,
        )
        with case(name):
            check_error(response.failure.error, reason)


@pytest.mark.requirement("ENL-08", "ENL-10", "ENL-15")
async def test_enlisting_over_grpc_with_bad_keys_leaves_nothing(world: World) -> None:
    """The outcome says why; there is no account afterwards (ENL-08, ENL-10, ENL-15)."""
    bob = world.device("bob")
    async with no_trace(world.admin):
        await check_bad_forms(world, bob)


async def test_enlisting_again_with_bad_keys_changes_nothing(world: World) -> None:
    """Who is enlisted keeps keys and connection: the old ones still work (ENL-13)."""
    bob = await world.third_party("bob", QUIET)
    async with no_trace(world.admin):
        await check_bad_forms(world, bob)
    assert await bob.has_intact_prekeys()


def http_form(request: enlistment_pb2.EnlistRequest) -> dict[str, str]:
    """Returns the documented form."""
    form = {name: encode_base64url(getattr(request, name)) for name in LENGTHS}
    return form | {"token": request.token, "version": str(request.protocol_version)}


async def check_http(world: World, session: aiohttp.ClientSession, body: Any, reason: str, **options: Any) -> None:
    """Posts a form and asserts that its outcome, with status 200, is a refusal for that reason."""
    async with session.post(f"{world.endpoint.http}/3p/interop_reg", data=body, **options) as response:
        assert response.status == 200
        outcome = await response.json()
    assert outcome["status"] == "fail"
    check(refusal_from_json(outcome), reason)


@pytest.mark.requirement("ENL-08", "ENL-10", "ENL-11")
async def test_the_http_form_refuses_what_grpc_refuses(world: World) -> None:
    """The same reasons for the same keys, as an outcome with status 200 (ENL-08, ENL-11)."""
    state = ClientState.generate()
    token = world.partner.issue_token("bob")
    async with aiohttp.ClientSession() as session, no_trace(world.admin):
        for name, changes, reason in bad_forms(state):
            with case(name):
                await check_http(world, session, http_form(enlistment(state, token, **changes)), reason)


@pytest.mark.requirement("ENL-08", "ENL-09")
async def test_the_http_form_refuses_other_forms(world: World) -> None:
    """Bad base64, missing, double and unknown fields, other encodings: nothing is guessed (ENL-09)."""
    state = ClientState.generate()
    good = http_form(enlistment(state, world.partner.issue_token("bob")))
    async with aiohttp.ClientSession() as session, no_trace(world.admin):
        for bad in (
            "=",
            good["authkey"] + "==",
            good["authkey"][:-1] + "+",
            good["authkey"][:-1] + "/",
            "ä" * 43,
            "A B",
        ):
            with case(f"authkey {bad!r}"):
                await check_http(world, session, good | {"authkey": bad}, "KEY_MALFORMED")
        for name in (*LENGTHS, "token"):
            with case(f"no {name}"):
                await check_http(
                    world, session, {key: value for key, value in good.items() if key != name}, "REQUEST_MALFORMED"
                )
        double = aiohttp.FormData([*good.items(), ("authkey", good["authkey"])])
        await check_http(world, session, double, "REQUEST_MALFORMED")
        await check_http(world, session, good | {"user": "bob"}, "REQUEST_MALFORMED")
        for version in ("", "-1", "one", "1.0", "9" * 7, "\N{ARABIC-INDIC DIGIT ONE}"):
            with case(f"version {version!r}"):
                await check_http(world, session, good | {"version": version}, "REQUEST_MALFORMED")
        await check_http(world, session, good | {"version": "0"}, "PROTOCOL_VERSION_TOO_OLD")
        for body in (b"", b"\xff\xfe", b"authkey", b"%zz=%zz&&&", b"a=b&" * 100, b"token=" + b"A" * 20_000):
            with case(body[:16]):
                await check_http(
                    world,
                    session,
                    body,
                    "REQUEST_MALFORMED",
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                )
        for content_type in ("application/json", "multipart/form-data", "text/plain"):
            with case(content_type):
                await check_http(world, session, b"{}", "REQUEST_MALFORMED", headers={"Content-Type": content_type})


async def call(client: InteropClient, method: str, request: Message) -> Any:
    """Makes a call of the prekey service."""
    return await client.transport.call(SERVICE + method, request, getattr(prekeys_pb2, f"{method}Response"))


def set_prekeys(client: InteropClient, **changes: Any) -> prekeys_pb2.SetPreKeysRequest:
    """Returns a good request, with fields changed."""
    keys = client.state.signal.publishable
    fields: dict[str, Any] = {
        "registration_id": keys.registration_id,
        "key_type": b"\x05",
        "identity_key": keys.identity_key,
        "signed_prekey": signed_prekey(client.state.signal),
        "one_time_prekeys": one_time_prekeys(2, first_id=5_000),
    }
    return prekeys_pb2.SetPreKeysRequest(**(fields | changes))


def bad_signed_prekeys(client: InteropClient) -> Iterable[tuple[str, prekeys_pb2.SignedPreKey, str]]:
    """Yields what is wrong, a signed prekey, and the reason."""
    signal = client.state.signal
    yield "no signed prekey", prekeys_pb2.SignedPreKey(), "KEY_MALFORMED"
    for key_id in (0, MAX_PREKEY_ID + 1, 2**32 - 1):
        yield f"id {key_id}", signed_prekey(signal, key_id=key_id), "KEY_MALFORMED"
    for length in (0, 31, 33, 1_000):
        yield f"key of {length} bytes", signed_prekey(signal, public_key=bytes(length)), "KEY_MALFORMED"
    for length in (0, 63, 65):
        yield f"signature of {length} bytes", signed_prekey(signal, signature=bytes(length)), "KEY_MALFORMED"
    yield "another key", signed_prekey(signal, public_key=os.urandom(32)), "PREKEY_SIGNATURE_INVALID"
    yield "another signature", signed_prekey(signal, signature=os.urandom(64)), "PREKEY_SIGNATURE_INVALID"
    other = ClientState.generate().signal
    yield "another identity's", signed_prekey(other), "PREKEY_SIGNATURE_INVALID"


def bad_one_time_prekeys() -> Iterable[tuple[str, list[prekeys_pb2.OneTimePreKey], str]]:
    """Yields what is wrong, a list of one-time prekeys, and the reason."""
    good = one_time_prekeys(3, first_id=5_000)
    for key_id in (0, MAX_PREKEY_ID + 1, 2**32 - 1):
        bad = prekeys_pb2.OneTimePreKey(key_id=key_id, public_key=os.urandom(32))
        yield f"id {key_id}", [*good, bad], "KEY_MALFORMED"
    for length in (0, 31, 33, 1_000):
        bad = prekeys_pb2.OneTimePreKey(key_id=1, public_key=bytes(length))
        yield f"key of {length} bytes", [*good, bad], "KEY_MALFORMED"
    for key in (*LOW_ORDER, *NOT_CANONICAL):
        bad = prekeys_pb2.OneTimePreKey(key_id=1, public_key=key)
        yield f"key {key.hex()}", [*good, bad], "KEY_MALFORMED"
    same_id = prekeys_pb2.OneTimePreKey(key_id=good[0].key_id, public_key=os.urandom(32))
    yield "an id twice", [*good, same_id], "PREKEY_ID_DUPLICATE"
    same_key = prekeys_pb2.OneTimePreKey(key_id=1, public_key=good[0].public_key)
    yield "a key twice", [*good, same_key], "PREKEY_REUSED"
    yield "one too many", one_time_prekeys(MAX_ONE_TIME_PREKEYS + 1), "TOO_MANY_ITEMS"


@pytest.mark.requirement("KEY-02", "KEY-04", "KEY-13")
async def test_no_bad_key_is_published(world: World) -> None:
    """By none of the calls that take keys, and all that was published stays (KEY-02, KEY-04, KEY-13, ENL-13)."""
    bob = await world.third_party("bob", QUIET)
    other_identity = ClientState.generate().signal.publishable.identity_key
    async with no_trace(world.admin):
        for key_type in (b"", b"\x00", b"\x06", b"\x05\x05"):
            with refused("KEY_MALFORMED", f"key type {key_type.hex()}"):
                await call(bob, "SetPreKeys", set_prekeys(bob, key_type=key_type))
        for length in (0, 31, 33):
            with refused("KEY_MALFORMED", f"identity key of {length} bytes"):
                await call(bob, "SetPreKeys", set_prekeys(bob, identity_key=bytes(length)))
        with refused("PREKEY_SIGNATURE_INVALID", "a signed prekey of another identity"):
            await call(bob, "SetPreKeys", set_prekeys(bob, identity_key=other_identity))
        for name, signed, reason in bad_signed_prekeys(bob):
            with refused(reason, f"SetPreKeys: {name}"):
                await call(bob, "SetPreKeys", set_prekeys(bob, signed_prekey=signed))
            with refused(reason, f"RotateSignedPreKey: {name}"):
                await call(bob, "RotateSignedPreKey", prekeys_pb2.RotateSignedPreKeyRequest(signed_prekey=signed))
        for name, one_time, reason in bad_one_time_prekeys():
            with refused(reason, f"SetPreKeys: {name}"):
                await call(bob, "SetPreKeys", set_prekeys(bob, one_time_prekeys=one_time))
            with refused(reason, f"AddOneTimePreKeys: {name}"):
                await call(bob, "AddOneTimePreKeys", prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=one_time))
        with pytest.raises(ServerRefusal) as raised:
            await call(bob, "SetPreKeys", set_prekeys(bob, identity_key=b""))
        assert raised.value.code == 406  # on which clients make new keys
    assert await bob.has_intact_prekeys()
    assert await bob.count_prekeys() == 20


@pytest.mark.requirement("ENL-13")
async def test_a_third_party_user_changes_identity_by_enlisting_only(world: World) -> None:
    """A good set of keys of another identity is refused as a whole (ENL-13)."""
    bob = await world.third_party("bob", QUIET)
    other = ClientState.generate().signal
    request = set_prekeys(
        bob, identity_key=other.publishable.identity_key, signed_prekey=signed_prekey(other), one_time_prekeys=()
    )
    async with no_trace(world.admin):
        with refused("IDENTITY_KEY_MISMATCH"):
            await call(bob, "SetPreKeys", request)
    assert await bob.has_intact_prekeys()


@pytest.mark.requirement("KEY-04")
async def test_no_one_time_prekey_comes_twice(world: World) -> None:
    """A key that was published, and one that was taken, is never taken in again, under whatever id (KEY-04)."""
    bob, alice = await world.third_party("bob", QUIET), await world.whatsapp(options=QUIET)
    await call(bob, "SetPreKeys", set_prekeys(bob))
    published = one_time_prekeys(2, first_id=7_000)
    await call(bob, "AddOneTimePreKeys", prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=published))
    taken = {(await alice.take_prekey_bundle(bob.jid)).one_time_prekey for _ in range(4)}
    assert taken > {prekey.public_key for prekey in published}
    renamed = [prekeys_pb2.OneTimePreKey(key_id=8_000, public_key=published[0].public_key)]
    async with no_trace(world.admin):
        for name, again in (("as it was", published[:1]), ("under another id", renamed)):
            with refused("PREKEY_REUSED", name):
                await call(bob, "AddOneTimePreKeys", prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=again))
            with refused("PREKEY_REUSED", name):
                await call(bob, "SetPreKeys", set_prekeys(bob, one_time_prekeys=again))
    assert await bob.count_prekeys() == 0


async def test_lists_of_prekeys_have_bounds(world: World) -> None:
    """Nothing to add, nothing to delete, too much to delete (KEY-03)."""
    bob = await world.third_party("bob", QUIET)
    async with no_trace(world.admin):
        with refused("REQUEST_MALFORMED", "nothing to add"):
            await call(bob, "AddOneTimePreKeys", prekeys_pb2.AddOneTimePreKeysRequest())
        for count, reason in ((0, "REQUEST_MALFORMED"), (MAX_ONE_TIME_PREKEYS + 1, "TOO_MANY_ITEMS")):
            with refused(reason, f"{count} to delete"):
                request = prekeys_pb2.DeleteOneTimePreKeysRequest(key_ids=range(1, count + 1))
                await call(bob, "DeleteOneTimePreKeys", request)
    assert await bob.count_prekeys() == 20


async def test_without_published_keys_there_is_nothing_to_change(world: World) -> None:
    """A WhatsApp user who has not called SetPreKeys is told to (KEY-01)."""
    alice = await world.whatsapp_device(QUIET)
    await alice.connect()
    async with no_trace(world.admin):
        for method, request in (
            ("AddOneTimePreKeys", prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=one_time_prekeys(1))),
            (
                "RotateSignedPreKey",
                prekeys_pb2.RotateSignedPreKeyRequest(signed_prekey=signed_prekey(alice.state.signal)),
            ),
            ("GetKeyDigest", prekeys_pb2.GetKeyDigestRequest()),
        ):
            with refused("PREKEYS_NOT_SET", method):
                await call(alice, method, request)
