"""The enlistment form over HTTP: every outcome is an object under status 200 (ENL-08, ENL-09, ENL-11)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.xeddsa_keys import verify_signed_prekey
from interop_server.core.enlistment.enlistment import EnlistmentForm, check_form_keys
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal, is_request_id
from interop_server.core.limits import Limits
from interop_server.core.seats import Seats
from interop_server.fault_gate import FaultGate
from interop_server.http import forms
from interop_server.http.forms import MAX_FORM_BYTES, parse_form
from interop_server.http.listener import HttpListener, listen
from interop_server.http.surface import build_application, serve

# The sample of the public technical documentation.
SAMPLE = {
    "authkey": "mLsPDd27k07BJa54dtt2e9Yz-vJfECLXRAPrFp7YeX4",
    "e_keytype": "BQ",
    "e_regid": "x6g6tA",
    "e_ident": "x6g6tGpek0Obx65-vVx9t3wNtjJUXcQY2iarR-Aush4",
    "e_skey_id": "_tdJ",
    "e_skey_val": "_tdJvCOi0-F9hl7iaHhrn42d1GnI3p6LwkFx3BS_jXw",
    "e_skey_sig": "BPEcejlI7RhacXe9MvBMUEs_IHctlcDyza24vDrZca0N77YDGqCAXr2VWDALvOcTSziNWfVMJ4IDxIENwvyACA",
    "token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
}
FORM_TYPE = "application/x-www-form-urlencoded"


class NoMedia:
    """Holds no blob."""

    def open_download(self, direct_path: str, offset: int | None, length: int | None) -> Any:
        raise Refusal(Reason.BLOB_NOT_FOUND)


class Desk:
    """Takes the forms that come through, and answers each as told."""

    def __init__(self) -> None:
        self.forms: list[EnlistmentForm] = []
        self.addresses: list[str] = []
        self.answer: str | Exception = "100-12345678901234@interop"

    async def enlist(self, form: EnlistmentForm, peer_ip: str) -> str:
        self.forms.append(form)
        self.addresses.append(peer_ip)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def jwks(self) -> dict[str, object]:
        return {"keys": []}


ENOUGH = Seats(Limits())


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def server(desk: Desk, journal: Journal, gate: FaultGate) -> AsyncIterator[HttpListener]:
    application = build_application(desk.enlist, NoMedia(), desk.jwks, journal, ENOUGH, gate)
    running = listen("127.0.0.1", 0)
    await running.serve(lambda sock: serve(application, sock, 100, 20))
    yield running
    await running.stop()


@pytest.fixture
async def session(server: HttpListener) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
        yield client


async def post(session: ClientSession, body: bytes | str, content_type: str = FORM_TYPE, **headers: str) -> Any:
    async with session.post(
        "/3p/interop_reg", data=body, headers={"Content-Type": content_type, **headers}
    ) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["Server"] == "interopsim"
        return await response.json()


@pytest.mark.requirement("ENL-09", "ENL-11")
async def test_the_documented_sample_is_taken_as_documented(session: ClientSession, desk: Desk) -> None:
    """Its values arrive decoded, pass key validation, and the answer is the documented object and nothing more."""
    assert await post(session, urlencode(SAMPLE)) == {"login": "100-12345678901234@interop", "status": "ok"}
    [form] = desk.forms
    assert desk.addresses == ["127.0.0.1"]
    keys = check_form_keys(form)
    assert (keys.registration_id, keys.signed_prekey.key_id) == (0xC7A83AB4, 0xFED749)
    assert verify_signed_prekey(keys.identity_key, keys.signed_prekey.public_key, keys.signed_prekey.signature)
    assert (form.token, form.protocol_version) == (SAMPLE["token"], 1)


@pytest.mark.requirement("ENL-09")
async def test_padding_and_a_version_are_taken_too(session: ClientSession, desk: Desk) -> None:
    """Padded base64url means the same bytes; the version is passed on."""
    padded = {name: value + "=" * (-len(value) % 4) for name, value in SAMPLE.items() if name != "token"}
    assert (await post(session, urlencode(SAMPLE)))["status"] == "ok"
    answer = await post(session, urlencode(SAMPLE | padded | {"version": "7"}), f"{FORM_TYPE}; charset=UTF-8")
    assert answer["status"] == "ok"
    plain, with_padding = desk.forms
    assert with_padding.signed_prekey_signature == plain.signed_prekey_signature
    assert (with_padding.identity_key, with_padding.protocol_version) == (plain.identity_key, 7)


@pytest.mark.requirement("ENL-11")
@pytest.mark.parametrize("reason", [Reason.BAD_INTEGRATOR, Reason.TOKEN_EXPIRED, Reason.JWKS_UNAVAILABLE])
async def test_a_refusal_is_a_documented_outcome(session: ClientSession, desk: Desk, reason: Reason) -> None:
    """`bad_integrator` as in the public text; the others in the same form, with what to do."""
    desk.answer = Refusal(reason)
    outcome = await post(session, urlencode(SAMPLE))
    assert len(outcome.pop("request_id")) == 16
    assert outcome == {
        "reason": reason.name.lower(),
        "status": "fail",
        "requirement": reason.requirement,
        "advice": reason.advice,
        "recovery": reason.recovery.name.lower(),
        "code": reason.code,
        **({"retry_after_ms": 1_000} if reason is Reason.JWKS_UNAVAILABLE else {}),
    }


async def test_a_fault_gives_nothing_away(session: ClientSession, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The only answer that is not 200: no outcome is known. The log has the trace, the wire has not."""
    desk.answer = RuntimeError("secret detail")
    async with session.post("/3p/interop_reg", data=SAMPLE) as response:
        assert response.status == 500
        text = await response.text()
    assert '"reason": "server_fault"' in text
    assert "secret" not in text
    assert "secret detail" in caplog.text


