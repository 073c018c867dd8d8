"""The enlistment form is the documented one, and whatever comes back is an account or a refusal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from google.protobuf.message import Message

from interop_api.v1 import enlistment_pb2, errors_pb2
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState, MemoryStore
from interop_client.third_party import ENLISTMENT_PATH, ThirdPartyClient
from interop_protocol.encoding import decode_base64url
from interop_protocol.endpoint import ServerAddress
from interop_protocol.xeddsa_keys import verify_signed_prekey
from tests.unit.client.conftest import ScriptedTransport

FIELD_BYTES = {
    "authkey": 32, "e_keytype": 1, "e_regid": 4, "e_ident": 32, "e_skey_id": 3, "e_skey_val": 32, "e_skey_sig": 64,
}  # fmt: skip


async def test_who_has_not_enlisted_is_told_to() -> None:
    """Before anything is asked of anybody."""

    async def get_token() -> str:
        raise AssertionError("no token is needed")

    client = ThirdPartyClient.direct(ServerAddress("127.0.0.1:1", bytes(32)), ClientState.generate(), get_token)
    with pytest.raises(ValueError, match=r"enlist\(\) first"):
        await client.connect()


@asynccontextmanager
async def answering(body: str, status: int = 200) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Serves one answer to every form; yields the base URL and the forms that came."""
    forms: list[dict[str, str]] = []

    async def post(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-www-form-urlencoded"
        forms.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(text=body, status=status)

    application = web.Application()
    application.router.add_post(ENLISTMENT_PATH, post)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/")), forms


@pytest.fixture
def bob(transport: ScriptedTransport) -> ThirdPartyClient:
    return ThirdPartyClient(transport, ClientState.generate())


@pytest.mark.requirement("ENL-08")
async def test_the_form_holds_exactly_the_documented_fields(bob: ThirdPartyClient) -> None:
    """ENL-08, ENL-09: base64url without padding, fixed lengths, a signature that verifies."""
    async with answering('{"login":"1-10853634039893@interop","status":"ok"}') as (url, forms):
        assert await bob.enlist_over_http(url, "a.b.c") == bob.jid == "1-10853634039893@interop"
    form = forms[0]
    assert (form.pop("token"), form.pop("version")) == ("a.b.c", "1")
    assert not any("=" in text for text in form.values())
    keys = {name: decode_base64url(text, FIELD_BYTES[name]) for name, text in form.items()}
    assert set(keys) == set(FIELD_BYTES)
    assert keys["authkey"] == bob.state.auth_public_key
    assert keys["e_keytype"] == b"\x05"
    assert verify_signed_prekey(keys["e_ident"], keys["e_skey_val"], keys["e_skey_sig"])


async def test_a_proxys_auth_key_takes_the_place_of_the_clients_own(bob: ThirdPartyClient) -> None:
    async with answering('{"login":"1-1@interop","status":"ok"}') as (url, forms):
        await bob.enlist_over_http(url, "a.b.c", auth_public_key=b"\x07" * 32)
    assert decode_base64url(forms[0]["authkey"], 32) == b"\x07" * 32


async def test_the_account_is_saved_before_it_is_used(transport: ScriptedTransport) -> None:
    store = MemoryStore()
    bob = ThirdPartyClient(transport, ClientState.generate(), store)
    async with answering('{"login":"1-1@interop","status":"ok"}') as (url, _):
        await bob.enlist_over_http(url, "a.b.c")
    assert ClientState.from_bytes(store.snapshot).jid == "1-1@interop"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ('{"reason":"bad_integrator","status":"fail"}', 200, "BAD_INTEGRATOR"),
        ("<html>", 200, "ANSWER_MALFORMED"),
        ("[]", 200, "ANSWER_MALFORMED"),
        ('{"status":"fail"}', 200, "ANSWER_MALFORMED"),
        ('{"status":"ok"}', 200, "ANSWER_MALFORMED"),
        *(
            (f'{{"login":{login},"status":"ok"}}', 200, "ANSWER_MALFORMED")
            for login in ('"\\ud800"', '"ada"', '"4915112345678@s.whatsapp.net"', "7")
        ),
        ("[" * 10_000, 200, "ANSWER_MALFORMED"),
        ('{"reason":"bad_integrator","status":"fail","retry_after_ms":1e999}', 200, "ANSWER_MALFORMED"),
        ("x" * 100_000, 200, "ANSWER_TOO_LARGE"),
        ("", 503, "HTTP_503"),
    ],
)
async def test_everything_but_a_success_is_a_refusal(
    bob: ThirdPartyClient, body: str, status: int, reason: str
) -> None:
    async with answering(body, status) as (url, _):
        with pytest.raises(ServerRefusal) as caught:
            await bob.enlist_over_http(url, "a.b.c")
    assert caught.value.reason == reason
    assert bob.jid == ""


async def test_nobody_there_is_an_os_error(bob: ThirdPartyClient) -> None:
    async with answering("") as (url, _):
        pass
    with pytest.raises(OSError):
        await bob.enlist_over_http(url, "a.b.c")


_BAD_KEYS = 406


def outcome(code: int) -> enlistment_pb2.EnlistResponse:
    """What the server answers: a refusal with a code, or an account when the code is 0."""
    if not code:
        return enlistment_pb2.EnlistResponse(success=enlistment_pb2.EnlistSuccess(login="1-1@interop"))
    recovery = errors_pb2.RECOVERY_NEW_KEYS if code == _BAD_KEYS else errors_pb2.RECOVERY_NEW_TOKEN
    error = errors_pb2.Refusal(reason=errors_pb2.ERROR_REASON_PREKEY_SIGNATURE_INVALID, code=code, recovery=recovery)
    return enlistment_pb2.EnlistResponse(failure=enlistment_pb2.EnlistFailure(error=error))


@pytest.mark.requirement("KEY-13")
@pytest.mark.parametrize(("codes", "attempts"), [((406, 0), 2), ((406, 406), 2), ((401,), 1), ((0,), 1)])
async def test_a_refused_signed_prekey_is_made_anew_once(
    transport: ScriptedTransport, codes: tuple[int, ...], attempts: int
) -> None:
    """Saved before it leaves; any other refusal stands (KEY-13)."""
    store = MemoryStore()
    bob = ThirdPartyClient(transport, ClientState.generate(), store)
    outcomes = iter(codes)
    saved: list[bytes] = []

    def answer(request: Message) -> Message:
        saved.append(store.snapshot)
        return outcome(next(outcomes))

    transport.answers["/interop_api.v1.EnlistmentService/Enlist"] = answer
    if codes[-1]:
        with pytest.raises(ServerRefusal) as caught:
            await bob.enlist("a.b.c")
        assert caught.value.code == codes[-1]
    else:
        assert await bob.enlist("a.b.c") == bob.jid == "1-1@interop"
    forms = [request for _, request in transport.calls if isinstance(request, enlistment_pb2.EnlistRequest)]
    assert len(forms) == len({form.e_skey_val for form in forms}) == attempts
    assert len({form.e_ident for form in forms}) == 1
    if attempts == 2:
        kept = ClientState.from_bytes(saved[1]).signal.publishable.signed_prekey
        assert kept.public_key == forms[1].e_skey_val