def without(name: str) -> dict[str, str]:
    return {field: value for field, value in SAMPLE.items() if field != name}


BAD_BODIES: dict[str, tuple[str | bytes, str]] = {
    **{f"no {name}": (urlencode(without(name)), "request_malformed") for name in SAMPLE},
    **{f"{name} twice": (urlencode(SAMPLE) + f"&{name}=BQ", "request_malformed") for name in SAMPLE},
    **{f"{name} empty": (urlencode(SAMPLE | {name: ""}), "key_malformed") for name in SAMPLE if name != "token"},
    **{f"{name} short": (urlencode(SAMPLE | {name: SAMPLE[name][:-1]}), "key_malformed") for name in without("token")},
    **{
        f"{name} long": (urlencode(SAMPLE | {name: SAMPLE[name] + "AAAA"}), "key_malformed")
        for name in without("token")
    },
    "empty": ("", "request_malformed"),
    "no form": ("hello", "request_malformed"),
    "unknown field": (urlencode(SAMPLE | {"e_otk": "AA"}), "request_malformed"),
    "field in upper case": (urlencode(without("token") | {"TOKEN": "t"}), "request_malformed"),
    "seventeen fields": (urlencode(SAMPLE) + "&x=1" * 9, "request_malformed"),
    "standard base64": (urlencode(SAMPLE | {"e_skey_id": "/tdJ"}), "key_malformed"),
    "unused bits set": (urlencode(SAMPLE | {"e_keytype": "BR"}), "key_malformed"),
    "hexadecimal": (urlencode(SAMPLE | {"e_regid": "c7a83ab4"}), "key_malformed"),
    "not ASCII in a key": (urlencode(SAMPLE | {"e_skey_id": "_tdé"}), "key_malformed"),
    "raw bytes": (urlencode(SAMPLE).encode() + b"\xff", "request_malformed"),
    "escaped bytes that are no UTF-8": (urlencode(without("token")) + "&token=%FF%FE", "request_malformed"),
    "too large": (urlencode(SAMPLE | {"token": "t" * MAX_FORM_BYTES}), "request_malformed"),
    "version is a word": (urlencode(SAMPLE | {"version": "one"}), "request_malformed"),
    "version is negative": (urlencode(SAMPLE | {"version": "-1"}), "request_malformed"),
    "version in other digits": (urlencode(SAMPLE | {"version": "\u0661"}), "request_malformed"),
    "version is huge": (urlencode(SAMPLE | {"version": "9" * 5_000}), "request_malformed"),
    "version is empty": (urlencode(SAMPLE | {"version": ""}), "request_malformed"),
}


def _rule(case: str, reason: str) -> str:
    if case.startswith("version ") and "twice" not in case:
        return "ENL-15"
    return "ENL-09" if reason == "key_malformed" else "ENL-08"


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_a_bad_form_is_a_failure_and_not_an_error(session: ClientSession, desk: Desk, case: str) -> None:
    """It never reaches the rules; the outcome names reason and requirement."""
    body, reason = BAD_BODIES[case]
    answer = await post(session, body)
    assert (answer["status"], answer["reason"]) == ("fail", reason)
    assert answer["requirement"] == _rule(case, reason)
    assert answer["advice"]
    assert desk.forms == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        f"{FORM_TYPE}; charset=utf-16",
        "x",
        "a/b" + "(" * 3_000,
    ],
)
async def test_a_body_of_another_type_is_a_failure(session: ClientSession, desk: Desk, content_type: str) -> None:
    """Even if its bytes would make a good form."""
    assert (await post(session, urlencode(SAMPLE), content_type))["reason"] == "request_malformed"
    assert desk.forms == []


@pytest.mark.parametrize("rest", [";" * 8_000, "; a*" + "1" * 5_000 + "=x"], ids=["semicolons", "digits"])
async def test_a_long_type_is_a_failure_as_any_other(session: ClientSession, desk: Desk, rest: str) -> None:
    """A parser of all that a header can be takes a second for it, in which nobody else is served, or fails."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await post(session, urlencode(SAMPLE), FORM_TYPE + rest))["reason"] == "request_malformed"
    assert (loop.time() - began < 0.5, desk.forms) == (True, [])


@pytest.mark.requirement("SIM-06")
async def test_a_body_that_does_not_come_is_a_failure(server: HttpListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, which is shorter here."""
    monkeypatch.setattr(forms, "BODY_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST /3p/interop_reg HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 9\r\n\r\n"
    writer.write(head.encode() + b"token")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"request_malformed" in answer and b"in time" in answer
    writer.close()


async def test_a_compressed_body_is_a_failure(session: ClientSession, desk: Desk) -> None:
    """Nothing is unpacked, so a small body stays small."""
    body = urlencode(SAMPLE)
    assert (await post(session, body, **{"Content-Encoding": "gzip"}))["reason"] == "request_malformed"
    assert desk.forms == []


async def test_an_endless_body_is_cut_off(session: ClientSession, desk: Desk) -> None:
    """Of a body without a declared length, no more is read than a form may have."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"t" * 1_024

    async with session.post("/3p/interop_reg", data=endless(), headers={"Content-Type": FORM_TYPE}) as response:
        assert (await response.json())["reason"] == "request_malformed"
    assert desk.forms == []


@given(
    st.binary(max_size=300)
    | st.dictionaries(st.sampled_from([*SAMPLE, "version"]), st.text()).map(
        lambda fields: urlencode(SAMPLE | fields, errors="replace").encode()
    )
)
def test_any_body_is_a_form_or_a_refusal(body: bytes) -> None:
    """Whatever a client sends."""
    try:
        form = parse_form(body)
    except Refusal as refusal:
        assert refusal.reason in (Reason.REQUEST_MALFORMED, Reason.KEY_MALFORMED)
    else:
        assert len(form.identity_key) == 32


async def test_the_key_set_is_served(session: ClientSession) -> None:
    """Where partners look for it (LIF-01)."""
    async with session.get("/.well-known/jwks") as response:
        assert (response.status, await response.json()) == (200, {"keys": []})


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/3p", 404, None),
        ("GET", "/3p/interop_reg", 405, {"POST"}),
        ("PUT", "/3p/interop_reg", 405, {"POST"}),
        ("POST", "/v/tabc", 405, {"GET", "HEAD"}),
        ("DELETE", "/.well-known/jwks", 405, {"GET", "HEAD"}),
        ("PATCH", "/.well-known/jwks", 405, {"GET", "HEAD"}),
    ],
)
async def test_an_unknown_path_or_method_is_answered_in_json(
    session: ClientSession, method: str, path: str, status: int, allow: set[str] | None
) -> None:
    """With the status that HTTP has for it."""
    async with session.request(method, path) as response:
        assert response.status == status
        assert (await response.json()).keys() == {"reason", "requirement", "advice", "recovery", "code", "request_id"}
        assert response.headers["Server"] == "interopsim"
        assert (set(response.headers["Allow"].split(",")) if allow else None) == allow


async def test_a_refusal_names_itself_and_says_when_to_try_again(
    session: ClientSession, desk: Desk, journal: Journal
) -> None:
    """In headers: the outcome object is as documented (ENL-11, ENL-17)."""
    desk.answer = Refusal(Reason.RATE_LIMITED, retry_after_ms=1_001, requirement="ENL-17")
    async with session.post("/3p/interop_reg", data=SAMPLE) as response:
        assert (response.status, response.headers["Retry-After"]) == (200, "2")
        entry = journal.find(response.headers["X-Request-Id"])
    assert entry is not None
    assert (entry.action, entry.reason) == ("http.interop_reg", "RATE_LIMITED")


@pytest.mark.parametrize("chosen", ["", "my-call_1.0", "x" * 64, "x" * 65, "a b", "ü"])
async def test_an_answer_names_its_request(session: ClientSession, desk: Desk, journal: Journal, chosen: str) -> None:
    """As the client calls it, if it may; the journal has what was decided under the same name."""
    headers = {"X-Request-Id": chosen} if chosen else {}
    is_taken = is_request_id(chosen)
    desk.answer = "100-12345678901234@interop"
    for answer in (desk.answer, Refusal(Reason.BAD_INTEGRATOR)):
        desk.answer = answer
        async with session.post("/3p/interop_reg", data=SAMPLE, headers=headers) as response:
            name = response.headers["X-Request-Id"]
            outcome = await response.json()
        [*_, entry], _ = journal.after(0, 100)
        assert entry.request_id == name == outcome.get("request_id", name)
        assert name == chosen if is_taken else re.fullmatch(r"[0-9a-f]{16}", name)
    recorded = len(journal.after(0, 100)[0])
    async with session.get("/.well-known/jwks", headers=headers) as response:
        name = response.headers["X-Request-Id"]
    assert name == chosen if is_taken else re.fullmatch(r"[0-9a-f]{16}", name)
    assert len(journal.after(0, 100)[0]) == recorded  # who looks decides nothing


async def test_a_taken_port_is_told(server: HttpListener) -> None:
    """And nothing of the second server stays behind."""
    with pytest.raises(OSError, match="already in use"):
        listen("127.0.0.1", server.port)


async def test_who_asks_before_it_serves_waits_and_is_answered(desk: Desk, journal: Journal, gate: FaultGate) -> None:
    """The port answers from the start on, before what answers is loaded; a stop before that leaves nothing behind."""
    application = build_application(desk.enlist, NoMedia(), desk.jwks, journal, ENOUGH, gate)
    early, never = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", early.port)
    writer.write(b"GET /.well-known/jwks HTTP/1.1\r\nHost: x\r\n\r\n")
    await early.serve(lambda sock: serve(application, sock, 100, 20))
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await early.stop()
    port = never.port
    await never.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
